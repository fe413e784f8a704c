//! Whether what is missing at the centre was deleted there.

use std::collections::BTreeSet;
use std::fmt;

use super::{Centre, InStep, Item, ItemKind};

/// So many of a kind may always be missing, unless they were all.
const FEW: usize = 3;

/// One in so many of a kind may be missing.
const SHARE: usize = 10;

/// Why nothing is deleted at any site: so much is missing in the centre's directories that it was hardly deleted. More
/// likely, they are not mounted, or somebody has emptied them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardReason {
    /// What is missing; `None`: both kinds were counted.
    pub kind: Option<ItemKind>,
    /// Items of which neither file is there any more, and nobody has confirmed that they were deleted.
    pub missing: usize,
    /// Of how many that sites had the same as the centre.
    pub of: usize,
}

/// Keeps deletions at the centre from its sites, once too much is missing there: until all of it is back, or an operator has
/// confirmed that it was deleted. What is new in an emptied directory does not make what is missing there the smaller part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whether deletions were held back when it was judged last.
    pub holds: bool,
    /// What is missing, and was deleted by an operator's word.
    pub confirmed: BTreeSet<Item>,
}

impl Guard {
    /// Judges whether what is missing at the `centre` may be deleted at its sites, where `in_step` is of all sites that have
    /// their configuration from these directories.
    ///
    /// # Errors
    /// If nothing is left there of what was in step of a kind, or more than a tenth of it and more than 3 items are missing;
    /// and as long as anything is missing after that.
    pub fn judge<'a>(
        &mut self,
        centre: &Centre,
        in_step: impl IntoIterator<Item = &'a InStep>,
    ) -> Result<(), GuardReason> {
        let items = items(in_step);
        self.confirmed.retain(|item| items.contains(item) && !centre.items.contains_key(item));
        let count = |kind: Option<ItemKind>| {
            let is_one = |item: &&&Item| kind.is_none_or(|kind| item.kind() == kind);
            let is_missing = |item: &&&Item| !centre.items.contains_key(**item) && !self.confirmed.contains(**item);
            let missing = items.iter().filter(is_one).filter(is_missing).count();
            GuardReason { kind, missing, of: items.iter().filter(is_one).count() }
        };
        let kinds = [ItemKind::Configuration, ItemKind::Collection].map(|kind| count(Some(kind)));
        let still = || Some(count(None)).filter(|all| self.holds && all.missing > 0);
        let reason = kinds.into_iter().find(GuardReason::is_too_much).or_else(still);
        self.holds = reason.is_some();
        reason.map_or(Ok(()), Err)
    }

    /// An operator confirms that what is missing now was deleted: those items, of which some may have been confirmed before.
    pub fn confirm<'a>(&mut self, centre: &Centre, in_step: impl IntoIterator<Item = &'a InStep>) -> BTreeSet<Item> {
        let missing = items(in_step).into_iter().filter(|item| !centre.items.contains_key(*item));
        self.confirmed = missing.cloned().collect();
        self.holds = false;
        self.confirmed.clone()
    }
}

/// What sites had the same as the centre; what several have counts once.
fn items<'a>(in_step: impl IntoIterator<Item = &'a InStep>) -> BTreeSet<&'a Item> {
    in_step.into_iter().flat_map(InStep::received).collect()
}

impl GuardReason {
    fn is_too_much(&self) -> bool {
        let Self { missing, of, .. } = *self;
        (missing > 0 && missing == of) || (missing > FEW && missing * SHARE > of)
    }
}

impl fmt::Display for GuardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, missing, of } = self;
        let what = match kind {
            Some(ItemKind::Configuration) => "configurations",
            Some(ItemKind::Collection) => "collections",
            None => "configurations and collections",
        };
        write!(f, "{missing} of {of} {what} that sites have are missing at the centre")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::remote_config::CentreItem;

    fn items(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Item> {
        numbers.map(|number| Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap())
    }

    fn collections(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Item> {
        numbers.map(|number| Item::collection(&format!("fc_{number}")).unwrap())
    }

    fn in_step(numbers: std::ops::Range<usize>) -> InStep {
        items(numbers).map(|item| (item, [0; 16])).collect()
    }

    fn centre(items: impl Iterator<Item = Item>) -> Centre {
        Centre { items: items.map(|item| (item, CentreItem::default())).collect() }
    }

    fn judge(present: std::ops::Range<usize>, in_step: &[InStep]) -> Result<(), GuardReason> {
        Guard::default().judge(&centre(items(present)), in_step)
    }

    fn held(missing: usize, of: usize) -> Result<(), GuardReason> {
        Err(GuardReason { kind: Some(ItemKind::Configuration), missing, of })
    }

    #[test]
    fn a_few_may_be_missing_and_a_tenth() {
        assert_eq!(judge(3..4, &[in_step(0..4)]), Ok(()), "3 of 4");
        assert_eq!(judge(4..5, &[in_step(0..5)]), held(4, 5));
        assert_eq!(judge(4..40, &[in_step(0..40)]), Ok(()), "a tenth");
        assert_eq!(judge(4..39, &[in_step(0..39)]), held(4, 39));
    }

    #[test]
    fn nothing_left_of_what_was_in_step_is_no_deletion() {
        assert_eq!(judge(0..0, &[in_step(0..1)]), held(1, 1));
        assert_eq!(judge(7..9, &[in_step(0..1)]), held(1, 1), "others do not count");
        assert_eq!(judge(0..0, &[InStep::default()]), Ok(()));
    }

    #[test]
    fn all_sites_count_and_what_several_have_counts_once() {
        let sites = [in_step(0..4), in_step(0..4), in_step(10..46)];
        assert_eq!(judge(10..46, &sites), Ok(()), "4 of 40");
        assert_eq!(judge(11..46, &sites), held(5, 40));
    }

    #[test]
    fn collections_are_counted_apart() {
        let sites = [in_step(0..100), collections(0..2).map(|item| (item, [0; 16])).collect()];
        let judge = |present| Guard::default().judge(&centre(items(0..100).chain(collections(present))), &sites);
        assert_eq!(judge(0..1), Ok(()));
        assert_eq!(judge(0..0), Err(GuardReason { kind: Some(ItemKind::Collection), missing: 2, of: 2 }));
    }

    #[test]
    fn once_it_holds_it_holds_until_all_is_back() {
        let mut guard = Guard::default();
        assert_eq!(guard.judge(&Centre::default(), &[in_step(0..3)]), held(3, 3));
        // One is taken up into the emptied directory.
        let later = Err(GuardReason { kind: None, missing: 3, of: 4 });
        assert_eq!(guard.judge(&centre(items(3..4)), &[in_step(0..4)]), later);
        assert_eq!(
            guard.judge(&centre(items(1..4)), &[in_step(0..4)]),
            Err(GuardReason { kind: None, missing: 1, of: 4 })
        );
        assert_eq!(guard.judge(&centre(items(0..4)), &[in_step(0..4)]), Ok(()));
        assert_eq!(guard.judge(&centre(items(1..4)), &[in_step(0..4)]), Ok(()));
    }

    #[test]
    fn what_is_confirmed_is_let_through_and_what_is_missing_later_is_judged_anew() {
        let (mut guard, all) = (Guard::default(), [in_step(0..20)]);
        assert_eq!(guard.judge(&centre(items(10..20)), &all), held(10, 20));
        assert_eq!(guard.confirm(&centre(items(10..20)), &all), items(0..10).collect());
        assert_eq!(guard.judge(&centre(items(10..20)), &all), Ok(()));
        assert_eq!(guard.judge(&centre(items(13..20)), &all), Ok(()), "3 more");
        assert_eq!(guard.judge(&centre(items(14..20)), &all), held(4, 20));
        // What is back is not confirmed any more.
        assert_eq!(guard.judge(&centre(items(0..20)), &all), Ok(()));
        assert_eq!(guard, Guard::default());
        assert_eq!(guard.judge(&centre(items(10..20)), &all), held(10, 20));
    }
}
