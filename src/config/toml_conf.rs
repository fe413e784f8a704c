//! Our own configuration file: `[sync]`, `[tls]`, `[defaults]` and one `[[site]]` for each isolated network.
//!
//! The document is walked by hand rather than deserialized, so that one reading finds everything that is wrong, each
//! with its line, and a typo with the key that was intended.

mod kinds;
mod proxy;
mod reader;
pub(super) mod schema;
mod secret;
mod site;
mod tls;
mod values;

use toml::de::DeTable;

pub(super) use self::kinds::{FilePath, Flag, Globs, Kind, Number, Permissions, Size, Text, Time, Word};
pub(super) use self::proxy::Proxy;
pub(super) use self::reader::Layers;
use self::reader::Reader;
use self::schema::Section;
pub(super) use self::secret::Password;
use self::site::Inherited;
#[cfg(test)]
pub(super) use self::tls::KEYS as TLS;
pub(super) use self::tls::Tls;
use super::error::Diagnostics;
use super::settings::{MONITOR, SYNC, Settings};
use super::source::Source;

/// Reads a whole file.
pub(super) fn read(bytes: &[u8], source: &Source<'_>, report: &mut Diagnostics) -> Settings {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            report.error(line, "expected UTF-8, found other bytes; save the file as UTF-8");
            return Settings::of_sites(Vec::new());
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(text, source, report);
    for error in &errors {
        // Only the message: the line itself may hold a password.
        let line = error.span().map(|span| reader.line(&span));
        reader.error(line, error.message());
    }
    // What was salvaged would only bring up errors that are none.
    if !errors.is_empty() {
        return Settings::of_sites(Vec::new());
    }
    read_document(&mut reader, document.get_ref())
}

fn read_document<'t>(reader: &mut Reader<'_>, document: &'t DeTable<'t>) -> Settings {
    reader.check_keys(document, Section::File);
    let mut table = |section: Section, name: &str| {
        let table = reader.table(section.title(), document.get(name)?)?;
        reader.check_keys(table, section);
        Some(table)
    };
    let above = Inherited {
        sync: table(Section::Sync, "sync"),
        tls: table(Section::Tls, "tls").and_then(|_| document.get("tls")),
        defaults: table(Section::Defaults, "defaults"),
    };
    let monitor = table(Section::Monitor, "monitor");
    // Also what every site overrides has to be right.
    site::inherited(reader, above, above.defaults.as_slice(), None);
    let mut settings = Settings::of_sites(site::read_all(reader, above, document.get("site")));
    let keys = &mut Layers { reader, tables: above.sync.as_slice(), line: None };
    for key in SYNC {
        (key.read)(keys, &mut settings);
    }
    // What `[sync]` says of every site's `incoming_dir` holds here as well.
    let tables: Vec<&DeTable<'_>> = monitor.into_iter().chain(above.sync).collect();
    for key in MONITOR {
        (key.read)(&mut Layers { reader, tables: &tables, line: None }, &mut settings.monitor);
    }
    settings
}

#[cfg(test)]
mod tests;
