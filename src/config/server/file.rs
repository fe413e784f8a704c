//! The `-F` file, read as stock reads it: a line counts if it begins with a letter; up to the first blank it is the key,
//! after the blanks the value, to the end of the line; of several the last one counts. Other than to stock, the carriage
//! return of a line that ends as on Windows is part of no value: no password of a client has one.

use std::path::Path;

use super::super::nearest::nearest;
use super::error::{Diagnostics, Place};
use super::key::Key;
use super::raw_option::RawOption;
use crate::proto::quoted;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a whole file.
pub(super) fn read(bytes: &[u8], path: &Path, findings: &mut Diagnostics) -> Vec<RawOption> {
    let mut said: Vec<RawOption> = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = Place::Line(path.to_owned(), index + 1);
        match Line::read(line.strip_suffix(b"\r").unwrap_or(line)) {
            Line::Setting(key, value) => said.push(RawOption::new(key, value, place)),
            Line::Dropped(key, slip) => dropped(key, slip, &place, findings),
            Line::Unknown(word) => unknown(&String::from_utf8_lossy(word), &place, findings),
            Line::Nothing => {}
        }
    }
    warn_of_repeats(&said, findings);
    warn_of_carriage_returns(bytes, path, findings);
    said
}

/// What a line comes down to.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Setting(Key, &'a [u8]),
    /// A key of the file in a line that does not count, and why.
    Dropped(Key, &'static str),
    /// A line that begins with a word that is no key.
    Unknown(&'a [u8]),
    /// Blank, or a comment.
    Nothing,
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    fn read(line: &'a [u8]) -> Self {
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii_start();
        let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
        let (word, rest) = text.split_at(text.iter().position(|byte| !is_key(byte)).unwrap_or(text.len()));
        let counts = line.first().is_some_and(u8::is_ascii_alphabetic);
        match Key::named(word) {
            Some(key) if !counts && line.starts_with(BYTE_ORDER_MARK) => {
                Self::Dropped(key, "a byte order mark before it")
            }
            Some(key) if !counts => Self::Dropped(key, "blanks before it"),
            Some(key) if rest.trim_ascii().is_empty() => Self::Dropped(key, "no value after it"),
            Some(key) if !rest[0].is_ascii_whitespace() => Self::Dropped(key, "no blank after it"),
            Some(key) => Self::Setting(key, value_of(key, rest)),
            None if counts => Self::Unknown(word),
            None => Self::Nothing,
        }
    }
}

/// To stock the blanks at the end of a line are part of the value: of no use but in a password.
fn value_of(key: Key, rest: &[u8]) -> &[u8] {
    let value = rest.trim_ascii_start();
    let counts_on_blanks = key.is_secret() || key.is_switch();
    if counts_on_blanks { value } else { value.trim_ascii_end() }
}

fn dropped(key: Key, slip: &str, place: &Place, findings: &mut Diagnostics) {
    let name = key.name();
    let expected = format!("write \"{name} value\" at the start of the line");
    if key.is_ours() {
        findings.error(place, format!("{name} has {slip}; {expected}"));
    } else {
        findings.warn(place, format!("{name} has {slip}, for which the line is ignored, as by stock; {expected}"));
    }
}

fn unknown(word: &str, place: &Place, findings: &mut Diagnostics) {
    match nearest(word, Key::all().map(|(name, _)| name)) {
        // Without its rule the server would be open to everybody.
        Some("allow") => findings.error(place, format!("unknown key {word:?}; did you mean allow?")),
        Some(known) => findings.warn(place, format!("unknown key {word:?}, ignored; did you mean {known}?")),
        None => findings.warn(place, format!("unknown key {word:?}, ignored")),
    }
}

fn warn_of_repeats(said: &[RawOption], findings: &mut Diagnostics) {
    for (index, one) in said.iter().enumerate().filter(|(_, one)| one.key != Key::Allow) {
        if let Some(later) = said[index + 1..].iter().rfind(|later| later.key == one.key) {
            let Place::Line(_, line) = &later.place else { continue };
            findings.warn(&one.place, format!("{} stands there again in line {line}, which counts", one.key.name()));
        }
    }
}

fn warn_of_carriage_returns(bytes: &[u8], path: &Path, findings: &mut Diagnostics) {
    let has_one = |line: &[u8]| line.first().is_some_and(u8::is_ascii_alphabetic) && line.ends_with(b"\r");
    if let Some(index) = bytes.split(|byte| *byte == b'\n').position(has_one) {
        let file = quoted(path);
        let message = format!(
            "ends in CR LF, as Windows editors write it; to stock the CR is part of the value, here it is not, in no line; \
             `sed -i 's/\\r$//' {file}` makes both agree"
        );
        findings.warn(&Place::Line(path.to_owned(), index + 1), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_stock_reads_them() {
        for (line, key, value) in [
            ("port 41121", Key::Port, "41121"),
            ("port  \t 41121", Key::Port, "41121"),
            ("port 41121 \r", Key::Port, "41121"),
            ("port 41121 # ours", Key::Port, "41121 # ours"),
            ("port = 41121", Key::Port, "= 41121"),
            ("directory /var/spool/a b", Key::Directory, "/var/spool/a b"),
            ("password  a b ", Key::Password, "a b "),
            ("insecure 1 ", Key::Insecure, "1 "),
        ] {
            assert_eq!(Line::read(line.as_bytes()), Line::Setting(key, value.as_bytes()), "{line}");
        }
    }

    #[test]
    fn lines_that_do_not_count() {
        for (line, key, slip) in [
            (" port 41121", Key::Port, "blanks before it"),
            ("\u{feff}port 41121", Key::Port, "a byte order mark before it"),
            ("port=41121", Key::Port, "no blank after it"),
            ("port", Key::Port, "no value after it"),
            ("port \r", Key::Port, "no value after it"),
        ] {
            assert_eq!(Line::read(line.as_bytes()), Line::Dropped(key, slip), "{line}");
        }
        for line in ["", "  ", "#port 1", "# port 1", "[server]", "; port 1", "\r", "  note"] {
            assert_eq!(Line::read(line.as_bytes()), Line::Nothing, "{line}");
        }
        assert_eq!(Line::read(b"PORT 41121"), Line::Unknown(b"PORT"));
        // What follows may be a password.
        assert_eq!(Line::read(b"Password=secret"), Line::Unknown(b"Password"));
    }

    fn findings(text: &str) -> Result<Vec<String>, String> {
        let mut findings = Diagnostics::default();
        read(text.as_bytes(), Path::new("c"), &mut findings);
        findings.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn what_stock_ignores_is_ignored_with_a_word() {
        let warnings =
            findings("prot 1\n port 2\nport 3\nport 4\nnonsense 1\nallow send from any\nallow recv from any");
        assert_eq!(
            warnings.unwrap(),
            [
                "c:1: unknown key \"prot\", ignored; did you mean port?",
                "c:2: port has blanks before it, for which the line is ignored, as by stock; write \"port value\" at the \
             start of the line",
                "c:3: port stands there again in line 4, which counts",
                "c:5: unknown key \"nonsense\", ignored",
            ]
        );
    }

    #[test]
    fn the_line_ends_of_windows_are_part_of_no_value() {
        let text = b"# Ours\r\n\r\npassword s3 cret \r\ninsecure 1\r\n";
        let mut findings = Diagnostics::default();
        let said = read(text, Path::new("c"), &mut findings);
        let values: Vec<_> = said.iter().map(|said| (said.key, said.value())).collect();
        assert_eq!(values, [(Key::Password, &b"s3 cret "[..]), (Key::Insecure, b"1")]);
        let warnings = findings.finish().unwrap();
        assert!(warnings[0].starts_with("c:3: ends in CR LF") && warnings.len() == 1, "{warnings:?}");
    }

    #[test]
    fn a_rule_is_never_ignored() {
        assert_eq!(
            findings("alow send from any\n allow recv from any").unwrap_err(),
            "c:1: unknown key \"alow\"; did you mean allow?\n\
             c:2: allow has blanks before it; write \"allow value\" at the start of the line"
        );
    }
}
