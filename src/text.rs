//! Text files in an encoding that nothing here reads, recognized by their bytes.

use std::path::Path;

use crate::proto::quoted;

/// What a text file is saved as, where that is not what its readers expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// UTF-16, with a byte order mark or without one.
    Utf16(ByteOrder),
    /// Lines that end in a carriage return alone.
    BareCr,
}

/// Which byte of a UTF-16 unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// The less significant one.
    Little,
    /// The more significant one.
    Big,
}

impl Foreign {
    /// What `bytes` are saved as; `None` for everything that is read as it is.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match utf16(bytes) {
            Some(order) => Some(Self::Utf16(order)),
            None if bytes.contains(&b'\r') && !bytes.contains(&b'\n') && has_a_line_behind_cr(bytes) => {
                Some(Self::BareCr)
            }
            None => None,
        }
    }

    /// What it is, and the command that makes a file of it that can be read. `file` is its name.
    pub(crate) fn advice(self, file: &str) -> String {
        match self {
            Self::Utf16(order) => {
                let from = match order {
                    ByteOrder::Little => "UTF-16LE",
                    ByteOrder::Big => "UTF-16BE",
                };
                format!(
                    "is saved as UTF-16, as Windows editors do: save it as UTF-8, or convert it with \
                     `iconv -f {from} -t UTF-8 {file} > {file}.new` and use the new file"
                )
            }
            Self::BareCr => format!(
                "has lines that end in a carriage return alone, as old Macintosh editors write them: convert it with \
                 `tr '\\r' '\\n' < {file} > {file}.new` and use the new file"
            ),
        }
    }
}

/// Why a configuration cannot be read as text at all, and the line, where it is one line's doing.
pub(crate) fn why_unreadable(bytes: &[u8], path: &Path) -> Option<(Option<usize>, String)> {
    if let Some(foreign) = Foreign::of(bytes) {
        return Some((None, format!("the file {}", foreign.advice(&quoted(path).to_string()))));
    }
    let nul = bytes.iter().position(|byte| *byte == 0)?;
    let line = bytes[..nul].split(|byte| *byte == b'\n').count();
    Some((Some(line), "there is a NUL byte in this line: the file is damaged, or no text file".to_owned()))
}

/// Fewer bytes show no pattern.
const LEAST_UTF16: usize = 8;

/// By its mark, or by every second byte of the beginning being NUL, as it is in Latin text.
fn utf16(bytes: &[u8]) -> Option<ByteOrder> {
    match bytes {
        [0xff, 0xfe, ..] => return Some(ByteOrder::Little),
        [0xfe, 0xff, ..] => return Some(ByteOrder::Big),
        _ => {}
    }
    let beginning = &bytes[..bytes.len().min(64) & !1];
    let all_nul = |first: usize| beginning.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    let none_nul = |first: usize| beginning.iter().skip(first).step_by(2).all(|byte| *byte != 0);
    match (all_nul(0), all_nul(1)) {
        _ if beginning.len() < LEAST_UTF16 => None,
        (true, false) if none_nul(1) => Some(ByteOrder::Big),
        (false, true) if none_nul(0) => Some(ByteOrder::Little),
        _ => None,
    }
}

fn has_a_line_behind_cr(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\r').filter(|line| !line.trim_ascii().is_empty());
    lines.next().is_some() && lines.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: ByteOrder) -> Vec<u8> {
        let bytes = |unit: u16| if order == ByteOrder::Little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf16_is_known_with_and_without_its_mark() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for text in ["\u{feff}sync_port 1\n", "sync_port 1\n", "# caf\u{e9}", "\u{feff}"] {
                assert_eq!(Foreign::of(&utf16(text, order)), Some(Foreign::Utf16(order)), "{text:?}");
            }
        }
    }

    #[test]
    fn bare_carriage_returns_are_told_from_windows_line_ends() {
        assert_eq!(Foreign::of(b"a 1\rb 2\r"), Some(Foreign::BareCr));
        for read_as_it_is in ["", "a 1", "a 1\r", "a 1\r\nb 2\r\n", "a\rb\nc", "\u{feff}a 1\n", "a\0b"] {
            assert_eq!(Foreign::of(read_as_it_is.as_bytes()), None, "{read_as_it_is:?}");
        }
        assert_eq!(Foreign::of(&[0; 64]), None);
    }
}
