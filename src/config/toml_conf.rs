//! Our own configuration: `[sync]`, `[tls]`, `[defaults]`, `[group.NAME]` and one `[[site]]` for each isolated network, in
//! one file and those that it includes.
//!
//! The documents are walked by hand rather than deserialized, so that one reading finds everything that is wrong, each
//! with its line, and a typo with the key that was intended.

pub(super) mod group;
mod http;
mod kinds;
mod proxy;
mod reader;
pub(super) mod schema;
mod secret;
mod site;
mod tls;
mod values;

use toml::de::{DeTable, DeValue};

use self::group::Groups;
pub(super) use self::http::{HostNames, Listen, Token};
pub(super) use self::kinds::{Bandwidth, FilePath, Flag, Globs, Kind, Number, Permissions, Size, Text, Time, Word};
pub(super) use self::proxy::{Proxy, host_of};
pub(super) use self::reader::Layers;
use self::reader::{Document, In, Reader};
use self::schema::Section;
pub(super) use self::secret::Password;
use self::site::Inherited;
#[cfg(test)]
pub(super) use self::tls::KEYS as TLS;
pub(super) use self::tls::{Identity, Tls};
use super::error::{Diagnostics, Place};
use super::settings::{DaemonPaths, MONITOR, SYNC, Settings};
use super::source::Source;

/// Reads all files of a configuration, that which includes the others first.
pub(super) fn read(files: &[Source<'_>], report: &mut Diagnostics) -> Settings {
    let parsed = files.iter().enumerate().map(|(file, source)| Document::parse(file, source, report));
    // A part of them would only bring up errors that are none; all that is no TOML is reported.
    let documents: Option<Vec<Document<'_>>> = parsed.collect::<Vec<_>>().into_iter().collect();
    match documents {
        Some(documents) => read_documents(&mut Reader::new(&documents, report)),
        None => Settings::of_sites(Vec::new()),
    }
}

fn read_documents(reader: &mut Reader<'_>) -> Settings {
    let mut files = reader.tables();
    let Some(main) = files.next() else { return Settings::of_sites(Vec::new()) };
    reader.check_keys(main, Section::File);
    files.for_each(|included| reader.check_keys(included, Section::Included));
    let mut table = |section: Section, name: &str| {
        let said = main.get(name)?;
        let table = reader.table(section.title(), said)?;
        reader.check_keys(table, section);
        Some((reader.place(said, &said.value.span()), table))
    };
    let sync = table(Section::Sync, "sync").map(|(_, table)| table);
    let tls = table(Section::Tls, "tls");
    let defaults = table(Section::Defaults, "defaults").map(|(_, table)| table);
    let monitor = table(Section::Monitor, "monitor").map(|(_, table)| table);
    let http = table(Section::Http, "http").map(|(_, table)| table);
    let (above, groups) = (Inherited { sync, tls, defaults }, Groups::read(reader));
    // Also what every site overrides has to be right.
    site::inherited(reader, above, defaults.as_slice(), Place::MAIN);
    if let Some((place, table)) = tls {
        tls::check(reader, place, table);
    }
    if let Some(table) = defaults {
        tls::check_within(reader, table);
    }
    for (place, group) in groups.iter() {
        tls::check_within(reader, group);
        let tables: Vec<In<&DeTable<'_>>> = [group].into_iter().chain(defaults).collect();
        site::inherited(reader, above, &tables, place);
    }
    let mut settings = Settings::of_sites(site::read_all(reader, above, &groups));
    let keys = &mut Layers { reader, tables: sync.as_slice(), place: Place::MAIN };
    for key in SYNC {
        (key.read)(keys, &mut settings);
    }
    // What `[sync]` says of every site's `incoming_dir` holds here as well.
    let tables: Vec<In<&DeTable<'_>>> = monitor.into_iter().chain(sync).collect();
    for key in MONITOR {
        (key.read)(&mut Layers { reader, tables: &tables, place: Place::MAIN }, &mut settings.monitor);
    }
    settings.http = http.map(|table| http::read(reader, table)).unwrap_or_default();
    settings
}

/// What the file's `[sync]` says of where its daemon is reached, whatever else stands in it.
pub(super) fn read_daemon_paths(source: &Source<'_>, report: &mut Diagnostics) -> DaemonPaths {
    let Some(document) = Document::parse(0, source, report) else { return DaemonPaths::default() };
    let documents = [document];
    let reader = &mut Reader::new(&documents, report);
    let said = reader.tables().next().and_then(|main| main.get("sync"));
    let sync = said.and_then(|said| reader.table(Section::Sync.title(), said));
    let mut layers = Layers { reader, tables: sync.as_slice(), place: Place::MAIN };
    DaemonPaths { control_socket: layers.path("control_socket"), state_dir: layers.path("state_dir") }
}

/// What the file says is to be included, with where it says so; `None` where it says nothing of that. Nothing is where that
/// cannot be read, which is reported.
pub(super) fn read_include(source: &Source<'_>, report: &mut Diagnostics) -> Option<Vec<(Place, String)>> {
    let Some(document) = Document::parse(0, source, report) else { return Some(Vec::new()) };
    let documents = [document];
    let reader = &mut Reader::new(&documents, report);
    let main = reader.tables().next()?;
    let mut layers = Layers { reader, tables: &[main], place: Place::MAIN };
    layers.find(INCLUDE)?;
    let expected = "a list of paths and patterns such as [\"sites.d/*.toml\"]";
    let list = |value: &DeValue<'_>| values::list(value).map_err(|_| expected.to_owned());
    let Some((paths, found)) = layers.located(INCLUDE, list) else { return Some(Vec::new()) };
    let items = found.value.as_array().into_iter().flatten();
    Some(items.map(|item| layers.reader.place(main, &item.span())).zip(paths).collect())
}

/// The key that names the files to be included.
const INCLUDE: &str = "include";

#[cfg(test)]
mod tests;
