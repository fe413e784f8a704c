//! Durations (`"30s"`, `"1h30m"`) and sizes (`"2MB"`, `"64MiB"`) as people write them.

use std::time::Duration;

const MILLIS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const BYTES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

/// One or more numbers with their units: `d`, `h`, `m`, `s`, `ms`; a bare number counts seconds.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_ends = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        millis = millis.checked_add(number.checked_mul(scale(unit, &MILLIS)?)?)?;
        rest = after.trim_start();
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// A number and its unit, decimal (`kB`, `MB`, `GB`, `TB`) or binary (`KiB`, `MiB`, `GiB`, `TiB`); a bare number counts
/// bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let scale = if unit.is_empty() { 1 } else { scale(unit, &BYTES)? };
    number.checked_mul(scale)
}

/// The shortest text that [`parse_duration`] reads as `duration`, to the millisecond.
pub(super) fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match MILLIS.iter().find(|(_, scale)| millis >= *scale && millis.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", millis / scale),
        None => "0s".to_owned(),
    }
}

/// The shortest text that [`parse_size`] reads as `bytes`.
pub(super) fn format_size(bytes: u64) -> String {
    match BYTES.iter().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", bytes / scale),
        None => "0".to_owned(),
    }
}

/// The digits `text` begins with, and what follows them and any blanks.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(digits_end);
    Some((digits.parse().ok()?, rest.trim_start()))
}

fn scale(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, scale)| *scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let millis = [("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1h 30m", 5_400_000), ("250ms", 250)];
        for (text, expected) in
            millis.into_iter().chain([("12", 12_000), (" 2 s ", 2000), ("0s", 0), ("1D", 86_400_000)])
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(expected)), "{text}");
        }
        for text in
            ["", " ", "s", "5x", "-5s", "1.5s", "5s5", "99999999999999999999s", "9999999999999999999h", "5 parsecs"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, expected) in [
            ("2MB", 2_000_000),
            ("2MiB", 2 << 20),
            ("2 mib", 2 << 20),
            ("512", 512),
            ("1GiB", 1 << 30),
            ("0", 0),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Some(expected), "{text}");
        }
        for text in ["", "MB", "2MBit", "-1", "1.5MB", "99999999999TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..u64::MAX / 2, bytes: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
    }

    #[test]
    fn what_is_written_is_short() {
        assert_eq!(format_duration(Duration::from_secs(300)), "5m");
        assert_eq!(format_duration(Duration::from_secs(90)), "90s");
        assert_eq!(format_size(64 << 20), "64MiB");
        assert_eq!(format_size(64), "64B");
    }
}
