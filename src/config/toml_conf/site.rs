//! One site: its own table over `[defaults]`, over what `[sync]` says of all, over the built-in defaults.

use std::collections::HashMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::defaults;
use super::super::settings::SiteSettings;
use super::super::source::SecretPurpose;
use super::reader::{Layers, Reader};
use super::{MOST_CONNECTIONS, MOST_RETRIES, proxy, schema, secret, tls, values};
use crate::proto::shows;
use crate::sync::Delivery;
use crate::sync::NameFilter;

/// `safe` or `move`.
pub(super) const DELIVERIES: [(&str, Delivery); 2] = [("safe", Delivery::Safe), ("move", Delivery::Move)];

/// Far beyond any use, and far from overflowing any clock.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

const SECOND: Duration = Duration::from_secs(1);

/// Names stand in log lines.
const LONGEST_NAME: usize = 128;

/// What stands above all sites.
#[derive(Clone, Copy)]
pub(super) struct Inherited<'t> {
    pub(super) sync: Option<&'t DeTable<'t>>,
    pub(super) tls: Option<&'t Spanned<DeValue<'t>>>,
    pub(super) defaults: Option<&'t DeTable<'t>>,
}

/// Reads every `[[site]]`.
pub(super) fn read_all<'t>(
    reader: &mut Reader<'_>,
    above: Inherited<'t>,
    said: Option<&'t Spanned<DeValue<'t>>>,
) -> Vec<SiteSettings> {
    let mut seen = Seen::default();
    let mut sites = Vec::new();
    for value in tables(reader, said) {
        let line = reader.line(&value.span());
        let Some(table) = reader.table("site", value) else { continue };
        reader.check_keys(table, schema::SITE);
        if let Some(site) = read_one(reader, above, table, line) {
            seen.check(reader, &site, line);
            sites.push(site);
        }
    }
    sites
}

/// The elements of `site`, which may turn out to be no tables.
fn tables<'t>(reader: &mut Reader<'_>, said: Option<&'t Spanned<DeValue<'t>>>) -> &'t [Spanned<DeValue<'t>>] {
    let line = said.map(|said| reader.line(&said.span()));
    match said.map(Spanned::get_ref) {
        Some(DeValue::Array(tables)) if !tables.is_empty() => return tables,
        Some(DeValue::Array(_)) | None => {
            reader.error(line, "there is no site; add one: [[site]] with name and address");
        }
        Some(other) => {
            let found = values::type_of(other);
            reader.error(line, format!("[[site]]: expected a list of tables, found {found}; write [[site]]"));
        }
    }
    &[]
}

fn read_one<'t>(
    reader: &mut Reader<'_>,
    above: Inherited<'t>,
    table: &'t DeTable<'t>,
    line: usize,
) -> Option<SiteSettings> {
    let mut own = Layers { reader, tables: vec![table] };
    let address = own.read("address", proxy::host);
    let name = match own.find("name") {
        Some(_) => own.read("name", name),
        None => address.clone(),
    };
    if own.find("address").is_none() {
        reader.error(line, "site: address is missing: the host name or address of its Tentacle server");
    }
    let tables: Vec<&DeTable<'_>> = [Some(table), above.defaults].into_iter().flatten().collect();
    reader.unread.clear();
    let mut site = inherited(reader, above, &tables);
    site.tls = tls::read(reader, &tables, above.tls);
    site.unread_secrets = std::mem::take(&mut reader.unread);
    site.name = name?;
    site.address = address?;
    Some(site)
}

/// All but name, address and TLS, of a site whose own table and `[defaults]` are `tables`.
pub(super) fn inherited<'t>(reader: &mut Reader<'_>, above: Inherited<'t>, tables: &[&'t DeTable<'t>]) -> SiteSettings {
    let proxy = proxy::read(reader, tables);
    let layers = &mut Layers { reader, tables: tables.iter().copied().chain(above.sync).collect() };
    let base = SiteSettings::new("", "");
    SiteSettings {
        enabled: layers.read("enabled", values::boolean).unwrap_or(base.enabled),
        port: layers.read("port", values::whole(1..=u16::MAX.into())).unwrap_or(base.port),
        interval: layers.read("interval", values::duration(SECOND..=LONGEST)).unwrap_or(base.interval),
        timeout: layers.read("timeout", values::duration(SECOND..=LONGEST)).unwrap_or(base.timeout),
        retries: layers.read("retries", values::whole(0..=MOST_RETRIES)).unwrap_or(base.retries),
        connections: layers.read("connections", values::whole(1..=MOST_CONNECTIONS)).unwrap_or(base.connections),
        password: secret::read(layers, &secret::PASSWORD, SecretPurpose::Password),
        proxy,
        incoming_dir: layers.path("incoming_dir").unwrap_or(base.incoming_dir),
        filter: filter(layers).unwrap_or(base.filter),
        delivery: layers.read("delivery", values::choice(&DELIVERIES)).unwrap_or(base.delivery),
        max_file_size: layers.read("max_file_size", values::size(1)).unwrap_or(base.max_file_size),
        min_rate: layers.read("min_rate", values::size(0)).unwrap_or(base.min_rate),
        round_limit: layers.read("round_limit", values::duration(SECOND..=LONGEST)).unwrap_or(base.round_limit),
        keep_open: layers.read("keep_open", values::duration(Duration::ZERO..=LONGEST)).unwrap_or(base.keep_open),
        quick_ack: layers.read("quickack", values::boolean).unwrap_or(base.quick_ack),
        ..base
    }
}

/// Both lists, each from the nearest table that has it; `None` where neither is said, or one is wrong.
fn filter(layers: &mut Layers<'_, '_, '_>) -> Option<NameFilter> {
    layers.find("include").or(layers.find("exclude"))?;
    let include = patterns(layers, "include", &defaults::INCLUDE)?;
    let exclude = patterns(layers, "exclude", &defaults::EXCLUDE)?;
    NameFilter::new(&include, &exclude).ok()
}

fn patterns(layers: &mut Layers<'_, '_, '_>, key: &str, default: &[&str]) -> Option<Vec<String>> {
    if layers.find(key).is_none() {
        return Some(default.iter().map(|&pattern| pattern.to_owned()).collect());
    }
    let (patterns, found) = layers.located(key, values::list)?;
    if patterns.is_empty() && key == "include" {
        let advice = "leave it out, or say enabled = false";
        layers.reader.warn(found.line, format!("include: the list is empty, and no file is collected; {advice}"));
    }
    match NameFilter::new(&patterns, &[]) {
        Ok(_) => Some(patterns),
        Err(error) => {
            let (pattern, reason) = (error.glob().unwrap_or_default(), error.kind());
            layers.reader.error(found.line, format!("{key}: {pattern:?} is no pattern: {reason}"));
            None
        }
    }
}

/// Text that can be printed.
fn name(value: &DeValue<'_>) -> Result<String, values::Expected> {
    value
        .as_str()
        .filter(|name| (1..=LONGEST_NAME).contains(&name.len()) && name.trim() == *name && name.chars().all(shows))
        .map(str::to_owned)
        .ok_or_else(|| format!("a name of 1 to {LONGEST_NAME} bytes that can be printed"))
}

/// The sites so far, to find what is there twice.
#[derive(Default)]
struct Seen {
    names: HashMap<String, usize>,
    endpoints: HashMap<(String, u16), usize>,
}

impl Seen {
    fn check(&mut self, reader: &mut Reader<'_>, site: &SiteSettings, line: usize) {
        if let Some(first) = self.names.insert(site.name.clone(), line) {
            reader.error(
                line,
                format!("site {:?}: the name is taken by the site of line {first}; names are unique", site.name),
            );
        }
        if let Some(first) = self.endpoints.insert((site.address.clone(), site.port), line) {
            let (name, address, port) = (&site.name, &site.address, site.port);
            reader.warn(
                line,
                format!("site {name:?}: {address}, port {port} is collected by the site of line {first} already"),
            );
        }
    }
}
