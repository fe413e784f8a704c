//! In which order files are taken: one agent's measurements oldest first.

use std::borrow::Borrow;
use std::time::Duration;

/// What an agent data file's name consists of: `<agent>.<serial>.data`, or with `_` before the serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentFile<'a> {
    /// The agent's name, or the MD5 of it.
    pub agent: &'a [u8],
    /// When the measurement was made, since 1970, where the serial has it: an epoch second (Unix agents), an epoch
    /// second and a fraction (`<agent>.<second>.<fraction>.data`), an epoch millisecond, or that and four random digits
    /// (PluginTools). Windows agents write a random number.
    pub time: Option<Duration>,
}

/// Digits of an epoch second, and of an epoch millisecond: September 2001 to 2286.
const SECOND_DIGITS: usize = 10;
const MILLISECOND_DIGITS: usize = 13;

/// The epoch seconds that a ten-digit serial is taken for: September 2001 to June 2128.
const SECONDS: std::ops::Range<u64> = 1_000_000_000..5_000_000_000;

impl<'a> AgentFile<'a> {
    /// Reads a name as the data server does; `None` where it is no agent's.
    pub fn parse(name: &'a (impl Borrow<[u8]> + ?Sized)) -> Option<Self> {
        let (agent, serial) = split_serial(name.borrow().strip_suffix(b".data")?)?;
        if let Some((inner, second)) = split_serial(agent)
            && serial.len() < SECOND_DIGITS
            && let Some(second) = epoch_second(second)
        {
            return Some(Self { agent: inner, time: Some(second + fraction(serial)) });
        }
        Some(Self { agent, time: time(serial) })
    }
}

/// Splits a serial off: the digits at the end, which a `.` or a `_` stands before.
fn split_serial(stem: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, serial) = stem.split_at(stem.len() - digits);
    let (b'.' | b'_', head) = head.split_last()? else { return None };
    (digits > 0).then_some((head, serial))
}

/// The time that a serial is, where its length is that of one.
fn time(serial: &[u8]) -> Option<Duration> {
    match serial.len() {
        SECOND_DIGITS => epoch_second(serial),
        MILLISECOND_DIGITS | 17 => {
            let milliseconds = number(&serial[..MILLISECOND_DIGITS])?;
            SECONDS.contains(&(milliseconds / 1000)).then(|| Duration::from_millis(milliseconds))
        }
        _ => None,
    }
}

fn epoch_second(serial: &[u8]) -> Option<Duration> {
    let second = number(serial).filter(|second| serial.len() == SECOND_DIGITS && SECONDS.contains(second))?;
    Some(Duration::from_secs(second))
}

/// Digits after a decimal point, at most nine.
fn fraction(digits: &[u8]) -> Duration {
    let scale = 10_u32.pow(9_u32.saturating_sub(u32::try_from(digits.len()).unwrap_or(u32::MAX)));
    let nanoseconds = number(digits).and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    Duration::from_nanos(u64::from(nanoseconds) * u64::from(scale))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The agent a file belongs to; a file that is no agent's is on its own.
pub(crate) fn agent(name: &(impl Borrow<[u8]> + ?Sized)) -> &[u8] {
    AgentFile::parse(name).map_or(name.borrow(), |file| file.agent)
}

/// When the measurement in a file was made, since 1970, where its name has it.
pub(crate) fn measured_at(name: &(impl Borrow<[u8]> + ?Sized)) -> Option<Duration> {
    AgentFile::parse(name)?.time
}

/// Where a name stands among all names, of which the first are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    class: Class,
    /// When it was measured, in nanoseconds since 1970; none where that is not to be known.
    time: u64,
    hash: u64,
}

/// What a name is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// To be deleted at the site, which makes room.
    Committed,
    Other,
}

impl Rank {
    pub(super) fn new(class: Class, name: &[u8], hash: u64) -> Self {
        let time = measured_at(name).unwrap_or_default();
        Self { class, time: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), hash }
    }
}

/// Sorts the ranks and places of names, oldest first; those whose age is not to be known come first and stay as they were
/// listed.
pub(super) fn sort_oldest_first(names: &mut [(Rank, usize)]) {
    names.sort_unstable_by_key(|&(Rank { time, .. }, place)| (time, place));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{FileName, Names};

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    #[test]
    fn agents_are_read_as_the_data_server_reads_them_and_times_in_all_forms() {
        let read = |text: &str| {
            let name = name(text);
            AgentFile::parse(&name).map(|file| (String::from_utf8_lossy(file.agent).into_owned(), file.time))
        };
        let at = |agent: &str, time: Option<Duration>| Some((agent.to_owned(), time));
        let second = Duration::from_secs(1_700_000_000);
        assert_eq!(read("web01.1700000000.data"), at("web01", Some(second)));
        assert_eq!(read("a.b_17.data"), at("a.b", None));
        assert_eq!(read(".5.data"), at("", None));
        assert_eq!(read("web01.1700000000123.data"), at("web01", Some(second + Duration::from_millis(123))));
        assert_eq!(read("web01.17000000001234567.data"), at("web01", Some(second + Duration::from_millis(123))));
        assert_eq!(read("web01.1700000000.25.data"), at("web01", Some(second + Duration::from_millis(250))));
        assert_eq!(read("web01_1700000000.12345.data"), at("web01", Some(second + Duration::from_micros(123_450))));
        assert_eq!(
            read("job_1700000000.1700000005.data"),
            at("job_1700000000", Some(Duration::from_secs(1_700_000_005)))
        );
        assert_eq!(read("web01.9999999999.data"), at("web01", None), "no epoch that anybody writes");
        assert_eq!(read("web01.9999999999999.data"), at("web01", None));
        assert_eq!(read("web01.99999999999999999999999.data"), at("web01", None));
        for foreign in ["web01.data", "web01.17x.data", "web01-17.data", "17.data", "web01.17.xml"] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn times_sort_in_all_forms_and_the_rest_stays_as_listed() {
        let expected = [
            "z.9.data",
            "z.4.data",
            "odd",
            "b.1700000001.data",
            "b.1700000001.5.data",
            "b.1700000001600.data",
            "b.1700000002.data",
        ]
        .map(name);
        let mut names = Names::default();
        for name in expected[..3].iter().chain(expected[3..].iter().rev()) {
            names.push(name);
        }
        let mut ranks: Vec<_> = names.iter().map(|(place, name)| (Rank::new(Class::Other, name, 0), place)).collect();
        sort_oldest_first(&mut ranks);
        let order: Vec<_> = ranks.into_iter().map(|(_, place)| names.at(place)).collect();
        assert_eq!(order, expected.each_ref().map(FileName::as_bytes));
    }
}
