//! The committer on the [model of a disk](super): its thread's work is done when a test calls for it. And the faults of
//! staging, which goes on beside it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use super::{ModelDisk, World};
use crate::proto::{FileName, Fingerprint};
use crate::store::fs::error::StoreError;
use crate::store::fs::worker::Work;
use crate::store::spool::committer::{Completion, Outstanding, Publication, Waiting};
use crate::store::spool::committing::{Committing, Order};
use crate::store::spool::disk::RealDisk;
use crate::store::spool::engine::Engine;
use crate::store::spool::journal::{SiteFile, State, replay};
use crate::store::spool::publish_queue::{Publish, PublishQueue};
use crate::store::spool::shared_journal::SharedJournal;
use crate::store::spool::spooled::{InSpool, Spooled};

thread_local! {
    /// Staging on this thread fails after so many good steps; `None` for never.
    static STAGING: Cell<Option<u32>> = const { Cell::new(None) };
    /// The disk that staging on this thread counts as steps of.
    static STAGED_ON: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
}

/// From now on, staging on this thread fails once, after so many good steps.
pub(crate) fn fail_staging(after: Option<u32>) {
    STAGING.set(after);
}

/// From now on, staging on this thread is a matter of steps of this disk; what is staged is on it only once it is queued.
pub(crate) fn stage_on(world: Option<Rc<RefCell<World>>>) {
    STAGED_ON.set(world);
}

/// A step of staging.
pub(super) fn staging_step() -> Result<(), StoreError> {
    STAGED_ON.with_borrow(|world| world.as_ref().map_or(Ok(()), |world| world.borrow_mut().step(|_| ())))?;
    let left = STAGING.get();
    STAGING.set(left.and_then(|left| left.checked_sub(1)));
    match left {
        Some(0) => Err(StoreError::Io { action: "stage", path: "model".into(), errno: Errno::NOSPC }),
        _ => Ok(()),
    }
}

/// An engine on this disk, which has taken up the journal's content.
pub(in crate::store) fn recovered(
    world: &Rc<RefCell<World>>,
    state: State,
    queue: PublishQueue,
    now: Instant,
) -> Result<Engine<ModelDisk>, StoreError> {
    let disk = || ModelDisk(Rc::clone(world));
    let mut engine = Engine::new(disk(), SharedJournal::new(disk(), state), queue);
    Engine::recover(&mut [&mut engine], false, now)?;
    Ok(engine)
}

/// A process's committer.
#[derive(Debug)]
pub(crate) struct ModelCommitter {
    committing: Committing<ModelDisk>,
    spooled: Spooled,
    orders: VecDeque<Order>,
    /// How many there were.
    count: u64,
}

impl ModelCommitter {
    /// Starts a process: what the one before has left is taken up.
    pub(crate) fn start(
        world: &Rc<RefCell<World>>,
        publish: Publish,
        now: Instant,
    ) -> Result<(Self, Vec<Outstanding>), StoreError> {
        let before = world.borrow().steps();
        let journal = world.borrow_mut().start();
        let state = replay(&journal).expect("the journal is of our format").state;
        let spooled = Spooled::default();
        let engine = recovered(world, state, PublishQueue::new(publish, spooled.clone()), now)?;
        let steps = world.borrow().steps();
        world.borrow_mut().recovery = steps - before;
        let outstanding = engine.journal().read(|state| state.held.iter().map(|(copy, _)| copy.into()).collect());
        Ok((Self { committing: Committing::new(engine), spooled, orders: VecDeque::new(), count: 0 }, outstanding))
    }

    pub(crate) fn publish(&mut self, publication: Publication) {
        self.count += 1;
        self.orders.push_back(Order::Publish(publication, self.count));
    }

    pub(crate) fn forget(&mut self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        self.count += 1;
        self.orders.push_back(Order::Forget(SiteFile { site, name, fingerprint }, self.count));
    }

    /// Whether there is anything to carry out.
    pub(crate) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// What is committed and not published.
    pub(crate) fn waiting(&self) -> Waiting {
        let (files, bytes) = self.committing.engine.waiting();
        Waiting { files, bytes }
    }

    /// What is here of this site, and of all.
    pub(crate) fn in_spool(&self, site: &str) -> InSpool {
        self.spooled.of(site)
    }

    /// Carries out a group.
    pub(crate) fn carry_out(&mut self, now: Instant) -> Vec<Completion> {
        let most = <Committing<RealDisk> as Work>::GROUP.min(self.orders.len());
        let group = self.orders.drain(..most).collect();
        self.committing.carry_out(group, now)
    }

    /// Publishes what may be by now; when to do so again.
    pub(crate) fn go_on(&mut self, now: Instant) -> Option<Instant> {
        self.committing.go_on(now).until
    }
}
