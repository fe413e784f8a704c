//! An item on its way to a site: content first, and once that is certainly there, the `.md5` file. Where a site's word that it
//! has stored a file is not certain, the file is read back.
//!
//! The content goes in place of whatever is there: the centre wins. The `.md5` file goes in place of the one that was seen alone,
//! where the site's protocol can say so: an agent that has uploaded both meanwhile is not shown an MD5 that is not its content's.

use std::sync::Arc;

use super::md5_file::md5_text;
use super::report::{EndedEarly, ItemResult, PushReason};
use super::step::{CentreStep, ConfigStep, Deletion, Replaces, SiteStep, StepOutcome, Stored};
use super::task::{Md5File, Next, Task};
use super::{Item, ItemKind, Sums};
use crate::proto::{Md5Sum, Refusal};

/// What is sent.
#[derive(Debug)]
pub(super) struct Payload {
    content: Arc<[u8]>,
    fingerprint: Md5Sum,
    reason: PushReason,
    /// What the `.md5` file goes in place of.
    replaces: Replaces,
}

/// Which step of it is next.
#[derive(Debug)]
pub(super) enum Push {
    /// Reads the content. `at_site` is the site's `.md5` file.
    Read {
        reason: PushReason,
        at_site: Option<Md5File>,
    },
    /// Deletes a collection's `.md5` file, which is as the new one already: an agent that fetches it before the content is
    /// whole would keep what it gets for good.
    Withdraw {
        payload: Payload,
        md5_file: Sums,
    },
    StoreContent(Payload),
    VerifyContent(Payload),
    StoreMd5(Payload),
    VerifyMd5(Payload),
}

impl Push {
    pub(super) fn new(reason: PushReason, at_site: Option<Md5File>) -> Self {
        Self::Read { reason, at_site }
    }

    pub(super) fn step(&self, item: &Item) -> ConfigStep {
        let (content, md5) = (item.content_name(), item.md5_name());
        ConfigStep::Do(match self {
            Self::Read { .. } => return ConfigStep::Ask(CentreStep::Read { item: item.clone() }),
            Self::Withdraw { md5_file, .. } => SiteStep::Delete { name: md5, expected: *md5_file },
            Self::StoreContent(payload) => {
                let body = Arc::clone(&payload.content);
                SiteStep::Store { name: content, body, replaces: Replaces::Anything }
            }
            Self::VerifyContent(_) => SiteStep::Compare { name: content },
            Self::StoreMd5(payload) => {
                SiteStep::Store { name: md5, body: payload.md5_file(), replaces: payload.replaces }
            }
            Self::VerifyMd5(_) => SiteStep::Compare { name: md5 },
        })
    }

    fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Read { .. } => None,
            Self::Withdraw { payload, .. }
            | Self::StoreContent(payload)
            | Self::VerifyContent(payload)
            | Self::StoreMd5(payload)
            | Self::VerifyMd5(payload) => Some(payload),
        }
    }

    /// The MD5 of what the site will not have, as it has refused it for this reason.
    pub(super) fn refused(&self, refusal: &Refusal) -> Option<[u8; 16]> {
        let payload = self.payload().filter(|_| *refusal != Refusal::Exists && !self.is_overtaken(refusal))?;
        Some(payload.fingerprint.md5)
    }

    /// The MD5 of the content that it has read.
    pub(super) fn md5(&self) -> Option<[u8; 16]> {
        self.payload().map(|payload| payload.fingerprint.md5)
    }

    /// Bytes of the content that it has read.
    pub(super) fn held(&self) -> u64 {
        self.payload().map_or(0, |payload| payload.content.len() as u64)
    }

    /// What becomes of the item, once there is something to be sent.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        self.payload().map(Payload::pushed)
    }

    /// Whether the `.md5` file is another one by now than was seen.
    fn is_overtaken(&self, refusal: &Refusal) -> bool {
        match self {
            Self::StoreMd5(Payload { replaces: Replaces::Nothing, .. }) => *refusal == Refusal::Exists,
            Self::StoreMd5(Payload { replaces: Replaces::This(_), .. }) => {
                matches!(refusal, Refusal::Changed | Refusal::Missing)
            }
            _ => false,
        }
    }

    pub(super) fn after(self, outcome: StepOutcome, kind: ItemKind) -> Next {
        let then = |push| Next::Then(Task::Push(push));
        match (self, outcome) {
            (Self::Read { reason, at_site }, StepOutcome::Read(Some((content, fingerprint))))
                if !content.is_empty() =>
            {
                let payload = |replaces| Payload { content, fingerprint, reason, replaces };
                match at_site {
                    Some(Md5File { md5, file }) if kind == ItemKind::Collection && md5 == fingerprint.md5 => {
                        then(Self::Withdraw { payload: payload(Replaces::Nothing), md5_file: file })
                    }
                    Some(Md5File { file, .. }) => then(Self::StoreContent(payload(Replaces::This(file)))),
                    None if reason == PushReason::Missing => then(Self::StoreContent(payload(Replaces::Nothing))),
                    None => then(Self::StoreContent(payload(Replaces::Anything))),
                }
            }
            (Self::Withdraw { payload, .. }, StepOutcome::Deleted(Deletion::Done)) => then(Self::StoreContent(payload)),
            (Self::StoreContent(payload), StepOutcome::Stored(Ok(Stored::Taken))) => then(Self::VerifyContent(payload)),
            (Self::StoreContent(payload), StepOutcome::Stored(Ok(Stored::Certain))) => then(Self::StoreMd5(payload)),
            (Self::VerifyContent(payload), StepOutcome::Compared(Some(at_site)))
                if at_site.md5 == payload.fingerprint =>
            {
                then(Self::StoreMd5(payload))
            }
            (Self::StoreMd5(payload), StepOutcome::Stored(Ok(Stored::Taken))) => then(Self::VerifyMd5(payload)),
            (Self::StoreMd5(payload), StepOutcome::Stored(Ok(Stored::Certain))) => Next::Done(payload.pushed()),
            (Self::VerifyMd5(payload), StepOutcome::Compared(Some(at_site)))
                if at_site.md5 == Md5Sum::of(&payload.md5_file()) =>
            {
                Next::Done(payload.pushed())
            }
            (push, StepOutcome::Stored(Err(refusal))) if push.is_overtaken(&refusal) => Next::Done(ItemResult::Waiting),
            (_, StepOutcome::Stored(Err(Refusal::Exists))) => Next::End(EndedEarly::NoOverwrite),
            (_, StepOutcome::Stored(Err(refusal))) => Next::Done(ItemResult::Refused(refusal)),
            _ => Next::Done(ItemResult::Waiting),
        }
    }
}

impl Payload {
    fn pushed(&self) -> ItemResult {
        ItemResult::Pushed(self.fingerprint.md5, self.reason)
    }

    fn md5_file(&self) -> Arc<[u8]> {
        md5_text(self.fingerprint.md5).into_bytes().into()
    }
}
