//! The centre: its directories, and who changes them.

use std::collections::VecDeque;

use super::super::{CentreStep, Item, StepOutcome};
use super::directory::{Directory, FileChange, deletion, edit};
use super::oracle::Oracle;

/// The directories, and what the console has begun.
#[derive(Debug, Default)]
pub(super) struct Console {
    pub(super) directory: Directory,
    /// What is in the directories in truth, while they are empty.
    unmounted: Option<Directory>,
    /// Which directories these are.
    pub(super) directories: usize,
    begun: VecDeque<FileChange>,
}

impl Console {
    pub(super) fn is_busy(&self) -> bool {
        !self.begun.is_empty()
    }

    pub(super) fn edit(&mut self, item: &Item, content: &[u8]) {
        self.begun.extend(edit(item, content));
    }

    pub(super) fn delete(&mut self, item: &Item) {
        self.begun.extend(deletion(item));
    }

    /// As `pandora_manage` does: the `.md5` file stays as it is.
    pub(super) fn edit_content_alone(&mut self, item: &Item, content: &[u8]) {
        self.begun.push_back(FileChange::Write(item.content_name().to_string(), content.to_vec()));
    }

    /// The next change to a file of what is begun.
    pub(super) fn step(&mut self, oracle: &mut Oracle) -> Option<FileChange> {
        let change = self.begun.pop_front()?;
        self.directory.apply(change.clone());
        self.observe(&change.item(), oracle);
        Some(change)
    }

    /// The directories are empty from one moment to the next.
    pub(super) fn unmount(&mut self) {
        if self.unmounted.is_none() {
            self.unmounted = Some(std::mem::take(&mut self.directory));
            self.directories += 1;
        }
    }

    /// They have again what they had; what was written meanwhile is out of sight.
    pub(super) fn mount(&mut self) {
        if let Some(directory) = self.unmounted.take() {
            self.directory = directory;
            self.directories += 1;
        }
    }

    pub(super) fn is_mounted(&self) -> bool {
        self.unmounted.is_none()
    }

    /// `directories`: those that the round was begun with.
    pub(super) fn carry_out(&mut self, step: &CentreStep, directories: usize, oracle: &mut Oracle) -> StepOutcome {
        if directories != self.directories {
            return match step {
                CentreStep::Read { .. } => StepOutcome::Read(None),
                CentreStep::Publish { .. } => StepOutcome::Published(Err("other directories".to_owned())),
                CentreStep::Confirm { .. } => StepOutcome::Confirmed(false),
                CentreStep::Owner { .. } | CentreStep::Claim { .. } => panic!("that is no question to the directories"),
            };
        }
        let outcome = self.directory.carry_out(step);
        if let CentreStep::Read { item } | CentreStep::Publish { item, .. } | CentreStep::Confirm { item } = step {
            self.observe(item, oracle);
        }
        outcome
    }

    fn observe(&self, item: &Item, oracle: &mut Oracle) {
        if let Some(content) = self.directory.current(item) {
            oracle.saw_at_centre(item, content);
        }
    }
}
