//! `include`: the other files of a configuration, so that tools and packages can add sites without touching it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::stat;

use super::error::{Diagnostics, Place};
use super::load::is_named_toml;
use super::source::{FileText, Source, io_message};
use super::toml_conf;
use crate::proto::quoted;
use crate::sync::Patterns;

/// What is included where the file does not say, if the directory is there.
const USUAL: &str = "sites.d/*.toml";

/// Far more than there are sites.
const MOST_FILES: usize = 100_000;

/// What all files together may have.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What one entry of `include` names.
enum Include {
    File(PathBuf),
    /// The files of a directory whose names match.
    Matching {
        directory: PathBuf,
        names: Patterns,
        /// Of a pattern that begins with a dot.
        with_hidden: bool,
        /// Whether the directory need not be there.
        may_be_absent: bool,
    },
}

impl Include {
    /// What is written as `text` in a file of `directory`.
    ///
    /// # Errors
    /// Nothing that can be included: what was expected.
    fn parse(text: &str, directory: &Path, may_be_absent: bool) -> Result<Self, String> {
        let path = Path::new(text);
        let name = path.file_name().and_then(OsStr::to_str).filter(|_| is_named_toml(path) && !text.contains('\0'));
        let Some(name) = name else {
            return Err(format!("expected a path or a pattern that ends in .toml, found {text:?}"));
        };
        if text.strip_suffix(name).is_none_or(has_wildcard) {
            return Err(format!("expected wildcards in the last part of the path alone, found {text:?}"));
        }
        if !has_wildcard(name) {
            return Ok(Self::File(directory.join(path)));
        }
        let names = Patterns::new(&[name]).map_err(|error| format!("{text:?} is no pattern: {}", error.kind()))?;
        let directory = path.parent().map_or_else(|| directory.to_owned(), |parent| directory.join(parent));
        Ok(Self::Matching { directory, names, with_hidden: name.starts_with('.'), may_be_absent })
    }

    /// The files, in the order of their names.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let Self::Matching { directory, names, with_hidden, may_be_absent } = self else {
            return Ok(self.named().map(Path::to_owned).into_iter().collect());
        };
        match matching(directory, names, *with_hidden) {
            Ok(found) => Ok(found),
            Err(error) if *may_be_absent && error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(format!("cannot read the directory {}: {}", quoted(directory), why(&error))),
        }
    }

    /// The file that it names, unless it is a pattern.
    fn named(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Matching { .. } => None,
        }
    }
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

fn matching(directory: &Path, names: &Patterns, with_hidden: bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let is_meant = with_hidden || !name.as_bytes().starts_with(b".");
        if is_meant && names.matches(name.as_bytes()) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found.into_iter().map(|name| directory.join(name)).collect())
}

/// As of a directory.
fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is none".to_owned(),
        ErrorKind::NotADirectory => "it is none".to_owned(),
        ErrorKind::PermissionDenied => "permission denied; make it readable for the user this runs as".to_owned(),
        _ => error.to_string(),
    }
}

/// A file that is included.
pub(super) struct Included {
    pub(super) path: PathBuf,
    /// Where it is named, or matched.
    named_at: Place,
    is_matched: bool,
}

impl Included {
    /// Reads it; `None` where it has gone since the directory was read.
    ///
    /// # Errors
    /// Why it cannot be read, and what to do.
    fn read(&self) -> Option<Result<FileText, String>> {
        let error = match FileText::read(&self.path) {
            Ok(text) => return Some(Ok(text)),
            Err(error) => error,
        };
        let is_absent = error.kind() == ErrorKind::NotFound;
        // A link that leads nowhere is there.
        if is_absent && self.is_matched && self.path.symlink_metadata().is_err() {
            return None;
        }
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => "; make it readable for the user this runs as",
            ErrorKind::NotFound if self.is_matched => "; the link leads nowhere: remove it",
            ErrorKind::NotFound => "; write it, or leave it out of include",
            _ => "; put a file there, or nothing",
        };
        Some(Err(format!("cannot read it: {}{advice}", io_message(&error))))
    }
}

/// What the file of `source` includes: each file once, in the order in which they count.
pub(super) fn find(source: &Source<'_>, report: &mut Diagnostics) -> Vec<Included> {
    let said = toml_conf::read_include(source, report);
    let usual = || vec![(Place::MAIN, USUAL.to_owned())];
    let (may_be_absent, includes) = (said.is_none(), said.unwrap_or_else(usual));
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for (place, text) in includes {
        let files = Include::parse(&text, &source.directory, may_be_absent).and_then(|include| {
            let is_matched = include.named().is_none();
            Ok((include.files()?, is_matched))
        });
        let (files, is_matched) = match files {
            Ok(files) => files,
            Err(problem) => {
                report.error(place, format!("include: {problem}"));
                continue;
            }
        };
        for path in files {
            // `*.toml` in the directory of the file itself matches that too.
            if is_same(&path, source.path) {
                if !is_matched {
                    report.error(place, format!("include: {text:?} is this file itself"));
                }
            } else if seen.insert(path.clone()) {
                found.push(Included { path, named_at: place, is_matched });
            }
        }
    }
    found
}

fn is_same(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    inode(one).is_some_and(|one| inode(other) == Some(one))
}

/// Reads what the file of `source` includes.
pub(super) fn read(source: &Source<'_>, report: &mut Diagnostics) -> Vec<(PathBuf, FileText)> {
    let mut files = Vec::new();
    let mut bytes = 0;
    for included in find(source, report) {
        let Some(read) = included.read() else { continue };
        let place = Place { file: files.len() + 1, line: None };
        let text = read.unwrap_or_else(|problem| {
            report.error(place, problem);
            FileText { bytes: Vec::new(), world_readable: false }
        });
        bytes += text.bytes.len();
        files.push((included.path, text));
        if files.len() > MOST_FILES || bytes > MOST_BYTES {
            let most = format!("{MOST_FILES} files, or 64 MiB in all");
            report.error(included.named_at, format!("include: it names more than {most}; put sites together in files"));
            break;
        }
    }
    files
}

#[cfg(test)]
mod tests;
