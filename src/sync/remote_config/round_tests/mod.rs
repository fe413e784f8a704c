//! Each rule of a round, at a site and a centre that nobody else changes, or where one thing changes amid a round.

mod adoption;
mod broken_off;
mod push;
mod removal;
mod take_up;
mod whole;

use std::sync::Arc;

use super::lock_step::LockStep;
use super::model::{Directory, Site, deletion};
use super::*;
use crate::proto::{Md5Sum, Refusal};

/// A site, the centre, and what was in step.
struct Scene {
    site: Site,
    directory: Directory,
    in_step: InStep,
    policy: RoundPolicy,
}

fn lock_step(centre: Arc<Centre>, in_step: InStep, policy: RoundPolicy) -> LockStep<ConfigRound> {
    LockStep::new(ConfigRound::new(centre, in_step, policy))
}

/// An agent's configuration.
fn agent(number: u32) -> Item {
    Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
}

fn collection() -> Item {
    Item::collection("fc_1").unwrap()
}

/// A configuration that asks for the collection.
const ASKING: &[u8] = b"new\nfile_collection fc_1\n";

impl Scene {
    fn new() -> Self {
        let policy =
            RoundPolicy { rotation: 0, deletions: Ok(()), allowance: Allowance::ALL, named: 9, mode: Mode::Apply };
        Self { site: Site::new(), directory: Directory::default(), in_step: InStep::default(), policy }
    }

    fn at_site(&mut self, item: &Item, content: &[u8]) {
        self.site.put(&item.content_name().to_string(), content).unwrap();
        self.site.put(&item.md5_name().to_string(), md5_text(Md5Sum::of(content).md5).as_bytes()).unwrap();
    }

    /// Both have it, and that was seen.
    fn both(&mut self, item: &Item, content: &[u8]) {
        self.at_site(item, content);
        self.directory.set(item, content);
        self.in_step.insert(item.clone(), Md5Sum::of(content).md5);
    }

    /// The site has it, the centre another one, and it is the site's.
    fn edited(&mut self, item: &Item, old: &[u8], new: &[u8]) {
        self.at_site(item, old);
        self.directory.set(item, new);
        self.in_step.own(item.clone());
    }

    fn delete_at_centre(&mut self, item: &Item) {
        for change in deletion(item) {
            self.directory.apply(change);
        }
    }

    /// Runs a round, in which `before` sees each step before it is carried out. Returns the steps.
    fn run_with(&mut self, mut before: impl FnMut(usize, &mut Site, &mut Directory)) -> (Vec<String>, ConfigReport) {
        let mut round = lock_step(Arc::new(self.directory.scan()), self.in_step.clone(), self.policy.clone());
        let mut steps = Vec::new();
        while let Some(step) = round.next_step() {
            before(steps.len(), &mut self.site, &mut self.directory);
            let outcome = match &step {
                ConfigStep::Do(step) => self.site.carry_out(step),
                ConfigStep::Ask(step) => self.directory.carry_out(step),
            };
            steps.push(shown(&step));
            round.after(outcome);
        }
        let (in_step, report) = round.steps.finished();
        self.in_step = in_step;
        (steps, report)
    }

    fn run(&mut self) -> (Vec<String>, ConfigReport) {
        self.run_with(|_, _, _| {})
    }

    #[track_caller]
    fn assert_same(&self, item: &Item, content: &[u8]) {
        assert_eq!(self.site.pair(item), Some(content));
        assert_eq!(self.directory.current(item), Some(content));
        assert_eq!(self.in_step.get(item), Some(Md5Sum::of(content).md5));
    }
}

/// The verb, and what follows the last dot of the name.
fn shown(step: &ConfigStep) -> String {
    let (verb, name) = match step {
        ConfigStep::Do(SiteStep::List) => return "list".to_owned(),
        ConfigStep::Do(SiteStep::Fetch { name }) => ("fetch", name.to_string()),
        ConfigStep::Do(SiteStep::Compare { name }) => ("compare", name.to_string()),
        ConfigStep::Do(SiteStep::Store { name, .. }) => ("store", name.to_string()),
        ConfigStep::Do(SiteStep::Delete { name, .. }) => ("delete", name.to_string()),
        ConfigStep::Ask(CentreStep::Owner { item }) => ("owner", item.to_string()),
        ConfigStep::Ask(CentreStep::Claim { item }) => ("claim", item.to_string()),
        ConfigStep::Ask(CentreStep::Read { item }) => ("read", item.to_string()),
        ConfigStep::Ask(CentreStep::Publish { item, .. }) => ("publish", item.to_string()),
        ConfigStep::Ask(CentreStep::Confirm { item }) => ("confirm", item.to_string()),
    };
    format!("{verb} {}", name.rsplit('.').next().unwrap())
}

fn pushed(item: Item, reason: PushReason) -> Named<Pushed> {
    Named { count: 1, first: vec![Pushed { item, reason }] }
}

fn one<T>(value: T) -> Named<T> {
    Named { count: 1, first: vec![value] }
}

const PUSH: [&str; 5] = ["read conf", "store conf", "compare conf", "store md5", "compare md5"];
