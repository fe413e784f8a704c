//! The centre's directories, for a command that waits for the disk itself: [`CentralConfig`](super::CentralConfig) is for a
//! loop, which may not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent_conf::parse;
use super::directories::{Directories, Folder};
use super::files::{Fault, read_anew, read_content, read_fitting};
use super::publish::{Pair, publish_all, recover};
use super::scan::Scan;
use super::unfit::UnfitPair;
use crate::in_time::in_time;
use crate::proto::Md5Sum;
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::{Centre, Item};

/// The agent that a configuration of these bytes says it is of.
pub fn agent_of(configuration: &[u8]) -> Option<Box<str>> {
    parse(configuration).agent
}

/// What is in the centre's directories, as it was looked at last.
#[derive(Debug)]
pub struct CentralFiles {
    incoming: PathBuf,
    scan: Scan,
}

impl CentralFiles {
    /// Looks at the directories below an incoming directory, and changes nothing.
    ///
    /// # Errors
    /// They are not there, or cannot be listed.
    pub fn look_at(incoming: &Path) -> Result<Self, StoreError> {
        let mut scan = Scan::default();
        scan.look_at_all(&Directories::open(incoming)?)?;
        Ok(Self { incoming: incoming.to_owned(), scan })
    }

    /// Whether there are such directories below an incoming directory. Waits some seconds at most, where it does not answer.
    pub fn are_there(incoming: &Path) -> bool {
        let path = incoming.to_owned();
        in_time(incoming, move || Directories::open(&path).is_ok()).unwrap_or(false)
    }

    /// Ends what a crash has left half done, and then looks at them.
    ///
    /// # Errors
    /// The same.
    pub fn recover(incoming: &Path) -> Result<Self, StoreError> {
        recover(&Directories::open(incoming)?)?;
        Self::look_at(incoming)
    }

    /// What is there.
    pub fn centre(&self) -> Centre {
        self.scan.centre()
    }

    /// The pairs that do not fit.
    pub fn unfit(&self) -> Vec<UnfitPair> {
        self.scan.unfit(&self.incoming).into_values().collect()
    }

    /// Where the item's content is, or would be.
    pub fn path(&self, item: &Item) -> PathBuf {
        Folder::of_content(item).file(&self.incoming, &item.content_name())
    }

    /// The item's content as it is by now, if it fits its MD5.
    pub fn read(&self, item: &Item) -> Option<(Arc<[u8]>, Md5Sum)> {
        let directories = Directories::open(&self.incoming).ok()?;
        read_fitting(&directories, item, |directory| read_anew(directory, item))
    }

    /// The item's content as it is by now, whether it fits or not; `None` if it is not there.
    ///
    /// # Errors
    /// The directories are not there by now.
    pub fn content(&self, item: &Item) -> Result<Result<Option<Vec<u8>>, Fault>, StoreError> {
        let directories = Directories::open(&self.incoming)?;
        Ok(directories.content(item).map_or(Ok(None), |directory| read_content(directory, item)))
    }

    /// Whether neither file of the item is there by now, and that can be seen.
    pub fn is_missing(&mut self, item: &Item) -> bool {
        let Ok(directories) = Directories::open(&self.incoming) else { return false };
        self.scan.look_at(&directories, &BTreeSet::from([item.clone()]));
        self.scan.item(item).is_none()
    }

    /// Publishes both files of an item, or neither: it replaces none.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if another is there; whatever the disk refuses.
    pub fn publish(&mut self, item: &Item, content: &[u8]) -> Result<(), StoreError> {
        let directories = Directories::open(&self.incoming)?;
        let published = publish_all(&directories, &[Pair { item, content }]).into_iter().collect();
        // Also what was in its way is to be seen.
        self.scan.look_at(&directories, &BTreeSet::from([item.clone()]));
        published
    }
}
