//! How text that others wrote is shown: it may forge no line, no field of a log, and nothing that a terminal acts on.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;

/// One value as it stands in a log line, after `key=` or among words: as it is where it is one word whose ends are
/// clear, else in double quotes with `"`, `\` and all that does not show escaped, as logfmt has it.
#[derive(Clone, Copy)]
pub struct Quoted<'a>(&'a [u8]);

/// A name, a path or another short text that somebody else wrote, to be shown as one value.
pub fn quoted(text: &(impl AsRef<OsStr> + ?Sized)) -> Quoted<'_> {
    Quoted(text.as_ref().as_bytes())
}

impl<'a> Quoted<'a> {
    /// Shows bytes in whichever encoding.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if !text.is_empty() && text.chars().all(is_of_a_word) => f.write_str(text),
            _ => {
                f.write_char('"')?;
                write_escaped(self.0, f)?;
                f.write_char('"')
            }
        }
    }
}

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes `bytes` as they stand between double quotes.
pub(super) fn write_escaped(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                _ => write_shown(c, f)?,
            }
        }
        chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
    }
    Ok(())
}

/// A whole line for people, in which whatever does not show is escaped: control characters, line ends of any kind, marks
/// that change the direction of writing. Blanks, quotes and backslashes stay.
pub fn printable(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        // A string takes whatever is written to it.
        let _ = write_shown(c, &mut shown);
    }
    shown
}

/// A path or name that somebody else wrote, for people and with other words around it: as it is, but for what does not
/// show.
pub fn shown(text: &(impl AsRef<OsStr> + ?Sized)) -> String {
    let mut shown = String::new();
    for chunk in text.as_ref().as_bytes().utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            // A string takes whatever is written to it.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

fn write_shown(c: char, f: &mut impl fmt::Write) -> fmt::Result {
    match c {
        _ if shows(c) => f.write_char(c),
        '\t' | '\r' | '\n' => write!(f, "{}", c.escape_default()),
        _ if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c)),
        _ => write!(f, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Letters and symbols, to Unicode, that are blank: fillers of Hangul, and Braille without a dot.
const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// Whether `c` shows as what it is: no control character, no invisible mark, no blank but the common one.
pub fn shows(c: char) -> bool {
    c == ' '
        || !c.is_whitespace()
            && !BLANK.contains(&c)
            && !matches!(c.escape_debug().nth(1), Some(escape) if escape.is_alphanumeric())
}

fn is_of_a_word(c: char) -> bool {
    shows(c) && !matches!(c, ' ' | '"' | '=' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_as_it_is() {
        for word in ["plant-7", "10.0.0.1:41121", "/var/spool/pandora/data_in", "café.1.data", "[::1]:4000", "a,b;c"] {
            assert_eq!(quoted(word).to_string(), word);
        }
    }

    #[test]
    fn what_could_forge_a_field_is_quoted() {
        for (text, shown) in [
            ("a reason=b", r#""a reason=b""#),
            ("a=b", r#""a=b""#),
            ("", r#""""#),
            (r#"a" reason=b c=""#, r#""a\" reason=b c=\"""#),
            (r"a\", r#""a\\""#),
        ] {
            assert_eq!(quoted(text).to_string(), shown);
        }
    }

    #[test]
    fn what_a_terminal_or_a_reader_of_lines_would_act_on_is_escaped() {
        for (text, shown) in [
            ("a\nb\r\tc", r#""a\nb\r\tc""#),
            ("\x1b[2J\0\x7f", r#""\x1b[2J\x00\x7f""#),
            ("\u{85}\u{9b}31m", r#""\u{85}\u{9b}31m""#),
            ("gpj.\u{202e}atad", r#""gpj.\u{202e}atad""#),
            ("a\u{2028}b\u{2029}\u{feff}\u{a0}", r#""a\u{2028}b\u{2029}\u{feff}\u{a0}""#),
        ] {
            assert_eq!(quoted(text).to_string(), shown);
        }
        assert_eq!(Quoted::of_bytes(b"\xff\xfe.1.data").to_string(), r#""\xff\xfe.1.data""#);
        assert_eq!(Quoted::of_bytes(b"\xc2\x9b").to_string(), r#""\u{9b}""#);
    }

    #[test]
    fn nothing_that_hides_or_reorders_text_shows() {
        let hidden = [0x80..=0x9f, 0xad..=0xad, 0x61c..=0x61c, 0x180e..=0x180e, 0x200b..=0x200f, 0x2028..=0x202e]
            .into_iter()
            .chain([
                0x2060..=0x206f,
                0x3164..=0x3164,
                0xfe00..=0xfe0f,
                0xfeff..=0xfeff,
                0xfff9..=0xfffb,
                0xe0000..=0xe01ef,
            ]);
        for c in hidden.flatten().filter_map(char::from_u32) {
            assert!(!shows(c), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn a_path_among_words_has_no_quotes_and_nothing_that_does_not_show() {
        let path = OsStr::from_bytes(b"a b\xff\xe2\x80\xae\xc2\x9b'\n");
        assert_eq!(shown(path), r"a b\xff\u{202e}\u{9b}'\n");
    }

    #[test]
    fn a_line_keeps_its_blanks_and_quotes_and_nothing_that_does_not_show() {
        assert_eq!(printable(r#"site=a file="b c" \x"#), r#"site=a file="b c" \x"#);
        assert_eq!(printable("a\nWARN b\u{202e}\x1b[2J\u{85}"), r"a\nWARN b\u{202e}\x1b[2J\u{85}");
    }
}
