//! What a listing shows to be waiting at a site, and how old that is.

use std::time::Duration;

/// Where the classes of ages end, in seconds; the last class has no end.
pub const AGE_BOUNDS: [u64; 6] = [60, 300, 900, 3600, 6 * 3600, 24 * 3600];

/// Where the ages come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgeSource {
    /// The times in the files' names: when the agents measured, by their clocks.
    #[default]
    Names,
    /// When the site's server has written the files, by its clock. Their sizes are known as well.
    Written,
}

/// Files by their age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Those up to each of [`AGE_BOUNDS`], and those beyond.
    pub classes: [u64; AGE_BOUNDS.len() + 1],
    /// Those whose age is unknown.
    pub unknown: u64,
}

impl Ages {
    fn count(&mut self, age: Option<Duration>) {
        match age {
            None => self.unknown += 1,
            Some(age) => {
                let class = AGE_BOUNDS.iter().position(|bound| age <= Duration::from_secs(*bound));
                self.classes[class.unwrap_or(AGE_BOUNDS.len())] += 1;
            }
        }
    }
}

/// A file, as a listing with details has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details {
    /// Bytes.
    pub size: u64,
    /// When it was written, since 1970.
    pub written: Duration,
}

/// Files of a listing that are to be collected, and are not safe here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingFiles {
    /// How many.
    pub files: usize,
    /// Their bytes, as far as the listing has sizes.
    pub bytes: u64,
    /// The time of the oldest, since 1970, where one is known.
    pub oldest: Option<Duration>,
    /// Their ages when the listing came.
    pub ages: Ages,
    /// Where the times are from.
    pub source: AgeSource,
    /// The date when the listing came, since 1970.
    date: Duration,
}

impl WaitingFiles {
    pub(super) fn new(source: AgeSource, date: Duration) -> Self {
        Self { source, date, ..Self::default() }
    }

    /// Another one, of that time and size, as far as they are known.
    pub(super) fn add(&mut self, time: Option<Duration>, size: Option<u64>) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size.unwrap_or(0));
        self.oldest = self.oldest.into_iter().chain(time).min();
        // What is of the future, as the clocks differ, is new.
        self.ages.count(time.map(|time| self.date.saturating_sub(time)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_age_and_those_of_the_future_are_new() {
        let date = 1_700_000_000;
        let mut waiting = WaitingFiles::new(AgeSource::Written, Duration::from_secs(date));
        for age in [0, 60, 61, 300, 3601, 86_401] {
            waiting.add(Some(Duration::from_secs(date - age)), Some(10));
        }
        waiting.add(Some(Duration::from_secs(date + 99)), Some(u64::MAX));
        waiting.add(None, None);
        assert_eq!(waiting.ages, Ages { classes: [3, 2, 0, 0, 1, 0, 1], unknown: 1 });
        assert_eq!((waiting.files, waiting.bytes), (8, u64::MAX));
        assert_eq!(waiting.oldest, Some(Duration::from_secs(date - 86_401)));
    }
}
