//! Which of a site's file names are collected.

use globset::{Glob, GlobMatcher};

/// Shell patterns (`*.data`): a name is collected when one of `include` matches and none of `exclude`.
#[derive(Clone, Debug)]
pub struct NameFilter {
    include: Vec<GlobMatcher>,
    exclude: Vec<GlobMatcher>,
}

impl NameFilter {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first pattern that is none, with what is wrong with it.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, globset::Error> {
        Ok(Self { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// The patterns one of which a name must match.
    pub fn include(&self) -> impl Iterator<Item = &str> {
        self.include.iter().map(|pattern| pattern.glob().glob())
    }

    /// The patterns none of which a name may match.
    pub fn exclude(&self) -> impl Iterator<Item = &str> {
        self.exclude.iter().map(|pattern| pattern.glob().glob())
    }

    /// Whether `name` is collected.
    pub fn matches(&self, name: &[u8]) -> bool {
        let any = |patterns: &[GlobMatcher]| patterns.iter().any(|pattern| pattern.is_match(as_path(name)));
        any(&self.include) && !any(&self.exclude)
    }
}

impl PartialEq for NameFilter {
    fn eq(&self, other: &Self) -> bool {
        self.include().eq(other.include()) && self.exclude().eq(other.exclude())
    }
}

fn compile<S: AsRef<str>>(patterns: &[S]) -> Result<Vec<GlobMatcher>, globset::Error> {
    patterns.iter().map(|pattern| Ok(Glob::new(pattern.as_ref())?.compile_matcher())).collect()
}

fn as_path(name: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_and_not_excluded() {
        let filter = NameFilter::new(&["*.data", "*.xml"], &["test*"]).unwrap();
        let takes = |name: &str| filter.matches(name.as_bytes());
        assert!(takes("web01.1700000000.data"));
        assert!(takes("a.xml"));
        assert!(!takes("test.1.data"));
        assert!(!takes("a.lock"));
        assert!(!takes("conf"));
    }

    #[test]
    fn names_that_are_no_text_match_too() {
        let filter = NameFilter::new(&["*.data"], &[]).unwrap();
        assert!(filter.matches(b"\xff\xfe.1.data"));
    }
}
