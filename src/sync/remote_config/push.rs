//! An item on its way to a site: content first, read back, then the `.md5` file.

use std::sync::Arc;

use super::md5_file::md5_text;
use super::report::{EndedEarly, ItemResult, PushReason};
use super::step::{CentreStep, ConfigStep, Deletion, SiteStep, StepOutcome};
use super::task::{Md5File, Next, Task};
use super::{Item, ItemKind};
use crate::proto::{Md5Sum, Refusal};

/// What is sent.
#[derive(Debug)]
pub(super) struct Payload {
    content: Arc<[u8]>,
    fingerprint: Md5Sum,
    reason: PushReason,
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
        md5_file: Md5Sum,
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
            Self::StoreContent(payload) => SiteStep::Store { name: content, body: Arc::clone(&payload.content) },
            Self::VerifyContent(_) => SiteStep::Compare { name: content },
            Self::StoreMd5(payload) => SiteStep::Store { name: md5, body: payload.md5_file() },
            Self::VerifyMd5(_) => SiteStep::Compare { name: md5 },
        })
    }

    /// The MD5 of what it sends.
    pub(super) fn sends(&self) -> Option<[u8; 16]> {
        match self {
            Self::Read { .. } => None,
            Self::Withdraw { payload, .. }
            | Self::StoreContent(payload)
            | Self::VerifyContent(payload)
            | Self::StoreMd5(payload)
            | Self::VerifyMd5(payload) => Some(payload.fingerprint.md5),
        }
    }

    /// What becomes of the item, once there is something to be sent.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        match self {
            Self::Read { .. } => None,
            Self::Withdraw { payload, .. }
            | Self::StoreContent(payload)
            | Self::VerifyContent(payload)
            | Self::StoreMd5(payload)
            | Self::VerifyMd5(payload) => Some(payload.pushed()),
        }
    }

    pub(super) fn after(self, outcome: StepOutcome, kind: ItemKind) -> Next {
        let then = |push| Next::Then(Task::Push(push));
        match (self, outcome) {
            (Self::Read { reason, at_site }, StepOutcome::Read(Some((content, fingerprint))))
                if !content.is_empty() =>
            {
                let payload = Payload { content, fingerprint, reason };
                match at_site {
                    Some(Md5File { md5, file }) if kind == ItemKind::Collection && md5 == fingerprint.md5 => {
                        then(Self::Withdraw { payload, md5_file: file })
                    }
                    _ => then(Self::StoreContent(payload)),
                }
            }
            (Self::Withdraw { payload, .. }, StepOutcome::Deleted(Deletion::Done)) => then(Self::StoreContent(payload)),
            (Self::StoreContent(payload), StepOutcome::Stored(Ok(()))) => then(Self::VerifyContent(payload)),
            (Self::VerifyContent(payload), StepOutcome::Compared(Some(at_site))) if at_site == payload.fingerprint => {
                then(Self::StoreMd5(payload))
            }
            (Self::StoreMd5(payload), StepOutcome::Stored(Ok(()))) => then(Self::VerifyMd5(payload)),
            (Self::VerifyMd5(payload), StepOutcome::Compared(Some(at_site)))
                if at_site == Md5Sum::of(&payload.md5_file()) =>
            {
                Next::Done(payload.pushed())
            }
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
