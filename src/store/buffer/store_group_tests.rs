use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter;
use std::rc::Rc;

use super::*;
use crate::proto::Fingerprint;
use crate::store::model::{Fault, ModelDisk, SPOOL, World};
use crate::store::spool::disk::Disk;

/// More steps than a whole life takes.
const STEPS: u32 = 60;
/// Seeds for each step.
const SEEDS: u64 = 12;

/// What clients ask for, in groups.
#[derive(Clone, Copy)]
enum Ask {
    /// Its next version.
    Send(&'static str, OnConflict),
    /// What is there when the group is put together.
    Take(&'static str),
}

use Ask::{Send, Take};
use OnConflict::{Refuse, Replace};

const LIFE: [&[Ask]; 5] = [
    &[Send("a", Replace), Send("b", Refuse), Send("a", Replace)],
    &[Take("a"), Send("a", Replace), Send("b", Refuse), Send("c", Refuse), Send("c", Refuse)],
    &[Send("c", Replace), Take("c"), Take("b")],
    &[Send("b", Refuse), Take("a"), Send("d", Replace)],
    &[Send("a", Replace)],
];

/// What was asked for so far.
struct Clients {
    world: Rc<RefCell<World>>,
    /// Every version that was sent, oldest first.
    sent: BTreeMap<&'static str, Vec<Fingerprint>>,
    /// The newest version that was answered with `Ok` and is not to be removed.
    promised: BTreeMap<&'static str, usize>,
}

impl Clients {
    fn task(&mut self, ask: Ask) -> Option<Task<(), StageId>> {
        let mut world = self.world.borrow_mut();
        match ask {
            Send(name, on_conflict) => {
                let versions = self.sent.entry(name).or_default();
                let bytes = Fingerprint::of(format!("{name} {}", versions.len()).as_bytes());
                versions.push(bytes);
                Some(Task::Store {
                    dir: (),
                    stage: world.stage(bytes),
                    name: name.parse().unwrap(),
                    on_conflict,
                    expected: None,
                })
            }
            Take(text) => {
                let name: FileName = text.parse().unwrap();
                let identity = world.find(&name)?;
                let version = self.sent[text].iter().position(|&bytes| bytes == world.read(identity));
                if self.promised.get(text) <= version.as_ref() {
                    self.promised.remove(text);
                }
                Some(Task::Remove { dir: (), name, identity })
            }
        }
    }

    /// Has the group carried out and takes note of the answers.
    fn ask(&mut self, group: &[Ask]) -> Vec<Outcome> {
        let before: BTreeMap<_, _> = self.sent.iter().map(|(&name, versions)| (name, versions.len())).collect();
        let asked: Vec<(Ask, Task<(), StageId>)> =
            group.iter().filter_map(|&ask| Some((ask, self.task(ask)?))).collect();
        let (asks, tasks): (Vec<Ask>, Vec<_>) = asked.into_iter().unzip();
        let outcomes = store(&mut ModelDisk(self.world.clone()), &tasks);
        assert_eq!(outcomes.len(), tasks.len());
        let mut version = before;
        for (ask, outcome) in asks.iter().zip(&outcomes) {
            if let Send(name, _) = ask {
                let next = version.entry(name).or_default();
                if outcome.is_ok() {
                    self.promised.insert(name, *next);
                }
                *next += 1;
            }
        }
        outcomes
    }

    /// Every name stands for a whole file, and nothing that was promised is missing.
    fn check(&self, scenario: &str) {
        let world = self.world.borrow();
        for (&name, versions) in &self.sent {
            let bytes = world.find(&name.parse().unwrap()).map(|file| world.read(file));
            let version = bytes.map(|bytes| versions.iter().position(|&sent| sent == bytes));
            assert_ne!(version, Some(None), "{scenario}: half of {name} is there");
            let (found, promised) = (version.flatten(), self.promised.get(name).copied());
            assert!(found >= promised, "{scenario}: {name} is {found:?}, not {promised:?}");
        }
    }
}

/// A new process sweeps what the last one has staged.
fn start(world: &Rc<RefCell<World>>) -> Result<(), StoreError> {
    world.borrow_mut().start();
    let mut disk = ModelDisk(world.clone());
    disk.leftovers(SPOOL)?.into_iter().try_for_each(|stage| Disk::discard(&mut disk, (SPOOL, stage)))
}

/// A whole life; whether all faults were met.
fn run(seed: u64, faults: &[(u32, Fault)]) -> bool {
    let world = Rc::new(RefCell::new(World::new(seed, faults)));
    let scenario = format!("seed {seed}, {faults:?}");
    let mut clients = Clients { world: world.clone(), sent: BTreeMap::new(), promised: BTreeMap::new() };
    start(&world).ok();
    for group in LIFE {
        clients.ask(group);
        // Some scenarios have a restart after each group.
        if world.borrow().is_down() || seed.is_multiple_of(2) {
            start(&world).ok();
        }
        clients.check(&scenario);
    }
    while start(&world).is_err() {}
    clients.check(&scenario);
    assert_eq!(world.borrow().staged(), 0, "{scenario}: leftovers");
    world.borrow().is_spent()
}

/// Runs a scenario for every step that `fault` can come at, and several more with `then` some steps later.
fn at_every_step(fault: Fault, then: &[Fault]) {
    let mut met = 0;
    for steps in 0..STEPS {
        for seed in 0..SEEDS {
            let mut chance = fastrand::Rng::with_seed(seed);
            let later = then.iter().map(|&fault| (chance.u32(..8), fault));
            met += usize::from(run(seed, &iter::once((steps, fault)).chain(later).collect::<Vec<_>>()));
        }
    }
    assert!(met > 100, "all faults were met in {met} lives only");
    assert!(!run(0, &[(STEPS, fault)]), "steps beyond {STEPS} go untested");
}

#[test]
fn without_faults_every_task_does_what_it_says() {
    let world = Rc::new(RefCell::new(World::new(0, &[])));
    let mut clients = Clients { world, sent: BTreeMap::new(), promised: BTreeMap::new() };
    let exists = |name: &str| Err(StoreError::Exists(name.into()));
    let (added, size) = (Ok(Change::Added), 3);
    let (replaced, removed) = (Ok(Change::Replaced(size)), Ok(Change::Removed(size)));
    let wanted = [
        vec![added.clone(), added.clone(), replaced.clone()],
        vec![removed.clone(), added.clone(), exists("b"), added.clone(), exists("c")],
        // The file of that name has another identity by now.
        vec![replaced, Ok(Change::Nothing), removed.clone()],
        vec![added.clone(), removed, added.clone()],
        vec![added],
    ];
    for (group, wanted) in LIFE.iter().zip(wanted) {
        assert_eq!(clients.ask(group), wanted);
        clients.check("no faults");
    }
}

#[test]
fn killed_at_any_step_what_was_promised_is_there_whole() {
    at_every_step(Fault::Kill, &[]);
    at_every_step(Fault::Kill, &[Fault::Kill]);
}

#[test]
fn without_power_at_any_step_what_was_promised_is_there_whole() {
    at_every_step(Fault::PowerLoss, &[]);
    at_every_step(Fault::Kill, &[Fault::PowerLoss]);
    at_every_step(Fault::PowerLoss, &[Fault::PowerLoss]);
}

#[test]
fn after_an_error_at_any_step_what_was_promised_is_there_whole() {
    at_every_step(Fault::Error, &[]);
    at_every_step(Fault::Error, &[Fault::PowerLoss]);
    at_every_step(Fault::Error, &[Fault::Error, Fault::Kill]);
}

#[test]
fn on_a_disk_that_breaks_at_any_step_what_was_promised_is_there_whole() {
    at_every_step(Fault::Broken, &[]);
    at_every_step(Fault::Broken, &[Fault::PowerLoss]);
}
