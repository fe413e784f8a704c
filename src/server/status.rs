//! What has happened since the start, as far as somebody may ask for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::admission::Rejected;
use crate::control::{Amount, LastAnswer, ReasonAnswer, RelayFailure, TransferAnswer};
use crate::proto::{Refusal, printable};
use crate::tls::UnixTime;

/// Fed where things happen: by admission, sessions and the relay.
#[derive(Debug)]
pub(super) struct ServerStatus {
    pub(super) since: Instant,
    /// The date then.
    pub(super) started: UnixTime,
    /// How many connections have come.
    pub(super) accepted: u64,
    /// The most that were there at once.
    pub(super) most: usize,
    pub(super) stored: Transfers,
    /// Files that clients have taken away: they had them, and let them go.
    pub(super) collected: Transfers,
    pub(super) listed: Option<Last>,
    pub(super) turned_away: Reasons,
    pub(super) refused: Reasons,
    pub(super) failed: Reasons,
    /// When a connection to the server behind a relay was last opened.
    pub(super) reached: Option<Instant>,
    /// What went wrong with that server: when last, in which words, and how often.
    pub(super) upstream_failure: Option<(Instant, String, u64)>,
}

/// The last time of something, and whose doing it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) at: Instant,
    client: IpAddr,
}

/// Files that clients have sent, or taken away.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    amount: Amount,
    pub(super) last: Option<Last>,
}

/// How often something happened for each reason, and when last. The reasons are words of ours: there are few.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeMap<&'static str, (u64, Instant)>);

impl ServerStatus {
    pub(super) fn new(now: Instant, date: UnixTime) -> Self {
        Self {
            since: now,
            started: date,
            accepted: 0,
            most: 0,
            stored: Transfers::default(),
            collected: Transfers::default(),
            listed: None,
            turned_away: Reasons::default(),
            refused: Reasons::default(),
            failed: Reasons::default(),
            reached: None,
            upstream_failure: None,
        }
    }

    /// A connection has come: there are so many now.
    pub(super) fn accepted(&mut self, connections: usize) {
        self.accepted += 1;
        self.most = self.most.max(connections);
    }

    pub(super) fn turned_away(&mut self, why: Rejected, now: Instant) {
        self.turned_away.add(why.word(), now);
    }

    /// A command was refused.
    pub(super) fn refused(&mut self, refusal: &Refusal, now: Instant) {
        self.refused.add(refusal.word(), now);
    }

    /// A connection ended otherwise than in good order.
    pub(super) fn failed(&mut self, reason: &'static str, now: Instant) {
        self.failed.add(reason, now);
    }

    /// A client was given a listing.
    pub(super) fn listed(&mut self, client: IpAddr, now: Instant) {
        self.listed = Some(Last { at: now, client });
    }

    /// The server that is relayed to has failed.
    pub(super) fn upstream_failed(&mut self, why: String, now: Instant) {
        let before = self.upstream_failure.take().map_or(0, |(_, _, failures)| failures);
        self.upstream_failure = Some((now, why, before + 1));
    }

    pub(super) fn upstream_failure(&self, now: Instant) -> Option<RelayFailure> {
        let (at, message, failures) = self.upstream_failure.as_ref()?;
        Some(RelayFailure { seconds: seconds(*at, now), message: printable(message), failures: *failures })
    }
}

impl Transfers {
    pub(super) fn add(&mut self, bytes: u64, client: IpAddr, now: Instant) {
        self.amount.files += 1;
        self.amount.bytes = self.amount.bytes.saturating_add(bytes);
        self.last = Some(Last { at: now, client });
    }

    pub(super) fn answer(&self, now: Instant) -> TransferAnswer {
        let Amount { files, bytes } = self.amount;
        TransferAnswer { files, bytes, last: self.last.map(|last| last.answer(now)) }
    }
}

impl Last {
    pub(super) fn answer(self, now: Instant) -> LastAnswer {
        LastAnswer { seconds: seconds(self.at, now), client: self.client.to_string() }
    }
}

impl Reasons {
    fn add(&mut self, reason: &'static str, now: Instant) {
        let (count, last) = self.0.entry(reason).or_insert((0, now));
        (*count, *last) = (*count + 1, now);
    }

    pub(super) fn answer(&self, now: Instant) -> Vec<ReasonAnswer> {
        let answer = |(reason, (count, last)): (&&str, &(u64, Instant))| ReasonAnswer {
            reason: (*reason).to_owned(),
            count: *count,
            last_seconds: seconds(*last, now),
        };
        self.0.iter().map(answer).collect()
    }
}

impl Rejected {
    fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::TooMany(_) => "too-many",
            Self::Full => "full",
        }
    }
}

pub(super) fn seconds(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}
