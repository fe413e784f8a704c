//! A configuration that a site lists and does not own.
//!
//! Agents are known by their names alone, which any site can list. So a site gets the centre's configuration of an agent only
//! where it owns it: where the centre has taken it up from there; where nobody owned it and the site has shown that it has the
//! same bytes; or by an operator's word. What another site owns is neither sent nor taken up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Item;
use super::report::{ItemResult, Owner};
use super::step::{CentreStep, ConfigStep, SiteStep, StepOutcome};
use super::task::{Md5File, Next, Task};
use crate::proto::Md5Sum;

/// Which step of it is next.
#[derive(Debug)]
pub(super) enum Adoption {
    /// Asks whether another site owns it. `centre`: what the centre has of it.
    Ask { centre: Option<Md5Sum> },
    /// Nobody does: fetches the site's `.md5` file.
    CheckMd5 { centre: Md5Sum },
    /// The `.md5` files are the same: compares the content.
    CheckContent { centre: Md5Sum },
    /// That is the same as well: the site is to own it.
    Claim { centre: Md5Sum },
    /// The centre lacks it: the site is to own it before this content, which it has uploaded, is published.
    ClaimUpload { content: Arc<[u8]>, md5: [u8; 16] },
}

impl Adoption {
    pub(super) fn step(&self, item: &Item) -> ConfigStep {
        match self {
            Self::Ask { .. } => ConfigStep::Ask(CentreStep::Owner { item: item.clone() }),
            Self::CheckMd5 { .. } => ConfigStep::Do(SiteStep::Fetch { name: item.md5_name() }),
            Self::CheckContent { .. } => ConfigStep::Do(SiteStep::Compare { name: item.content_name() }),
            Self::Claim { .. } | Self::ClaimUpload { .. } => ConfigStep::Ask(CentreStep::Claim { item: item.clone() }),
        }
    }

    /// What becomes of the item, once there is something to be claimed.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        match self {
            Self::Ask { .. } | Self::CheckMd5 { .. } | Self::CheckContent { .. } => None,
            Self::Claim { centre } => Some(ItemResult::InStep(centre.md5)),
            Self::ClaimUpload { md5, .. } => Some(ItemResult::TakenUp(*md5)),
        }
    }

    pub(super) fn after(self, outcome: StepOutcome) -> Next {
        let then = |adoption| Next::Then(Task::Adoption(adoption));
        match (self, outcome) {
            (Self::Ask { centre: Some(centre) }, StepOutcome::Owner(None)) => then(Self::CheckMd5 { centre }),
            (Self::Ask { centre: None }, StepOutcome::Owner(None)) => {
                Next::Then(Task::Inspect { contents: BTreeSet::new() })
            }
            (Self::CheckMd5 { centre }, StepOutcome::Fetched(file))
                if Md5File::read(file.as_deref()).is_some_and(|at_site| at_site.md5 == centre.md5) =>
            {
                then(Self::CheckContent { centre })
            }
            (Self::CheckContent { centre }, StepOutcome::Compared(Some(content))) if content.md5 == centre => {
                then(Self::Claim { centre })
            }
            (Self::CheckMd5 { .. }, StepOutcome::Fetched(_))
            | (Self::CheckContent { .. }, StepOutcome::Compared(_)) => Next::Done(ItemResult::Foreign(Owner::Nobody)),
            (Self::Claim { centre }, StepOutcome::Claimed(Ok(()))) => Next::Done(ItemResult::InStep(centre.md5)),
            (Self::ClaimUpload { content, md5 }, StepOutcome::Claimed(Ok(()))) => {
                Next::Then(Task::Publish { content, md5 })
            }
            (_, StepOutcome::Owner(Some(site)) | StepOutcome::Claimed(Err(site))) => {
                Next::Done(ItemResult::Foreign(Owner::Site(site)))
            }
            _ => Next::Done(ItemResult::Waiting),
        }
    }
}
