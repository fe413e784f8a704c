//! Which directory a name belongs to: `regex:directory;regex:directory…`, the first regex that matches anywhere in the
//! name decides. The regexes are Perl's, on bytes; what needs backtracking is refused.

mod perl;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use regex::bytes::Regex;

/// Filters in the order they are tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug)]
struct Filter {
    /// As it was written, or as its author intended it.
    pattern: String,
    regex: Regex,
    /// Below the storage directory; empty for that itself.
    directory: PathBuf,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        (&self.pattern, &self.directory) == (&other.pattern, &other.directory)
    }
}

/// Why filters cannot be used. Each names the filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Two `;` in a row, or one at the start.
    #[error("there is nothing between two `;`; {EXPECTED}")]
    Nothing,
    /// Only one part.
    #[error("{0:?} has no `:`; {EXPECTED}")]
    NoColon(String),
    /// More than two parts.
    #[error("{0:?} has more than one `:`, which neither part may hold; {EXPECTED}")]
    ManyColons(String),
    /// A part without a character.
    #[error("{0:?} has an empty part; {EXPECTED}")]
    EmptyPart(String),
    /// A directory that could lie elsewhere.
    #[error("{0:?} leads out of the storage directory; name a directory inside it, without `..` and leading `/`")]
    LeadsOut(String),
    /// A regex that is wrong, or asks for what only a backtracking engine has.
    #[error("{filter:?}: {reason}")]
    Regex {
        /// The filter.
        filter: String,
        /// What is wrong with its regex.
        reason: String,
    },
}

const EXPECTED: &str = r"expected regex:directory;regex:directory, such as .*\.conf:conf;.*\.md5:md5";

impl Filters {
    /// Reads filters. Returns what in them was read otherwise than it was written.
    pub fn parse(text: &[u8]) -> Result<(Self, Vec<String>), FilterError> {
        let mut warnings = Vec::new();
        let text = text.strip_suffix(b";").unwrap_or(text);
        if text.is_empty() {
            return Ok((Self::default(), warnings));
        }
        let filters = text.split(|byte| *byte == b';').map(|one| Filter::parse(one, &mut warnings));
        Ok((Self(filters.collect::<Result<_, _>>()?), warnings))
    }

    /// The directory below the storage directory that `name` belongs to; `None` for the storage directory itself.
    pub fn directory_of(&self, name: &[u8]) -> Option<&Path> {
        let filter = self.0.iter().find(|filter| filter.regex.is_match(name))?;
        Some(filter.directory.as_path()).filter(|directory| !directory.as_os_str().is_empty())
    }

    /// Every directory that names can belong to, besides the storage directory itself.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|filter| filter.directory.as_path()).filter(|directory| !directory.as_os_str().is_empty())
    }

    /// Whether every name belongs to the storage directory itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, filter) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            let directory = match filter.directory.to_string_lossy() {
                root if root.is_empty() => ".".into(),
                directory => directory,
            };
            // The blanks at the end of a line are no part of a value.
            let slash = if directory.ends_with(|c: char| c.is_ascii_whitespace()) { "/" } else { "" };
            write!(f, "{separator}{}:{directory}{slash}", filter.pattern)?;
        }
        Ok(())
    }
}

impl Filter {
    fn parse(text: &[u8], warnings: &mut Vec<String>) -> Result<Self, FilterError> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let mut parts = text.split(|byte| *byte == b':');
        let (written, directory) = match (parts.next(), parts.next(), parts.next()) {
            _ if text.is_empty() => return Err(FilterError::Nothing),
            (Some(_), None, _) => return Err(FilterError::NoColon(shown())),
            (_, _, Some(_)) => return Err(FilterError::ManyColons(shown())),
            (None | Some(b""), ..) | (_, Some(b""), _) => return Err(FilterError::EmptyPart(shown())),
            (Some(regex), Some(directory), None) => (regex, directory),
        };
        let pattern = perl::as_meant(written).unwrap_or_else(|| written.to_vec());
        if pattern != written {
            warnings.push(perl::slip_warning(written, &pattern));
        }
        if directory.windows(2).any(|two| two == b" -") {
            let advice = "if options follow the filters there, take the quotes around all of them away";
            warnings.push(format!("{:?} has a directory with a blank and a hyphen in it; {advice}", shown()));
        }
        let regex = perl::compile(&pattern).map_err(|reason| FilterError::Regex { filter: shown(), reason })?;
        let directory = inside(directory).ok_or_else(|| FilterError::LeadsOut(shown()))?;
        Ok(Self { pattern: String::from_utf8_lossy(&pattern).into_owned(), regex, directory })
    }
}

/// `directory` without what leads nowhere; `None` if it leads out of where it starts.
pub(super) fn inside(directory: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(directory)).components() {
        match component {
            Component::Normal(name) if !name.as_bytes().contains(&0) => path.push(name),
            Component::CurDir => {}
            Component::Normal(_) | Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections;.*\.lock:trans;.*\.rcmd:commands";

    fn parse(text: &str) -> Filters {
        let (filters, warnings) = Filters::parse(text.as_bytes()).unwrap();
        assert_eq!(warnings, Vec::<String>::new(), "{text}");
        filters
    }

    fn error(text: &str) -> String {
        Filters::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_filters_sort_what_agents_send() {
        let filters = parse(SHIPPED);
        for (name, directory) in [
            ("0123456789abcdef0123456789abcdef.conf", Some("conf")),
            ("0123456789abcdef0123456789abcdef.srv.md5", Some("md5")),
            ("tools.zip", Some("collections")),
            (".lock", Some("trans")),
            ("1.rcmd", Some("commands")),
            ("web01.1700000000.data", None),
            ("conf", None),
            ("<>", None),
            ("<.conf>", Some("conf")),
        ] {
            assert_eq!(filters.directory_of(name.as_bytes()), directory.map(Path::new), "{name}");
        }
        assert_eq!(filters.to_string(), SHIPPED);
    }

    #[test]
    fn the_first_match_anywhere_in_the_name_decides() {
        let filters = parse("b:one;abc:two;^c:three;d$:four;q:.;q:five");
        for (name, directory) in [("abc", Some("one")), ("c", Some("three")), ("ad", Some("four")), ("da", None)] {
            assert_eq!(filters.directory_of(name.as_bytes()), directory.map(Path::new), "{name}");
        }
        assert_eq!(filters.directory_of(b"q"), None);
    }

    #[test]
    fn no_filters_are_filters_too() {
        assert!(parse("").is_empty() && parse(";").is_empty());
        assert_eq!(parse("").directory_of(b"a.conf"), None);
    }

    #[test]
    fn directories_are_taken_as_the_system_takes_them() {
        let filters = parse("a:./x//y/;");
        assert_eq!(filters.directories().collect::<Vec<_>>(), [Path::new("x/y")]);
    }

    #[test]
    fn directories_that_lead_out_are_refused() {
        for directory in ["..", "../x", "a/../..", "a/..", "/", "/etc", "/var/spool/conf"] {
            let filter = format!("a:{directory}");
            assert_eq!(Filters::parse(filter.as_bytes()), Err(FilterError::LeadsOut(filter)), "{directory}");
        }
        assert!(Filters::parse(b"a:b\0c").is_err());
    }

    #[test]
    fn what_is_no_filter_is_named() {
        const EXPECTED: &str = r"expected regex:directory;regex:directory, such as .*\.conf:conf;.*\.md5:md5";
        assert_eq!(error("a:b;;c:d"), format!("there is nothing between two `;`; {EXPECTED}"));
        assert_eq!(error(r".*\.conf"), format!("\".*\\\\.conf\" has no `:`; {EXPECTED}"));
        assert_eq!(error("a:b;c:"), format!("\"c:\" has an empty part; {EXPECTED}"));
        assert_eq!(error(":b"), format!("\":b\" has an empty part; {EXPECTED}"));
        assert_eq!(error("a:b:c"), format!("\"a:b:c\" has more than one `:`, which neither part may hold; {EXPECTED}"));
    }

    #[test]
    fn the_manuals_broken_lines_do_what_was_meant() {
        for text in [r".*\*.conf:conf;.*\*.md5:md5;.*\*.zip:collections", r".*\conf:conf;.*\md5:md5;.*\zip:collections"]
        {
            let (filters, warnings) = Filters::parse(text.as_bytes()).unwrap();
            assert_eq!(filters, parse(r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections"), "{text}");
            assert_eq!(warnings.len(), 3, "{warnings:?}");
        }
        let (_, warnings) = Filters::parse(br".*\zip:collections").unwrap();
        assert_eq!(warnings, [r".*\zip matches no such file, though the manual has it; read as .*\.zip"]);
    }

    #[test]
    fn options_inside_the_filters_are_noticed() {
        let (_, warnings) = Filters::parse(br".*\.lock:trans -d -I -o").unwrap();
        assert!(warnings[0].contains("take the quotes around all of them away"), "{warnings:?}");
    }
}
