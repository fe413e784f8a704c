//! Names whose look-up hangs, beside names that are resolved.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::{TURNS, WAIT};
use crate::net::resolve::{MAX_FAILING, MAX_SOUND, MAX_THREADS};
use crate::net::{ConnId, Event, Failure, Net, Phase, Target};

/// For what hangs.
const TIMEOUT: Duration = Duration::from_millis(50);

/// For what is answered, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// A name server that answers some questions, and others not before it is allowed to.
#[derive(Default)]
struct NameServer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Questions by name.
    asked: HashMap<String, usize>,
    hanging: usize,
    most_hanging: usize,
    is_silent: bool,
    /// Ends what hangs.
    is_over: bool,
}

impl State {
    fn is_silent_about(&self, host: &str) -> bool {
        self.is_silent || host.starts_with("silent")
    }
}

impl NameServer {
    fn look_up(&self, host: &str) -> std::io::Result<Vec<SocketAddr>> {
        let mut state = self.state.lock().unwrap();
        let asked = state.asked.entry(host.into()).or_default();
        *asked += 1;
        let is_first = *asked == 1;
        if host == "panics.once" && is_first {
            drop(state);
            panic!("the look-up panics");
        }
        if state.is_silent_about(host) {
            state.hanging += 1;
            state.most_hanging = state.most_hanging.max(state.hanging);
            let mut state = self.changed.wait_while(state, |state| !state.is_over).unwrap();
            state.hanging -= 1;
            return Err(std::io::Error::other("Temporary failure in name resolution"));
        }
        Ok(vec![(Ipv4Addr::LOCALHOST, 0).into()])
    }

    fn asked(&self, host: &str) -> usize {
        self.state.lock().unwrap().asked.get(host).copied().unwrap_or(0)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

/// A loop that asks a name server of ours.
struct Client {
    net: Net,
    names: Arc<NameServer>,
    site: TcpListener,
    outcomes: HashMap<ConnId, Result<(), Failure>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.names.set(|state| state.is_over = true);
    }
}

impl Client {
    fn new() -> Self {
        let (mut net, names) = (Net::new().unwrap(), Arc::new(NameServer::default()));
        let asked = Arc::clone(&names);
        net.resolver_mut().set_look_up(Arc::new(move |host| asked.look_up(host)));
        Self { net, names, site: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), outcomes: HashMap::new() }
    }

    fn open(&mut self, host: &str) -> ConnId {
        let hangs = {
            let state = self.names.state.lock().unwrap();
            state.is_silent_about(host) && !state.is_over
        };
        self.open_within(host, if hangs { TIMEOUT } else { PATIENCE })
    }

    fn open_within(&mut self, host: &str, timeout: Duration) -> ConnId {
        let target = Target {
            host: host.into(),
            port: self.site.local_addr().unwrap().port(),
            local: None,
            proxy: None,
            tls: None,
            timeout,
            quick_ack: false,
        };
        self.net.open(Arc::new(target), false)
    }

    /// What becomes of a connection.
    fn outcome(&mut self, id: ConnId) -> Result<(), Failure> {
        for _ in 0..TURNS {
            if let Some(outcome) = self.outcomes.remove(&id) {
                return outcome;
            }
            let until = self.net.now() + WAIT;
            for event in self.net.poll_once(Some(until)).unwrap() {
                match event {
                    Event::Opened(id) => {
                        self.net.abort(id);
                        self.outcomes.insert(id, Ok(()));
                    }
                    Event::Failed(id, failure) => drop(self.outcomes.insert(id, Err(failure))),
                    _ => {}
                }
            }
        }
        panic!("nothing came of it");
    }
}

#[test]
fn a_name_is_looked_up_once_for_all_who_wait_for_it() {
    let mut client = Client::new();
    let ids: Vec<_> = (0..20).map(|_| client.open("silent")).collect();
    let failures: Vec<_> = ids.into_iter().map(|id| client.outcome(id)).collect();
    assert_eq!(failures.len(), 20);
    let id = client.open("silent");
    assert!(matches!(client.outcome(id), Err(Failure::Timeout(Phase::Resolve))));
    assert_eq!(client.names.asked("silent"), 1, "it hangs, and is not asked for once more");
}

#[test]
fn names_that_resolve_are_not_behind_names_that_do_not() {
    let mut client = Client::new();
    for round in 0..10 {
        // They wait for longer than the good one may.
        let silent = |number| client.open_within(&format!("silent{number}"), 2 * PATIENCE);
        let silent: Vec<_> = (0..MAX_SOUND - 1).map(silent).collect();
        let good = client.open("good");
        client.outcome(good).unwrap_or_else(|failure| panic!("round {round}: {failure}"));
        for id in silent {
            client.net.abort(id);
        }
        let late = client.open(&format!("silent{round}"));
        assert!(matches!(client.outcome(late), Err(Failure::Timeout(Phase::Resolve))));
    }
    assert_eq!(client.names.asked("good"), 10);
}

#[test]
fn the_number_of_look_ups_that_hang_is_bounded() {
    let mut client = Client::new();
    let good = client.open("good");
    client.outcome(good).unwrap();
    for round in 0..=MAX_THREADS / MAX_SOUND {
        // Others in each round: nothing is known of them.
        let silent: Vec<_> = (0..=MAX_SOUND).map(|number| client.open(&format!("silent{round}.{number}"))).collect();
        for id in silent {
            assert!(matches!(client.outcome(id), Err(Failure::Timeout(Phase::Resolve))));
        }
        // Once no thread is left for it, its last known address is used.
        let good = client.open_within("good", TIMEOUT);
        client.outcome(good).unwrap();
    }
    let most = client.names.state.lock().unwrap().most_hanging;
    assert_eq!(most, MAX_THREADS);
}

#[test]
fn names_that_failed_have_a_share_of_the_look_ups() {
    let mut client = Client::new();
    client.names.set(|state| state.is_over = true);
    let names: Vec<_> = (0..3 * MAX_FAILING).map(|number| format!("silent{number}")).collect();
    for name in &names {
        let id = client.open(name);
        assert!(matches!(client.outcome(id), Err(Failure::Resolve { .. })));
    }
    client.names.set(|state| (state.is_over, state.most_hanging) = (false, 0));
    let again: Vec<_> = names.iter().map(|name| client.open(name)).collect();
    for id in again {
        assert!(matches!(client.outcome(id), Err(Failure::Timeout(Phase::Resolve))));
    }
    assert_eq!(client.names.state.lock().unwrap().most_hanging, MAX_FAILING);
}

#[test]
fn what_nobody_waits_for_is_not_asked() {
    let mut client = Client::new();
    let busy: Vec<_> = (0..MAX_SOUND).map(|number| client.open(&format!("silent{number}"))).collect();
    let late = client.open("left");
    client.net.abort(late);
    client.names.set(|state| state.is_over = true);
    for id in busy {
        drop(client.outcome(id));
    }
    let good = client.open("good");
    client.outcome(good).unwrap();
    assert_eq!(client.names.asked("left"), 0);
}

#[test]
fn where_the_name_server_does_not_answer_the_last_known_addresses_are_used() {
    let mut client = Client::new();
    let first = client.open("site");
    client.outcome(first).unwrap();
    client.names.set(|state| state.is_silent = true);
    for _ in 0..3 {
        let id = client.open("site");
        client.outcome(id).unwrap();
    }
    assert_eq!(client.names.asked("site"), 2, "the second look-up hangs");
    // It gives up, as the system does after a while.
    client.names.set(|state| state.is_over = true);
    let id = client.open("site");
    client.outcome(id).unwrap();
    let other = client.open("never.resolved");
    assert!(matches!(client.outcome(other), Err(Failure::Resolve { .. })));
}

#[test]
fn a_look_up_that_panics_has_failed_and_the_name_is_looked_up_again() {
    let mut client = Client::new();
    let first = client.open("panics.once");
    assert!(matches!(client.outcome(first), Err(Failure::Resolve { .. })));
    let second = client.open("panics.once");
    client.outcome(second).unwrap();
}
