//! Which of a site's file names are collected.

use std::sync::Arc;

use globset::{Glob, GlobMatcher};

/// Shell patterns (`*.data`), of which one matches or none. Those of a copy are the same ones: to compile them takes longer
/// than all else that is read of a site.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Arc<[GlobMatcher]>);

impl Patterns {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first pattern that is none, with what is wrong with it.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, globset::Error> {
        let compile = |pattern: &S| Ok(Glob::new(pattern.as_ref())?.compile_matcher());
        patterns.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// The patterns as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| pattern.glob().glob())
    }

    /// Whether one of them matches `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(as_path(name)))
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

fn as_path(name: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_patterns_matches() {
        let patterns = Patterns::new(&["*.data", "*.xml"]).unwrap();
        let takes = |name: &str| patterns.matches(name.as_bytes());
        assert!(takes("web01.1700000000.data"));
        assert!(takes("a.xml"));
        assert!(!takes("a.lock"));
        assert!(!takes("conf"));
        assert!(!Patterns::default().matches(b"a.data"));
    }

    #[test]
    fn names_that_are_no_text_match_too() {
        let patterns = Patterns::new(&["*.data"]).unwrap();
        assert!(patterns.matches(b"\xff\xfe.1.data"));
    }
}
