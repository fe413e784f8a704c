//! Our own configuration file: `[sync]`, `[tls]`, `[defaults]` and one `[[site]]` for each isolated network.
//!
//! The document is walked by hand rather than deserialized, so that one reading finds everything that is wrong, each
//! with its line, and a slip with the key that was meant.

mod proxy;
mod reader;
pub(super) mod schema;
mod secret;
mod site;
mod tls;
mod values;

use std::time::Duration;

use toml::de::DeTable;

use self::reader::{Layers, Reader};
use self::site::Inherited;
use super::defaults;
use super::error::Diagnostics;
use super::load::Draft;
use super::source::Source;
use crate::store::{Durability, Publish, Waiting};

/// The tables by which a file is known for one of ours.
pub(super) const TABLES: &[&str] = schema::ROOT.keys;

/// More would be an interval of its own.
pub(super) const MOST_RETRIES: u64 = 1000;

/// To one site; stock servers take 10 of everybody.
const MOST_CONNECTIONS: u64 = 64;

/// To all sites.
const MOST_CONNECTIONS_OVERALL: u64 = 1_000_000;

/// Each takes some memory, and its record in the journal.
const MOST_SPOOLED: u64 = 10_000_000;

const PUBLISHES: [(&str, Publish); 2] = [("paced", Publish::Paced), ("at-once", Publish::AtOnce)];

const DURABILITIES: [(&str, Durability); 2] = [("fsync", Durability::Fsync), ("none", Durability::None)];

/// Reads a whole file.
pub(super) fn read(bytes: &[u8], source: &Source<'_>, report: &mut Diagnostics) -> Draft {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            report.error(line, "expected UTF-8, found other bytes; save the file as UTF-8");
            return Draft::of_sites(Vec::new());
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
        return Draft::of_sites(Vec::new());
    }
    read_document(&mut reader, document.get_ref())
}

fn read_document<'t>(reader: &mut Reader<'_>, document: &'t DeTable<'t>) -> Draft {
    reader.check_keys(document, schema::ROOT);
    let mut section = |section: schema::Section, name: &str| {
        let table = reader.table(section.title, document.get(name)?)?;
        reader.check_keys(table, section);
        Some(table)
    };
    let above = Inherited {
        sync: section(schema::SYNC, "sync"),
        tls: section(schema::TLS, "tls").and_then(|_| document.get("tls")),
        defaults: section(schema::DEFAULTS, "defaults"),
    };
    // Also what every site overrides has to be right.
    let tables: Vec<&DeTable<'_>> = above.defaults.into_iter().collect();
    site::inherited(reader, above, &tables);
    let sites = site::read_all(reader, above, document.get("site"));
    let keys = &mut Layers { reader, tables: above.sync.into_iter().collect() };
    Draft {
        state_dir: keys.path("state_dir"),
        durability: keys.read("durability", values::choice(&DURABILITIES)).unwrap_or(defaults::DURABILITY),
        publish: keys.read("publish", values::choice(&PUBLISHES)).unwrap_or(defaults::PUBLISH),
        max_spool: Waiting {
            files: keys.read("max_spool_files", values::whole(1..=MOST_SPOOLED)).unwrap_or(defaults::MAX_SPOOL.files),
            bytes: keys.read("max_spool_bytes", values::size(1)).unwrap_or(defaults::MAX_SPOOL.bytes),
        },
        max_connections: keys
            .read("max_connections", values::whole(1..=MOST_CONNECTIONS_OVERALL))
            .unwrap_or(defaults::MAX_CONNECTIONS),
        shutdown_timeout: keys
            .read("shutdown_timeout", values::duration(Duration::ZERO..=site::LONGEST))
            .unwrap_or(defaults::SHUTDOWN_TIMEOUT),
        sites,
    }
}

/// The body of the fuzz target of the same name.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub fn fuzz_toml_conf(data: &[u8]) {
    super::fuzz::read_twice(data, "fuzz.toml");
}

#[cfg(test)]
mod tests;
