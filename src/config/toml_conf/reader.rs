//! Looking keys up in tables, where the nearest table that has a key decides, and reporting what is wrong by line.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::Diagnostics;
use super::super::nearest::nearest;
use super::super::source::{Source, UnreadSecret};
use super::schema::Section;
use super::values::{self, Expected};

/// One file being read.
pub(in crate::config) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    report: &'a mut Diagnostics,
    /// Files with secrets of the site being read that cannot be.
    pub(super) unread: Vec<UnreadSecret>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, source: &'a Source<'a>, report: &'a mut Diagnostics) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, report, unread: Vec::new(), lines }
    }

    /// The line that `span` begins on, counted from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|begin| *begin <= span.start)
    }

    pub(super) fn error(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        self.report.error(line, message);
    }

    pub(super) fn warn(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        self.report.warn(line, message);
    }

    /// Reports every key of `table` that `section` does not have.
    pub(super) fn check_keys(&mut self, table: &DeTable<'_>, section: Section) {
        let known = section.keys();
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let line = self.line(&key.span());
            self.error(line, unknown_key(key.get_ref(), section));
        }
    }

    /// The table `value` is, or an error.
    pub(super) fn table<'t>(&mut self, title: &str, value: &'t Spanned<DeValue<'t>>) -> Option<&'t DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let (line, found) = (self.line(&value.span()), values::type_of(value.get_ref()));
            self.error(line, format!("{title}: expected a table, found {found}"));
        }
        table
    }
}

fn unknown_key(key: &str, section: Section) -> String {
    let (title, known) = (section.title(), section.keys());
    if let Some(meant) = nearest(key, known.iter().copied()) {
        return format!("unknown key {key:?} in {title}; did you mean {meant:?}?");
    }
    if let Some(other) = Section::TABLES.iter().find(|other| other.keys().contains(&key)) {
        return format!("unknown key {key:?} in {title}; it belongs in {}", other.title());
    }
    format!("unknown key {key:?} in {title}; known are {}", known.join(", "))
}

/// A key's value, and where it was found.
#[derive(Clone, Copy)]
pub(super) struct Found<'t> {
    /// How many tables were passed over.
    pub(super) depth: usize,
    pub(super) line: usize,
    pub(super) value: &'t DeValue<'t>,
}

/// Tables in which a key is looked up, the one that decides first.
pub(in crate::config) struct Layers<'r, 'a, 't> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) tables: &'r [&'t DeTable<'t>],
    /// Where it is reported that something is missing in them.
    pub(super) line: Option<usize>,
}

impl<'t> Layers<'_, '_, 't> {
    /// The deciding value of `key`, whatever it is.
    pub(super) fn find(&self, key: &str) -> Option<Found<'t>> {
        self.tables.iter().enumerate().find_map(|(depth, table)| {
            let value = table.get(key)?;
            Some(Found { depth, line: self.reader.line(&value.span()), value: value.get_ref() })
        })
    }

    /// The deciding value of `key` as a `kind`, with its line; `None` where there is none, or a wrong one.
    pub(super) fn located<T>(
        &mut self,
        key: &str,
        kind: impl Fn(&DeValue<'_>) -> Result<T, Expected>,
    ) -> Option<(T, Found<'t>)> {
        let found = self.find(key)?;
        match kind(found.value) {
            Ok(value) => Some((value, found)),
            Err(expected) => {
                self.reader
                    .error(found.line, format!("{key}: expected {expected}, found {}", values::shown(found.value)));
                None
            }
        }
    }

    /// The deciding value of `key` as a `kind`; `None` where there is none, or a wrong one.
    pub(super) fn read<T>(&mut self, key: &str, kind: impl Fn(&DeValue<'_>) -> Result<T, Expected>) -> Option<T> {
        self.located(key, kind).map(|(value, _)| value)
    }

    /// A path, seen from the file.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.read(key, values::path).map(|path| self.reader.source.resolve(path))
    }
}
