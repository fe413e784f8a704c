//! What a fake server's threads share.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::command::{Command, Verb};
use super::faults::{Fault, FaultRule, Plan};
use super::session::Closed;
use super::setup::Setup;
use super::store::Store;

/// What a fake server has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: usize,
    /// TLS handshakes completed.
    pub handshakes: u64,
    /// Of those, the ones with a client certificate.
    pub client_certificates: u64,
    /// Commands understood.
    pub commands: BTreeMap<Verb, u64>,
}

impl Tally {
    /// How many commands `verb` it understood.
    pub fn count(&self, verb: Verb) -> u64 {
        self.commands.get(&verb).copied().unwrap_or(0)
    }
}

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCommand {
    /// The connection's number, from 1.
    pub connection: u64,
    /// What it asked for.
    pub verb: Verb,
    /// The name or word it was about; bytes that are no UTF-8 are replaced.
    pub name: String,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) setup: Setup,
    pub(super) store: Store,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    stopped: bool,
    open: BTreeMap<u64, Arc<TcpStream>>,
    plans: Vec<Plan>,
    tally: Tally,
    log: Vec<LoggedCommand>,
}

impl State {
    fn tally(&self) -> Tally {
        Tally { open: self.open.len(), ..self.tally.clone() }
    }
}

impl Shared {
    pub(super) fn new(setup: Setup) -> Self {
        let state = State {
            stopped: false,
            open: BTreeMap::new(),
            plans: setup.faults.iter().cloned().map(Plan::new).collect(),
            tally: Tally::default(),
            log: Vec::new(),
        };
        let store = Store::new(&setup.storage, &setup.filters);
        Self { setup, store, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn tally(&self) -> Tally {
        self.lock().tally()
    }

    pub(super) fn log(&self) -> Vec<LoggedCommand> {
        self.lock().log.clone()
    }

    pub(super) fn set_mischief(&self, faults: Vec<FaultRule>) {
        self.lock().plans = faults.into_iter().map(Plan::new).collect();
    }

    pub(super) fn wait_for(&self, timeout: Duration, wanted: impl Fn(&Tally) -> bool) -> bool {
        let lacks = |state: &mut State| !wanted(&state.tally());
        let outcome = self.changed.wait_timeout_while(self.lock(), timeout, lacks);
        !outcome.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits until another connection may be accepted; `false` when the server has been stopped.
    pub(super) fn wait_for_room(&self) -> bool {
        let full = |state: &mut State| !state.stopped && state.open.len() >= self.setup.max_connections;
        !self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// Lets `pause` pass, unless the server is stopped meanwhile.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Closed> {
        let running = |state: &mut State| !state.stopped;
        let outcome = self.changed.wait_timeout_while(self.lock(), pause, running);
        if outcome.unwrap_or_else(PoisonError::into_inner).0.stopped { Err(Closed) } else { Ok(()) }
    }

    /// Lets no more connections in and ends those there are.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for socket in state.open.values() {
            // It may be gone already, which is as good.
            drop(socket.shutdown(Shutdown::Both));
        }
        self.changed.notify_all();
    }

    pub(super) fn tricks_at_connection(&self) -> Vec<Fault> {
        self.lock().plans.iter_mut().filter_map(Plan::at_connection).collect()
    }

    pub(super) fn count_handshake(&self, client_certificate: bool) {
        let tally = &mut self.lock().tally;
        tally.handshakes += 1;
        tally.client_certificates += u64::from(client_certificate);
        self.changed.notify_all();
    }

    /// Writes a command down; the faults to be played at it.
    pub(super) fn note(&self, connection: u64, command: &Command<'_>) -> Vec<Fault> {
        let verb = command.verb();
        let name = String::from_utf8_lossy(command.name()).into_owned();
        let mut state = self.lock();
        *state.tally.commands.entry(verb).or_default() += 1;
        state.log.push(LoggedCommand { connection, verb, name });
        self.changed.notify_all();
        state.plans.iter_mut().filter_map(|plan| plan.at_command(verb)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An accepted connection; it leaves the list of open ones when dropped.
#[derive(Debug)]
pub(super) struct Peer {
    shared: Arc<Shared>,
    number: u64,
    socket: Arc<TcpStream>,
}

impl Peer {
    /// Lists the connection, unless the server has been stopped.
    pub(super) fn accept(shared: &Arc<Shared>, socket: TcpStream) -> Option<Self> {
        let socket = Arc::new(socket);
        let mut state = shared.lock();
        if state.stopped {
            return None;
        }
        state.tally.accepted += 1;
        let number = state.tally.accepted;
        state.open.insert(number, Arc::clone(&socket));
        shared.changed.notify_all();
        Some(Self { shared: Arc::clone(shared), number, socket })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.lock().open.remove(&self.number);
        self.shared.changed.notify_all();
    }
}
