//! An existing `pandora_server.conf`, read as Pandora FMS reads it, and where that would surprise its author, as its
//! author intended.

mod data_server;
mod line;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::data_server::DataServerConf;
pub(super) use self::data_server::read as read_data_server;
use self::line::{Line, Setting, TOKENS, Token};
use super::address::{Endpoint, bracketed, parse_endpoint};
use super::error::Diagnostics;
use super::nearest::nearest;
use super::settings::{MOST_RETRIES, Settings, SiteSettings};
use super::source::Source;
use crate::proto::quoted;
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

/// A day.
const LONGEST_SECONDS: u64 = 86_400;

/// Reads a whole file.
pub(super) fn read(source: &Source<'_>, report: &mut Diagnostics) -> Settings {
    let entries = Entries::collect(&source.text.bytes);
    entries.warn_of_slips(report, |token| !token.is_of_data_server());
    entries.warn_of_unknown(report);
    entries.warn_of_table(report);
    let mut reader = Reader { entries, source, report };
    reader.check_switch();
    Settings::of_sites(reader.sites())
}

/// A setting and where it stands.
struct Entry<'a> {
    line: usize,
    setting: Setting<'a>,
}

/// The lines that count: of each token the last one that the stock parser takes, else the last one whose intention is
/// clear.
struct Entries<'a> {
    counting: HashMap<Token, Entry<'a>>,
    /// Lines that do not count, though their author may think so.
    ignored: Vec<Entry<'a>>,
    /// Tokens that are none of ours, and the one of ours that each may be a slip of.
    unknown: Vec<(usize, String, Option<&'static str>)>,
    /// The first line that is a table's header of TOML, and that.
    table: Option<(usize, &'a [u8])>,
}

/// Whether this is written as Pandora FMS reads it: some line is one of its tokens and a value, which TOML never is.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let is_setting = |line| matches!(Line::read(line), Line::Setting(setting) if setting.counts_at_stock && !setting.has_equals_sign());
    bytes.split(|byte| *byte == b'\n').any(is_setting)
}

impl<'a> Entries<'a> {
    fn collect(bytes: &'a [u8]) -> Self {
        let mut entries = Self { counting: HashMap::new(), ignored: Vec::new(), unknown: Vec::new(), table: None };
        for (index, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = index + 1;
            match Line::read(text) {
                Line::Setting(setting) => entries.add(Entry { line, setting }),
                Line::Unknown(word) => {
                    let word = String::from_utf8_lossy(word).into_owned();
                    let meant = nearest_token(&word);
                    entries.unknown.push((line, word, meant));
                }
                Line::Other if entries.table.is_none() && is_table(text) => {
                    entries.table = Some((line, text.trim_ascii()));
                }
                Line::Other => {}
            }
        }
        entries
    }

    fn add(&mut self, entry: Entry<'a>) {
        let Setting { token, counts_at_stock, .. } = entry.setting;
        let stock_has_one = self.counting.get(&token).is_some_and(|earlier| earlier.setting.counts_at_stock);
        if !counts_at_stock && (token.is_shared() || stock_has_one) {
            self.ignored.push(entry);
            return;
        }
        if let Some(earlier) = self.counting.insert(token, entry)
            && counts_at_stock
            && !earlier.setting.counts_at_stock
        {
            self.ignored.push(earlier);
        }
    }

    /// Warns of lines that Pandora FMS reads otherwise than they look, of the tokens that are `wanted`.
    fn warn_of_slips(&self, report: &mut Diagnostics, wanted: impl Fn(Token) -> bool) {
        let is_wanted = |entry: &&Entry<'_>| wanted(entry.setting.token);
        let slipped = self.counting.values().filter(|entry| !entry.setting.slips.is_empty());
        for Entry { line, setting } in slipped.filter(is_wanted) {
            let value = String::from_utf8_lossy(setting.value);
            let (name, slips) = (setting.token.name(), setting.slips.join(" and "));
            report.warn(*line, format!("{name}: Pandora FMS does not understand {slips}; read as {value:?}"));
        }
        for Entry { line, setting } in self.ignored.iter().filter(is_wanted) {
            let (name, slips) = (setting.token.name(), setting.slips.join(" and "));
            let instead = match self.counting.get(&setting.token) {
                Some(counting) => format!("line {} counts", counting.line),
                None => "so do we, to agree with Pandora FMS's other servers".to_owned(),
            };
            report.warn(*line, format!("{name}: Pandora FMS ignores this line for {slips}; {instead}"));
        }
    }

    fn warn_of_table(&self, report: &mut Diagnostics) {
        if let Some((line, table)) = self.table.filter(|_| self.value(Token::Address).is_some()) {
            let table = String::from_utf8_lossy(table);
            let why = format!("the file {NO_TABLE}, and is read as a pandora_server.conf");
            let advice = "if it is meant as TOML, name it *.toml to see what is wrong with it";
            report.warn(line, format!("{table} and its keys are ignored, as {why}; {advice}"));
        }
    }

    fn warn_of_unknown(&self, report: &mut Diagnostics) {
        for (line, word, meant) in &self.unknown {
            let advice = meant.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
            report.warn(*line, format!("unknown token {word:?}, ignored{advice}"));
        }
    }
}

/// Why it is not read as TOML.
const NO_TABLE: &str = "has none of tentacle-syncd's tables ([sync], [tls], [defaults], [[site]])";

fn is_table(line: &[u8]) -> bool {
    matches!(line.trim_ascii(), [b'[', .., b']'])
}

fn nearest_token(word: &str) -> Option<&'static str> {
    nearest(word, TOKENS.iter().map(|(name, _)| *name).filter(|name| name.starts_with("sync")))
}

impl<'a> Entries<'a> {
    /// The value of `token`, unless it is empty, and its line.
    fn value(&self, token: Token) -> Option<(usize, &'a [u8])> {
        let Entry { line, setting } = self.counting.get(&token)?;
        (!setting.value.is_empty()).then_some((*line, setting.value))
    }

    /// Whether a token is on: its leading digits make a number other than 0.
    fn is_on(&self, token: Token) -> bool {
        self.value(token).and_then(|(_, value)| leading_number(value)).is_some_and(|number| number != 0)
    }
}

struct Reader<'a, 'r> {
    entries: Entries<'a>,
    source: &'r Source<'r>,
    report: &'r mut Diagnostics,
}

impl<'a> Reader<'a, '_> {
    /// The value of `token`, unless it is empty, and its line.
    fn value(&self, token: Token) -> Option<(usize, &'a [u8])> {
        self.entries.value(token)
    }

    /// The Sync Server whose place we take is to be off.
    fn check_switch(&mut self) {
        if let Some((line, _)) = self.value(Token::Server).filter(|_| self.entries.is_on(Token::Server)) {
            let advice = "set it to 0 and restart the Pandora FMS server, or both collect from the same sites";
            self.report.warn(line, format!("syncserver is on: {advice}"));
        }
    }

    fn sites(&mut self) -> Vec<SiteSettings> {
        let template = self.template();
        let mut sites: Vec<SiteSettings> = Vec::new();
        let Some((line, value)) = self.value(Token::Address) else {
            let mut unknown = self.entries.unknown.iter();
            let advice = match unknown.find(|(.., meant)| *meant == Some(Token::Address.name())) {
                Some((line, word, _)) => format!("did you mean it in line {line}, with {word}?"),
                None if self.entries.table.is_some() => {
                    let advice = "name it *.toml to see what is wrong with it";
                    format!("this looks like TOML ([table], key = value), but {NO_TABLE}: {advice}")
                }
                None => "name the Tentacle servers: sync_address 10.0.0.1,10.0.0.2".to_owned(),
            };
            self.report.error(None, format!("there is no sync_address; {advice}"));
            return sites;
        };
        let mut names = HashSet::new();
        for item in self.split_addresses(line, value) {
            let Some(Endpoint { host, port }) = self.endpoint(line, &item) else { continue };
            let name = match port {
                Some(port) if port != template.port => format!("{}:{port}", bracketed(&host)),
                _ => host.clone(),
            };
            if names.insert(name.clone()) {
                let port = port.unwrap_or(template.port);
                sites.push(SiteSettings { name, address: host, port, ..template.clone() });
            } else {
                let advice = "taken once; remove the other";
                self.report.warn(line, format!("sync_address: {name} stands there twice, {advice}"));
            }
        }
        if sites.is_empty() {
            self.report.error(line, "sync_address: there is no address in it");
        }
        sites
    }

    /// What all sites of the file have in common.
    fn template(&mut self) -> SiteSettings {
        let base = SiteSettings::new("", "");
        let port = self.number(Token::Port, base.port.into(), 1..=u16::MAX.into());
        let interval = self.number(Token::Threshold, base.interval.as_secs(), 1..=LONGEST_SECONDS);
        let timeout = self.number(Token::Timeout, base.timeout.as_secs(), 1..=LONGEST_SECONDS);
        let retries = self.number(Token::Retries, base.retries.into(), 0..=MOST_RETRIES);
        SiteSettings {
            port: u16::try_from(port).unwrap_or(base.port),
            interval: Duration::from_secs(interval),
            timeout: Duration::from_secs(timeout),
            retries: u32::try_from(retries).unwrap_or(base.retries),
            tls: self.tls(),
            incoming_dir: self.path(Token::IncomingDir).unwrap_or(base.incoming_dir),
            ..base
        }
    }

    fn number(&mut self, token: Token, default: u64, allowed: std::ops::RangeInclusive<u64>) -> u64 {
        let Some((line, value)) = self.value(token) else { return default };
        match leading_number(value) {
            Some(number) if allowed.contains(&number) => {
                self.warn_of_rest(token, line, value, number);
                number
            }
            _ => {
                let (name, found) = (token.name(), String::from_utf8_lossy(value));
                let (low, high) = allowed.into_inner();
                self.report.error(line, format!("{name}: expected a number from {low} to {high}, found {found:?}"));
                default
            }
        }
    }

    /// Of a number only the leading digits count, to Pandora FMS as to us.
    fn warn_of_rest(&mut self, token: Token, line: usize, value: &[u8], number: u64) {
        let (_, rest) = leading_digits(value);
        if !rest.is_empty() && !rest.trim_ascii_start().starts_with(b"#") {
            let (name, found) = (token.name(), String::from_utf8_lossy(value));
            self.report.warn(line, format!("{name}: only the leading digits count; {found:?} is read as {number}"));
        }
    }

    fn path(&mut self, token: Token) -> Option<PathBuf> {
        let (line, value) = self.value(token)?;
        let path = Path::new(OsStr::from_bytes(value));
        if path.is_relative() {
            let (name, directory) = (token.name(), quoted(&self.source.directory));
            self.report.warn(line, format!("{name} is relative; taken from {directory}"));
        }
        Some(self.source.resolve(path))
    }

    fn tls(&mut self) -> Option<TlsSettings> {
        let ca = self.path(Token::Ca);
        let identity = match (self.path(Token::Cert), self.path(Token::Key)) {
            (Some(cert), Some(key)) => Some(IdentitySettings { cert, key, passphrase: None }),
            (Some(_), None) => self.half_identity(Token::Cert, Token::Key),
            (None, Some(_)) => self.half_identity(Token::Key, Token::Cert),
            (None, None) => None,
        };
        let verify = match (&ca, &identity) {
            (Some(_), _) => Verify::Chain,
            (None, Some(_)) => {
                let danger = "the sites' certificates are not checked, and anyone on the way can pose as a site";
                let line = self.value(Token::Cert).map(|(line, _)| line);
                self.report.warn(line, format!("sync_cert without sync_ca: {danger}; name the CA with sync_ca"));
                Verify::None
            }
            (None, None) => return None,
        };
        Some(TlsSettings { ca, identity, verify, offer: ClientCertPolicy::Auto })
    }

    fn half_identity(&mut self, given: Token, missing: Token) -> Option<IdentitySettings> {
        let line = self.value(given).map(|(line, _)| line);
        let (given, missing) = (given.name(), missing.name());
        self.report.error(
            line,
            format!("{given} without {missing}: a certificate and its key are used together; add {missing}"),
        );
        None
    }

    /// Separated by commas, as Pandora FMS has it, or by what people take instead.
    fn split_addresses(&mut self, line: usize, value: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(value).into_owned();
        let items = text.split(',').map(str::trim);
        if items.clone().any(|item| item.contains([' ', '\t', ';'])) {
            self.report
                .warn(line, "sync_address: Pandora FMS separates addresses by commas only; read as if there were one");
        }
        items.flat_map(|item| item.split([' ', '\t', ';'])).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn endpoint(&mut self, line: usize, item: &str) -> Option<Endpoint> {
        let endpoint = parse_endpoint(item);
        match &endpoint {
            None => {
                let advice = "a host name or an address, and separate several by commas";
                self.report.error(line, format!("sync_address: {item:?} is no address; expected {advice}"));
            }
            Some(Endpoint { host, port: Some(port) }) => {
                self.report.warn(line, format!("sync_address: {item:?} read as address {host}, port {port}"));
            }
            Some(Endpoint { host, port: None }) if host.contains(':') => {
                self.report.warn(line, format!("sync_address: {item:?} read as the IPv6 address {host}"));
            }
            Some(_) => {}
        }
        endpoint
    }
}

/// What the stock parser takes of a number; `None` where there is none, or none that fits.
fn leading_number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(leading_digits(value).0).ok()?.parse().ok()
}

fn leading_digits(value: &[u8]) -> (&[u8], &[u8]) {
    value.split_at(value.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

#[cfg(test)]
mod tests;
