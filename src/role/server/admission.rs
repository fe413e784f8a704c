//! Who may come in, and how many at once.

use std::collections::HashMap;
use std::net::IpAddr;

use super::guesses::network;
use crate::config::server::{HostsAccess, Limits};

/// Why a client is turned away before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// hosts.allow and hosts.deny.
    Denied,
    /// It has as many connections as one client may.
    TooMany(usize),
}

/// Counts connections by address.
#[derive(Debug)]
pub(super) struct Admission {
    access: Option<HostsAccess>,
    per_client: Option<usize>,
    total: usize,
    inside: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(super) fn new(access: Option<HostsAccess>, limits: &Limits) -> Self {
        let mut admission = Self { access: None, per_client: None, total: 0, inside: HashMap::new() };
        admission.change(access, limits);
        admission
    }

    /// Other rules for whoever comes from now on.
    pub(super) fn change(&mut self, access: Option<HostsAccess>, limits: &Limits) {
        self.access = access;
        self.per_client = limits.max_connections_per_client;
        self.total = limits.max_connections;
    }

    /// How many more may come in.
    pub(super) fn room(&self) -> usize {
        self.total.saturating_sub(self.inside.values().sum())
    }

    /// The client that has more connections than it leaves to others, by its [`network`].
    pub(super) fn greediest(&self) -> Option<IpAddr> {
        let mut inside: HashMap<IpAddr, usize> = HashMap::new();
        for (&client, count) in &self.inside {
            *inside.entry(network(client)).or_default() += count;
        }
        inside.into_iter().find(|&(_, count)| count > self.total / 2).map(|(client, _)| client)
    }

    /// Lets a client in, who is then to be let [out](Self::leave) again.
    pub(super) fn enter(&mut self, client: IpAddr) -> Result<(), Rejected> {
        if !self.access.as_ref().is_none_or(|access| access.admits(client)) {
            return Err(Rejected::Denied);
        }
        let inside = self.inside.get(&client).copied().unwrap_or_default();
        match self.per_client {
            Some(most) if inside >= most => Err(Rejected::TooMany(most)),
            _ => {
                self.inside.insert(client, inside + 1);
                Ok(())
            }
        }
    }

    /// A client's connection is gone.
    pub(super) fn leave(&mut self, client: IpAddr) {
        match self.inside.get_mut(&client) {
            Some(inside) if *inside > 1 => *inside -= 1,
            _ => drop(self.inside.remove(&client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_client_and_all_of_them_have_a_limit() {
        let limits = Limits {
            max_connections: 3,
            max_connections_per_client: Some(2),
            idle_timeout: Duration::from_secs(4),
            body_min_rate: 0,
        };
        let mut admission = Admission::new(None, &limits);
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        assert_eq!((admission.enter(one), admission.enter(one)), (Ok(()), Ok(())));
        assert_eq!(admission.enter(one), Err(Rejected::TooMany(2)));
        assert_eq!(admission.room(), 1);
        assert_eq!(admission.enter(other), Ok(()));
        assert_eq!(admission.room(), 0);
        assert_eq!(admission.greediest(), Some(one));
        admission.leave(one);
        assert_eq!(admission.greediest(), None);
        assert_eq!((admission.room(), admission.enter(one)), (1, Ok(())));
    }
}
