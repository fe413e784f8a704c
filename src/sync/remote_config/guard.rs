//! Whether what is missing at the centre was deleted there.

use std::collections::BTreeSet;
use std::fmt;

use super::{Centre, InStep, Item};

/// So many may always be missing, unless they were all.
const FEW: usize = 3;

/// One in so many may be missing.
const SHARE: usize = 10;

/// Why nothing is deleted at any site: so much is missing in the centre's directories that it was hardly deleted. More
/// likely, they are not mounted, or somebody has emptied them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardReason {
    /// Items of which neither file is there any more.
    pub missing: usize,
    /// Of how many that sites had the same as the centre.
    pub of: usize,
}

/// Judges whether what is missing at the `centre` may be deleted at its sites, where `in_step` is of all sites that have
/// their configuration from these directories.
///
/// # Errors
/// If nothing is left there of what was in step, or more than a tenth of it and more than 3 items are missing.
pub fn guard<'a>(centre: &Centre, in_step: impl IntoIterator<Item = &'a InStep>) -> Result<(), GuardReason> {
    let items: BTreeSet<&Item> = in_step.into_iter().flat_map(InStep::iter).map(|(item, _)| item).collect();
    let of = items.len();
    let missing = items.into_iter().filter(|item| !centre.items.contains_key(*item)).count();
    let is_all = missing > 0 && missing == of;
    if is_all || (missing > FEW && missing * SHARE > of) { Err(GuardReason { missing, of }) } else { Ok(()) }
}

impl fmt::Display for GuardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, of } = self;
        write!(f, "{missing} of {of} configurations and collections that sites have are missing at the centre")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::remote_config::CentreItem;

    fn items(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Item> {
        numbers.map(|number| Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap())
    }

    fn in_step(numbers: std::ops::Range<usize>) -> InStep {
        items(numbers).map(|item| (item, [0; 16])).collect()
    }

    fn judge(present: std::ops::Range<usize>, in_step: &[InStep]) -> Result<(), GuardReason> {
        let items = items(present).map(|item| (item, CentreItem::default())).collect();
        guard(&Centre { items }, in_step)
    }

    #[test]
    fn a_few_may_be_missing_and_a_tenth() {
        assert_eq!(judge(3..4, &[in_step(0..4)]), Ok(()), "3 of 4");
        assert_eq!(judge(4..5, &[in_step(0..5)]), Err(GuardReason { missing: 4, of: 5 }));
        assert_eq!(judge(4..40, &[in_step(0..40)]), Ok(()), "a tenth");
        assert_eq!(judge(4..39, &[in_step(0..39)]), Err(GuardReason { missing: 4, of: 39 }));
    }

    #[test]
    fn nothing_left_of_what_was_in_step_is_no_deletion() {
        assert_eq!(judge(0..0, &[in_step(0..1)]), Err(GuardReason { missing: 1, of: 1 }));
        assert_eq!(judge(7..9, &[in_step(0..1)]), Err(GuardReason { missing: 1, of: 1 }), "others do not count");
        assert_eq!(judge(0..0, &[InStep::default()]), Ok(()));
    }

    #[test]
    fn all_sites_count_and_what_several_have_counts_once() {
        let sites = [in_step(0..4), in_step(0..4), in_step(10..46)];
        assert_eq!(judge(10..46, &sites), Ok(()), "4 of 40");
        assert_eq!(judge(11..46, &sites), Err(GuardReason { missing: 5, of: 40 }));
    }
}
