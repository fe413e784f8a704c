//! The model network and the model committer, as the collector sees them.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fate::Way;
use super::link::Near;
use super::world::World;
use crate::net::{ConnId, Event, Failure, Read, Target};
use crate::proto::{FileName, Fingerprint};
use crate::role::collect::outside::{Connection, Network, Publisher};
use crate::store::{Completion, Publication, Spool};

/// How many bytes a connection may read before the others have their turn.
const BUDGET: usize = 256 * 1024;

/// More files than any site has waiting for the disk.
const MOST_PENDING: usize = 520;

/// The world, in the hands of a collector.
#[derive(Clone)]
pub(super) struct Wire(pub(super) Rc<RefCell<World>>);

impl Network for Wire {
    fn now(&self) -> Instant {
        self.0.borrow().fate.now
    }

    fn longest_turn(&self) -> Duration {
        Duration::ZERO
    }

    fn connections(&self) -> usize {
        self.0.borrow().connections()
    }

    fn open(&mut self, target: Arc<Target>, _: bool) -> ConnId {
        self.0.borrow_mut().open(&target)
    }

    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        let is_open = matches!(self.0.borrow_mut().link(id)?.0.near, Near::Open { .. });
        is_open.then(|| Box::new(End { world: &self.0, id, budget: BUDGET }) as Box<dyn Connection>)
    }

    fn wake(&mut self, id: ConnId) {
        self.0.borrow_mut().wake(id);
    }

    fn close(&mut self, id: ConnId) {
        self.0.borrow_mut().close(id);
    }

    fn abort(&mut self, id: ConnId) {
        self.0.borrow_mut().abort(id);
    }

    fn turn(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.0.borrow_mut().turn(until)
    }
}

/// The collector's end of a connection, for one helping.
struct End<'a> {
    world: &'a RefCell<World>,
    id: ConnId,
    budget: usize,
}

fn reset() -> Failure {
    Failure::Io(io::ErrorKind::ConnectionReset.into())
}

impl End<'_> {
    /// What the socket, or what is left of the last read, has to show.
    fn fetch(&mut self, most: u64) -> Result<Result<Vec<u8>, Read>, Failure> {
        let mut world = self.world.borrow_mut();
        if self.budget == 0 {
            world.wake(self.id);
            return Ok(Err(Read::Blocked));
        }
        let Some((link, fate)) = world.link(self.id) else { return Ok(Err(Read::Blocked)) };
        let Near::Open { buffered, readable, broken } = &mut link.near else { return Ok(Err(Read::Blocked)) };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if !buffered.is_empty() {
            return Ok(Ok(buffered.drain(..most.min(buffered.len())).collect()));
        }
        if *broken {
            return Err(reset());
        }
        if !*readable {
            return Ok(Err(Read::Blocked));
        }
        let mut count = most.min(link.down.arrived.len());
        if count == 0 && link.down.ended {
            return Ok(Err(Read::Eof { orderly: true }));
        }
        if count == 0 {
            *readable = false;
            return Ok(Err(Read::Blocked));
        }
        if fate.strikes(100_000) {
            count = fate.chance.usize(1..=count);
        }
        fate.plan_in(Duration::ZERO, super::fate::What::Serve(self.id));
        Ok(Ok(link.down.arrived.drain(..count).collect()))
    }
}

impl Connection for End<'_> {
    fn now(&self) -> Instant {
        self.world.borrow().fate.now
    }

    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let mut bytes = match self.fetch(most)? {
            Ok(bytes) => bytes,
            Err(read) => return Ok(read),
        };
        let taken = take(&bytes);
        bytes.drain(..taken);
        self.budget = self.budget.saturating_sub(taken.max(64));
        if let Some((link, _)) = self.world.borrow_mut().link(self.id)
            && let Near::Open { buffered, .. } = &mut link.near
        {
            bytes.append(buffered);
            *buffered = bytes;
        }
        Ok(Read::Some(taken))
    }

    fn has_buffered(&mut self) -> bool {
        let mut world = self.world.borrow_mut();
        let near = world.link(self.id).map(|(link, _)| &link.near);
        matches!(near, Some(Near::Open { buffered, .. }) if !buffered.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut world = self.world.borrow_mut();
        if world.disk_death().is_some() {
            // Nobody is there to write any more.
            return Err(reset());
        }
        let Some((link, fate)) = world.link(self.id) else { return Err(reset()) };
        if matches!(link.near, Near::Open { broken: true, .. }) {
            return Err(reset());
        }
        Ok(link.up.write(bytes, (self.id, Way::Up), fate))
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        let mut world = self.world.borrow_mut();
        if let Some((link, fate)) = world.link(self.id) {
            link.deadline = wait.map(|wait| fate.now + wait);
        }
    }
}

impl Publisher for Wire {
    fn publish(&mut self, publication: Publication) {
        let mut world = self.0.borrow_mut();
        let Publication { site, name, .. } = &publication;
        world.fate.note(|| format!("{site}: {name} is staged: {:?}", publication.staged.fingerprint()));
        world.process.pending += 1;
        let most = MOST_PENDING * world.sites.len();
        assert!(world.process.pending <= most, "more files wait for the disk than there may");
        world.process.committer.as_mut().expect("a process has a committer").publish(publication);
        world.start_committing();
    }

    fn forget(&mut self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        let mut world = self.0.borrow_mut();
        world.process.committer.as_mut().expect("a process has a committer").forget(site, name, fingerprint);
        world.start_committing();
    }

    fn hold(&mut self, spool: &Spool, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        let mut world = self.0.borrow_mut();
        world.process.committer.as_mut().expect("a process has a committer").hold(spool, site, name, fingerprint);
        world.start_committing();
    }

    fn completions(&mut self) -> Vec<Completion> {
        let mut world = self.0.borrow_mut();
        let done = std::mem::take(&mut world.process.done);
        world.process.pending -= done.len();
        done
    }

    fn stop(self: Box<Self>) {
        self.0.borrow_mut().finish_committing();
    }
}
