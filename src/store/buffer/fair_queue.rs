//! Work that waits its turn, and whether it is still wanted.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

/// Held by whoever waits for something: dropping it means that nobody waits any more.
#[derive(Debug)]
pub struct Wanted(Arc<()>);

/// Whether what is done is still wanted. Clones share the state.
#[derive(Clone, Debug)]
pub struct StillWanted(Weak<()>);

impl Wanted {
    /// Something is wanted, and this is how its maker sees whether it still is.
    pub fn new() -> (Self, StillWanted) {
        let wanted = Self(Arc::new(()));
        let seen = StillWanted(Arc::downgrade(&wanted.0));
        (wanted, seen)
    }
}

impl StillWanted {
    /// Whether somebody waits for it.
    pub fn is_wanted(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Work that waits: each client in its turn, and in its order for one client. However much one has asked for, another's
/// is next but one.
#[derive(Debug)]
pub(super) struct FairQueue<T>(VecDeque<(IpAddr, VecDeque<T>)>);

impl<T> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Adds work for a client.
    pub(super) fn push(&mut self, client: IpAddr, work: T) {
        match self.0.iter_mut().find(|(other, _)| *other == client) {
            Some((_, waiting)) => waiting.push_back(work),
            None => self.0.push_back((client, [work].into())),
        }
    }

    /// What is to be done next.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (client, mut waiting) = self.0.pop_front()?;
        let work = waiting.pop_front();
        if !waiting.is_empty() {
            self.0.push_back((client, waiting));
        }
        work
    }

    /// Forgets what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        for (_, waiting) in &mut self.0 {
            waiting.retain(&stays);
        }
        self.0.retain(|(_, waiting)| !waiting.is_empty());
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|(_, waiting)| waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_and_what_nobody_wants_is_forgotten() {
        let mut fair_queue = FairQueue::new();
        let [greedy, other, last]: [IpAddr; 3] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]].map(Into::into);
        for number in 1..=9 {
            fair_queue.push(greedy, number);
        }
        assert_eq!(fair_queue.pop(), Some(1));
        fair_queue.push(other, 10);
        fair_queue.push(last, 20);
        assert_eq!([fair_queue.pop(), fair_queue.pop(), fair_queue.pop(), fair_queue.pop()], [2, 10, 20, 3].map(Some));
        fair_queue.retain(|number| number % 2 == 0);
        assert_eq!(
            (fair_queue.len(), fair_queue.pop(), fair_queue.pop(), fair_queue.pop(), fair_queue.pop()),
            (3, Some(4), Some(6), Some(8), None)
        );
    }

    #[test]
    fn what_is_waited_for_no_more_is_not_wanted() {
        let (wanted, seen) = Wanted::new();
        let other = seen.clone();
        assert!(seen.is_wanted());
        drop(wanted);
        assert!(!seen.is_wanted() && !other.is_wanted());
    }
}
