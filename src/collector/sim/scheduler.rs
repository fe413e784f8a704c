//! What decides a simulated scenario: the seed's random numbers, the virtual clock, and the events still to come.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::server::SitePassword;
use crate::net::ConnId;

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the site.
    Up,
    /// To the collector.
    Down,
}

/// How a process comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Kill,
    PowerLoss,
}

/// What happens at some time.
#[derive(Clone, Copy, Debug)]
pub(super) enum SimEvent {
    /// The connection attempt's end.
    Connected(ConnId),
    Refused(ConnId),
    /// The next piece of what is on its way.
    Arrival(ConnId, Direction),
    /// The server looks after this client.
    Serve(ConnId),
    /// The collector's side may go on, whether its socket is ready or not.
    SpuriousWake(ConnId),
    Write {
        site: usize,
    },
    /// An agent goes on sending to a site with our server.
    AgentSend {
        site: usize,
        caller: usize,
    },
    /// The site's storing thread carries out a group, and its loop is notified.
    Store {
        site: usize,
    },
    Stored {
        site: usize,
    },
    SiteDies {
        site: usize,
        death: Crash,
    },
    SiteStarts {
        site: usize,
    },
    SiteFault {
        site: usize,
    },
    /// A site's password changes.
    ChangePassword {
        site: usize,
        password: SitePassword,
    },
    Consume,
    Group,
    GroupDone,
    /// The next order to a directory whose filesystem may not answer is carried out.
    Stage,
    /// The committer's thread looks what it may publish.
    Look,
    Die(Crash),
    Stop,
    /// The configuration is read again; it names all sites.
    Reload,
    /// Some sites are taken out of the configuration for a while.
    RemoveSites,
    DiskFault,
    StagingFault,
    /// No more faults from here on.
    Calm,
    /// The collector is stopped for good.
    End,
}

/// The events so far, for finding out why a check failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Option<Rc<RefCell<Vec<String>>>>);

impl Trace {
    pub(super) fn kept() -> Self {
        Self(Some(Rc::default()))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.as_ref().map(|lines| lines.take()).unwrap_or_default()
    }

    fn push(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            lines.borrow_mut().push(line());
        }
    }
}

/// How rough it is, in chances of one in a million where nothing else is stated.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultRates {
    /// From one end to the other.
    pub(super) latency: Duration,
    /// Of an arrival to be a connection's last.
    pub(super) cut: u32,
    /// Of an arrival never to come, nor anything after it.
    pub(super) stall: u32,
    /// Of a connection attempt to be refused.
    pub(super) refuse: u32,
    /// Of a connection attempt never to be answered.
    pub(super) ignore: u32,
    /// Of a connection to be called ready without a reason, at each turn.
    pub(super) spurious: u32,
    /// Of a listing to be the one before it once more.
    pub(super) lag: u32,
    /// Of what the collector writes in plain to arrive together with what it wrote before.
    pub(super) bunch: u32,
    /// Of an archive to have another bit somewhere.
    pub(super) damage: u32,
    /// How long the disk takes for a group, at most.
    pub(super) disk: Duration,
}

pub(super) struct Scheduler {
    pub(super) seed: u64,
    pub(super) chance: fastrand::Rng,
    pub(super) now: Instant,
    pub(super) fault_rates: FaultRates,
    pub(super) trace: Trace,
    begin: Instant,
    agenda: BTreeMap<(Instant, u64), SimEvent>,
    planned: u64,
}

impl Scheduler {
    #[expect(clippy::disallowed_methods, reason = "any instant will do to start a virtual clock")]
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        let begin = Instant::now();
        Self {
            seed,
            chance: fastrand::Rng::with_seed(seed),
            now: begin,
            fault_rates: FaultRates::default(),
            trace,
            begin,
            agenda: BTreeMap::new(),
            planned: 0,
        }
    }

    /// Since the world began.
    pub(super) fn age(&self) -> Duration {
        self.now - self.begin
    }

    /// What is planned at one time happens in the order it was planned in.
    pub(super) fn plan(&mut self, at: Instant, what: SimEvent) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), what);
    }

    pub(super) fn plan_in(&mut self, wait: Duration, what: SimEvent) {
        self.plan(self.now + wait, what);
    }

    /// Within so long.
    pub(super) fn plan_within(&mut self, longest: Duration, what: SimEvent) {
        let wait = self.up_to(longest);
        self.plan_in(wait, what);
    }

    pub(super) fn next_planned(&self) -> Option<Instant> {
        self.agenda.first_key_value().map(|(&(at, _), _)| at)
    }

    /// The next happening that is due.
    pub(super) fn due(&mut self) -> Option<SimEvent> {
        if self.next_planned()? > self.now {
            return None;
        }
        self.agenda.pop_first().map(|(_, what)| what)
    }

    /// Cancels all planned events for which `gone` is true.
    pub(super) fn cancel(&mut self, gone: impl Fn(&SimEvent) -> bool) {
        self.agenda.retain(|_, what| !gone(what));
    }

    /// Whether something of this chance, of one in a million, happens.
    pub(super) fn strikes(&mut self, chance: u32) -> bool {
        chance > 0 && self.chance.u32(..1_000_000) < chance
    }

    pub(super) fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.chance.f64())
    }

    /// How long something is on its way: now and then much longer than usual.
    pub(super) fn latency(&mut self) -> Duration {
        let usual = self.fault_rates.latency;
        let slow = self.strikes(10_000);
        usual / 2 + self.up_to(if slow { 20 * usual } else { usual })
    }

    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        self.trace.push(|| format!("{:10.4} {}", self.age().as_secs_f64(), line()));
    }

    /// Something must always hold, and does not.
    pub(super) fn fail(&self, what: fmt::Arguments<'_>) -> ! {
        self.trace.push(|| format!("VIOLATED: {what}"));
        panic!("seed {}, after {:?}: {what}", self.seed, self.age());
    }
}
