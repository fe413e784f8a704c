//! What a round has come to.

use std::fmt;
use std::sync::Arc;

use super::guard::GuardReason;
use super::item::Item;
use crate::proto::{Refusal, quoted};

/// What a round has come to, for an operator. A dry run's: what one that is none would have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigReport {
    /// Items that the site has the same as the centre, and had before; in the rest of this report, others.
    pub in_step: usize,
    /// Sent to the site, which has both files.
    pub pushed: Named<Pushed>,
    /// Published at the centre.
    pub taken_up: Named<Item>,
    /// Deleted at the site, as they were at the centre; or the `.md5` files of collections that no agent of the site is to
    /// have any more, as agents would have got parts of them.
    pub deleted: Named<Item>,
    /// Missing at the centre, and not deleted at the site because of the [`Guard`](super::Guard).
    pub withheld: Named<Item>,
    /// At the centre, one of the two files is missing, or they do not fit each other: nothing was done about these.
    pub unfit: Named<Item>,
    /// Changed while something was done about them, or half there at the site: left for the next round. All are named: those
    /// that stay so are to be found.
    pub waiting: Named<Item>,
    /// Not taken up, as the site has as much at the centre as it may have.
    pub beyond: Named<Item>,
    /// The site did not take them.
    pub refused: Named<(Item, Refusal)>,
    /// The centre did not take them.
    pub unpublished: Named<(Item, String)>,
    /// The site lists them and does not own them: nothing was done about these.
    pub foreign: Named<(Item, Owner)>,
    /// Not reached: the round was over before.
    pub left: usize,
    /// Why the round was over before all was done, unless its connection ended.
    pub ended: Option<EndedEarly>,
    /// Why nothing may be deleted.
    pub guard: Option<GuardReason>,
}

/// How many there are, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// All.
    pub count: usize,
    /// So many of them as are named.
    pub first: Vec<T>,
}

/// An item that was sent to the site, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Which.
    pub item: Item,
    /// Why.
    pub reason: PushReason,
}

/// Who owns a configuration that is not the site's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This other site.
    Site(Arc<str>),
    /// Nobody, and the site has another one than the centre.
    Nobody,
}

/// Why an item is sent to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushReason {
    /// The site does not list it.
    Missing,
    /// The site's `.md5` file gives another MD5 than the centre's, or none.
    OtherMd5,
    /// The site's `.md5` file is as the centre's, but the content is not.
    OtherContent,
}

/// Why nothing more can be done at a site until somebody sees to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndedEarly {
    /// It does not list `.md5` files.
    ListRefused(Refusal),
    /// It lists its root in place of `.md5` files.
    NoFilters,
    /// It does not replace files.
    NoOverwrite,
}

impl EndedEarly {
    /// Whether the site was never made for remote configuration, as far as that can be seen. One that does not replace files
    /// has some that were to be replaced.
    pub fn is_unprepared(&self) -> bool {
        matches!(self, Self::ListRefused(_) | Self::NoFilters)
    }
}

/// What has become of one item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ItemResult {
    /// Compared, and the same as the centre's, which has this MD5.
    InStep([u8; 16]),
    Pushed([u8; 16], PushReason),
    TakenUp([u8; 16]),
    Deleted,
    /// The `.md5` file of a collection that is not whole is deleted.
    Withdrawn,
    /// Neither side has it any more, or the site has another one that is not to be touched.
    Forgotten,
    /// The site has the content of this MD5 whole, and is to have no other.
    Whole([u8; 16]),
    Withheld,
    Unfit,
    Waiting,
    Beyond,
    Refused(Refusal),
    Unpublished(String),
    Foreign(Owner),
}

impl ConfigReport {
    /// The items that it names.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        let items = [&self.taken_up, &self.deleted, &self.withheld, &self.unfit, &self.waiting, &self.beyond];
        let pushed = self.pushed.first.iter().map(|pushed| &pushed.item);
        let refused = self.refused.first.iter().map(|(item, _)| item);
        let unpublished = self.unpublished.first.iter().map(|(item, _)| item);
        let foreign = self.foreign.first.iter().map(|(item, _)| item);
        let items = items.into_iter().flat_map(|items| &items.first);
        items.chain(pushed).chain(refused).chain(unpublished).chain(foreign)
    }

    /// Takes note of what has become of `item`; names `most` of each kind.
    pub(super) fn add(&mut self, item: Item, result: ItemResult, most: usize) {
        match result {
            ItemResult::InStep(_) => self.in_step += 1,
            ItemResult::Pushed(_, reason) => self.pushed.push(Pushed { item, reason }, most),
            ItemResult::TakenUp(_) => self.taken_up.push(item, most),
            ItemResult::Deleted | ItemResult::Withdrawn => self.deleted.push(item, most),
            ItemResult::Forgotten | ItemResult::Whole(_) => {}
            ItemResult::Withheld => self.withheld.push(item, most),
            ItemResult::Unfit => self.unfit.push(item, most),
            ItemResult::Waiting => self.waiting.push(item, usize::MAX),
            ItemResult::Beyond => self.beyond.push(item, most),
            ItemResult::Refused(refusal) => self.refused.push((item, refusal), most),
            ItemResult::Foreign(owner) => self.foreign.push((item, owner), most),
            ItemResult::Unpublished(error) => self.unpublished.push((item, error), most),
        }
    }
}

impl<T> Named<T> {
    fn push(&mut self, value: T, most: usize) {
        self.count += 1;
        if self.first.len() < most {
            self.first.push(value);
        }
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => write!(f, "it is site {}'s", quoted(&**site)),
            Self::Nobody => f.write_str("it is no site's, and the site has another one than the centre"),
        }
    }
}

impl fmt::Display for PushReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the site does not have it",
            Self::OtherMd5 => "the site has another one",
            Self::OtherContent => "the site's content does not fit its .md5 file",
        })
    }
}

impl fmt::Display for EndedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListRefused(refusal) => write!(
                f,
                "the site does not list its .md5 files ({refusal}): see that the directory md5 is there, in the one that \
                 its server has with -s, and that the server may read it"
            ),
            Self::NoFilters => f.write_str(
                "the site's server has no directories for remote configuration: start it with \
                 -i '.*\\.conf:conf;.*\\.md5:md5;.*\\.zip:collections' and with -o, or set remote_config = false for it",
            ),
            Self::NoOverwrite => f.write_str("the site's server does not replace files: start it with -o, or set remote_config = false for it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_named() {
        let mut report = ConfigReport::default();
        let item = |name| Item::collection(name).unwrap();
        for name in ["a", "b", "c"] {
            report.add(item(name), ItemResult::Unfit, 2);
        }
        assert_eq!(report.unfit, Named { count: 3, first: vec![item("a"), item("b")] });
        assert_eq!(report, ConfigReport { unfit: report.unfit.clone(), ..ConfigReport::default() });
    }

    #[test]
    fn what_a_server_lacks_is_named_as_its_command_line_has_it() {
        let filters = EndedEarly::NoFilters.to_string();
        assert!(filters.contains(r"-i '.*\.conf:conf;.*\.md5:md5;.*\.zip:collections' "), "{filters}");
        assert!(EndedEarly::NoOverwrite.to_string().contains("with -o,"));
    }
}
