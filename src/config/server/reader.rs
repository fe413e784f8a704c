//! From bytes to values: each kind takes a value or returns what it expected.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::source::{io_message, secret_line};
use super::super::units::{format_duration, parse_duration, parse_size};
use super::env::Env;
use super::error::Diagnostics;
use super::key::Key;
use super::raw_option::RawOption;
use crate::proto::{Secret, quoted};

/// What was expected instead.
pub(super) type Expected = String;

/// All values, the file's before the command line's: the last counts.
pub(super) struct Reader<'a> {
    pub(super) said: Vec<RawOption>,
    pub(super) surroundings: &'a Env,
    pub(super) findings: &'a mut Diagnostics,
}

impl Reader<'_> {
    /// What counts of `key`.
    pub(super) fn find(&self, key: Key) -> Option<RawOption> {
        self.said.iter().rfind(|said| said.key == key).cloned()
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.said.iter().any(|said| said.key == key)
    }

    pub(super) fn error(&mut self, said: &RawOption, message: &str) {
        self.findings.error(&said.place, format!("{}{message}", said.about()));
    }

    pub(super) fn warn(&mut self, said: &RawOption, message: &str) {
        self.findings.warn(&said.place, format!("{}{message}", said.about()));
    }

    /// The value of `key`, if it is of that kind.
    pub(super) fn read<T>(&mut self, key: Key, kind: impl FnOnce(&[u8]) -> Result<T, Expected>) -> Option<T> {
        let said = self.find(key)?;
        match kind(said.value()) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.error(&said, &format!("expected {expected}{}", found(&said)));
                None
            }
        }
    }

    /// Whether a switch is on. To stock that is `1` alone, and anything else is off.
    pub(super) fn switch(&mut self, key: Key) -> bool {
        let Some(said) = self.find(key) else { return false };
        match said.value() {
            b"1" => return true,
            b"0" => {}
            _ if key.is_ours() => self.error(&said, &format!("expected 1 or 0{}", found(&said))),
            _ => self.warn(&said, &format!("off, as at stock, for anything but 1{}", found(&said))),
        }
        false
    }

    /// A path, made absolute.
    pub(super) fn path(&mut self, key: Key) -> Option<PathBuf> {
        let path = self.read(key, path)?;
        Some(self.surroundings.resolve(path))
    }

    /// What stands in the file that `key` names.
    pub(super) fn secret_in_file(&mut self, key: Key) -> Option<Secret> {
        let path = self.path(key)?;
        let said = self.find(key)?;
        let shown = quoted(&path);
        match (self.surroundings.read_secret)(&path) {
            Err(error) => {
                self.error(&said, &format!("cannot read {shown}: {}", io_message(&error)));
                None
            }
            Ok(file) => {
                if file.world_readable {
                    self.warn(&said, &format!("every user of this machine can read {shown}; chmod o-r {shown}"));
                }
                let secret = secret_line(file.bytes);
                if secret.is_none() {
                    self.error(&said, &format!("{shown} is empty"));
                }
                secret
            }
        }
    }
}

/// What a message ends with, unless it would be a secret.
fn found(said: &RawOption) -> String {
    const ENOUGH: usize = 80;
    let text = String::from_utf8_lossy(said.value());
    match text.chars().count() {
        _ if said.key.is_secret() => String::new(),
        0 => ", found nothing".to_owned(),
        1..=ENOUGH if text.starts_with("= ") => format!(", found {text:?}; there is no `=` between key and value"),
        1..=ENOUGH if text.contains(" #") => format!(", found {text:?}; comments stand in lines of their own"),
        1..=ENOUGH => format!(", found {text:?}"),
        _ => ", found a long text".to_owned(),
    }
}

/// Text that is not empty.
pub(super) fn text(value: &[u8]) -> Result<String, Expected> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty() && !text.contains('\0'));
    text.filter(|text| !text.starts_with("= ")).map(str::to_owned).ok_or_else(|| "text".to_owned())
}

/// A path: without NUL, and without the quotes that other formats need.
pub(super) fn path(value: &[u8]) -> Result<PathBuf, Expected> {
    let valid = !value.is_empty() && !value.contains(&0) && !value.starts_with(b"= ");
    match value {
        [quote @ (b'"' | b'\''), .., last] if quote == last => Err("a path without quotes".to_owned()),
        _ if valid => Ok(Path::new(OsStr::from_bytes(value)).to_owned()),
        _ => Err("a path".to_owned()),
    }
}

/// A whole number within `range`.
pub(super) fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&[u8]) -> Result<T, Expected> {
    move |value| {
        let number = digits(value).filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A TCP port.
pub(super) fn port(value: &[u8]) -> Result<u16, Expected> {
    whole(1..=u64::from(u16::MAX))(value)
}

/// A number of bytes from `least` on.
pub(super) fn size(least: u64) -> impl Fn(&[u8]) -> Result<u64, Expected> {
    move |value| {
        let bytes = std::str::from_utf8(value).ok().and_then(parse_size).filter(|bytes| *bytes >= least);
        bytes.ok_or_else(|| format!("a size such as 2MB or 64KiB, or a number of bytes, {least} or more"))
    }
}

/// A duration within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&[u8]) -> Result<Duration, Expected> {
    move |value| {
        let duration = std::str::from_utf8(value).ok().and_then(parse_duration);
        duration.filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (low, high) = (format_duration(*range.start()), format_duration(*range.end()));
            format!("a duration such as 30s, 5m or 1h, or a number of seconds, from {low} to {high}")
        })
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl Fn(&[u8]) -> Result<T, Expected> {
    move |value| {
        let chosen = words.iter().find(|(word, _)| word.as_bytes() == value);
        chosen.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            words.join(" or ")
        })
    }
}

/// Rights that are not given, in octal.
pub(super) fn umask(value: &[u8]) -> Result<u32, Expected> {
    octal(value).ok_or_else(|| "three or four octal digits such as 0007".to_owned())
}

/// Rights, in octal.
pub(super) fn rights(value: &[u8]) -> Result<u32, Expected> {
    octal(value).ok_or_else(|| "rights in octal, such as 0660".to_owned())
}

fn octal(value: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    u32::from_str_radix(digits, 8).ok().filter(|rights| *rights <= 0o777)
}

fn digits(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}
