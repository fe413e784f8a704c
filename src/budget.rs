//! What all peers together may take up, and each of them beside the others.
//!
//! A bound for each peer, times peers without a bound, is none. So what peers make us hold is taken out of one [`Budget`]
//! for all of them. Who takes may hold as much as is left free after it (the dynamic threshold that switches share their
//! packet buffers by): one alone may take half, a few take a fair part each, and something is always left for who comes
//! next. No peer needs a bound of its own.
//!
//! The budgets of the programs stand here, so that their sum can be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the listings that all clients of a server are being given.
pub(crate) const LISTINGS: u64 = 32 * 1024 * 1024;

/// Bytes for the state of compressed connections: of some 1,000 sites at a collector, of some 160 clients at a server.
pub(crate) const COMPRESSION: u64 = 64 << 20;

/// Bytes for the names that the rounds under way have to ask for: a collector's sites' listings, and the queues made of
/// them.
pub(crate) const LISTED: u64 = 36 << 20;

/// Bytes for what is remembered of a collector's sites from one round to the next, here and in the journal's state.
pub(crate) const REMEMBERED: u64 = 24 << 20;

/// Bytes that each site has of either, whatever the others have: with them it is collected from, if in small rounds.
pub(crate) const LEAST_OF_SITE: u64 = 32 << 10;

/// Bytes of the collections that sites are being sent from the directories of one incoming directory. Each is held once,
/// however many sites it goes to.
pub(crate) const COLLECTIONS: u64 = 256 << 20;

/// The log, in bytes a second in the long run, of lines that are logged unless an operator asks for more.
pub(crate) const LOG_RATE: i64 = 8 * 1024;

/// What of the log may come at once, in bytes: a few hundred sites that fail at the same time.
pub(crate) const LOG_BURST: i64 = 128 * 1024;

/// What of the log may wait to be written, in bytes.
pub(crate) const LOG_QUEUE: usize = 256 * 1024;

/// How far what is held must sink below a bound of `most` for who was refused more to take more: else it would be refused
/// and let again for each that goes.
pub(crate) fn refill_at(most: u64) -> u64 {
    most - most.div_ceil(10)
}

/// The rule of [`Share::grow`] for amounts that are counted elsewhere: whether who holds `own` is to take no more while
/// `free` is held by nobody. `before`: whether that was so; then it is until `own` is a tenth below `free`.
pub(crate) fn is_reached(own: u64, free: u64, before: bool) -> bool {
    own >= free || (before && own > refill_at(free))
}

/// An amount that is shared.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    total: u64,
    /// What each holder may have, whatever the others have.
    least: u64,
    taken: AtomicU64,
}

/// What one holder has of a [`Budget`]; goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    amount: u64,
}

impl Budget {
    /// `total` to be shared, in the caller's unit.
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Shared { total, least: 0, taken: AtomicU64::new(0) }))
    }

    /// The same, of which each holder may have the `least`, though nothing be free. So holders that came before, and give
    /// nothing back, leave the next one something; how many holders there are must have a bound of its own.
    pub(crate) fn with_least(self, least: u64) -> Self {
        Self(Arc::new(Shared { total: self.0.total, least, taken: AtomicU64::new(0) }))
    }

    /// A holder that has nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), amount: 0 }
    }

    /// What nobody holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> u64 {
        self.0.total.saturating_sub(self.0.taken.load(Ordering::Relaxed))
    }
}

impl Share {
    /// Takes `more`, where as much as this holder has then stays free. Returns whether it did.
    pub(crate) fn grow(&mut self, more: u64) -> bool {
        let amount = self.amount.saturating_add(more);
        let Shared { total, least, .. } = *self.budget.0;
        if amount <= least {
            self.take(more);
            return true;
        }
        let grown = self.budget.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            let taken = taken.checked_add(more)?;
            (taken.checked_add(amount)? <= total).then_some(taken)
        });
        if grown.is_ok() {
            self.amount = amount;
        }
        grown.is_ok()
    }

    /// Takes `more`, whatever is free: for what cannot be done without.
    pub(crate) fn take(&mut self, more: u64) {
        let before = self.amount;
        self.amount = before.saturating_add(more);
        self.budget.0.taken.fetch_add(self.amount - before, Ordering::Relaxed);
    }

    /// Gives `less` back.
    pub(crate) fn shrink(&mut self, less: u64) {
        let less = less.min(self.amount);
        self.amount -= less;
        self.budget.0.taken.fetch_sub(less, Ordering::Relaxed);
    }

    /// What this holder has.
    pub(crate) fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.amount());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_alone_takes_half_and_the_next_half_of_the_rest() {
        let budget = Budget::new(100);
        let [mut first, mut second] = [budget.share(), budget.share()];
        assert!(first.grow(50));
        assert!(!first.grow(1));
        assert!(second.grow(25));
        assert!(!second.grow(1));
        assert_eq!(budget.free(), 25);
        drop(first);
        assert!(second.grow(25));
        assert_eq!((second.amount(), budget.free()), (50, 50));
    }

    #[test]
    fn what_exceeds_the_budget_keeps_others_out_until_it_goes() {
        let budget = Budget::new(100);
        let [mut large, mut other] = [budget.share(), budget.share()];
        large.take(150);
        assert_eq!((large.amount(), budget.free(), other.grow(1)), (150, 0, false));
        drop(large);
        assert!(other.grow(50));
    }

    #[test]
    fn what_cannot_be_done_without_is_taken_and_each_has_the_least() {
        let budget = Budget::new(100).with_least(10);
        let [mut first, mut second] = [budget.share(), budget.share()];
        first.take(120);
        assert_eq!((first.amount(), budget.free()), (120, 0));
        assert!(second.grow(10) && !second.grow(1));
        drop(first);
        assert_eq!(budget.free(), 90);
        assert!(second.grow(40) && !second.grow(1));
    }

    #[test]
    fn amounts_beyond_all_numbers_are_refused() {
        let budget = Budget::new(u64::MAX);
        let mut share = budget.share();
        assert!(share.grow(1));
        assert!(!share.grow(u64::MAX));
        assert_eq!(share.amount(), 1);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_holders_have(steps in prop::collection::vec((0..4_usize, 0..60_u64, any::<bool>()), 0..40)) {
            let budget = Budget::new(100);
            let mut shares: Vec<Share> = (0..4).map(|_| budget.share()).collect();
            for (holder, amount, grows) in steps {
                let share = &mut shares[holder];
                if !grows {
                    share.shrink(amount);
                } else if share.grow(amount) {
                    prop_assert!(share.amount() <= budget.free());
                }
                prop_assert_eq!(shares.iter().map(Share::amount).sum::<u64>(), 100 - budget.free());
            }
            drop(shares);
            prop_assert_eq!(budget.free(), 100);
        }
    }
}
