//! One site: its own table over that of its group, over `[defaults]`, over the values in `[sync]` for all sites, over the
//! built-in defaults.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::Place;
use super::super::keys::Tables;
use super::super::settings::{SITE, SiteSettings};
use super::group::{Groups, name};
use super::reader::{In, Layers, Reader};
use super::schema::Section;
use super::{proxy, tls, values};

/// What stands above all sites.
#[derive(Clone, Copy)]
pub(super) struct Inherited<'t> {
    pub(super) sync: Option<In<&'t DeTable<'t>>>,
    /// `[tls]`, and where it begins.
    pub(super) tls: Option<(Place, In<&'t DeTable<'t>>)>,
    pub(super) defaults: Option<In<&'t DeTable<'t>>>,
}

/// Reads every `[[site]]`, file by file.
pub(super) fn read_all<'t>(reader: &mut Reader<'t>, above: Inherited<'t>, groups: &Groups<'t>) -> Vec<SiteSettings> {
    let mut seen = Seen::default();
    let mut sites = Vec::new();
    for said in tables(reader) {
        let place = reader.place(said, &said.value.span());
        let Some(table) = reader.table("site", said) else { continue };
        reader.check_keys(table, Section::Site);
        if let Some(site) = read_one(reader, above, groups, table, place) {
            seen.check(reader, &site, place);
            sites.push(site);
        }
    }
    sites
}

/// The elements of `site` in all files, which may turn out to be no tables.
fn tables<'t>(reader: &mut Reader<'t>) -> Vec<In<&'t Spanned<DeValue<'t>>>> {
    let (mut tables, mut empty) = (Vec::new(), Some(Place::MAIN));
    for said in reader.tables().filter_map(|file| file.get("site")) {
        let place = reader.place(said, &said.value.span());
        match said.value.get_ref() {
            DeValue::Array(items) => {
                empty = items.is_empty().then_some(place);
                tables.extend(items.iter().map(|value| In { file: said.file, value }));
            }
            other => {
                empty = None;
                let found = values::type_of(other);
                reader.error(place, format!("[[site]]: expected a list of tables, found {found}; write [[site]]"));
            }
        }
    }
    if let Some(place) = empty.filter(|_| tables.is_empty()) {
        warn_of_none(reader, place);
    }
    tables
}

/// Whoever has tools that write sites starts with none. A file in which nothing stands is rather one that was damaged.
fn warn_of_none(reader: &mut Reader<'_>, place: Place) {
    let add = "add one: [[site]] with name and address, here or in a file of its own, sites.d/*.toml";
    if reader.source(Place::MAIN).text.bytes.trim_ascii().is_empty() {
        reader.error(Place::MAIN, format!("there is nothing in the file, and no site; {add}"));
    } else {
        reader.warn(place, format!("no site is configured, so nothing is collected; {add}"));
    }
}

fn read_one<'t>(
    reader: &mut Reader<'_>,
    above: Inherited<'t>,
    groups: &Groups<'t>,
    table: In<&'t DeTable<'t>>,
    place: Place,
) -> Option<SiteSettings> {
    let mut own = Layers { reader, tables: &[table], place };
    let address = own.read("address", proxy::host);
    let name_said = match own.find("name") {
        Some(_) => own.read("name", name),
        None => address.clone(),
    };
    if own.find("address").is_none() {
        reader.error(place, "site: address is missing: the host name or address of its Tentacle server");
    }
    let (group, of_group) = group_of(reader, groups, table, place);
    let tables: Vec<In<&DeTable<'_>>> = [Some(table), of_group, above.defaults].into_iter().flatten().collect();
    reader.unread.clear();
    let mut site = inherited(reader, above, &tables, place);
    site.tls = tls::read(reader, &tables, above.tls);
    site.unread_secrets = std::mem::take(&mut reader.unread);
    site.group = group;
    site.name = name_said?;
    site.address = address?;
    Some(site)
}

/// The name of the site's group, and what that says.
fn group_of<'t>(
    reader: &mut Reader<'_>,
    groups: &Groups<'t>,
    table: In<&'t DeTable<'t>>,
    place: Place,
) -> (Option<String>, Option<In<&'t DeTable<'t>>>) {
    let mut own = Layers { reader, tables: &[table], place };
    let Some((group, found)) = own.located("group", name) else { return (None, None) };
    let of_group = groups.get(&group);
    if let Err(problem) = &of_group {
        reader.error(found.place, format!("group: {problem}"));
    }
    (Some(group), of_group.ok())
}

/// All but name, address, group and TLS, of a site whose own table, group and `[defaults]` are `tables`.
pub(super) fn inherited<'t>(
    reader: &mut Reader<'_>,
    above: Inherited<'t>,
    tables: &[In<&'t DeTable<'t>>],
    place: Place,
) -> SiteSettings {
    let with_sync: Vec<In<&DeTable<'_>>> = tables.iter().copied().chain(above.sync).collect();
    let mut site = SiteSettings::new("", "");
    for key in SITE {
        let tables = match key.note {
            Tables::Site => tables,
            Tables::SiteAndSync => &with_sync,
        };
        (key.read)(&mut Layers { reader, tables, place }, &mut site);
    }
    site
}

/// The sites so far, to find what is there twice.
#[derive(Default)]
struct Seen {
    names: HashMap<String, Place>,
    endpoints: HashMap<(String, u16), Place>,
}

impl Seen {
    fn check(&mut self, reader: &mut Reader<'_>, site: &SiteSettings, place: Place) {
        let (name, address, port) = (&site.name, &site.address, site.port);
        if let Some(first) = self.names.insert(name.clone(), place) {
            let first = reader.named(first, place);
            reader.error(place, format!("site {name:?}: the name is taken by the site of {first}; names are unique"));
        }
        if let Some(first) = self.endpoints.insert((address.clone(), port), place) {
            let first = reader.named(first, place);
            reader.warn(
                place,
                format!("site {name:?}: {address}, port {port} is collected by the site of {first} already"),
            );
        }
    }
}
