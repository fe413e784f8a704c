//! One site: its own table over `[defaults]`, over the values in `[sync]` for all sites, over the built-in defaults.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::keys::Tables;
use super::super::settings::{SITE, SiteSettings};
use super::reader::{Layers, Reader};
use super::schema::Section;
use super::{proxy, tls, values};
use crate::proto::shows;

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
        reader.check_keys(table, Section::Site);
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
    let mut own = Layers { reader, tables: &[table], line: Some(line) };
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
    let mut site = inherited(reader, above, &tables, Some(line));
    site.tls = tls::read(reader, &tables, above.tls);
    site.unread_secrets = std::mem::take(&mut reader.unread);
    site.name = name?;
    site.address = address?;
    Some(site)
}

/// All but name, address and TLS, of a site whose own table and `[defaults]` are `tables`.
pub(super) fn inherited<'t>(
    reader: &mut Reader<'_>,
    above: Inherited<'t>,
    tables: &[&'t DeTable<'t>],
    line: Option<usize>,
) -> SiteSettings {
    let with_sync: Vec<&DeTable<'_>> = tables.iter().copied().chain(above.sync).collect();
    let mut site = SiteSettings::new("", "");
    for key in SITE {
        let tables = match key.note {
            Tables::Site => tables,
            Tables::SiteAndSync => &with_sync,
        };
        (key.read)(&mut Layers { reader, tables, line }, &mut site);
    }
    site
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
