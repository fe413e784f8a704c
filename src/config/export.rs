//! Settings written as our TOML: what `tentacle-syncd import` makes of a `pandora_server.conf`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::defaults;
use super::http_settings::{HTTP, HttpSettings};
use super::keys::table;
use super::settings::{MONITOR, MonitorSettings, SITE, SYNC, Settings, SiteSettings};
use super::toml_conf::schema::Section;

const HEADER: &str = "\
# The sites whose agents' files tentacle-syncd collects.
# The settings in [defaults] and [tls] apply to every site that has none of its own.
";

/// `settings` as a file that reads back as the same sites.
///
/// What most sites have in common stands in `[defaults]` and `[tls]`; what is built in is left out. What cannot be
/// written is named in a comment: secrets, and paths that are no UTF-8.
pub fn to_toml(settings: &Settings) -> String {
    let sites: Vec<Table> = settings.sites.iter().map(|site| table(SITE, site)).collect();
    let built_in = table(SITE, &SiteSettings::new("", ""));
    let mut common = most_common(&sites);
    let tls = shared_tls(&sites);
    common.insert("tls".to_owned(), tls.clone().map_or(Value::Boolean(false), Value::Table));

    let mut of_all = differing(&table(SYNC, settings), &table(SYNC, &Settings::of_sites(Vec::new())));
    // Not the home directory of the user who imports, who need not be the user who will run it.
    of_all.remove("state_dir");
    let mut text = format!("{HEADER}\n[sync]\n{}", lines(&of_all, Section::Sync));
    let _ = writeln!(text, "#state_dir = {:?}", defaults::STATE_DIR);
    let monitor = differing(&table(MONITOR, &settings.monitor), &table(MONITOR, &MonitorSettings::default()));
    if !monitor.is_empty() {
        let _ = write!(text, "\n[monitor]\n{}", lines(&monitor, Section::Monitor));
    }
    let http = differing(&table(HTTP, &settings.http), &table(HTTP, &HttpSettings::default()));
    if !http.is_empty() {
        let _ = write!(text, "\n[http]\n{}", lines(&http, Section::Http));
    }
    if let Some(tls) = &tls {
        let _ = write!(text, "\n[tls]\n{}", lines(tls, Section::Tls));
    }
    let mut shared = differing(&common, &built_in);
    shared.remove("tls");
    if !shared.is_empty() {
        let _ = write!(text, "\n[defaults]\n{}", lines(&shared, Section::Defaults));
    }
    let groups = groups(settings, &sites, &common);
    for (name, keys) in &groups {
        let _ = write!(text, "\n[group.{}]\n{}", table_name(name), lines(keys, Section::Group));
    }
    let none = Table::new();
    for (site, keys) in settings.sites.iter().zip(&sites) {
        let of_group = site.group.as_deref().and_then(|group| groups.get(group)).unwrap_or(&none);
        let mut own = differing(keys, &over(&common, of_group));
        own.insert("name".to_owned(), site.name.as_str().into());
        own.insert("address".to_owned(), site.address.as_str().into());
        if let Some(group) = &site.group {
            own.insert("group".to_owned(), group.as_str().into());
        }
        let _ = write!(text, "\n{}{}", site_table(&own), notes(site));
    }
    text
}

/// One `[[site]]` with these keys.
pub(super) fn site_table(keys: &Table) -> String {
    format!("[[site]]\n{}", lines(keys, Section::Site))
}

/// The groups of the sites, each with what most of its sites have in common, and otherwise than all.
fn groups<'a>(settings: &'a Settings, sites: &[Table], common: &Table) -> BTreeMap<&'a str, Table> {
    let mut members: BTreeMap<&str, Vec<Table>> = BTreeMap::new();
    for (site, keys) in settings.sites.iter().zip(sites) {
        if let Some(group) = &site.group {
            members.entry(group).or_default().push(keys.clone());
        }
    }
    let of_group = |(name, sites): (&'a str, Vec<Table>)| {
        let mut keys = differing(&most_common(&sites), common);
        keys.remove("tls");
        (name, keys)
    };
    members.into_iter().map(of_group).collect()
}

/// A part of a table's name, in quotes where it needs them.
pub(super) fn table_name(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if is_bare && !name.is_empty() { name.to_owned() } else { Value::from(name).to_string() }
}

/// The keys of both, `nearer` before `farther`.
fn over(farther: &Table, nearer: &Table) -> Table {
    let keys = farther.iter().chain(nearer);
    keys.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Of each key that all tables have the value that most have; the first of them where several do.
fn most_common(tables: &[Table]) -> Table {
    let mut common = Table::new();
    let of_all = |key: &&str| tables.iter().all(|table| table.contains_key(*key));
    for key in Section::Defaults.keys().into_iter().filter(of_all) {
        let mut counts: Vec<(&Value, usize)> = Vec::new();
        for value in tables.iter().filter_map(|table| table.get(key)) {
            match counts.iter_mut().find(|(counted, _)| *counted == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
        // `max_by_key` takes the last of equals.
        if let Some((value, _)) = counts.into_iter().rev().max_by_key(|(_, count)| *count) {
            common.insert(key.to_owned(), value.clone());
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

/// One line for each key, in the order of the section.
fn lines(keys: &Table, section: Section) -> String {
    let line = |key| keys.get(key).map(|value| format!("{key} = {value}\n"));
    section.keys().into_iter().filter_map(line).collect()
}

/// What is left for the reader to write.
fn notes(site: &SiteSettings) -> String {
    let mut notes = Vec::new();
    if site.password.is_some() {
        notes.push("This site has a password, which is not shown: password_file = \"…\"".to_owned());
    }
    if let Some((user, _)) = site.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
        notes.push(format!(
            "Our user name at the proxy is {user:?}; the password is not shown: add user and password_file."
        ));
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
