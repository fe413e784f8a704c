//! How many connections a site has places for.
//!
//! A server serves so many clients at once (stock: 10, agents and collectors alike), and the next one waits. That one need not
//! fail a round that has connections which work: the number of those is gone by for some rounds, and then one more is tried.

/// Rounds after which one connection more is tried.
const ROUNDS: u32 = 10;

/// What has been seen of a site's places.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    most: usize,
    /// Rounds that have ended since.
    rounds: u32,
}

impl Places {
    /// How many connections a round may have, of at most `wanted`.
    pub fn most(&self, wanted: usize) -> usize {
        self.limit.map_or(wanted, |limit| limit.most.min(wanted))
    }

    /// A connection found no place, while so many others work. Whether that is news.
    pub fn lacked(&mut self, others: usize) -> bool {
        self.limit.replace(Limit { most: others.max(1), rounds: 0 }).is_none()
    }

    /// A round has ended.
    pub fn round_ended(&mut self) {
        let Some(Limit { most, rounds }) = &mut self.limit else { return };
        *rounds += 1;
        if *rounds >= ROUNDS {
            (*most, *rounds) = (most.saturating_add(1), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_wanted_are_had_until_one_finds_no_place() {
        let mut places = Places::default();
        assert_eq!((places.most(1), places.most(8)), (1, 8));
        assert!(places.lacked(3), "that is news");
        assert_eq!((places.most(1), places.most(8)), (1, 3));
        assert!(!places.lacked(2));
        assert_eq!(places.most(8), 2);
    }

    #[test]
    fn one_more_is_tried_after_some_rounds() {
        let mut places = Places::default();
        places.lacked(1);
        for most in 1..4 {
            for _ in 0..ROUNDS {
                assert_eq!(places.most(8), most);
                places.round_ended();
            }
        }
        places.lacked(3);
        (0..ROUNDS - 1).for_each(|_| places.round_ended());
        assert_eq!(places.most(8), 3, "it begins anew");
    }

    #[test]
    fn one_connection_there_always_is() {
        let mut places = Places::default();
        places.lacked(0);
        assert_eq!(places.most(8), 1);
    }
}
