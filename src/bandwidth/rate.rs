//! A rate, as rclone writes it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The lowest, in bytes a second. A stock server gives up on a client that takes nothing for 4 s, and what its own socket
/// holds must drain by a third, some 29 KB of 87 KB, until it sees that the client takes anything.
const LEAST: u64 = 8 << 10;

/// The highest, in bytes a second: beyond what any machine receives.
const MOST: u64 = 1 << 40;

const UNITS: [(char, u64); 4] = [('B', 1), ('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is a number alone.
    #[error("{0:?} has no unit, and stands for KiB in rclone; write \"{0}K\" for that, or \"{0}B\" for bytes")]
    NoUnit(String),
    /// It is a pair.
    #[error("{0:?} is two rates; give one, which holds for what is received and for what is sent, each by itself")]
    Pair(String),
    /// It is something else.
    #[error("{0:?} is no rate; write a number of bytes a second with B, K, M or G, such as \"512K\", or \"off\"")]
    Unreadable(String),
    /// It is too low.
    #[error(
        "{0:?} is less than 8K a second, at which a stock server gives up on us: it waits 4 s for a client to take anything"
    )]
    TooLow(String),
    /// It is too high.
    #[error("{0:?} is more than any machine receives; write \"off\" for no limit")]
    TooHigh(String),
}

impl Rate {
    /// In bytes a second; at least 1.
    pub fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// A number, which may have a decimal point, and `B`, `K`, `M` or `G`, in either case: powers of 1024, with or without
    /// `i` or `iB` behind it.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let unreadable = || RateError::Unreadable(text.to_owned());
        if text.contains(':') {
            return Err(RateError::Pair(text.to_owned()));
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let thousandths = thousandths(number).ok_or_else(unreadable)?;
        let mut unit = unit.chars();
        let Some(letter) = unit.next() else { return Err(RateError::NoUnit(text.to_owned())) };
        let letter = letter.to_ascii_uppercase();
        let (_, scale) = UNITS.into_iter().find(|(known, _)| *known == letter).ok_or_else(unreadable)?;
        if !matches!(unit.as_str(), "") && (letter == 'B' || !matches!(unit.as_str(), "i" | "iB")) {
            return Err(unreadable());
        }
        let bytes = thousandths.checked_mul(scale).map(|thousandths| thousandths / 1000);
        match bytes.ok_or_else(|| RateError::TooHigh(text.to_owned()))? {
            ..LEAST => Err(RateError::TooLow(text.to_owned())),
            bytes @ LEAST..=MOST => Ok(Self(bytes)),
            _ => Err(RateError::TooHigh(text.to_owned())),
        }
    }
}

/// A decimal number, of at most three digits behind its point, in thousandths.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > 3 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    format!("{fraction:0<3}").parse::<u64>().ok()?.checked_add(whole.checked_mul(1000)?)
}

impl Display for Rate {
    /// The shortest text that is read as this rate.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(char, u64)| self.0 >= *scale && self.0.is_multiple_of(*scale);
        match UNITS.iter().rev().find(fits) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_rclone_reads_them() {
        for (text, bytes) in [
            ("512K", 512 << 10),
            ("512k", 512 << 10),
            ("512Ki", 512 << 10),
            ("512KiB", 512 << 10),
            ("10M", 10 << 20),
            ("1.5M", 3 << 19),
            ("1G", 1 << 30),
            ("8192B", 8192),
            ("8.001k", 8193),
        ] {
            assert_eq!(text.parse::<Rate>().map(Rate::bytes_per_second), Ok(bytes), "{text}");
        }
        assert_eq!("512KiB".parse::<Rate>().unwrap().to_string(), "512K");
        assert_eq!("8193B".parse::<Rate>().unwrap().to_string(), "8193B");
    }

    #[test]
    fn what_is_no_sensible_rate_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<Rate>().unwrap_err();
        let of = str::to_owned;
        for text in ["", "k", "-5k", "fast", "5 M", "10MB", "10Mb", "5Bi", "1.2345M", "1.2.3M", ".", "1e3K", "K5"] {
            assert_eq!(refused(text), RateError::Unreadable(of(text)), "{text}");
        }
        assert_eq!(refused("512"), RateError::NoUnit(of("512")));
        assert_eq!(refused("10M:1M"), RateError::Pair(of("10M:1M")));
        assert_eq!(refused("7.999K"), RateError::TooLow(of("7.999K")));
        assert_eq!(refused("0B"), RateError::TooLow(of("0B")));
        for text in ["1025G", "1099511627777B", "9999999999G"] {
            assert_eq!(refused(text), RateError::TooHigh(of(text)), "{text}");
        }
    }
}
