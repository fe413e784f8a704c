//! What there is to do in a round, made of a listing.

use std::collections::{BTreeSet, VecDeque};

use super::adoption::Adoption;
use super::broken_off::BrokenOff;
use super::push::Push;
use super::removal::Removal;
use super::report::{ItemResult, Owner, PushReason};
use super::round::RoundPolicy;
use super::task::Task;
use super::{Centre, CentreItem, InStep, Item, ItemKind, Listed};
use crate::proto::Md5Sum;

/// What there is to do, in its order.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Compared because it is their turn. They come first: however often connections die over what follows, all
    /// items have their turn.
    turns: VecDeque<(Item, Task)>,
    changes: VecDeque<(Item, Task)>,
    last_turn: Option<Item>,
    last_change: Option<Item>,
}

/// Why something is done about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is its turn to be compared.
    Turn,
    Change,
}

/// What is done about an item.
enum Verdict {
    Do(Task),
    /// Nothing.
    Done(ItemResult),
    /// This if it is its turn; otherwise nothing.
    Turn(Task, ItemResult),
}

impl Agenda {
    /// Also returns what is settled without a step.
    pub(super) fn new(
        centre: &Centre,
        in_step: &InStep,
        listed: &Listed,
        policy: &RoundPolicy,
    ) -> (Self, Vec<(Item, ItemResult)>) {
        let mut turns = Vec::new();
        let mut changes = Vec::new();
        let mut settled = Vec::new();
        let wanted = in_step.wanted(centre);
        for item in items(centre, in_step, listed, &wanted) {
            let is_listed = listed.items().contains(item);
            let centre = centre.items.get(item);
            let verdict = match item.kind() {
                ItemKind::Configuration if !in_step.owns(item) => judge_foreign(centre, in_step.is_unclaimed(item)),
                ItemKind::Collection if !wanted.contains(item) => {
                    judge_unwanted(item, centre, in_step, is_listed, policy)
                }
                _ => judge(item, centre, in_step, is_listed, policy),
            };
            match verdict {
                Verdict::Do(task) => changes.push((item.clone(), task)),
                Verdict::Done(result) => settled.push((item.clone(), result)),
                Verdict::Turn(task, otherwise) => turns.push((item.clone(), (task, otherwise))),
            }
        }
        begin_after(&mut changes, in_step.last_begun.as_ref());
        begin_after(&mut turns, in_step.last_compared.as_ref());
        let others = turns.split_off(policy.rotation.min(turns.len()));
        settled.extend(others.into_iter().map(|(item, (_, otherwise))| (item, otherwise)));
        let turns = turns.into_iter().map(|(item, (task, _))| (item, task)).collect();
        (Self { turns, changes: changes.into(), ..Self::default() }, settled)
    }

    /// Takes out the next, which counts as begun from now on.
    pub(super) fn next(&mut self) -> Option<(Item, Task, Part)> {
        let (queue, last, part) = if self.turns.is_empty() {
            (&mut self.changes, &mut self.last_change, Part::Change)
        } else {
            (&mut self.turns, &mut self.last_turn, Part::Turn)
        };
        let (item, task) = queue.pop_front()?;
        *last = Some(item.clone());
        Some((item, task, part))
    }

    /// The last that was taken out of this part.
    pub(super) fn last(&self, part: Part) -> Option<&Item> {
        match part {
            Part::Turn => self.last_turn.as_ref(),
            Part::Change => self.last_change.as_ref(),
        }
    }

    /// Nothing more is taken out.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
        self.changes.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len() + self.changes.len()
    }
}

/// The items of the site, in their order: the configurations that it lists or owns, the collections that are `wanted`, those of
/// which agents may get a part, and what the site has from the centre and is missing there.
fn items<'a>(
    centre: &'a Centre,
    in_step: &'a InStep,
    listed: &'a Listed,
    wanted: &BTreeSet<&'a Item>,
) -> BTreeSet<&'a Item> {
    let known = in_step.standings().map(|(item, _)| item);
    let is_configuration = |item: &&Item| item.kind() == ItemKind::Configuration;
    let mut items: BTreeSet<&Item> = listed.items().iter().chain(known.clone()).filter(is_configuration).collect();
    items.extend(wanted);
    let is_partial = |item: &Item| in_step.is_broken_off(item) && listed.items().contains(item);
    items.extend(known.filter(|item| !centre.items.contains_key(*item) || is_partial(item)));
    items
}

fn judge(item: &Item, centre: Option<&CentreItem>, in_step: &InStep, is_listed: bool, policy: &RoundPolicy) -> Verdict {
    match (centre.map(CentreItem::current), in_step.get(item)) {
        (Some(None), _) => Verdict::Done(ItemResult::Unfit),
        (Some(Some(_)), _) if !is_listed => Verdict::Do(Task::Push(Push::new(PushReason::Missing, None))),
        (Some(Some(centre)), Some(md5)) if centre.md5 == md5 => {
            Verdict::Turn(Task::Check { centre }, ItemResult::InStep(md5))
        }
        (Some(Some(centre)), _) => Verdict::Do(Task::Check { centre }),
        (None, _) if policy.deletions.is_err() => Verdict::Done(ItemResult::Withheld),
        (None, _) if is_listed => Verdict::Do(Task::Inspect { contents: in_step.contents(item) }),
        (None, _) if item.kind() == ItemKind::Collection => {
            Verdict::Do(Task::Removal(Removal::of_content(in_step.contents(item))))
        }
        (None, _) => Verdict::Done(ItemResult::Forgotten),
    }
}

/// What is done about a collection that no agent of the site is to have any more. Where its sending broke off, that goes on as
/// long as the centre has what was sent then.
fn judge_unwanted(
    item: &Item,
    centre: Option<&CentreItem>,
    in_step: &InStep,
    is_listed: bool,
    policy: &RoundPolicy,
) -> Verdict {
    let is_another = |current: &Md5Sum| !in_step.contents(item).contains(&current.md5);
    match centre.and_then(CentreItem::current).filter(is_another) {
        Some(_) => Verdict::Do(Task::BrokenOff(BrokenOff::new(in_step.contents(item)))),
        None => judge(item, centre, in_step, is_listed, policy),
    }
}

/// What is done about a configuration that the site lists and does not own.
fn judge_foreign(centre: Option<&CentreItem>, is_unclaimed: bool) -> Verdict {
    let ask = |centre| Task::Adoption(Adoption::Ask { centre });
    let Some(centre) = centre else { return Verdict::Do(ask(None)) };
    match centre.current() {
        None => Verdict::Done(ItemResult::Unfit),
        current if is_unclaimed => Verdict::Turn(ask(current), ItemResult::Foreign(Owner::Nobody)),
        current => Verdict::Do(ask(current)),
    }
}

/// Turns sorted items so that the first one after `last` comes first.
fn begin_after<T>(items: &mut [(Item, T)], last: Option<&Item>) {
    let start = items.partition_point(|(item, _)| Some(item) <= last);
    items.rotate_left(start);
}
