//! What is done about one item.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::adoption::Adoption;
use super::broken_off::BrokenOff;
use super::md5_file::{md5_text, parse_md5};
use super::push::Push;
use super::removal::Removal;
use super::report::{EndedEarly, ItemResult, PushReason};
use super::step::{CentreStep, ConfigStep, SiteStep, StepOutcome};
use super::{Item, ItemKind, Sums};
use crate::proto::{Md5Sum, Refusal};

/// What is done about one item, and which step of it is next.
#[derive(Debug)]
pub(super) enum Task {
    /// Is it to be the site's?
    Adoption(Adoption),
    /// Fetches the site's `.md5` file of what the centre has.
    Check { centre: Md5Sum },
    /// The `.md5` files are the same: compares the content.
    CheckContent { centre: Md5Sum, at_site: Md5File },
    /// Sends it to the site.
    Push(Push),
    /// Fetches the site's `.md5` file of what the centre lacks: is it the centre's, whose contents had these MD5s, it is to be
    /// deleted.
    Inspect { contents: BTreeSet<[u8; 16]> },
    /// Fetches the content of an agent's upload.
    TakeUp { md5: [u8; 16] },
    /// Publishes it at the centre.
    Publish { content: Arc<[u8]>, md5: [u8; 16] },
    /// Deletes it at the site.
    Removal(Removal),
    /// Sees that agents get no part of it.
    BrokenOff(BrokenOff),
}

/// A site's `.md5` file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Md5File {
    /// The MD5 it gives.
    pub(super) md5: [u8; 16],
    /// Of its own bytes.
    pub(super) file: Sums,
}

/// What comes after a step of a task.
#[derive(Debug)]
pub(super) enum Next {
    /// This.
    Then(Task),
    /// Nothing: that is what has become of the item.
    Done(ItemResult),
    /// Nothing, for the others neither.
    End(EndedEarly),
}

impl Task {
    pub(super) fn step(&self, item: &Item) -> ConfigStep {
        ConfigStep::Do(match self {
            Self::Check { .. } | Self::Inspect { .. } => SiteStep::Fetch { name: item.md5_name() },
            Self::CheckContent { .. } => SiteStep::Compare { name: item.content_name() },
            Self::TakeUp { .. } => SiteStep::Fetch { name: item.content_name() },
            Self::Publish { content, .. } => {
                return ConfigStep::Ask(CentreStep::Publish { item: item.clone(), content: Arc::clone(content) });
            }
            Self::Adoption(adoption) => return adoption.step(item),
            Self::Push(push) => return push.step(item),
            Self::Removal(removal) => return removal.step(item),
            Self::BrokenOff(broken_off) => return broken_off.step(item),
        })
    }

    /// An outcome that is none of the step's leaves the item for the next round.
    pub(super) fn after(self, outcome: StepOutcome, item: &Item) -> Next {
        let kind = item.kind();
        match (self, outcome) {
            (Self::Check { centre }, StepOutcome::Fetched(file)) => {
                Next::Then(check(centre, Md5File::read(file.as_deref())))
            }
            (Self::CheckContent { centre, .. }, StepOutcome::Compared(Some(content))) if content.md5 == centre => {
                Next::Done(ItemResult::InStep(centre.md5))
            }
            (Self::CheckContent { at_site, .. }, StepOutcome::Compared(_)) => {
                Next::Then(Self::Push(Push::new(PushReason::OtherContent, Some(at_site))))
            }
            (Self::Inspect { contents }, StepOutcome::Fetched(Some(file))) => inspect(kind, contents, &file),
            (Self::TakeUp { md5 }, StepOutcome::Fetched(Some(content)))
                if !content.is_empty() && Md5Sum::of(&content).md5 == md5 =>
            {
                Next::Then(Self::Adoption(Adoption::ClaimUpload { content, md5 }))
            }
            (Self::Publish { md5, .. }, StepOutcome::Published(Ok(()))) => Next::Done(ItemResult::TakenUp(md5)),
            (Self::Publish { .. }, StepOutcome::Published(Err(error))) => Next::Done(ItemResult::Unpublished(error)),
            (Self::Adoption(adoption), outcome) => adoption.after(outcome),
            (Self::Push(push), outcome) => push.after(outcome, kind),
            (Self::Removal(removal), outcome) => removal.after(outcome, item),
            (Self::BrokenOff(broken_off), outcome) => broken_off.after(outcome),
            _ => Next::Done(ItemResult::Waiting),
        }
    }

    /// The MD5 of a content that the site will not have, as it has refused it for this reason.
    pub(super) fn refused(&self, refusal: &Refusal) -> Option<[u8; 16]> {
        match self {
            Self::Push(push) => push.refused(refusal),
            _ => None,
        }
    }

    /// Bytes of a content that it holds.
    pub(super) fn held(&self) -> u64 {
        match self {
            Self::Push(push) => push.held(),
            Self::Publish { content, .. } | Self::Adoption(Adoption::ClaimUpload { content, .. }) => {
                content.len() as u64
            }
            _ => 0,
        }
    }

    /// Whether its next step brings a content that it holds from then on.
    pub(super) fn brings_content(&self) -> bool {
        matches!(self, Self::TakeUp { .. } | Self::Push(Push::Read { .. }))
    }

    /// What becomes of the item if nothing keeps the task from its end, for a dry run: once it is to change something.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        match self {
            Self::Check { .. } | Self::CheckContent { .. } | Self::Inspect { .. } | Self::TakeUp { .. } => None,
            Self::Adoption(adoption) => adoption.expected(),
            Self::Push(push) => push.expected(),
            Self::Publish { md5, .. } => Some(ItemResult::TakenUp(*md5)),
            Self::Removal(removal) => removal.expected(),
            Self::BrokenOff(broken_off) => broken_off.expected(),
        }
    }
}

fn check(centre: Md5Sum, at_site: Option<Md5File>) -> Task {
    match at_site {
        Some(at_site) if at_site.md5 == centre.md5 => Task::CheckContent { centre, at_site },
        _ => Task::Push(Push::new(PushReason::OtherMd5, at_site)),
    }
}

fn inspect(kind: ItemKind, contents: BTreeSet<[u8; 16]>, file: &[u8]) -> Next {
    let at_site = Md5File::read(Some(file));
    let is_the_centre_s = match at_site {
        Some(at_site) => contents.contains(&at_site.md5),
        // Its sending has broken off.
        None => contents.iter().any(|md5| md5_text(*md5).as_bytes().starts_with(file)),
    };
    match at_site {
        _ if is_the_centre_s => Next::Then(Task::Removal(Removal::new(kind, Sums::of(file), contents))),
        None => Next::Done(ItemResult::Waiting),
        Some(at_site) => match kind {
            ItemKind::Configuration => Next::Then(Task::TakeUp { md5: at_site.md5 }),
            ItemKind::Collection => Next::Done(ItemResult::Forgotten),
        },
    }
}

impl Md5File {
    pub(super) fn read(file: Option<&[u8]>) -> Option<Self> {
        let file = file?;
        parse_md5(file).map(|md5| Self { md5, file: Sums::of(file) })
    }
}
