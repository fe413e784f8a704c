//! What there is to do in a round, made of a listing.

use std::collections::{BTreeSet, VecDeque};

use super::push::Push;
use super::removal::Removal;
use super::report::{ItemResult, PushReason};
use super::round::RoundPolicy;
use super::task::Task;
use super::{Centre, CentreItem, InStep, Item, ItemKind, Listed};
use crate::proto::Md5Sum;

/// What there is to do, in its order.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// In step, and compared because it is their turn. They come first: however often connections die over what follows, all
    /// items have their turn.
    turns: VecDeque<(Item, Task)>,
    changes: VecDeque<(Item, Task)>,
}

/// What is done about an item.
enum Verdict {
    Do(Task),
    /// Nothing.
    Done(ItemResult),
    /// Nothing, unless it is its turn: the site lists it, and it was in step with what the centre has.
    Trust(Md5Sum),
}

impl Agenda {
    /// Also returns what is settled without a step.
    pub(super) fn new(
        centre: &Centre,
        in_step: &InStep,
        listed: &Listed,
        policy: &RoundPolicy,
    ) -> (Self, Vec<(Item, ItemResult)>) {
        let mut trusted = Vec::new();
        let mut changes = Vec::new();
        let mut settled = Vec::new();
        for item in items(centre, in_step, listed) {
            let is_listed = listed.items().contains(item);
            match judge(item, centre.items.get(item), in_step.get(item), is_listed, policy) {
                Verdict::Do(task) => changes.push((item.clone(), task)),
                Verdict::Done(result) => settled.push((item.clone(), result)),
                Verdict::Trust(fingerprint) => trusted.push((item.clone(), fingerprint)),
            }
        }
        begin_after(&mut changes, in_step.last_begun.as_ref());
        begin_after(&mut trusted, in_step.last_compared.as_ref());
        let others = trusted.split_off(policy.rotation.min(trusted.len()));
        settled.extend(others.into_iter().map(|(item, centre)| (item, ItemResult::InStep(centre.md5))));
        let turns = trusted.into_iter().map(|(item, centre)| (item, Task::Check { centre })).collect();
        (Self { turns, changes: changes.into() }, settled)
    }

    /// Takes out the next, which counts as begun from now on.
    pub(super) fn next(&mut self, in_step: &mut InStep) -> Option<(Item, Task)> {
        if let Some((item, task)) = self.turns.pop_front() {
            in_step.last_compared = Some(item.clone());
            return Some((item, task));
        }
        let (item, task) = self.changes.pop_front()?;
        in_step.last_begun = Some(item.clone());
        Some((item, task))
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len() + self.changes.len()
    }
}

/// The items of the site, in their order: the configurations that it lists or that were in step, the collections that those
/// ask for, and what was in step and is missing at the centre.
fn items<'a>(centre: &'a Centre, in_step: &'a InStep, listed: &'a Listed) -> BTreeSet<&'a Item> {
    let known = in_step.iter().map(|(item, _)| item);
    let is_configuration = |item: &&Item| item.kind() == ItemKind::Configuration;
    let mut items: BTreeSet<&Item> = listed.items().iter().chain(known.clone()).filter(is_configuration).collect();
    let configurations = items.iter().filter_map(|item| centre.items.get(*item));
    let wanted: BTreeSet<&Item> =
        configurations.flat_map(|item| &item.collections).filter(|item| centre.items.contains_key(*item)).collect();
    items.extend(wanted);
    items.extend(known.filter(|item| !centre.items.contains_key(*item)));
    items
}

fn judge(
    item: &Item,
    centre: Option<&CentreItem>,
    in_step: Option<[u8; 16]>,
    is_listed: bool,
    policy: &RoundPolicy,
) -> Verdict {
    match (centre.map(CentreItem::current), in_step) {
        (Some(None), _) => Verdict::Done(ItemResult::Unfit),
        (Some(Some(_)), _) if !is_listed => Verdict::Do(Task::Push(Push::new(PushReason::Missing, None))),
        (Some(Some(centre)), Some(md5)) if centre.md5 == md5 => Verdict::Trust(centre),
        (Some(Some(centre)), _) => Verdict::Do(Task::Check { centre }),
        (None, Some(_)) if policy.deletions.is_err() => Verdict::Done(ItemResult::Withheld),
        (None, in_step) if is_listed => Verdict::Do(Task::Inspect { in_step }),
        (None, Some(md5)) if item.kind() == ItemKind::Collection => {
            Verdict::Do(Task::Removal(Removal::of_content(md5)))
        }
        (None, _) => Verdict::Done(ItemResult::Forgotten),
    }
}

/// Turns sorted items so that the first one after `last` comes first.
fn begin_after<T>(items: &mut [(Item, T)], last: Option<&Item>) {
    let start = items.partition_point(|(item, _)| Some(item) <= last);
    items.rotate_left(start);
}
