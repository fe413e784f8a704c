//! The kinds of values that keys have: how each is read, and how it is written.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::{Table, Value};

use super::super::units::{format_duration, format_size};
use super::super::words::word_for;
use super::reader::Layers;
use super::values;
use crate::bandwidth::{Timetable, TimetableError};
use crate::sync::Patterns;

/// A kind of value.
#[diagnostic::on_unimplemented(message = "`{Self}` does not read a `{T}`", label = "no kind for a field of type `{T}`")]
pub(in crate::config) trait Kind<T>: Sized {
    /// The names of the keys that give a field's value: that of the field, unless there are several.
    fn names(self, field: &'static str) -> Vec<&'static str> {
        vec![field]
    }

    /// The value in the deciding table; `None` where there is none, or it is wrong, which is reported.
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<T>;

    /// Writes `value` into `table`, if it is no secret and TOML can hold it.
    fn write(self, value: &T, key: &'static str, table: &mut Table);
}

/// `true` or `false`.
pub(in crate::config) struct Flag;

impl Kind<bool> for Flag {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<bool> {
        layers.read(key, values::boolean)
    }

    fn write(self, value: &bool, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), Value::Boolean(*value));
    }
}

impl Kind<Option<bool>> for Flag {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Option<bool>> {
        layers.read(key, values::boolean).map(Some)
    }

    fn write(self, value: &Option<bool>, key: &'static str, table: &mut Table) {
        if let Some(value) = value {
            Flag.write(value, key, table);
        }
    }
}

/// A whole number within a range.
pub(in crate::config) struct Number(pub(in crate::config) RangeInclusive<u64>);

/// What a [`Number`] is read as.
#[diagnostic::on_unimplemented(message = "`Number` does not read a `{Self}`")]
pub(in crate::config) trait Whole: Copy + TryFrom<u64> + TryInto<i64> {}

impl Whole for u16 {}
impl Whole for u32 {}
impl Whole for usize {}

impl<T: Whole> Kind<T> for Number {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<T> {
        layers.read(key, values::whole(self.0))
    }

    fn write(self, value: &T, key: &'static str, table: &mut Table) {
        if let Ok(number) = (*value).try_into() {
            table.insert(key.to_owned(), Value::Integer(number));
        }
    }
}

/// A duration within a range.
pub(in crate::config) struct Time(pub(in crate::config) RangeInclusive<Duration>);

impl Kind<Duration> for Time {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Duration> {
        layers.read(key, values::duration(self.0))
    }

    fn write(self, value: &Duration, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), format_duration(*value).into());
    }
}

/// A number of bytes, this one at least.
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl Kind<u64> for Size {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<u64> {
        layers.read(key, values::size(self.0))
    }

    fn write(self, value: &u64, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), format_size(*value).into());
    }
}

/// A limit on the bandwidth, by the time of the week.
pub(in crate::config) struct Bandwidth;

impl Kind<Timetable> for Bandwidth {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Timetable> {
        let (text, found) = layers.located(key, values::timetable)?;
        let read: Result<Timetable, TimetableError> = text.parse();
        if let Err(error) = &read {
            layers.reader.error(found.place, format!("{key}: {error}"));
        }
        read.ok()
    }

    fn write(self, value: &Timetable, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), value.to_string().into());
    }
}

/// Who may read and write something: digits as chmod(1) takes them.
pub(in crate::config) struct Permissions;

impl Kind<u32> for Permissions {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<u32> {
        layers.read(key, values::permissions)
    }

    fn write(self, value: &u32, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), format!("{value:04o}").into());
    }
}

/// Text that is not empty.
pub(in crate::config) struct Text;

impl Kind<Option<String>> for Text {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Option<String>> {
        layers.read(key, values::text).map(Some)
    }

    fn write(self, value: &Option<String>, key: &'static str, table: &mut Table) {
        if let Some(text) = value {
            table.insert(key.to_owned(), text.as_str().into());
        }
    }
}

/// One of a few words.
pub(in crate::config) struct Word<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<T> for Word<T> {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<T> {
        layers.read(key, values::choice(self.0))
    }

    fn write(self, value: &T, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), word_for(self.0, value).into());
    }
}

/// A path, seen from the file in which it stands.
pub(in crate::config) struct FilePath;

impl Kind<PathBuf> for FilePath {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<PathBuf> {
        layers.path(key)
    }

    fn write(self, value: &PathBuf, key: &'static str, table: &mut Table) {
        if let Some(path) = value.to_str() {
            table.insert(key.to_owned(), path.into());
        }
    }
}

impl Kind<Option<PathBuf>> for FilePath {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Option<PathBuf>> {
        layers.path(key).map(Some)
    }

    fn write(self, value: &Option<PathBuf>, key: &'static str, table: &mut Table) {
        if let Some(path) = value {
            self.write(path, key, table);
        }
    }
}

/// Shell patterns for the names of files.
pub(in crate::config) struct Globs {
    /// The effect of an empty list, where that is hardly intended.
    pub(in crate::config) if_none: Option<&'static str>,
}

impl Kind<Patterns> for Globs {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Patterns> {
        let (patterns, found) = layers.located(key, values::list)?;
        if let Some(if_none) = self.if_none.filter(|_| patterns.is_empty()) {
            layers.reader.warn(found.place, format!("{key}: the list is empty, and {if_none}"));
        }
        if let Some(path) = patterns.iter().find(|pattern| pattern.contains('/')) {
            let why = "no file's name at a site has a slash";
            let advice = "what names files of the configuration stands above all tables";
            layers.reader.warn(found.place, format!("{key}: {path:?} matches nothing, as {why}; {advice}"));
        }
        let read = Patterns::new(&patterns);
        if let Err(error) = &read {
            let (pattern, reason) = (error.glob().unwrap_or_default(), error.kind());
            layers.reader.error(found.place, format!("{key}: {pattern:?} is no pattern: {reason}"));
        }
        read.ok()
    }

    fn write(self, value: &Patterns, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), Value::Array(value.iter().map(Value::from).collect()));
    }
}
