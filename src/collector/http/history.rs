//! What was at sites over the last day, for the status page.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

/// From one sample to the next.
const STEP: Duration = Duration::from_secs(300);

/// Those of a day: what is kept of a site has 3.4 KiB.
const SAMPLES: usize = 288;

/// The version of what is answered.
const VERSION: u32 = 1;

/// What is at a site now.
#[derive(Clone, Debug)]
pub(in crate::collector) struct SiteNow {
    pub(in crate::collector) name: Arc<str>,
    /// Files that wait there, and the age of the oldest in seconds; `None` is unknown.
    pub(in crate::collector) waiting: Option<u64>,
    pub(in crate::collector) oldest: Option<u64>,
    /// Files that were collected since the start.
    pub(in crate::collector) collected: u64,
}

/// Numbers that are too large are the largest, and what is unknown is [`UNKNOWN`].
#[derive(Clone, Copy, Debug)]
struct Sample {
    waiting: u32,
    oldest: u32,
    /// Since the sample before.
    collected: u32,
}

const UNKNOWN: u32 = u32::MAX;

/// What was at a site.
#[derive(Debug)]
struct Past {
    name: Arc<str>,
    samples: VecDeque<Sample>,
    /// Files that were collected until the last of them.
    collected: u64,
}

/// What was at all sites, by their keys.
#[derive(Debug, Default)]
pub(in crate::collector) struct History {
    due: Option<Instant>,
    sites: BTreeMap<usize, Past>,
}

/// What `/history.json` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::collector) struct HistoryAnswer {
    version: u32,
    name: String,
    /// From one to the next.
    step_seconds: u64,
    /// The last is of now.
    waiting: Vec<Option<u32>>,
    oldest_seconds: Vec<Option<u32>>,
    /// Since the one before.
    collected: Vec<Option<u32>>,
}

impl History {
    /// When the next sample is to be taken; `now` where none was.
    pub(in crate::collector) fn due(&self, now: Instant) -> Instant {
        self.due.unwrap_or(now)
    }

    /// Takes a sample of all sites there are. Of others, nothing is kept.
    pub(in crate::collector) fn take(&mut self, now: Instant, sites: impl Iterator<Item = (usize, SiteNow)>) {
        self.due = Some(now + STEP);
        let mut before = std::mem::take(&mut self.sites);
        for (key, site) in sites {
            let known = before.remove(&key).filter(|past| past.name == site.name);
            let mut past = known.unwrap_or_else(|| Past::new(&site));
            past.take(&site);
            self.sites.insert(key, past);
        }
    }

    /// What was, and is now, at the site of this key.
    pub(in crate::collector) fn answer(&self, key: usize, site: &SiteNow) -> HistoryAnswer {
        let past = self.sites.get(&key).filter(|past| past.name == site.name);
        let now = past.map_or_else(|| Sample::new(site, site.collected), |past| Sample::new(site, past.collected));
        let samples: Vec<Sample> = past.iter().flat_map(|past| past.samples.iter().copied()).chain([now]).collect();
        let all = |value: fn(&Sample) -> u32| {
            samples.iter().map(value).map(|value| (value != UNKNOWN).then_some(value)).collect()
        };
        HistoryAnswer {
            version: VERSION,
            name: site.name.to_string(),
            step_seconds: STEP.as_secs(),
            waiting: all(|sample| sample.waiting),
            oldest_seconds: all(|sample| sample.oldest),
            collected: all(|sample| sample.collected),
        }
    }
}

impl Past {
    fn new(site: &SiteNow) -> Self {
        Self { name: Arc::clone(&site.name), samples: VecDeque::with_capacity(SAMPLES), collected: site.collected }
    }

    fn take(&mut self, site: &SiteNow) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample::new(site, self.collected));
        self.collected = site.collected;
    }
}

impl Sample {
    fn new(site: &SiteNow, collected_before: u64) -> Self {
        let known = |value: u64| u32::try_from(value).unwrap_or(UNKNOWN).min(UNKNOWN - 1);
        Self {
            waiting: site.waiting.map_or(UNKNOWN, known),
            oldest: site.oldest.map_or(UNKNOWN, known),
            collected: known(site.collected.saturating_sub(collected_before)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    fn site(name: &str, waiting: Option<u64>, collected: u64) -> SiteNow {
        SiteNow { name: name.into(), waiting, oldest: waiting, collected }
    }

    #[test]
    fn a_day_is_kept_of_the_sites_there_are() {
        let (start, mut history) = (Instant::now(), History::default());
        assert_eq!(history.due(start), start);
        for step in 0..1000_u32 {
            let now = history.due(start);
            assert_eq!(now, start + STEP * step);
            let new = (step >= 998).then(|| (7, site("new", None, 5)));
            let sites = [(3, site("a", Some(step.into()), u64::from(step) * 10))];
            history.take(now, sites.into_iter().chain(new));
        }
        let answer = history.answer(3, &site("a", Some(u64::MAX), 9994));
        assert_eq!((answer.waiting.len(), answer.collected.len()), (289, 289));
        assert_eq!(
            (answer.waiting[0], answer.waiting[287], answer.waiting[288]),
            (Some(712), Some(999), Some(UNKNOWN - 1))
        );
        assert_eq!((answer.collected[0], answer.collected[287], answer.collected[288]), (Some(10), Some(10), Some(4)));
        assert!(history.sites[&3].samples.capacity() < 2 * SAMPLES);
        let answer = history.answer(7, &site("new", None, 8));
        assert_eq!((answer.waiting, answer.collected), (vec![None; 3], vec![Some(0), Some(0), Some(3)]));
        // Another site has the key, or the name has another key.
        assert_eq!(history.answer(3, &site("b", Some(1), 2)).waiting, [Some(1)]);
        history.take(start, [(3, site("b", Some(1), 2))].into_iter());
        assert_eq!(history.sites.len(), 1);
        assert_eq!(history.answer(3, &site("b", Some(4), 3)).collected, [Some(0), Some(1)]);
    }
}
