//! A seed becomes a world, and a collector lives in it: dies, is started again, and in the end has everything.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::agents::Agents;
use super::buffer::Buffer;
use super::fate::{Death, Fate, Trace, Weather, What};
use super::papers::{Papers, Scrutiny};
use super::server::{Files, Lock, MISCHIEF, Mischief};
use super::tally::Tally;
use super::wire::Wire;
use super::world::{FIRST_PORT, RELOAD, Site, THIN, World};
use crate::budget::Budget;
use crate::config::{Settings, SiteSettings, defaults};
use crate::role::collect::RoundReport;
use crate::role::collect::collector::{Budgets, Collector, Deps, Limits, Mode};
use crate::role::collect::commit_queue::CommitQueue;
use crate::role::collect::resources::open_all;
use crate::role::server::test_server::{TestServer, memory_dir};
use crate::store::model::{ModelCommitter, World as Disk, fail_staging};
use crate::store::{Durability, Publish, Spool};
use crate::sync::{Delivery, Schedule};
use crate::tls::Acceptor;

/// Bytes of the memory that each site has where there is little.
const SCARCE: u64 = 1_000;

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
pub(super) struct Place {
    dir: tempfile::TempDir,
    /// Where sites with our server have their storage.
    sites: tempfile::TempDir,
    spools: HashMap<PathBuf, Spool>,
    pub(super) papers: Papers,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let spool = Spool::open(&path).unwrap();
        Self { spools: HashMap::from([(path, spool)]), dir, sites: memory_dir(), papers: Papers::new() }
    }

    /// Where a site's server is to store.
    pub(super) fn site(&self, number: usize) -> PathBuf {
        self.sites.path().join(number.to_string())
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Lives the life of `seed`; panics where something does not hold that must.
pub(super) fn live(seed: u64, scale: Scale, place: &Place, trace: Trace) -> Tally {
    // Another life on this thread may have come to a bad end.
    fail_staging(None);
    let mut fate = Fate::new(seed, trace);
    let kinds = kinds(&mut fate, scale);
    let settings = settings(&mut fate, scale, &kinds, place);
    let disk = Rc::new(RefCell::new(Disk::new(seed, &[])));
    let world = Rc::new(RefCell::new(populate(fate, &disk, scale, &kinds, &settings, place)));
    while !run(&world, &disk, &settings, place) {
        let wait = world.borrow_mut().fate.up_to(Duration::from_secs(20));
        world.borrow_mut().idle(wait);
    }
    // Whatever is left of failures is swept at the next start.
    let left = world.borrow_mut().publish_what_is_left(settings.publish);
    assert_eq!(left, 0, "seed {seed}: staged files are left");
    let World { ledger, fate, sites, .. } = &mut *world.borrow_mut();
    ledger.close(fate);
    for site in sites.iter() {
        check_told(site, scale.rough, fate);
    }
    ledger.tally
}

/// What the collector says of a site is what there is to say: of one that is not what it is said to be, that; of a sound
/// one where all goes well, nothing, but for agents that write over what stock is about to send.
fn check_told(site: &Site, rough: bool, fate: &Fate) {
    let Site { mischief, told, .. } = site;
    if let Some(reason) = mischief.and_then(Mischief::must_be_told)
        && !told.contains(reason)
    {
        fate.violated(format_args!("of a site with {mischief:?} {told:?} is told, and not {reason}"));
    }
    let is_sound = !rough && mischief.is_none();
    if is_sound && told.iter().any(|reason| !["truncated", "protocol"].contains(reason)) {
        fate.violated(format_args!("of a sound site {told:?} is told"));
    }
}

/// One process, from its start to its end; whether that was the last.
pub(super) fn run(world: &Rc<RefCell<World>>, disk: &Rc<RefCell<Disk>>, settings: &Settings, place: &Place) -> bool {
    let now = world.borrow().fate.now;
    let started = ModelCommitter::start(disk, settings.publish, now);
    {
        let World { ledger, fate, .. } = &mut *world.borrow_mut();
        fate.note(|| format!("a process starts: {:?}", started.as_ref().map(|(_, outstanding)| outstanding.len())));
        let placed = disk.borrow_mut().placed();
        ledger.published(placed, fate);
    }
    let Ok((committer, outstanding)) = started else {
        let death = world.borrow().disk_death();
        world.borrow_mut().bury(death);
        return false;
    };
    world.borrow_mut().process.committer = Some(committer);
    world.borrow_mut().go_on_publishing();
    let wire = Wire(Rc::clone(world));
    let mut spools = place.spools.clone();
    let opened = open_all(settings, &mut spools);
    let means = Deps {
        net: Box::new(wire.clone()),
        commit_queue: CommitQueue::new(Box::new(wire), settings.max_spool),
        outstanding,
        spools,
        budgets: world.borrow().budgets.clone(),
        state_dir: PathBuf::new(),
    };
    let mode = world.borrow().mode;
    let limits = Limits { mode, max_connections: settings.max_connections };
    let schedule = Schedule::new(world.borrow_mut().fate.chance.u64(..));
    let listener = Rc::clone(world);
    let observer = Box::new(move |report: &RoundReport| listener.borrow_mut().hear(report));
    let collector = Collector::with(means, opened, limits, schedule, observer);
    let outcome = collector.run(settings.shutdown_timeout, |collector, signal| {
        let settings = match signal {
            RELOAD => settings.clone(),
            THIN => thinned(settings, &mut world.borrow_mut().fate),
            _ => return false,
        };
        collector.reload(&settings);
        true
    });
    let mut death = world.borrow_mut().death.take();
    death = death.or(world.borrow().disk_death());
    world.borrow_mut().bury(death);
    outcome.is_ok() && death.is_none() && world.borrow().is_over
}

/// Without some of the sites, or all.
fn thinned(settings: &Settings, fate: &mut Fate) -> Settings {
    let mut settings = settings.clone();
    settings.sites.retain(|_| fate.chance.bool());
    fate.note(|| format!("{} sites stay in the configuration", settings.sites.len()));
    settings
}

/// What kind of site.
struct Kind {
    mischief: Option<Mischief>,
    is_ours: bool,
    /// Where TLS is spoken.
    tls: Option<Scrutiny>,
    lock: Lock,
}

impl Kind {
    /// Among many sites few speak TLS: a handshake costs time.
    fn new(fate: &mut Fate, is_bad: bool, is_lone: bool) -> Self {
        let mischief = is_bad.then(|| *fate.chance.choice(&MISCHIEF).expect("some"));
        let speaks_tls = fate.strikes(if is_lone { 400_000 } else { 200_000 });
        let scrutiny = if fate.strikes(300_000) { Scrutiny::Clients } else { Scrutiny::None };
        let tls = (speaks_tls || mischief == Some(Mischief::Impostor)).then_some(scrutiny);
        let has_password = fate.strikes(300_000);
        let lock = match mischief {
            Some(Mischief::OtherPassword) => Lock::Other,
            _ if has_password => Lock::Known,
            _ => Lock::None,
        };
        Self { mischief, is_ours: fate.chance.bool() && !is_bad, tls, lock }
    }

    fn acceptor(&self, papers: &Papers) -> Option<Acceptor> {
        self.tls.map(|scrutiny| match self.mischief {
            Some(Mischief::Impostor) => papers.impostor(),
            _ if self.is_ours => papers.ours(scrutiny),
            _ => papers.stock(scrutiny),
        })
    }
}

fn kinds(fate: &mut Fate, scale: Scale) -> Vec<Kind> {
    (0..scale.sites).map(|number| Kind::new(fate, number < scale.bad, scale.sites == 1)).collect()
}

fn settings(fate: &mut Fate, scale: Scale, kinds: &[Kind], place: &Place) -> Settings {
    let interval =
        Duration::from_secs(if scale.rough { *fate.chance.choice([&1, &3, &30]).expect("some") } else { 30 });
    let connections = if scale.rough { fate.chance.usize(1..5) } else { 2 };
    let site = |(number, kind): (usize, &Kind)| {
        let mut site = SiteSettings::new(format!("site{number}"), format!("site{number}.example"));
        site.port = FIRST_PORT + u16::try_from(number).expect("few sites");
        site.incoming_dir = place.path().to_owned();
        site.interval = interval;
        site.connections = connections;
        site.tls = kind.tls.map(|scrutiny| place.papers.settings(scrutiny));
        site.password = if kind.lock == Lock::None { None } else { Lock::Known.secret() };
        if scale.rough && fate.strikes(300_000) {
            site.round_limit = Duration::from_secs(5);
        }
        if scale.rough && fate.strikes(200_000) {
            site.delivery = Delivery::Move;
        }
        site
    };
    let sites = kinds.iter().enumerate().map(site).collect();
    let tight = scale.rough && scale.sites > 1 && fate.strikes(300_000);
    Settings {
        state_dir: PathBuf::new(),
        durability: if scale.rough && fate.strikes(150_000) { Durability::None } else { Durability::Fsync },
        publish: if scale.rough && fate.chance.bool() { Publish::Paced } else { Publish::AtOnce },
        max_spool: defaults::MAX_SPOOL,
        max_connections: if tight { 8 } else { 1024 },
        shutdown_timeout: Duration::from_secs(10),
        sites,
        warnings: Vec::new(),
    }
}

fn populate(
    mut fate: Fate,
    disk: &Rc<RefCell<Disk>>,
    scale: Scale,
    kinds: &[Kind],
    settings: &Settings,
    place: &Place,
) -> World {
    let is_lone = scale.sites == 1;
    let life = Duration::from_secs(if is_lone { fate.chance.u64(60..240) } else { 90 });
    let until = fate.now + life;
    fate.weather = weather(&mut fate, scale.rough);
    let mode = if scale.rough && fate.strikes(250_000) { Mode::Once } else { Mode::Forever };
    let pause = Duration::from_secs(if is_lone { fate.chance.u64(4..30) } else { 60 });
    let sites = kinds.iter().enumerate().map(|(number, kind)| {
        let mut buffer = kind.is_ours.then(|| buffer(&mut fate, number, scale.rough, place));
        if let Some(buffer) = &mut buffer {
            buffer.server.ask_for(kind.lock.secret());
        }
        if scale.rough && buffer.is_some() {
            plan_site_trouble(&mut fate, number, life);
        }
        if scale.rough && kind.lock == Lock::Known && fate.chance.bool() {
            fate.plan_within(life, What::Relock { site: number, lock: Lock::Other });
            fate.plan_within(life, What::Relock { site: number, lock: Lock::Known });
        }
        Site {
            mischief: kind.mischief,
            acceptor: kind.acceptor(&place.papers),
            lock: kind.lock,
            told: BTreeSet::new(),
            files: Files::new(),
            buffer,
            agents: Agents::new(pause, until),
            connections: settings.sites[number].connections,
        }
    });
    let sites: Vec<Site> = sites.collect();
    for site in 0..sites.len() {
        let wait = fate.up_to(pause);
        fate.plan_in(wait, What::Write { site });
    }
    fate.plan_in(Duration::ZERO, What::Consume);
    if scale.rough {
        plan_trouble(&mut fate, life);
    }
    fate.plan(until, What::Calm);
    let mut world = World::new(fate, Rc::clone(disk));
    let lies = |site: &Site| site.mischief == Some(Mischief::SizeUnder);
    world.ledger.bad = (0..sites.len()).filter(|&site| sites[site].mischief.is_some()).collect();
    world.ledger.liars = (0..sites.len()).filter(|&site| lies(&sites[site])).collect();
    let moves = |site: &SiteSettings| site.delivery == Delivery::Move;
    world.ledger.movers = (0..sites.len()).filter(|&site| moves(&settings.sites[site])).collect();
    world.ledger.is_unflushed = settings.durability == Durability::None;
    disk.borrow_mut().durability = settings.durability;
    world.sites = sites;
    world.max_connections = settings.max_connections;
    if world.fate.chance.bool() {
        // A few names of each site, and no more.
        let scarce = Budget::new(0).with_least(SCARCE);
        world.budgets = Budgets { listed: scarce.clone(), remembered: scarce };
    }
    world.mode = mode;
    world
}

fn buffer(fate: &mut Fate, number: usize, rough: bool, place: &Place) -> Buffer {
    // Whose name is taken waits until it is not.
    let overwrite = !rough || fate.chance.bool();
    let mut server = TestServer::new(&place.site(number), overwrite, fate.chance.u64(..));
    server.limits.idle_timeout = Duration::from_secs(*fate.chance.choice(&[4, 15]).expect("some"));
    Buffer::new(number, server)
}

fn plan_site_trouble(fate: &mut Fate, site: usize, life: Duration) {
    for _ in 0..fate.chance.usize(..4) {
        let death = if fate.chance.bool() { Death::Kill } else { Death::PowerLoss };
        fate.plan_within(life, What::SiteDies { site, death });
    }
    for _ in 0..fate.chance.usize(..4) {
        fate.plan_within(life, What::SiteFault { site });
    }
}

fn weather(fate: &mut Fate, rough: bool) -> Weather {
    let chance = &mut fate.chance;
    let mut one_of = |chances: &[u32]| if rough { *chance.choice(chances).expect("some") } else { 0 };
    let (cut, stall) = (one_of(&[0, 0, 1_000, 5_000, 30_000]), one_of(&[0, 0, 0, 2_000]));
    let (refuse, ignore) = (one_of(&[0, 50_000]), one_of(&[0, 0, 20_000]));
    let (spurious, lag) = (one_of(&[0, 10_000, 200_000]), one_of(&[0, 0, 300_000]));
    let latency = Duration::from_micros(*fate.chance.choice(&[100, 2_000, 30_000]).expect("some"));
    let disk = Duration::from_millis(*fate.chance.choice(&[1, 20, 300]).expect("some"));
    Weather { latency, cut, stall, refuse, ignore, spurious, lag, disk }
}

fn plan_trouble(fate: &mut Fate, life: Duration) {
    let deaths = fate.chance.usize(..5);
    let faults = if fate.chance.bool() { fate.chance.usize(..4) } else { 0 };
    let staging = if fate.strikes(300_000) { fate.chance.usize(..3) } else { 0 };
    let some = |fate: &mut Fate, count: usize, what: What| {
        for _ in 0..count {
            let at = fate.up_to(life);
            fate.plan_in(at, what);
        }
    };
    for _ in 0..deaths {
        let death = if fate.chance.bool() { Death::Kill } else { Death::PowerLoss };
        some(fate, 1, What::Die(death));
    }
    some(fate, faults, What::DiskFault);
    some(fate, staging, What::StagingFault);
    for what in [What::Stop, What::Reload, What::Thin] {
        let count = fate.chance.usize(..3);
        some(fate, count, what);
    }
}
