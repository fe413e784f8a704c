//! Every storage call of a small collection, and a crash at it: before and after the call, of the process and of the
//! machine, with what is unsynced gone and with renames that survive without their data. Then a restart, and on to the
//! end, where each file must have come, and none twice.
//!
//! Storage calls are those of the commit protocol, of its recovery, and of staging: on the loop, or by a directory's own
//! thread.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use super::agents::Agents;
use super::buffer::Buffer;
use super::scenario::{TestDirs, run};
use super::scheduler::{Scheduler, SimEvent, Trace};
use super::server::{Files, SitePassword};
use super::verdict::Verdict;
use super::world::{FIRST_PORT, Site, World};
use crate::config::{Settings, SiteSettings};
use crate::proto::{FileName, Fingerprint};
use crate::server::test_server::TestServer;
use crate::store::model::{Fault, Moment, Share, Spared, World as Disk, stage_on};
use crate::store::{Durability, Publish};
use crate::sync::Delivery;

/// From one round to the next.
const INTERVAL: Duration = Duration::from_secs(5);

/// So long after the last file was written all is collected, whatever happened before.
const LATEST: Duration = Duration::from_secs(15);

/// From a crash to the next start.
const REST: Duration = Duration::from_secs(1);

/// Bytes under a name that an agent uses, too.
const FOREIGN: &[u8] = b"somebody else's";

/// What is written at a site, and when.
type Script = [(u64, &'static str, &'static [u8])];

/// Three agents' files, in milliseconds from the beginning. The first round fetches what is there before its commits are
/// done.
const SIX_FILES: &Script = &[
    (0, "alpha.1700000000.data", b"<agent_data>alpha 0</agent_data>\n"),
    (0, "alpha.1700000001.data", b""),
    (0, "beta.1700000000.data", b"<agent_data>beta 0</agent_data>\n"),
    (0, "beta.1700000001.data", b"<agent_data>beta 1</agent_data>\n"),
    (0, "gamma.1700000000.data", b"<agent_data>gamma 0</agent_data>\n"),
    (0, "gamma.1700000001.data", b"<agent_data>gamma 1</agent_data>\n"),
    // Overwritten: by something longer, and by as many other bytes.
    (300, "beta.1700000000.data", b"<agent_data>beta 0, and more</agent_data>\n"),
    (300, "gamma.1700000001.data", b"<agent_data>gamma 2</agent_data>\n"),
    // Once more, the same.
    (6_000, "alpha.1700000000.data", b"<agent_data>alpha 0</agent_data>\n"),
];

/// One agent's files.
const THREE_FILES: &Script = &[
    (0, "alpha.1700000000.data", b"<agent_data>alpha 0</agent_data>\n"),
    (0, "alpha.1700000001.data", b""),
    (0, "gamma.1700000000.data", b"<agent_data>gamma 0</agent_data>\n"),
];

/// Whose server the site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stock,
    /// It is spoken to as stock.
    Ours,
    /// It is spoken to in the extension.
    Extended,
}

/// A life without crashes.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    script: &'static Script,
    kind: Kind,
    delivery: Delivery,
    connections: usize,
    /// How long the disk takes for a group, at most: files that come meanwhile are the next one.
    disk: Duration,
    /// Whether the data server takes all there is between a crash and the next start.
    taken: bool,
    publish: Publish,
    /// Whether the incoming directory is staged into as where its filesystem may not answer.
    is_beside: bool,
}

/// What a life came to.
#[derive(Debug, Default)]
struct End {
    steps: u32,
    /// How many of them the last start took.
    recovery: u32,
    lost: usize,
    doubled: usize,
}

impl Scenario {
    fn settings(&self, dirs: &TestDirs) -> Settings {
        let mut site = SiteSettings::new("site0", "model");
        // The model has none of the directories.
        site.remote_config = Some(false);
        site.port = FIRST_PORT;
        site.incoming_dir = dirs.path().to_owned();
        site.interval = INTERVAL;
        site.connections = self.connections;
        site.delivery = self.delivery;
        site.extension = self.kind == Kind::Extended;
        Settings {
            state_dir: Some(PathBuf::new()),
            durability: Durability::Fsync,
            publish: self.publish,
            max_connections: 8,
            shutdown_timeout: Duration::from_secs(10),
            ..Settings::of_sites(vec![site])
        }
    }

    fn populate(&self, disk: &Rc<RefCell<Disk>>, dirs: &TestDirs, trace: Trace) -> World {
        let mut scheduler = Scheduler::new(0, trace);
        scheduler.fault_rates.latency = Duration::from_millis(2);
        scheduler.fault_rates.disk = self.disk;
        let mut agents = Agents::new(Duration::ZERO, scheduler.now);
        let mut last = Duration::ZERO;
        for &(after, name, bytes) in self.script {
            agents.script.push_back((name.parse().expect("a sound name"), bytes.to_vec()));
            last = Duration::from_millis(after);
            scheduler.plan_in(last, SimEvent::Write { site: 0 });
        }
        scheduler.plan_in(last + LATEST, SimEvent::End);
        disk.borrow_mut().put(foreign(), Fingerprint::of(FOREIGN));
        let mut world = World::new(scheduler, Rc::clone(disk));
        world.is_beside = self.is_beside;
        world.oracle.verdict = Verdict::counted();
        world.oracle.movers.extend((self.delivery == Delivery::Move).then_some(0));
        let (files, connections, places) = (Files::new(), self.connections, usize::MAX);
        let buffer = (self.kind != Kind::Stock).then(|| Buffer::new(0, TestServer::new(&dirs.site(0), true, 0)));
        let (misbehavior, acceptor, password, reported) = (None, None, SitePassword::None, BTreeSet::new());
        world.sites.push(Site {
            misbehavior,
            acceptor,
            password,
            reported,
            files,
            buffer,
            agents,
            connections,
            packs: true,
            places,
        });
        world
    }

    /// Runs it, with crashes, each after so many more steps.
    fn run(&self, crashes: &[(u32, Fault)], dirs: &TestDirs, trace: Trace) -> End {
        let disk = Rc::new(RefCell::new(Disk::new(0, crashes)));
        let world = Rc::new(RefCell::new(self.populate(&disk, dirs, trace)));
        world.borrow_mut().pass();
        stage_on(Some(Rc::clone(&disk)));
        let settings = self.settings(dirs);
        while !run(&world, &disk, &settings, dirs) {
            let mut world = world.borrow_mut();
            if self.taken {
                take_all(&mut world);
            }
            world.idle(REST);
        }
        stage_on(None);
        let (steps, recovery) = (disk.borrow().steps(), disk.borrow().recovery());
        let left = world.borrow_mut().publish_what_is_left(self.publish);
        assert_eq!(left, 0, "{self:?}, {crashes:?}: staged files are left");
        let World { oracle, scheduler, .. } = &mut *world.borrow_mut();
        oracle.close(scheduler);
        let Verdict::Counted { lost, doubled } = &oracle.verdict else { unreachable!("it was to count") };
        End { steps, recovery, lost: lost.len(), doubled: doubled.len() }
    }
}

fn foreign() -> FileName {
    "gamma.1700000000.data".parse().expect("a sound name")
}

/// The data server takes all that was published.
fn take_all(world: &mut World) {
    let names = world.disk.borrow().published();
    for name in names.into_iter().filter(|name| *name != foreign()) {
        let taken = world.disk.borrow_mut().take(&name);
        if let Some(file) = taken {
            world.oracle.consumed(file);
        }
    }
}

/// What a crash may cost: nothing that the kernel has, or of what was not synced all but this.
const COSTS: [Option<Spared>; 6] = [
    None,
    Some(Spared { names: Share::None, bytes: Share::None, journal: Share::None }),
    Some(Spared { names: Share::All, bytes: Share::None, journal: Share::None }),
    Some(Spared { names: Share::All, bytes: Share::All, journal: Share::None }),
    Some(Spared { names: Share::None, bytes: Share::None, journal: Share::All }),
    Some(Spared { names: Share::Half, bytes: Share::None, journal: Share::Half }),
];

/// Crashes at one step, among them those of all `costs`.
fn crashes(costs: &[Option<Spared>]) -> impl Iterator<Item = Fault> {
    let at = |moment| costs.iter().map(move |&cost| Fault::Crash(moment, cost));
    at(Moment::Before).chain(at(Moment::After))
}

/// What came of crashing everywhere.
#[derive(Debug, Default)]
struct Sum {
    points: usize,
    lost: usize,
    doubled: usize,
}

impl Sum {
    /// Runs it with these crashes.
    fn try_out(&mut self, scenario: &Scenario, crashes: &[(u32, Fault)], dirs: &TestDirs) -> End {
        let end = catch_unwind(AssertUnwindSafe(|| scenario.run(crashes, dirs, Trace::default())));
        if end.as_ref().map_or(true, |end| end.lost + end.doubled > 0) && self.lost + self.doubled == 0 {
            println!("{scenario:?}, {crashes:?}:");
            let trace = Trace::kept();
            let _ = catch_unwind(AssertUnwindSafe(|| scenario.run(crashes, dirs, trace.clone())));
            trace.lines().iter().for_each(|line| println!("{line}"));
        }
        let end = end.unwrap_or_else(|panic| resume_unwind(panic));
        self.points += 1;
        self.lost += end.lost;
        self.doubled += end.doubled;
        end
    }

    /// Crashes at every storage call.
    fn crash(&mut self, scenario: &Scenario, costs: &[Option<Spared>], dirs: &TestDirs) {
        let steps = scenario.run(&[], dirs, Trace::default()).steps;
        for step in 0..steps {
            for crash in crashes(costs) {
                self.try_out(scenario, &[(step, crash)], dirs);
            }
        }
    }

    /// Crashes at every storage call, and once more at every one of the recovery.
    fn crash_twice(&mut self, scenario: &Scenario, costs: &[Option<Spared>], dirs: &TestDirs) {
        let steps = scenario.run(&[], dirs, Trace::default()).steps;
        for step in 0..steps {
            for first in crashes(costs) {
                let recovery = self.try_out(scenario, &[(step, first)], dirs).recovery;
                for again in 0..recovery {
                    for second in crashes(costs) {
                        self.try_out(scenario, &[(step, first), (again, second)], dirs);
                    }
                }
            }
        }
    }
}

/// Six files at stock's server and at ours, with the extension and without, made durable each on its own, a few together, or most of them; so many
/// scenarios. Where files are moved without being safe first, those on their way at a crash do not count as lost; nor
/// does what is sent in place of an older file in the moment of the crash.
fn scenarios(most: usize) -> Vec<Scenario> {
    let ways = [
        (Kind::Stock, Delivery::Safe),
        (Kind::Ours, Delivery::Safe),
        (Kind::Extended, Delivery::Safe),
        (Kind::Stock, Delivery::Move),
        (Kind::Ours, Delivery::Move),
    ];
    let paces = [(300, 1), (900, 2), (0, 2)];
    let mut scenarios = Vec::new();
    for (taken, publish) in
        [(true, Publish::Paced), (false, Publish::Paced), (true, Publish::AtOnce), (false, Publish::AtOnce)]
    {
        for (disk, connections) in paces {
            let disk = Duration::from_millis(disk);
            let scenario = |(number, (kind, delivery))| {
                let is_beside = number % 3 == 2 || disk == Duration::from_millis(900);
                Scenario { script: SIX_FILES, kind, delivery, connections, disk, taken, publish, is_beside }
            };
            scenarios.extend(ways.into_iter().enumerate().map(scenario));
        }
    }
    scenarios.truncate(most);
    scenarios
}

#[test]
fn at_all_crash_points_nothing_is_lost_and_nothing_doubled() {
    let (most, costs) = match std::env::var_os("CRASH_POINTS_LONG") {
        Some(_) => (usize::MAX, &COSTS[..]),
        None => (8, &COSTS[..3]),
    };
    let once = move |scenario: Scenario| {
        let mut sum = Sum::default();
        sum.crash(&scenario, costs, &TestDirs::new());
        sum
    };
    let twice = move || {
        let disk = Duration::from_millis(300);
        let mut sum = Sum::default();
        let (kind, delivery) = (Kind::Stock, Delivery::Safe);
        let scenario = Scenario {
            script: THREE_FILES,
            kind,
            delivery,
            connections: 1,
            disk,
            taken: true,
            publish: Publish::Paced,
            is_beside: false,
        };
        sum.crash_twice(&scenario, &costs[..costs.len() - 1], &TestDirs::new());
        sum
    };
    let sums: Vec<Sum> = thread::scope(|scope| {
        let twice = scope.spawn(twice);
        let once = scenarios(most).into_iter().map(|scenario| scope.spawn(move || once(scenario)));
        let threads: Vec<_> = once.chain([twice]).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let sum = |count: fn(&Sum) -> usize| sums.iter().map(count).sum::<usize>();
    let (points, lost, doubled) = (sum(|sum| sum.points), sum(|sum| sum.lost), sum(|sum| sum.doubled));
    println!("crash points {points}, lost {lost}, doubled {doubled}");
    assert_eq!((lost, doubled), (0, 0));
}
