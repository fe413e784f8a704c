//! Looking keys up in tables, where the nearest table that has a key decides, and reporting what is wrong by line.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::{Diagnostics, Place};
use super::super::nearest::nearest;
use super::super::source::{Source, UnreadSecret};
use super::schema::Section;
use super::values::{self, Expected};
use crate::proto::quoted;

/// One of the files, parsed.
pub(in crate::config) struct Document<'a> {
    pub(super) source: &'a Source<'a>,
    table: DeTable<'a>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Document<'a> {
    /// Parses `source`, which is the configuration's file of that number; `None` where it is no TOML, which is reported.
    pub(super) fn parse(file: usize, source: &'a Source<'a>, report: &mut Diagnostics) -> Option<Self> {
        let bytes = &*source.text.bytes;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
                let place = Place { file, line: Some(line) };
                report.error(place, "expected UTF-8, found other bytes; save the file as UTF-8");
                return None;
            }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let document = Self { source, table: table.into_inner(), lines };
        for error in &errors {
            // Only the message: the line itself may hold a password.
            let line = error.span().map(|span| document.line(&span));
            report.error(Place { file, line }, error.message());
        }
        // What was salvaged would only bring up errors that are none.
        errors.is_empty().then_some(document)
    }

    /// The line that `span` begins on, counted from 1.
    fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|begin| *begin <= span.start)
    }
}

/// Something in one of the files.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct In<T> {
    /// Which of them.
    pub(super) file: usize,
    pub(super) value: T,
}

/// Files being read.
pub(in crate::config) struct Reader<'a> {
    documents: &'a [Document<'a>],
    report: &'a mut Diagnostics,
    /// Files with secrets of the site being read that cannot be.
    pub(super) unread: Vec<UnreadSecret>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(documents: &'a [Document<'a>], report: &'a mut Diagnostics) -> Self {
        Self { documents, report, unread: Vec::new() }
    }

    /// The tables that are the files, that which includes the others first.
    pub(super) fn tables(&self) -> impl Iterator<Item = In<&'a DeTable<'a>>> + use<'a> {
        self.documents.iter().enumerate().map(|(file, document)| In { file, value: &document.table })
    }

    /// The file in which that is.
    pub(super) fn source(&self, place: Place) -> &'a Source<'a> {
        self.documents[place.file].source
    }

    /// Where `value` begins, of which this is the span.
    pub(super) fn place<T: Copy>(&self, of: In<T>, span: &Range<usize>) -> Place {
        Place { file: of.file, line: Some(self.documents[of.file].line(span)) }
    }

    /// `place` for a message about what stands at `from`.
    pub(super) fn named(&self, place: Place, from: Place) -> String {
        match place.line {
            Some(line) if place.file == from.file => format!("line {line}"),
            Some(line) => format!("{}:{line}", quoted(self.source(place).path)),
            None => quoted(self.source(place).path).to_string(),
        }
    }

    pub(super) fn error(&mut self, place: impl Into<Place>, message: impl Into<String>) {
        self.report.error(place, message);
    }

    pub(super) fn warn(&mut self, place: impl Into<Place>, message: impl Into<String>) {
        self.report.warn(place, message);
    }

    /// Reports every key of `table` that `section` does not have.
    pub(super) fn check_keys(&mut self, table: In<&DeTable<'_>>, section: Section) {
        let known = section.keys();
        for key in table.value.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let place = self.place(table, &key.span());
            self.error(place, unknown_key(key.get_ref(), section));
        }
    }

    /// The table `said` is, or an error.
    pub(super) fn table<'t>(&mut self, title: &str, said: In<&'t Spanned<DeValue<'t>>>) -> Option<In<&'t DeTable<'t>>> {
        let In { file, value } = said;
        let table = value.get_ref().as_table();
        if table.is_none() {
            let (place, found) = (self.place(said, &value.span()), values::type_of(value.get_ref()));
            self.error(place, format!("{title}: expected a table, found {found}"));
        }
        table.map(|value| In { file, value })
    }
}

impl<'t> In<&'t DeTable<'t>> {
    /// The value of `key` in this table.
    pub(super) fn get(self, key: &str) -> Option<In<&'t Spanned<DeValue<'t>>>> {
        self.value.get(key).map(|value| In { file: self.file, value })
    }
}

fn unknown_key(key: &str, section: Section) -> String {
    let (title, known) = (section.title(), section.keys());
    if section == Section::Included && Section::File.keys().contains(&key) {
        return format!("{key:?} in {title}; it belongs in the file that includes this one");
    }
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
    pub(super) place: Place,
    pub(super) value: &'t DeValue<'t>,
}

/// Tables in which a key is looked up, the one that decides first.
pub(in crate::config) struct Layers<'r, 'a, 't> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) tables: &'r [In<&'t DeTable<'t>>],
    /// Where it is reported that something is missing in them.
    pub(super) place: Place,
}

impl<'t> Layers<'_, '_, 't> {
    /// The deciding value of `key`, whatever it is.
    pub(super) fn find(&self, key: &str) -> Option<Found<'t>> {
        self.tables.iter().enumerate().find_map(|(depth, table)| {
            let value = table.value.get(key)?;
            Some(Found { depth, place: self.reader.place(*table, &value.span()), value: value.get_ref() })
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
                    .error(found.place, format!("{key}: expected {expected}, found {}", values::shown(found.value)));
                None
            }
        }
    }

    /// The deciding value of `key` as a `kind`; `None` where there is none, or a wrong one.
    pub(super) fn read<T>(&mut self, key: &str, kind: impl Fn(&DeValue<'_>) -> Result<T, Expected>) -> Option<T> {
        self.located(key, kind).map(|(value, _)| value)
    }

    /// A path, seen from the file in which it stands.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.located(key, values::path).map(|(path, found)| self.reader.source(found.place).resolve(path))
    }
}
