//! Files that are left at a site, and why: those of its last listing, as far as there is room for them.

use std::collections::BTreeMap;

/// Files that are named.
const MOST: usize = 100;

/// Of a name, and of a reason, so many characters are kept.
const LONGEST: usize = 300;

/// A file that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    why: String,
    /// Whether the listing under way, or the last, has it.
    is_listed: bool,
}

/// Files that are left at a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::collector) struct NotTakenFiles {
    files: BTreeMap<Vec<u8>, Left>,
    /// Whether there were more.
    has_more: bool,
}

impl NotTakenFiles {
    /// A file is left there.
    pub(in crate::collector) fn add(&mut self, name: &[u8], why: &str) {
        if self.files.len() >= MOST && !self.files.contains_key(name) {
            self.has_more = true;
            return;
        }
        let why = why.chars().take(LONGEST).collect();
        self.files.insert(name.into(), Left { why, is_listed: true });
    }

    /// A listing begins.
    pub(super) fn begin_listing(&mut self) {
        self.files.values_mut().for_each(|left| left.is_listed = false);
    }

    /// `name` is in the listing.
    pub(super) fn saw(&mut self, name: &[u8]) {
        if let Some(left) = self.files.get_mut(name) {
            left.is_listed = true;
        }
    }

    /// The listing has come whole: what it does not have is there no more.
    pub(super) fn end_listing(&mut self) {
        self.files.retain(|_, left| left.is_listed);
        self.has_more &= self.files.len() >= MOST;
    }

    /// The file with this name, as it is shown: what it is called.
    pub(in crate::collector) fn find(&self, shown: &str) -> Option<Vec<u8>> {
        self.files.keys().find(|name| String::from_utf8_lossy(name) == shown).cloned()
    }

    /// The file is asked for again.
    pub(in crate::collector) fn remove(&mut self, name: &[u8]) {
        self.files.remove(name);
    }

    /// What was left is asked for again.
    pub(in crate::collector) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Names and reasons.
    pub(in crate::collector) fn iter(&self) -> impl Iterator<Item = (&[u8], &str)> {
        self.files.iter().map(|(name, left)| (name.as_slice(), left.why.as_str()))
    }

    /// Whether there are more than are known by name.
    pub(in crate::collector) fn has_more(&self) -> bool {
        self.has_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &NotTakenFiles) -> Vec<&[u8]> {
        files.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_is_listed_no_more_is_left_no_more() {
        let mut files = NotTakenFiles::default();
        files.add(b"large", "too large");
        files.add(b"gone", "too large");
        files.begin_listing();
        files.saw(b"large");
        files.saw(b"other");
        assert_eq!(names(&files), [b"gone".as_slice(), b"large"], "a listing that is cut off counts for nothing");
        files.add(b"bad*", "a character");
        files.end_listing();
        assert_eq!(names(&files), [b"bad*".as_slice(), b"large"]);
    }

    #[test]
    fn they_are_bounded_in_number_and_length() {
        let mut files = NotTakenFiles::default();
        for number in 0..=MOST {
            files.add(format!("{number:04}").as_bytes(), &"y".repeat(10_000));
        }
        assert!(files.has_more() && files.iter().count() == MOST);
        assert!(files.iter().all(|(_, why)| why.len() == LONGEST));
        files.begin_listing();
        files.end_listing();
        assert_eq!(files, NotTakenFiles::default());
    }
}
