//! What an operator's word on agents' configuration has come to.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::proto::{Count, quoted};
use crate::sync::remote_config::Item;

/// A configuration that belongs to another site from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassigned {
    /// Which.
    pub item: Item,
    /// The site that it belonged to.
    pub before: Option<Arc<str>>,
}

/// What its new site has.
impl fmt::Display for Reassigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, before } = self;
        write!(f, "has {item} from now on, and ")?;
        match before {
            Some(before) => quoted(&**before).fmt(f)?,
            None => f.write_str("no site")?,
        }
        f.write_str(" had it")
    }
}

/// The deletions that were let through in one incoming directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmedDeletions {
    /// The incoming directory.
    pub incoming: PathBuf,
    /// What is missing there now, and is deleted at the sites that have it as it was.
    pub items: Vec<Item>,
}

impl ConfirmedDeletions {
    /// All of them, in lines for people.
    pub fn lines(all: &[Self]) -> Vec<String> {
        if all.is_empty() {
            return vec!["no deletion was held back".to_owned()];
        }
        let of_one = |Self { incoming, items }: &Self| {
            let first = format!("{}: {} let through", quoted(incoming), Count(items.len(), "deletion"));
            std::iter::once(first).chain(items.iter().map(|item| format!("  {item}"))).collect::<Vec<_>>()
        };
        all.iter().flat_map(of_one).collect()
    }
}
