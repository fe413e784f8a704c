//! Rate limit for complaints that the network triggers.

use std::time::{Duration, Instant};

/// The same complaint is made again after this long at the earliest.
const AGAIN: Duration = Duration::from_secs(600);

/// One party's last complaint: a new one is let through at once, the same one only now and then.
#[derive(Debug, Default)]
pub struct Repeats(Option<Last>);

#[derive(Debug)]
struct Last {
    text: String,
    said: Instant,
    swallowed: u64,
}

impl Repeats {
    /// Whether to say `text` now; if so, how often it has been swallowed since it was last said.
    pub fn complain(&mut self, text: &str, now: Instant) -> Option<u64> {
        match &mut self.0 {
            Some(last) if last.text == text && now.saturating_duration_since(last.said) < AGAIN => {
                last.swallowed += 1;
                None
            }
            last => {
                let swallowed = last.as_ref().filter(|last| last.text == text).map_or(0, |last| last.swallowed);
                *last = Some(Last { text: text.to_owned(), said: now, swallowed: 0 });
                Some(swallowed)
            }
        }
    }

    /// All is well again; says whether it was not before.
    pub fn settle(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to start a virtual clock")]
    fn the_same_complaint_waits_and_a_new_one_does_not() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        assert_eq!(repeats.complain("refused", now), Some(0));
        assert_eq!(repeats.complain("refused", now + Duration::from_secs(1)), None);
        assert_eq!(repeats.complain("timeout", now + Duration::from_secs(2)), Some(0));
        assert_eq!(repeats.complain("timeout", now + Duration::from_secs(3)), None);
        assert_eq!(repeats.complain("timeout", now + AGAIN + Duration::from_secs(2)), Some(1));
        assert!(repeats.settle());
        assert!(!repeats.settle());
    }
}
