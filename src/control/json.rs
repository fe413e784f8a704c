//! JSON that a terminal can be shown.

use std::fmt::Write;

use serde::Serialize;

use crate::proto::shows;

/// `value` on one line of JSON, in which all that does not show is escaped: JSON itself asks for that of the first 32
/// characters alone.
///
/// # Panics
/// Never for the types of this module: their keys are text, and their values can all be written.
pub fn to_json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("text, numbers and lists of them can be written as JSON");
    if text.chars().all(shows) {
        return text;
    }
    // Outside of its strings, JSON has nothing that does not show, and within them any character may be escaped.
    let (mut escaped, mut units) = (String::with_capacity(text.len()), [0; 2]);
    for c in text.chars() {
        if shows(c) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                // A string takes whatever is written to it.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_escaped_and_read_back_as_it_was() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{e0001}\n\"\\é";
        let json = to_json(&text);
        assert!(json.chars().all(shows), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(to_json(&"plain é"), "\"plain é\"");
    }
}
