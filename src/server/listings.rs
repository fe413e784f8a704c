//! Listings under way: one for all clients that ask for the same directory at the same time, and all together within a
//! budget.
//!
//! A client is listed what is there when it asks. So it takes part in a listing that has not begun, and in no other; who
//! asks while one is being made waits for the next. Memory is taken as a listing grows. One that finds none goes on once
//! other listings have been taken by their clients, or these have been ended for taking too long.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::budget::{Budget, LISTINGS};
use crate::net::ConnId;
use crate::store::{Lister, Listing, ListingKind, Progress, StillWanted, StorageDir, StoreError, Wanted};

/// Directory entries looked at before the connections have their turn.
const ENTRIES: usize = 2_000;

/// The same, where each is asked for size and mtime.
const FILES: usize = ENTRIES / 8;

/// How soon to look again whether there is memory.
const RETRY: Duration = Duration::from_millis(20);

/// What came of a listing.
pub(super) type Listed = Result<Arc<Listing>, StoreError>;

/// The listings that are being made.
#[derive(Debug)]
pub(super) struct Listings {
    budget: Budget,
    /// The oldest first.
    runs: Vec<Run>,
    /// Those that clients are being given.
    given: Vec<Weak<Listing>>,
    /// Those whose clients will ask for a further page, the oldest first.
    kept: Vec<(StillWanted, Arc<Listing>)>,
    /// When it was looked last whether they can go on.
    looked: Option<Instant>,
}

/// One listing, and whom it is for.
#[derive(Debug)]
struct Run {
    dir: StorageDir,
    kind: ListingKind,
    state: State,
    clients: Vec<(ConnId, StillWanted)>,
}

#[derive(Debug)]
enum State {
    New,
    Begun(Lister),
    /// There was no memory to go on with, since then.
    Short(Lister, Instant),
}

impl Default for Listings {
    fn default() -> Self {
        Self::within(Budget::new(LISTINGS))
    }
}

impl Listings {
    fn within(budget: Budget) -> Self {
        Self { budget, runs: Vec::new(), given: Vec::new(), kept: Vec::new(), looked: None }
    }

    /// Has a directory listed for a client. The listing may be given up once the returned value is dropped.
    pub(super) fn ask(&mut self, id: ConnId, dir: StorageDir, kind: ListingKind) -> Wanted {
        let (wanting, wanted) = Wanted::new();
        let is_joined = |run: &&mut Run| matches!(run.state, State::New) && run.kind == kind && run.dir.is_same(&dir);
        match self.runs.iter_mut().find(is_joined) {
            Some(run) => run.clients.push((id, wanted)),
            None => self.runs.push(Run { dir, kind, state: State::New, clients: vec![(id, wanted)] }),
        }
        wanting
    }

    /// Keeps a list for its client's next page, until the returned value is dropped; but no longer than memory is there for
    /// those who wait for a listing.
    pub(super) fn keep(&mut self, listing: Arc<Listing>) -> Wanted {
        let (wanting, wanted) = Wanted::new();
        self.kept.push((wanted, listing));
        wanting
    }

    /// When there is something to be done next.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.kept.iter().any(|(wanted, _)| !wanted.is_wanted()) {
            return Some(now);
        }
        let can_go_on = |(at, run): (usize, &Run)| match run.state {
            State::New => !is_listed(&self.runs[..at], &run.dir),
            State::Begun(_) => true,
            State::Short(..) => false,
        };
        let is_any = self.runs.iter().enumerate().any(can_go_on);
        let retry = self.looked.map_or(now, |looked| looked + RETRY);
        (!self.runs.is_empty()).then_some(if is_any { now } else { retry })
    }

    /// Since when a listing waits for memory that others have.
    pub(super) fn short_since(&self) -> Option<Instant> {
        self.runs.iter().filter_map(|run| if let State::Short(_, since) = run.state { Some(since) } else { None }).min()
    }

    /// Makes some progress with all of them. What came of those that are done, and for whom.
    pub(super) fn go_on(&mut self, now: Instant) -> Vec<(ConnId, Listed)> {
        self.looked = Some(now);
        for run in &mut self.runs {
            run.clients.retain(|(_, wanted)| wanted.is_wanted());
        }
        self.runs.retain(|run| !run.clients.is_empty());
        self.kept.retain(|(wanted, _)| wanted.is_wanted());
        if self.short_since().is_some() && !self.kept.is_empty() {
            self.kept.remove(0);
        }
        self.given.retain(|listing| listing.strong_count() > 0);
        // One larger than the budget is made as well, when no other is in memory that is waited for.
        let mut may_exceed = self.given.is_empty();
        let runs = self.runs.len().max(1);
        let mut done = Vec::new();
        for mut run in std::mem::take(&mut self.runs) {
            if matches!(run.state, State::New) && is_listed(&self.runs, &run.dir) {
                self.runs.push(run);
                continue;
            }
            let entries = if run.kind == ListingKind::Files { FILES } else { ENTRIES };
            match run.go_on((entries / runs).max(1), may_exceed, &self.budget, now) {
                Some(listed) => {
                    let listed = listed.map(Arc::new);
                    self.given.extend(listed.iter().map(Arc::downgrade));
                    done.extend(run.clients.into_iter().map(|(id, _)| (id, listed.clone())));
                }
                None => self.runs.push(run),
            }
            may_exceed = false;
        }
        done
    }
}

/// Whether one of these lists the directory: the next listing of it begins when that is done.
fn is_listed(runs: &[Run], dir: &StorageDir) -> bool {
    runs.iter().any(|run| run.dir.is_same(dir))
}

impl Run {
    fn go_on(
        &mut self,
        entries: usize,
        may_exceed: bool,
        budget: &Budget,
        now: Instant,
    ) -> Option<Result<Listing, StoreError>> {
        let (lister, short_since) = match std::mem::replace(&mut self.state, State::New) {
            State::New => (self.dir.list(self.kind, budget), None),
            State::Begun(lister) => (Ok(lister), None),
            State::Short(lister, since) => (Ok(lister), Some(since)),
        };
        match lister.and_then(|lister| lister.step(entries, may_exceed)) {
            Ok(Progress::More(lister)) => self.state = State::Begun(lister),
            Ok(Progress::Short(lister)) => self.state = State::Short(lister, short_since.unwrap_or(now)),
            Ok(Progress::Whole(listing)) => return Some(Ok(listing)),
            Err(error) => return Some(Err(error)),
        }
        None
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MEMORY: u64 = 32 * 1024;

    /// A directory whose listing takes some 25 KiB: more than one alone may take, and less than all.
    fn storage() -> (TempDir, StorageDir) {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..100 {
            std::fs::write(dir.path().join(format!("{number:0250}")), "").unwrap();
        }
        let storage = StorageDir::open(dir.path(), 0o660).unwrap();
        (dir, storage)
    }

    fn id(number: usize) -> ConnId {
        ConnId::new(number, 1)
    }

    /// What is done without anything taken meanwhile.
    fn work(listings: &mut Listings) -> Vec<(ConnId, Listed)> {
        let mut done = Vec::new();
        for _ in 0..100 {
            done.extend(listings.go_on(Instant::now()));
        }
        done
    }

    #[test]
    fn who_asks_at_the_same_time_is_given_the_same_and_who_asks_later_is_not() {
        let ((dir, storage), mut listings) = (storage(), Listings::within(Budget::new(1 << 20)));
        let first: Vec<_> =
            (0..10).map(|number| listings.ask(id(number), storage.clone(), ListingKind::Names)).collect();
        let budget = listings.budget.clone();
        assert!(listings.runs[0].go_on(1, false, &budget, Instant::now()).is_none());
        std::fs::write(dir.path().join("late"), "").unwrap();
        let _later = listings.ask(id(10), storage, ListingKind::Names);
        let done = work(&mut listings);
        let bodies: Vec<&Arc<Listing>> = done.iter().map(|(_, listed)| listed.as_ref().unwrap()).collect();
        assert_eq!(bodies.len(), 11);
        assert!(bodies[..10].iter().all(|body| Arc::ptr_eq(body, bodies[0])));
        assert!(bodies[10].as_bytes().split(|&byte| byte == b'\n').any(|name| name == b"late"));
        drop(first);
    }

    #[test]
    fn a_listing_waits_for_memory_that_others_hold_and_for_nothing_else() {
        let ((_dir, storage), mut listings) = (storage(), Listings::within(Budget::new(MEMORY)));
        let _first = listings.ask(id(1), storage.clone(), ListingKind::Names);
        let first = work(&mut listings);
        assert!(matches!(first.as_slice(), [(_, Ok(_))]), "larger than its share, and alone: {first:?}");
        let second = listings.ask(id(2), storage.clone(), ListingKind::Names);
        assert!(work(&mut listings).is_empty());
        let _third = listings.ask(id(3), storage.clone(), ListingKind::Names);
        assert!(work(&mut listings).is_empty());
        let now = Instant::now();
        assert!(listings.short_since().is_some());
        assert!(listings.due(now).is_some_and(|due| due > now && due < now + RETRY), "after a while");
        let later = now + RETRY;
        assert!(listings.due(later).is_some_and(|due| due < later));
        assert_eq!(listings.runs.len(), 2);
        drop(second);
        drop(first);
        let done = work(&mut listings);
        assert!(matches!(done.as_slice(), [(done, Ok(_))] if *done == id(3)), "{done:?}");
        assert_eq!((listings.due(Instant::now()), listings.short_since()), (None, None));
        drop(done);
        let mut all = listings.budget.share();
        assert!(all.grow(MEMORY / 2), "nothing is kept");
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_given_up() {
        let ((_dir, storage), mut listings) = (storage(), Listings::within(Budget::new(MEMORY)));
        let wanting = listings.ask(id(1), storage, ListingKind::Names);
        assert!(listings.due(Instant::now()).is_some());
        drop(wanting);
        assert!(work(&mut listings).is_empty());
        assert!(listings.runs.is_empty());
    }
}
