//! Name resolution off the loop: `getaddrinfo` blocks, for half a minute where a name server is silent.
//!
//! Each name is looked up once at a time, in a thread of its own, however many connections wait for it. Threads are few,
//! so names whose last look-up failed, or was not done in time, may have only some of them: the others are not behind
//! them. A look-up that no connection waits for any more is not begun.
//!
//! A name's addresses are kept. They are used where the name server does not answer: they are most likely still right,
//! and TLS checks whether the peer is the right one.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use log::{info, warn};

use super::ConnId;
use crate::panics::catch;

/// Look-ups that are under way at a time, and so threads: those that hang, too.
pub(super) const MAX_THREADS: usize = 256;

/// Of those, look-ups that may still be done in time.
pub(super) const MAX_SOUND: usize = 48;

/// While so many hang, no other is begun of a name whose last look-up failed or was not done in time.
pub(super) const MAX_FAILING: usize = 16;

/// What a look-up came to: addresses with port 0.
type Found = io::Result<Vec<SocketAddr>>;

/// What came of a name.
type Outcome = (Arc<str>, Found);

/// How a name is looked up; may block.
pub(super) type LookUp = Arc<dyn Fn(&str) -> Found + Send + Sync>;

/// What a connection gets that asked.
pub(super) type Answer = (ConnId, Found);

/// Asks the system for addresses.
pub(super) struct Resolver {
    look_up: LookUp,
    names: HashMap<Arc<str>, Name>,
    /// Names in [`Lookup::Queued`].
    queue: VecDeque<Arc<str>>,
    /// The same, of those in [`Health::Failing`].
    failing: VecDeque<Arc<str>>,
    running: usize,
    /// Of those, names in [`Health::Failing`].
    running_failing: usize,
    results: (Sender<Outcome>, Receiver<Outcome>),
    waker: Arc<mio::Waker>,
}

/// What is known of a name.
#[derive(Default)]
struct Name {
    askers: Vec<ConnId>,
    lookup: Lookup,
    health: Health,
    /// What it came to last; none before the first success.
    addresses: Vec<SocketAddr>,
    /// Whether it has been logged that those are used.
    is_told: bool,
}

/// How far a look-up is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Lookup {
    #[default]
    None,
    Queued,
    Running,
}

/// How the last look-up went.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Health {
    /// Well, or there was none yet.
    #[default]
    Sound,
    /// It failed, or was not done in time.
    Failing,
}

impl Resolver {
    pub(super) fn new(waker: Arc<mio::Waker>) -> Self {
        Self {
            look_up: Arc::new(look_up),
            names: HashMap::new(),
            queue: VecDeque::new(),
            failing: VecDeque::new(),
            running: 0,
            running_failing: 0,
            results: channel(),
            waker,
        }
    }

    /// Looks names up in another way from now on.
    #[cfg(test)]
    pub(super) fn set_look_up(&mut self, look_up: LookUp) {
        self.look_up = look_up;
    }

    /// Looks `host` up; an address needs no looking up and is returned at once. Ports are 0.
    pub(super) fn ask(&mut self, id: ConnId, host: &Arc<str>) -> Option<SocketAddr> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(SocketAddr::new(address, 0));
        }
        let name = self.names.entry(Arc::clone(host)).or_default();
        name.askers.push(id);
        if name.lookup == Lookup::None {
            name.lookup = Lookup::Queued;
            match name.health {
                Health::Failing => self.failing.push_back(Arc::clone(host)),
                Health::Sound if name.addresses.is_empty() => self.queue.push_back(Arc::clone(host)),
                // What was resolved before most likely does not take long.
                Health::Sound => self.queue.push_front(Arc::clone(host)),
            }
        }
        self.start_lookups();
        None
    }

    /// The connection does not wait for `host` any more.
    pub(super) fn withdraw(&mut self, id: ConnId, host: &str) {
        if let Some(name) = self.names.get_mut(host) {
            name.askers.retain(|asker| *asker != id);
        }
    }

    /// The connection has waited for `host` for long enough: the last known addresses, if there are any.
    pub(super) fn time_out(&mut self, id: ConnId, host: &str) -> Option<Vec<SocketAddr>> {
        self.withdraw(id, host);
        let name = self.names.get_mut(host)?;
        if name.lookup == Lookup::Running && name.health == Health::Sound {
            name.health = Health::Failing;
            self.running_failing += 1;
        }
        name.last_known(host)
    }

    /// The answers that have come since the last call.
    pub(super) fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Ok((host, found)) = self.results.1.try_recv() {
            let Some(name) = self.names.get_mut(&host) else { continue };
            self.running -= 1;
            self.running_failing -= usize::from(name.health == Health::Failing);
            name.lookup = Lookup::None;
            answers.append(&mut name.answer(&host, found));
        }
        self.start_lookups();
        answers
    }

    fn start_lookups(&mut self) {
        while let Some(host) = self.next() {
            let Some(name) = self.names.get_mut(&host) else { continue };
            if name.askers.is_empty() {
                name.lookup = Lookup::None;
                continue;
            }
            name.lookup = Lookup::Running;
            self.running += 1;
            self.running_failing += usize::from(name.health == Health::Failing);
            if let Err(error) = self.start_thread(&host) {
                // It is the only answer; our own end of the channel is open.
                let _ = self.results.0.send((host, Err(error)));
                let _ = self.waker.wake();
            }
        }
    }

    /// The name to be looked up next, where there is room for another look-up.
    fn next(&mut self) -> Option<Arc<str>> {
        if self.running >= MAX_THREADS {
            return None;
        }
        let sound = if self.running - self.running_failing < MAX_SOUND { self.queue.pop_front() } else { None };
        sound.or_else(|| if self.running_failing < MAX_FAILING { self.failing.pop_front() } else { None })
    }

    /// Looks `host` up in a thread. One that hangs when we end is left behind: it holds nothing but the name.
    fn start_thread(&self, host: &Arc<str>) -> io::Result<()> {
        let (look_up, host) = (Arc::clone(&self.look_up), Arc::clone(host));
        let (results, waker) = (self.results.0.clone(), Arc::clone(&self.waker));
        thread::Builder::new().name("resolver".into()).spawn(move || {
            let found = catch(|| look_up(&host)).unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
            if results.send((host, found)).is_ok() {
                // The waker fails only with the loop gone, and then nobody waits.
                let _ = waker.wake();
            }
        })?;
        Ok(())
    }
}

impl Name {
    /// What each connection gets that waits for this name.
    fn answer(&mut self, host: &str, found: Found) -> Vec<Answer> {
        let askers = std::mem::take(&mut self.askers);
        match found {
            Ok(addresses) => {
                if std::mem::take(&mut self.is_told) {
                    info!("{host} is resolved again");
                }
                self.health = Health::Sound;
                self.addresses.clone_from(&addresses);
                askers.into_iter().map(|id| (id, Ok(addresses.clone()))).collect()
            }
            Err(error) => {
                self.health = Health::Failing;
                let last_known = if askers.is_empty() || !is_temporary(&error) { None } else { self.last_known(host) };
                let answer = |id| (id, last_known.clone().ok_or_else(|| duplicate(&error)));
                askers.into_iter().map(answer).collect()
            }
        }
    }

    /// The addresses to use where the name server does not answer. That is logged once.
    fn last_known(&mut self, host: &str) -> Option<Vec<SocketAddr>> {
        if self.addresses.is_empty() {
            return None;
        }
        if !std::mem::replace(&mut self.is_told, true) {
            let addresses: Vec<_> = self.addresses.iter().map(|address| address.ip().to_string()).collect();
            warn!(
                "{host} was not resolved in time, and its last known addresses are used ({}); does the name server answer?",
                addresses.join(", ")
            );
        }
        Some(self.addresses.clone())
    }
}

fn look_up(host: &str) -> Found {
    let addresses: Vec<_> = (host, 0).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// Whether the name server did not answer (`EAI_AGAIN`). The standard library shows that in the text only: glibc's, musl's.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    text.contains("Temporary failure") || text.contains("Try again")
}

fn duplicate(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
