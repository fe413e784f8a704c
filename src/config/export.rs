//! Settings written as our TOML: what `tentacle-syncd import` prints.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};

use super::defaults;
use super::settings::{ProxySettings, Settings, SiteSettings};
use super::toml_conf::schema;
use super::units::{format_duration, format_size};
use crate::store::{Durability, Publish};
use crate::sync::Delivery;
use crate::tls::{ClientCertPolicy, TlsSettings, Verify};

const HEADER: &str = "\
# The sites whose agents' files tentacle-syncd collects.
# What [defaults] and [tls] say holds for every site that does not say otherwise itself.
";

/// `settings` as a file that reads back as the same sites.
///
/// What most sites have in common stands in `[defaults]` and `[tls]`; what is built in is left out. What cannot be
/// written is named in a comment: secrets, and paths that are no UTF-8.
pub fn to_toml(settings: &Settings) -> String {
    let sites: Vec<Table> = settings.sites.iter().map(|site| table(&SiteKeys::new(site))).collect();
    let built_in = table(&SiteKeys::new(&SiteSettings::new("", "")));
    let mut common = most_common(&sites);
    let tls = shared_tls(&sites);
    common.insert("tls".to_owned(), tls.clone().map_or(Value::Boolean(false), Value::Table));

    let mut text = format!("{HEADER}\n[sync]\n{}", lines(&table(&SyncKeys::new(settings)), schema::SYNC));
    // Not that of whoever imports, which need not be the user who will run it.
    let _ = writeln!(text, "#state_dir = {:?}", defaults::STATE_DIR);
    if let Some(tls) = &tls {
        let _ = write!(text, "\n[tls]\n{}", lines(tls, schema::TLS));
    }
    let mut shared = differing(&common, &built_in);
    shared.remove("tls");
    if !shared.is_empty() {
        let _ = write!(text, "\n[defaults]\n{}", lines(&shared, schema::DEFAULTS));
    }
    for (site, keys) in settings.sites.iter().zip(&sites) {
        let mut own = differing(keys, &common);
        own.insert("name".to_owned(), site.name.as_str().into());
        own.insert("address".to_owned(), site.address.as_str().into());
        let _ = write!(text, "\n[[site]]\n{}{}", lines(&own, schema::SITE), notes(site));
    }
    text
}

/// What a `[[site]]` says, apart from its name and address.
#[derive(Serialize)]
struct SiteKeys<'a> {
    enabled: bool,
    port: u16,
    interval: String,
    timeout: String,
    retries: u32,
    connections: usize,
    tls: OrFalse<TlsKeys<'a>>,
    proxy: OrFalse<ProxyKeys<'a>>,
    incoming_dir: Option<&'a str>,
    include: Vec<&'a str>,
    exclude: Vec<&'a str>,
    delivery: &'static str,
    max_file_size: String,
    min_rate: String,
    round_limit: String,
    keep_open: String,
    quickack: bool,
}

/// `false` for none.
#[derive(Serialize)]
#[serde(untagged)]
enum OrFalse<T> {
    Some(T),
    None(bool),
}

impl<T> From<Option<T>> for OrFalse<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None(false), Self::Some)
    }
}

#[derive(Serialize)]
struct TlsKeys<'a> {
    ca: Option<&'a str>,
    cert: Option<&'a str>,
    key: Option<&'a str>,
    verify: &'static str,
    pins: Option<Vec<String>>,
    offer_client_cert: Option<bool>,
}

#[derive(Serialize)]
struct ProxyKeys<'a> {
    host: &'a str,
    port: u16,
}

impl<'a> SiteKeys<'a> {
    fn new(site: &'a SiteSettings) -> Self {
        Self {
            enabled: site.enabled,
            port: site.port,
            interval: format_duration(site.interval),
            timeout: format_duration(site.timeout),
            retries: site.retries,
            connections: site.connections,
            tls: site.tls.as_ref().map(TlsKeys::new).into(),
            proxy: site.proxy.as_ref().map(|ProxySettings { host, port, .. }| ProxyKeys { host, port: *port }).into(),
            incoming_dir: site.incoming_dir.to_str(),
            include: site.filter.include().collect(),
            exclude: site.filter.exclude().collect(),
            delivery: match site.delivery {
                Delivery::Safe => "safe",
                Delivery::Move => "move",
            },
            max_file_size: format_size(site.max_file_size),
            min_rate: format_size(site.min_rate),
            round_limit: format_duration(site.round_limit),
            keep_open: format_duration(site.keep_open),
            quickack: site.quick_ack,
        }
    }
}

impl<'a> TlsKeys<'a> {
    fn new(tls: &'a TlsSettings) -> Self {
        Self {
            ca: tls.ca.as_deref().and_then(Path::to_str),
            cert: tls.identity.as_ref().and_then(|identity| identity.cert.to_str()),
            key: tls.identity.as_ref().and_then(|identity| identity.key.to_str()),
            verify: match tls.verify {
                Verify::Chain => "chain",
                Verify::ChainAndName => "chain+name",
                Verify::Pin(_) => "pin",
                Verify::None => "none",
            },
            pins: match &tls.verify {
                Verify::Pin(pins) => Some(pins.iter().map(hexadecimal).collect()),
                Verify::Chain | Verify::ChainAndName | Verify::None => None,
            },
            offer_client_cert: match tls.offer {
                ClientCertPolicy::Auto => None,
                ClientCertPolicy::Always => Some(true),
                ClientCertPolicy::Never => Some(false),
            },
        }
    }
}

fn hexadecimal(pin: &[u8; 32]) -> String {
    pin.iter().fold(String::with_capacity(64), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// What `[sync]` says: only what is not built in.
#[derive(Serialize)]
struct SyncKeys {
    durability: Option<&'static str>,
    publish: Option<&'static str>,
    max_spool_files: Option<usize>,
    max_spool_bytes: Option<String>,
    max_connections: Option<usize>,
    shutdown_timeout: Option<String>,
}

impl SyncKeys {
    fn new(settings: &Settings) -> Self {
        let durability = match settings.durability {
            Durability::Fsync => "fsync",
            Durability::None => "none",
        };
        let publish = match settings.publish {
            Publish::Paced => "paced",
            Publish::AtOnce => "at-once",
        };
        let Settings { max_spool, max_connections, shutdown_timeout, .. } = *settings;
        Self {
            durability: (settings.durability != defaults::DURABILITY).then_some(durability),
            publish: (settings.publish != defaults::PUBLISH).then_some(publish),
            max_spool_files: (max_spool.files != defaults::MAX_SPOOL.files).then_some(max_spool.files),
            max_spool_bytes: (max_spool.bytes != defaults::MAX_SPOOL.bytes).then(|| format_size(max_spool.bytes)),
            max_connections: (max_connections != defaults::MAX_CONNECTIONS).then_some(max_connections),
            shutdown_timeout: (shutdown_timeout != defaults::SHUTDOWN_TIMEOUT)
                .then(|| format_duration(shutdown_timeout)),
        }
    }
}

fn table(keys: &impl Serialize) -> Table {
    Table::try_from(keys).expect("texts, small numbers and tables of them are TOML")
}

/// Of each key the value that most tables have; the first of them where several do.
fn most_common(tables: &[Table]) -> Table {
    let mut common = Table::new();
    for key in schema::SITE.keys {
        let mut counts: Vec<(&Value, usize)> = Vec::new();
        for value in tables.iter().filter_map(|table| table.get(*key)) {
            match counts.iter_mut().find(|(counted, _)| *counted == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
        // `max_by_key` takes the last of equals.
        if let Some((value, _)) = counts.into_iter().rev().max_by_key(|(_, count)| *count) {
            common.insert((*key).to_owned(), value.clone());
        }
    }
    common
}

/// The TLS that all sites with TLS have: keys of `[tls]` can be overridden, not taken back.
fn shared_tls(sites: &[Table]) -> Option<Table> {
    let mut tables = sites.iter().filter_map(|site| site.get("tls").and_then(Value::as_table));
    let first = tables.next()?;
    tables.all(|other| other == first).then(|| first.clone())
}

fn differing(keys: &Table, base: &Table) -> Table {
    keys.iter()
        .filter(|(key, value)| base.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// One line for each key, in the order of the schema.
fn lines(keys: &Table, section: schema::Section) -> String {
    let line = |key: &&str| keys.get(*key).map(|value| format!("{key} = {value}\n"));
    section.keys.iter().filter_map(line).collect()
}

/// What is left for the reader to write.
fn notes(site: &SiteSettings) -> String {
    let mut notes = Vec::new();
    if site.password.is_some() {
        notes.push("This site has a password, which is not shown: password_file = \"…\"".to_owned());
    }
    if let Some((user, _)) = site.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
        notes.push(format!("The proxy knows us as {user:?}; the password is not shown: add user and password_file."));
    }
    let identity = site.tls.as_ref().and_then(|tls| tls.identity.as_ref());
    if identity.is_some_and(|identity| identity.passphrase.is_some()) {
        notes.push("The key has a passphrase, which is not shown: passphrase_file = \"…\"".to_owned());
    }
    let ca = site.tls.as_ref().and_then(|tls| tls.ca.as_deref());
    let certificates = identity.into_iter().flat_map(|identity| [identity.cert.as_path(), identity.key.as_path()]);
    for path in certificates.chain(ca).chain([site.incoming_dir.as_path()]).filter(|path| path.to_str().is_none()) {
        notes.push(format!("This path is no UTF-8 and cannot be written here: {:?}", path.to_string_lossy()));
    }
    notes.iter().fold(String::new(), |text, note| text + "# " + note + "\n")
}

#[cfg(test)]
mod tests;
