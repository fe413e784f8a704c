//! `[group.NAME]`: what the sites of a group have in common.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::super::error::Place;
use super::super::nearest::nearest;
use super::reader::{In, Reader};
use super::schema::Section;
use super::values;

/// Names stand in log lines.
const LONGEST_NAME: usize = 128;

/// The most groups that an error names.
const MOST_NAMED: usize = 20;

/// The groups of all files, by name.
#[derive(Default)]
pub(super) struct Groups<'t>(BTreeMap<&'t str, (Place, In<&'t DeTable<'t>>)>);

impl<'t> Groups<'t> {
    /// Reads which there are; what they say is read with each site.
    pub(super) fn read(reader: &mut Reader<'t>) -> Self {
        let mut groups = Self::default();
        for file in reader.tables() {
            let Some(said) = file.get("group") else { continue };
            let Some(of_file) = reader.table("[group]", said) else { continue };
            for (key, value) in of_file.value {
                let name = key.get_ref().as_ref();
                let place = reader.place(of_file, &key.span());
                if !is_name(name) {
                    reader.error(place, format!("[group.NAME]: expected {}, found {name:?}", expected_name()));
                }
                let title = format!("[group.{name}]");
                let Some(table) = reader.table(&title, In { file: of_file.file, value }) else { continue };
                reader.check_keys(table, Section::Group);
                groups.add(reader, name, place, table);
            }
        }
        groups
    }

    fn add(&mut self, reader: &mut Reader<'_>, name: &'t str, place: Place, table: In<&'t DeTable<'t>>) {
        match self.0.get(name) {
            Some((first, _)) => {
                let first = reader.named(*first, place);
                reader.error(
                    place,
                    format!("[group.{name}]: the name is taken by the group of {first}; names are unique"),
                );
            }
            None => {
                self.0.insert(name, (place, table));
            }
        }
    }

    /// Each, with where it begins.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, In<&'t DeTable<'t>>)> {
        self.0.values().copied()
    }

    /// What the group called `name` says.
    ///
    /// # Errors
    /// There is none: what there is instead.
    pub(super) fn get(&self, name: &str) -> Result<In<&'t DeTable<'t>>, String> {
        let known = || self.0.keys().copied();
        match self.0.get(name) {
            Some((_, table)) => Ok(*table),
            None => Err(match (nearest(name, known()), known().len()) {
                (Some(meant), _) => format!("no group is named {name:?}; did you mean {meant:?}?"),
                (None, 0) => format!("no group is named {name:?}; there is none: write [group.{name}]"),
                (None, count) => {
                    let shown: Vec<&str> = known().take(MOST_NAMED).collect();
                    let more = if count > MOST_NAMED { ", …" } else { "" };
                    format!("no group is named {name:?}; there are: {}{more}", shown.join(", "))
                }
            }),
        }
    }
}

/// Whether a site or a group can be called so: text that can be printed.
pub(in crate::config) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.trim() == name && name.chars().all(crate::proto::shows)
}

/// What such a name has to be.
pub(in crate::config) fn expected_name() -> String {
    format!("a name of 1 to {LONGEST_NAME} bytes that can be printed")
}

/// The name of a site or of a group.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, values::Expected> {
    value.as_str().filter(|name| is_name(name)).map(str::to_owned).ok_or_else(expected_name)
}
