//! A seed becomes a world, and a collector runs in it: dies, is started again, and in the end has everything.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::adapters::Ports;
use super::agents::Agents;
use super::buffer::Buffer;
use super::pki::{ClientCerts, Pki};
use super::run_counts::RunCounts;
use super::scheduler::{Crash, FaultRates, Scheduler, SimEvent, Trace};
use super::server::{Files, MISBEHAVIORS, Misbehavior, SitePassword};
use super::world::{FIRST_PORT, RELOAD, Site, THIN, World};
use crate::bandwidth::Timetable;
use crate::budget::Budget;
use crate::collector::RoundReport;
use crate::collector::all_sites::{Budgets, Collector, Deps, Mode, RunOptions};
use crate::collector::commit_queue::CommitQueue;
use crate::collector::configuring::Centres;
use crate::collector::limited_net::LimitedNet;
use crate::collector::resources::open_all;
use crate::config::{Settings, SiteSettings};
use crate::server::test_server::{TestServer, memory_dir};
use crate::store::model::{ModelCommitter, SteppingSinks, World as Disk, fail_staging};
use crate::store::{Durability, Publish, Spool};
use crate::sync::{Delivery, FetchOrder, Schedule};
use crate::tls::Acceptor;

/// Bytes of the memory that each site has where there is little.
const SCARCE: u64 = 1_100;

/// What kind of life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) sites: usize,
    /// Of those, so many misbehave.
    pub(super) bad: usize,
    /// Whether anything but those sites goes wrong.
    pub(super) rough: bool,
}

/// The one directory that all files are staged in.
pub(super) struct TestDirs {
    dir: tempfile::TempDir,
    /// Where sites with our server have their storage.
    sites: tempfile::TempDir,
    spools: BTreeMap<PathBuf, Spool>,
    pub(super) pki: Pki,
}

impl TestDirs {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let spool = Spool::open_with(&path, Arc::new(SteppingSinks::STAGING)).unwrap();
        Self { spools: BTreeMap::from([(path, spool)]), dir, sites: memory_dir(), pki: Pki::new() }
    }

    /// Where a site's server is to store.
    pub(super) fn site(&self, number: usize) -> PathBuf {
        self.sites.path().join(number.to_string())
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Runs the scenario of `seed`; panics where an invariant does not hold.
pub(super) fn run_seed(seed: u64, scale: Scale, dirs: &TestDirs, trace: Trace) -> RunCounts {
    // Another life on this thread may have come to a bad end.
    fail_staging(None);
    let mut scheduler = Scheduler::new(seed, trace);
    let kinds = kinds(&mut scheduler, scale);
    let settings = settings(&mut scheduler, scale, &kinds, dirs);
    let disk = Rc::new(RefCell::new(Disk::new(seed, &[])));
    let world = Rc::new(RefCell::new(populate(scheduler, &disk, scale, &kinds, &settings, dirs)));
    // Each order is a step after which all is checked: with many sites that takes its time.
    world.borrow_mut().is_beside = scale.rough && scale.sites == 1 && seed % 2 == 1;
    while !run(&world, &disk, &settings, dirs) {
        let wait = world.borrow_mut().scheduler.up_to(Duration::from_secs(20));
        world.borrow_mut().idle(wait);
    }
    // Whatever is left of failures is swept at the next start.
    let left = world.borrow_mut().publish_what_is_left(settings.publish);
    assert_eq!(left, 0, "seed {seed}: staged files are left");
    let World { oracle, scheduler, sites, .. } = &mut *world.borrow_mut();
    oracle.close(scheduler);
    for site in sites.iter() {
        check_reported(site, scale.rough, scheduler);
    }
    oracle.counts
}

/// The collector must report what is wrong with a site, and nothing of a sound one, except for agents that write over
/// what stock is about to send.
fn check_reported(site: &Site, rough: bool, scheduler: &Scheduler) {
    let Site { misbehavior, reported, .. } = site;
    if let Some(reason) = misbehavior.and_then(Misbehavior::required_reason)
        && !reported.contains(reason)
    {
        scheduler.fail(format_args!("of a site with {misbehavior:?} {reported:?} is told, and not {reason}"));
    }
    let is_sound = !rough && misbehavior.is_none();
    if is_sound && reported.iter().any(|reason| !["truncated", "protocol"].contains(reason)) {
        scheduler.fail(format_args!("of a sound site {reported:?} is told"));
    }
}

/// One process, from its start to its end; whether that was the last.
pub(super) fn run(world: &Rc<RefCell<World>>, disk: &Rc<RefCell<Disk>>, settings: &Settings, dirs: &TestDirs) -> bool {
    let now = world.borrow().scheduler.now;
    let started = ModelCommitter::start(disk, settings.publish, now);
    {
        let World { oracle, scheduler, .. } = &mut *world.borrow_mut();
        scheduler
            .note(|| format!("a process starts: {:?}", started.as_ref().map(|(_, outstanding)| outstanding.len())));
        let placed = disk.borrow_mut().placed();
        oracle.published(placed, scheduler);
    }
    let Ok((committer, outstanding)) = started else {
        let death = world.borrow().disk_death();
        world.borrow_mut().process_ended(death);
        return false;
    };
    world.borrow_mut().process.committer = Some(committer);
    world.borrow_mut().go_on_publishing();
    let ports = Ports(Rc::clone(world));
    let mut spools = dirs.spools.clone();
    if world.borrow().is_beside {
        for (path, spool) in &mut spools {
            let (beside, staging) = Spool::open_deferred(path, Arc::new(SteppingSinks::STAGING)).unwrap();
            world.borrow_mut().process.staging = Some(staging);
            *spool = beside;
        }
    }
    let opened = open_all(settings, &mut spools);
    let mut net = LimitedNet::new(Box::new(ports.clone()), || TimeZone::UTC);
    net.limit_all(&settings.bwlimit);
    let deps = Deps {
        net,
        commit_queue: CommitQueue::new(Box::new(ports), settings.max_spool()),
        outstanding,
        spools,
        budgets: world.borrow().budgets.clone(),
        state_dir: PathBuf::new(),
        centres: Centres::new(Arc::new(|| ()), world.borrow().scheduler.now),
        notify: Arc::new(|| ()),
        machine: None,
    };
    let mode = world.borrow().mode;
    let options = RunOptions { mode, max_connections: settings.max_connections };
    let schedule = Schedule::new(world.borrow_mut().scheduler.chance.u64(..));
    let listener = Rc::clone(world);
    let observer = Box::new(move |report: &RoundReport| listener.borrow_mut().round_ended(report));
    let collector = Collector::with(deps, opened, options, schedule, observer);
    let outcome = collector.run(settings.shutdown_timeout, |collector, signal| {
        let settings = match signal {
            RELOAD => settings.clone(),
            THIN => thinned(settings, &mut world.borrow_mut().scheduler),
            _ => return false,
        };
        collector.reload(&settings);
        true
    });
    let mut death = world.borrow_mut().death.take();
    death = death.or(world.borrow().disk_death());
    world.borrow_mut().process_ended(death);
    outcome.is_ok() && death.is_none() && world.borrow().is_over
}

#[test]
fn a_collector_ends_when_its_committer_has_panicked() {
    let (dirs, scale) = (TestDirs::new(), Scale { sites: 1, bad: 0, rough: false });
    let mut scheduler = Scheduler::new(1, Trace::default());
    let kinds = kinds(&mut scheduler, scale);
    let settings = settings(&mut scheduler, scale, &kinds, &dirs);
    let disk = Rc::new(RefCell::new(Disk::new(1, &[])));
    let world = Rc::new(RefCell::new(populate(scheduler, &disk, scale, &kinds, &settings, &dirs)));
    world.borrow_mut().process.has_lost_committer = true;
    run(&world, &disk, &settings, &dirs);
    assert!(!world.borrow().is_over, "it did not end by itself");
}

/// Without some of the sites, or all.
fn thinned(settings: &Settings, scheduler: &mut Scheduler) -> Settings {
    let mut settings = settings.clone();
    settings.sites.retain(|_| scheduler.chance.bool());
    scheduler.note(|| format!("{} sites stay in the configuration", settings.sites.len()));
    settings
}

/// What kind of site.
struct Kind {
    misbehavior: Option<Misbehavior>,
    is_ours: bool,
    /// Where TLS is spoken.
    tls: Option<ClientCerts>,
    password: SitePassword,
}

impl Kind {
    /// Among many sites few use TLS: a handshake costs time.
    fn new(scheduler: &mut Scheduler, is_bad: bool, is_lone: bool) -> Self {
        let misbehavior = is_bad.then(|| *scheduler.chance.choice(&MISBEHAVIORS).expect("some"));
        let speaks_tls = scheduler.strikes(if is_lone { 400_000 } else { 200_000 });
        let scrutiny = if scheduler.strikes(300_000) { ClientCerts::Clients } else { ClientCerts::None };
        let tls = (speaks_tls || misbehavior == Some(Misbehavior::Impostor)).then_some(scrutiny);
        let has_password = scheduler.strikes(300_000);
        let password = match misbehavior {
            Some(Misbehavior::OtherPassword) => SitePassword::Other,
            _ if has_password => SitePassword::Known,
            _ => SitePassword::None,
        };
        Self { misbehavior, is_ours: scheduler.chance.bool() && !is_bad, tls, password }
    }

    fn acceptor(&self, pki: &Pki) -> Option<Acceptor> {
        self.tls.map(|scrutiny| match self.misbehavior {
            Some(Misbehavior::Impostor) => pki.impostor(),
            _ if self.is_ours => pki.ours(scrutiny),
            _ => pki.stock(scrutiny),
        })
    }
}

fn kinds(scheduler: &mut Scheduler, scale: Scale) -> Vec<Kind> {
    (0..scale.sites).map(|number| Kind::new(scheduler, number < scale.bad, scale.sites == 1)).collect()
}

fn settings(scheduler: &mut Scheduler, scale: Scale, kinds: &[Kind], dirs: &TestDirs) -> Settings {
    let interval =
        Duration::from_secs(if scale.rough { *scheduler.chance.choice([&1, &3, &30]).expect("some") } else { 30 });
    let connections = if scale.rough { scheduler.chance.usize(1..5) } else { 2 };
    let site = |(number, kind): (usize, &Kind)| {
        let mut site = SiteSettings::new(format!("site{number}"), format!("site{number}.example"));
        // The model has none of the directories.
        site.remote_config = Some(false);
        site.port = FIRST_PORT + u16::try_from(number).expect("few sites");
        site.incoming_dir = dirs.path().to_owned();
        site.interval = interval;
        site.connections = connections;
        site.tls = kind.tls.map(|scrutiny| dirs.pki.settings(scrutiny));
        site.password = if kind.password == SitePassword::None { None } else { SitePassword::Known.secret() };
        site.extension = speaks_extension(scheduler.seed, number);
        site.compression = is_compressed(scheduler.seed, number);
        if (scheduler.seed / 2 + number as u64) % 2 == 1 {
            site.order = FetchOrder::FreshFirst;
        }
        if scale.rough {
            site.bwlimit = bwlimit(scheduler.seed / 3 + number as u64);
        }
        site.pipelining = is_sent_ahead(scheduler.seed, number);
        if scale.rough && scheduler.strikes(300_000) {
            site.round_limit = Duration::from_secs(5);
        }
        if scale.rough && scheduler.strikes(200_000) {
            site.delivery = Delivery::Move;
        }
        site
    };
    let sites = kinds.iter().enumerate().map(site).collect();
    let tight = scale.rough && scale.sites > 1 && scheduler.strikes(300_000);
    Settings {
        state_dir: Some(PathBuf::new()),
        bwlimit: if scale.rough { bwlimit(scheduler.seed / 5) } else { Timetable::OFF },
        durability: if scale.rough && scheduler.strikes(150_000) { Durability::None } else { Durability::Fsync },
        publish: if scale.rough && scheduler.chance.bool() { Publish::Paced } else { Publish::AtOnce },
        max_connections: if tight { 8 } else { 1024 },
        shutdown_timeout: Duration::from_secs(10),
        ..Settings::of_sites(sites)
    }
}

/// Whether the collector is to speak the extension where the server is ours: at three of four sites, or as `SIM_EXTENSION`
/// asks for.
fn speaks_extension(seed: u64, site: usize) -> bool {
    super::variable("SIM_EXTENSION").map_or((seed + site as u64) % 4 != 3, |switch| switch != 0)
}

/// Whether it is to ask for compression: at half of the sites, or as `SIM_COMPRESSION` asks for.
fn is_compressed(seed: u64, site: usize) -> bool {
    super::variable("SIM_COMPRESSION").map_or((seed / 2 + site as u64).is_multiple_of(2), |switch| switch != 0)
}

/// In every other life a limit, which is another one from some minute on. The model's day begins at midnight.
fn bwlimit(seed: u64) -> Timetable {
    let limit = ["off", "8K", "off", "64K", "off", "00:00,8K 00:01,off 00:02,16K", "off", "00:00,off 00:01,8K"];
    let count = limit.len() as u64;
    limit[usize::try_from(seed % count).expect("few limits")].parse().expect("a limit")
}

/// Whether commands are sent ahead to stock's server: at three of four sites, or as `SIM_PIPELINING` asks for.
fn is_sent_ahead(seed: u64, site: usize) -> bool {
    super::variable("SIM_PIPELINING").map_or((seed / 4 + site as u64) % 4 != 3, |switch| switch != 0)
}

/// Whether stock's server packs files: at three of four sites, or as `SIM_PACKING` asks for.
fn packs(seed: u64, site: usize) -> bool {
    super::variable("SIM_PACKING").map_or((seed / 32 + site as u64) % 4 != 3, |switch| switch != 0)
}

/// How many clients a stock server serves at once: at half of the sites fewer than the collector may come with.
fn places(seed: u64, site: usize) -> usize {
    [usize::MAX, 1, usize::MAX, 2][usize::try_from((seed / 16 + site as u64) % 4).expect("a few")]
}

fn populate(
    mut scheduler: Scheduler,
    disk: &Rc<RefCell<Disk>>,
    scale: Scale,
    kinds: &[Kind],
    settings: &Settings,
    dirs: &TestDirs,
) -> World {
    let is_lone = scale.sites == 1;
    let duration = Duration::from_secs(if is_lone { scheduler.chance.u64(60..240) } else { 90 });
    let until = scheduler.now + duration;
    scheduler.fault_rates = fault_rates(&mut scheduler, scale.rough);
    let mode = if scale.rough && scheduler.strikes(250_000) { Mode::Once } else { Mode::Forever };
    let pause = Duration::from_secs(if is_lone { scheduler.chance.u64(4..30) } else { 60 });
    let sites = kinds.iter().enumerate().map(|(number, kind)| {
        let mut buffer = kind.is_ours.then(|| buffer(&mut scheduler, number, scale.rough, dirs));
        if let Some(buffer) = &mut buffer {
            buffer.server.ask_for(kind.password.secret());
        }
        if scale.rough && buffer.is_some() {
            plan_site_trouble(&mut scheduler, number, duration);
        }
        if scale.rough && kind.password == SitePassword::Known && scheduler.chance.bool() {
            scheduler.plan_within(duration, SimEvent::ChangePassword { site: number, password: SitePassword::Other });
            scheduler.plan_within(duration, SimEvent::ChangePassword { site: number, password: SitePassword::Known });
        }
        Site {
            misbehavior: kind.misbehavior,
            acceptor: kind.acceptor(&dirs.pki),
            password: kind.password,
            reported: BTreeSet::new(),
            files: Files::new(),
            buffer,
            agents: Agents::new(pause, until),
            connections: settings.sites[number].connections,
            packs: packs(scheduler.seed, number),
            places: if scale.rough && kind.misbehavior.is_none() { places(scheduler.seed, number) } else { usize::MAX },
        }
    });
    let sites: Vec<Site> = sites.collect();
    for site in 0..sites.len() {
        let wait = scheduler.up_to(pause);
        scheduler.plan_in(wait, SimEvent::Write { site });
    }
    scheduler.plan_in(Duration::ZERO, SimEvent::Consume);
    if scale.rough {
        plan_trouble(&mut scheduler, duration);
    }
    scheduler.plan(until, SimEvent::Calm);
    let mut world = World::new(scheduler, Rc::clone(disk));
    let lies = |site: &Site| site.misbehavior == Some(Misbehavior::SizeUnder);
    world.oracle.bad = (0..sites.len()).filter(|&site| sites[site].misbehavior.is_some()).collect();
    world.oracle.liars = (0..sites.len()).filter(|&site| lies(&sites[site])).collect();
    let moves = |site: &SiteSettings| site.delivery == Delivery::Move;
    world.oracle.movers = (0..sites.len()).filter(|&site| moves(&settings.sites[site])).collect();
    let is_ahead = |site: &SiteSettings| site.pipelining && site.delivery == Delivery::Safe;
    world.oracle.ahead = (0..sites.len()).filter(|&site| is_ahead(&settings.sites[site])).collect();
    world.oracle.is_unflushed = settings.durability == Durability::None;
    disk.borrow_mut().durability = settings.durability;
    world.sites = sites;
    world.max_connections = settings.max_connections;
    world.budgets.key = world.scheduler.seed;
    if world.scheduler.chance.bool() {
        // A few names of each site, and no more.
        let scarce = Budget::new(0).with_least(SCARCE);
        world.budgets = Budgets { listed: scarce.clone(), remembered: scarce, ..world.budgets };
    }
    world.mode = mode;
    world
}

fn buffer(scheduler: &mut Scheduler, number: usize, rough: bool, dirs: &TestDirs) -> Buffer {
    // Whose name is taken waits until it is not.
    let overwrite = !rough || scheduler.chance.bool();
    let mut server = TestServer::new(&dirs.site(number), overwrite, scheduler.chance.u64(..));
    server.limits.idle_timeout = Duration::from_secs(*scheduler.chance.choice(&[4, 15]).expect("some"));
    Buffer::new(number, server)
}

fn plan_site_trouble(scheduler: &mut Scheduler, site: usize, duration: Duration) {
    for _ in 0..scheduler.chance.usize(..4) {
        let death = if scheduler.chance.bool() { Crash::Kill } else { Crash::PowerLoss };
        scheduler.plan_within(duration, SimEvent::SiteDies { site, death });
    }
    for _ in 0..scheduler.chance.usize(..4) {
        scheduler.plan_within(duration, SimEvent::SiteFault { site });
    }
}

fn fault_rates(scheduler: &mut Scheduler, rough: bool) -> FaultRates {
    let chance = &mut scheduler.chance;
    let mut one_of = |chances: &[u32]| if rough { *chance.choice(chances).expect("some") } else { 0 };
    let (cut, stall) = (one_of(&[0, 0, 1_000, 5_000, 30_000]), one_of(&[0, 0, 0, 2_000]));
    let (refuse, ignore) = (one_of(&[0, 50_000]), one_of(&[0, 0, 20_000]));
    let (spurious, lag) = (one_of(&[0, 10_000, 200_000]), one_of(&[0, 0, 300_000]));
    let latency = Duration::from_micros(*scheduler.chance.choice(&[100, 2_000, 30_000]).expect("some"));
    let disk = Duration::from_millis(*scheduler.chance.choice(&[1, 20, 300]).expect("some"));
    // By the seed alone.
    let bunch = if rough { [0, 20_000, 200_000][usize::try_from(scheduler.seed % 3).expect("a few")] } else { 0 };
    let damage =
        if rough { [0, 30_000, 0, 500_000][usize::try_from(scheduler.seed / 3 % 4).expect("a few")] } else { 0 };
    FaultRates { latency, cut, stall, refuse, ignore, spurious, lag, bunch, damage, disk }
}

fn plan_trouble(scheduler: &mut Scheduler, duration: Duration) {
    let deaths = scheduler.chance.usize(..5);
    let faults = if scheduler.chance.bool() { scheduler.chance.usize(..4) } else { 0 };
    let staging = if scheduler.strikes(300_000) { scheduler.chance.usize(..3) } else { 0 };
    let some = |scheduler: &mut Scheduler, count: usize, what: SimEvent| {
        for _ in 0..count {
            let at = scheduler.up_to(duration);
            scheduler.plan_in(at, what);
        }
    };
    for _ in 0..deaths {
        let death = if scheduler.chance.bool() { Crash::Kill } else { Crash::PowerLoss };
        some(scheduler, 1, SimEvent::Die(death));
    }
    some(scheduler, faults, SimEvent::DiskFault);
    some(scheduler, staging, SimEvent::StagingFault);
    for what in [SimEvent::Stop, SimEvent::Reload, SimEvent::RemoveSites] {
        let count = scheduler.chance.usize(..3);
        some(scheduler, count, what);
    }
}
