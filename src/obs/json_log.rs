//! The log as lines of JSON.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use time::OffsetDateTime;

use super::journal::with_priority;
use super::log::TIME;
use crate::control::to_json;
use crate::mutex::lock;

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A time, a level and words, as people read them.
    Text,
    /// An object of the same.
    Json,
}

/// A log of lines of JSON; where it is systemd's journal, each with its priority.
pub(super) struct JsonLog<W> {
    level: LevelFilter,
    is_journal: bool,
    out: Mutex<W>,
}

impl<W: Write> JsonLog<W> {
    pub(super) fn new(level: LevelFilter, out: W, is_journal: bool) -> Self {
        Self { level, is_journal, out: Mutex::new(out) }
    }
}

impl<W: Write + Send> Log for JsonLog<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    #[expect(clippy::disallowed_methods, reason = "a line of the log has the time of the machine")]
    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = json_line(SystemTime::now(), record.level(), &record.args().to_string()) + "\n";
            if self.is_journal {
                line = with_priority(record.level(), line);
            }
            // A failure to write cannot be reported anywhere.
            let _ = lock(&self.out).write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    message: &'a str,
    fields: BTreeMap<&'a str, String>,
}

/// A line of the log, whose text has fields at its beginning and at its end.
fn json_line(time: SystemTime, level: Level, text: &str) -> String {
    let (message, fields) = split(text);
    let time = OffsetDateTime::from(time).format(TIME).unwrap_or_default();
    to_json(&Line { time, level: level.as_str(), message, fields })
}

/// The words of a line, and the fields before and after them. Of two with one key the first counts. What looks like a field
/// amid the words is none.
fn split(text: &str) -> (&str, BTreeMap<&str, String>) {
    let words = words(text);
    let fields: Vec<_> = words.iter().map(|word| field(word)).collect();
    let before = fields.iter().take_while(|field| field.is_some()).count();
    let after = fields[before..].iter().rev().take_while(|field| field.is_some()).count();
    let message = match words[before..words.len() - after] {
        [] => "",
        [first, .., last] => &text[offset(text, first)..offset(text, last) + last.len()],
        [only] => only,
    };
    let around = fields[..before].iter().chain(&fields[fields.len() - after..]).flatten();
    let mut found = BTreeMap::new();
    for &(key, value) in around {
        found.entry(key).or_insert_with(|| unquoted(value));
    }
    (if after > 0 { message.trim_end_matches(';') } else { message }, found)
}

/// Where `part` begins in `whole`, which it is a part of.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// What blanks part, but for those between double quotes.
fn words(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|c| {
        let is_end = c == ' ' && !is_quoted;
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        is_end
    });
    parts.filter(|word| !word.is_empty()).collect()
}

fn field(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let is_key = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    is_key.then_some((key, value))
}

/// The value without the quotes around it. What does not show stays escaped.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let (mut text, mut chars) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(escaped @ ('"' | '\\'))) => {
                text.push(escaped);
                chars.next();
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn line(text: &str) -> Value {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let line = json_line(time, Level::Warn, text);
        assert!(!line.contains('\n'), "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_line_has_the_words_and_the_fields_around_them() {
        assert_eq!(
            line(r#"site="a \"b\" \\ c" reason=connect cannot connect: refused; failures=3 ms=4"#),
            json!({
                "time": "2023-11-14T22:13:20.250Z", "level": "WARN", "message": "cannot connect: refused",
                "fields": {"site": "a \"b\" \\ c", "reason": "connect", "failures": "3", "ms": "4"}
            })
        );
        let found = line("site=a collected=12 bytes=3");
        assert_eq!(found["message"], "");
        assert_eq!(found["fields"], json!({"site": "a", "collected": "12", "bytes": "3"}));
        assert_eq!(line("stopped")["message"], "stopped");
        assert_eq!(line("")["fields"], json!({}));
    }

    #[test]
    fn what_others_write_amid_the_words_is_no_field() {
        let found = line(r#"site=a peer said: site=forged "level=x y=1" it ended; failures=1 site=late"#);
        assert_eq!(found["message"], r#"peer said: site=forged "level=x y=1" it ended"#);
        assert_eq!(found["fields"], json!({"site": "a", "failures": "1"}));
        let found = line("site=a said \" open=1 more=2");
        assert_eq!((&found["message"], &found["fields"]), (&"said \" open=1 more=2".into(), &json!({"site": "a"})));
    }
}
