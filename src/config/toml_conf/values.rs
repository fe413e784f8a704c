//! What a value must look like. Each kind takes a value or returns what it expected.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::super::units::{format_duration, parse_duration, parse_size};

/// What was expected instead.
pub(super) type Expected = String;

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Expected> {
    value.as_bool().ok_or_else(|| "true or false".to_owned())
}

/// Text that is not empty.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, Expected> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| "text in quotes".to_owned())
}

/// The text of a timetable of limits.
pub(super) fn timetable(value: &DeValue<'_>) -> Result<String, Expected> {
    let expected = "a limit in quotes such as \"512K\", or a timetable of limits such as \"08:00,512K 19:00,10M\"";
    text(value).map_err(|_| expected.to_owned())
}

/// A path: text without NUL.
pub(super) fn path(value: &DeValue<'_>) -> Result<String, Expected> {
    text(value).ok().filter(|path| !path.contains('\0')).ok_or_else(|| "a path in quotes".to_owned())
}

/// Permissions of owner, group and others, in octal digits.
pub(super) fn permissions(value: &DeValue<'_>) -> Result<u32, Expected> {
    let digits = value.as_str().filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "permissions in quotes such as \"0660\"".to_owned())
}

/// A list of texts.
pub(super) fn list(value: &DeValue<'_>) -> Result<Vec<String>, Expected> {
    let texts = value.as_array().and_then(|items| items.iter().map(|item| text(item.get_ref()).ok()).collect());
    texts.ok_or_else(|| "a list of texts such as [\"*.data\"]".to_owned())
}

/// A whole number within `range`.
pub(super) fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Result<T, Expected> {
    move |value| {
        let number = integer(value).filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A duration within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, Expected> {
    move |value| {
        let duration = match value {
            DeValue::String(text) => parse_duration(text),
            _ => integer(value).map(Duration::from_secs),
        };
        duration.filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (low, high) = (format_duration(*range.start()), format_duration(*range.end()));
            format!("a duration such as \"30s\", \"5m\" or \"1h\", or a number of seconds, from {low} to {high}")
        })
    }
}

/// A number of bytes from `least` on.
pub(super) fn size(least: u64) -> impl Fn(&DeValue<'_>) -> Result<u64, Expected> {
    move |value| {
        let bytes = match value {
            DeValue::String(text) => parse_size(text),
            _ => integer(value),
        };
        bytes
            .filter(|bytes| *bytes >= least)
            .ok_or_else(|| format!("a size such as \"2MB\" or \"64KiB\", or a number of bytes, {least} or more"))
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, Expected> {
    move |value| {
        let chosen = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        chosen.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            quoted.join(" or ")
        })
    }
}

/// What a value is, in an error's words.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    const ENOUGH: usize = 80;
    match value {
        // A URL in the wrong place.
        DeValue::String(text) if text.contains('@') => "text that may hold a password".to_owned(),
        DeValue::String(text) if text.chars().count() <= ENOUGH => format!("{text:?}"),
        DeValue::String(_) => "a long text".to_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        _ => type_of(value).to_owned(),
    }
}

/// A value's kind, without its content.
pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
