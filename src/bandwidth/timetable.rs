//! Which limit is in force when: `"512K"`, or `"08:00,512K 19:00,10M"`, as rclone's `--bwlimit` writes it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use jiff::civil::{DateTime, Weekday};

use super::rate::{Rate, RateError};

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

/// No limit.
const OFF: &str = "off";

/// Limits by the time of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timetable {
    /// Always the same, or none.
    Always(Option<Rate>),
    /// At least one.
    Weekly(Vec<Slot>),
}

/// A limit and when it begins. It is in force until the next one's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Every day where there is none.
    weekday: Option<Weekday>,
    /// Of the day.
    minute: u32,
    limit: Option<Rate>,
}

/// Why a text is no timetable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// One of its rates, or the only one.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// One of its times.
    #[error("{0:?} is no time of the day; write it as 08:00, or with a weekday as Mon-08:00")]
    Time(String),
    /// A time without a rate, or a rate without a time beside others.
    #[error("{0:?} is no entry of a timetable; write each as 08:00,512K or Mon-08:00,512K, with blanks between them")]
    Entry(String),
    /// Two entries begin at one time.
    #[error("{0:?} has the time of an entry before it; leave one of them out")]
    Twice(String),
}

impl Timetable {
    /// No limit, ever.
    pub const OFF: Self = Self::Always(None);

    /// The limit in force when this is the date and time where it is read.
    ///
    /// It is that of the entry whose time was last. Where an entry for each day begins at the time of one for this weekday,
    /// the weekday's counts. An hour that the clock leaves out or repeats needs nothing of its own: what is in force is said
    /// by what the clock shows.
    pub(crate) fn limit_at(&self, local: DateTime) -> Option<Rate> {
        let slots = match self {
            Self::Always(limit) => return *limit,
            Self::Weekly(slots) => slots,
        };
        let now = minute_of_week(
            local.weekday(),
            u32::from(local.hour().unsigned_abs()) * 60 + u32::from(local.minute().unsigned_abs()),
        );
        let last = slots.iter().min_by_key(|slot| (slot.age(now), slot.weekday.is_none()));
        last.and_then(|slot| slot.limit)
    }

    /// Whether no limit is ever in force.
    pub(crate) fn is_off(&self) -> bool {
        match self {
            Self::Always(limit) => limit.is_none(),
            Self::Weekly(slots) => slots.iter().all(|slot| slot.limit.is_none()),
        }
    }
}

impl Slot {
    /// How many minutes before the minute `now` of the week it began last.
    fn age(&self, now: u32) -> u32 {
        match self.weekday {
            Some(weekday) => (now + WEEK - minute_of_week(weekday, self.minute)) % WEEK,
            None => (now + DAY - self.minute) % DAY,
        }
    }

    fn parse(text: &str) -> Result<Self, TimetableError> {
        let (time, limit) = text.split_once(',').ok_or_else(|| TimetableError::Entry(text.to_owned()))?;
        let (weekday, minute) = parse_time(time).ok_or_else(|| TimetableError::Time(time.to_owned()))?;
        Ok(Self { weekday, minute, limit: parse_limit(limit)? })
    }
}

fn minute_of_week(weekday: Weekday, minute: u32) -> u32 {
    u32::from(weekday.to_monday_zero_offset().unsigned_abs()) * DAY + minute
}

fn parse_time(text: &str) -> Option<(Option<Weekday>, u32)> {
    let (weekday, time) = match text.split_once('-') {
        Some((name, time)) => {
            let (_, weekday) = WEEKDAYS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            (Some(weekday), time)
        }
        None => (None, text),
    };
    let (hour, minute) = time.split_once(':')?;
    let number = |text: &str, most: u32| {
        let is_plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| is_plain && *number <= most)
    };
    Some((weekday, number(hour, 23)? * 60 + number(minute, 59).filter(|_| minute.len() == 2)?))
}

fn parse_limit(text: &str) -> Result<Option<Rate>, RateError> {
    if text.eq_ignore_ascii_case(OFF) { Ok(None) } else { text.parse().map(Some) }
}

impl FromStr for Timetable {
    type Err = TimetableError;

    fn from_str(text: &str) -> Result<Self, TimetableError> {
        let text = text.trim();
        if !text.contains(|c: char| c == ',' || c.is_whitespace()) {
            return Ok(Self::Always(parse_limit(text)?));
        }
        let mut slots: Vec<Slot> = Vec::new();
        for entry in text.split_whitespace() {
            let slot = Slot::parse(entry)?;
            if slots.iter().any(|other| (other.weekday, other.minute) == (slot.weekday, slot.minute)) {
                return Err(TimetableError::Twice(entry.to_owned()));
            }
            slots.push(slot);
        }
        Ok(Self::Weekly(slots))
    }
}

impl Display for Timetable {
    /// As it is read.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(limit) => write_limit(f, *limit),
            Self::Weekly(slots) => slots.iter().enumerate().try_for_each(|(number, slot)| {
                f.write_str(if number > 0 { " " } else { "" })?;
                write!(f, "{slot}")
            }),
        }
    }
}

impl Display for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { weekday, minute, limit } = *self;
        if let Some((name, _)) = WEEKDAYS.iter().find(|(_, known)| Some(*known) == weekday) {
            write!(f, "{name}-")?;
        }
        write!(f, "{:02}:{:02},", minute / 60, minute % 60)?;
        write_limit(f, limit)
    }
}

fn write_limit(f: &mut Formatter<'_>, limit: Option<Rate>) -> fmt::Result {
    match limit {
        Some(rate) => write!(f, "{rate}"),
        None => f.write_str(OFF),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn table(text: &str) -> Timetable {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The limit in force at a time of the week from Monday, 6 May 2024 on.
    fn limit(table: &Timetable, weekday: i8, hour: i8, minute: i8) -> String {
        write(table.limit_at(date(2024, 5, 6 + weekday).at(hour, minute, 59, 0)))
    }

    fn write(limit: Option<Rate>) -> String {
        Timetable::Always(limit).to_string()
    }

    #[test]
    fn a_limit_is_in_force_from_its_minute_until_the_next_ones_and_through_the_night() {
        let table = table("08:00,512k 12:30,off 19:00,10M");
        for (hour, minute, expected) in [
            (0, 0, "10M"),
            (7, 59, "10M"),
            (8, 0, "512K"),
            (12, 29, "512K"),
            (12, 30, "off"),
            (18, 59, "off"),
            (19, 0, "10M"),
            (23, 59, "10M"),
        ] {
            assert_eq!(limit(&table, 2, hour, minute), expected, "{hour}:{minute}");
        }
    }

    #[test]
    fn weekdays_count_beside_every_day_and_through_the_week() {
        let weekend = table("Fri-19:00,off mon-07:00,1M");
        for (weekday, hour, expected) in
            [(0, 6, "off"), (0, 7, "1M"), (3, 12, "1M"), (4, 18, "1M"), (4, 19, "off"), (6, 23, "off")]
        {
            assert_eq!(limit(&weekend, weekday, hour, 0), expected, "{weekday} {hour}");
        }
        let both = table("08:00,512K Sun-08:00,off 20:00,1M");
        assert_eq!(limit(&both, 6, 9, 0), "off", "the weekday's own entry counts");
        assert_eq!(limit(&both, 5, 9, 0), "512K");
        assert_eq!(limit(&both, 6, 21, 0), "1M");
        assert_eq!(limit(&both, 0, 7, 0), "1M");
    }

    #[test]
    fn one_limit_is_always_in_force() {
        assert_eq!(limit(&table("512k"), 3, 4, 5), "512K");
        assert_eq!(limit(&table("Wed-10:00,64K"), 0, 0, 0), "64K");
        assert_eq!(table(" off "), Timetable::OFF);
        assert!(table("00:00,off").is_off() && !table("00:00,off 01:00,1M").is_off());
    }

    /// In 2024 clocks in Berlin were put forward on 31 March at 01:00 UTC, and back on 27 October at 01:00 UTC.
    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_is_what_the_clock_shows() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let table = table("02:30,1M 04:00,2M");
        let at = |text: &str| {
            let time: Timestamp = text.parse().unwrap();
            write(table.limit_at(berlin.to_datetime(time)))
        };
        for (utc, expected) in [
            ("2024-03-31T00:59:00Z", "2M"),
            // 03:00: the entry of 02:30 is the last that has begun.
            ("2024-03-31T01:00:00Z", "1M"),
            ("2024-03-31T02:00:00Z", "2M"),
            ("2024-10-27T00:29:00Z", "2M"),
            ("2024-10-27T00:30:00Z", "1M"),
            // 02:00 once more.
            ("2024-10-27T01:00:00Z", "2M"),
            ("2024-10-27T01:30:00Z", "1M"),
            ("2024-10-27T03:00:00Z", "2M"),
            ("2024-07-01T05:59:00Z", "2M"),
        ] {
            assert_eq!(at(utc), expected, "{utc}");
        }
    }

    #[test]
    fn what_is_no_timetable_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<Timetable>().unwrap_err();
        let of = str::to_owned;
        for time in ["24:00", "8", "08:60", "8:0", "Mo-08:00", "Mon-", "Mon 08:00", "-08:00", "+8:00", "108:00"] {
            let error = refused(&format!("{time},512K"));
            let is_named = matches!(&error, TimetableError::Time(_) | TimetableError::Entry(_));
            assert!(is_named, "{time}: {error}");
        }
        assert_eq!(refused("08:00,512K 1M"), TimetableError::Entry(of("1M")));
        assert_eq!(refused("08:00 512K"), TimetableError::Entry(of("08:00")));
        assert_eq!(refused("08:00,1K"), RateError::TooLow(of("1K")).into());
        assert_eq!(refused("08:00,0"), RateError::NoUnit(of("0")).into());
        assert_eq!(refused("10M:1M"), RateError::Pair(of("10M:1M")).into());
        assert_eq!(refused("08:00,10M:1M"), RateError::Pair(of("10M:1M")).into());
        assert_eq!(refused("8:00,1M 08:00,2M"), TimetableError::Twice(of("08:00,2M")));
        assert!(matches!(refused(""), TimetableError::Rate(_)));
        assert!(matches!(refused(","), TimetableError::Time(_)));
    }

    fn any_table() -> impl Strategy<Value = Timetable> {
        let limit = || proptest::option::of((8192..=1_u64 << 40).prop_map(|bytes| format!("{bytes}B")));
        let slot = limit();
        prop_oneof![
            limit().prop_map(|limit| table(limit.as_deref().unwrap_or(OFF))),
            prop::collection::btree_map(0..8 * DAY, slot, 1..6).prop_map(|slots| {
                let entry = |(at, limit): (&u32, &Option<String>)| {
                    let weekday =
                        WEEKDAYS.get((at / DAY) as usize).map_or_else(String::new, |(name, _)| format!("{name}-"));
                    let minute = at % DAY;
                    format!("{weekday}{:02}:{:02},{}", minute / 60, minute % 60, limit.as_deref().unwrap_or(OFF))
                };
                table(&slots.iter().map(entry).collect::<Vec<_>>().join(" "))
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(table in any_table()) {
            prop_assert_eq!(table.to_string().parse::<Timetable>(), Ok(table));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Timetable>();
        }

        /// By walking back, minute by minute, to the first at which an entry begins.
        #[test]
        fn it_is_as_if_the_week_were_walked_back(table in any_table(), minute in 0..WEEK) {
            let at = |minute: u32| {
                let day = i8::try_from(minute / DAY).unwrap();
                let [hour, minute] = [minute % DAY / 60, minute % 60].map(|part| i8::try_from(part).unwrap());
                date(2024, 5, 6 + day).at(hour, minute, 0, 0)
            };
            let begins = |slot: &&Slot, minute: u32| {
                slot.minute == minute % DAY && slot.weekday.is_none_or(|day| day == at(minute).weekday())
            };
            let expected = match &table {
                Timetable::Always(limit) => *limit,
                Timetable::Weekly(slots) => {
                    let before = (0..WEEK).map(|back| (minute + WEEK - back) % WEEK);
                    let mut begun = before.filter_map(|minute| {
                        let own = slots.iter().filter(|slot| slot.weekday.is_some()).find(|slot| begins(slot, minute));
                        own.or_else(|| slots.iter().find(|slot| begins(slot, minute)))
                    });
                    begun.next().expect("one begins each week").limit
                }
            };
            prop_assert_eq!(table.limit_at(at(minute)), expected);
        }
    }
}
