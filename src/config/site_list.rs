//! A list of sites as a spreadsheet writes it (CSV, RFC 4180), made TOML of: what `tentacle-syncd import` makes of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use toml::{Table, Value};

use super::address::parse_port;
use super::defaults;
use super::error::{ConfigError, Diagnostics};
use super::export::{site_table, table_name};
use super::nearest::nearest;
use super::source::{FileText, io_message};
use super::toml_conf::group::{expected_name, is_name};
use super::toml_conf::host_of;
use crate::proto::quoted;
use crate::text::why_unreadable;

/// What a list may say of a site.
const COLUMNS: [&str; 4] = ["name", "address", "port", "group"];

/// What separates fields, by country and program.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The sites of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct SiteList {
    /// A file to be included, with a `[[site]]` for each.
    pub toml: String,
    /// How many there are.
    pub sites: usize,
    /// The tables of the groups they name, such as `[group.ships]`: the configuration has to have them.
    pub groups: Vec<String>,
    /// What of the list is not taken: one line each, with file and line.
    pub warnings: Vec<String>,
}

/// Reads the list at `path`: a header line with the names of its columns, and a line for each site.
///
/// # Errors
/// All that is wrong with it, with lines.
pub fn read_site_list(path: &Path) -> Result<SiteList, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.to_owned(), reason };
    let text = FileText::read(path).map_err(|error| unreadable(format!("cannot read it: {}", io_message(&error))))?;
    let mut report = Diagnostics::default();
    let sites = read(&text.bytes, path, &mut report);
    let warnings = report.finish(&[path])?;
    let groups: BTreeSet<&str> = sites.iter().filter_map(|site| site.get("group")?.as_str()).collect();
    let groups: Vec<String> = groups.into_iter().map(|group| format!("[group.{}]", table_name(group))).collect();
    Ok(SiteList { toml: to_toml(path, &sites, &groups), sites: sites.len(), groups, warnings })
}

fn to_toml(path: &Path, sites: &[Table], groups: &[String]) -> String {
    let mut text = format!("# Made of {} by tentacle-syncd import.\n", quoted(path));
    if !groups.is_empty() {
        let _ = writeln!(text, "# Its sites need these tables, here or in another file: {}", groups.join(", "));
    }
    sites.iter().fold(text, |text, site| text + "\n" + &site_table(site))
}

fn read(bytes: &[u8], path: &Path, report: &mut Diagnostics) -> Vec<Table> {
    if let Some((line, message)) = why_unreadable(bytes, path) {
        report.error(line, message);
        return Vec::new();
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let lines = LineStarts::of(bytes);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(bytes))
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(bytes);
    let mut records = reader.records();
    let mut next = || match records.next()? {
        Ok(record) => {
            let begins = record.position().map_or(0, Position::byte);
            Some(Ok((lines.line_of(bytes, begins), record)))
        }
        Err(error) => Some(Err(lines.line_of(bytes, error.position().map_or(0, Position::byte)))),
    };
    let mut columns = None;
    let mut sites = Sites::default();
    while let Some(record) = next() {
        match (record, &columns) {
            // Of what is in memory, nothing else can go wrong.
            (Err(line), _) => report.error(line, "expected UTF-8, found other bytes; save the list as UTF-8"),
            (Ok((line, header)), None) => match Columns::read(line, &header, report) {
                Some(found) => columns = Some(found),
                None => return Vec::new(),
            },
            (Ok((_, record)), Some(_)) if record.iter().all(str::is_empty) => {}
            (Ok((line, record)), Some(columns)) => sites.add(line, columns, &record, report),
        }
    }
    if sites.tables.is_empty() && !report.is_hopeless() {
        report.error(
            None,
            "there is no site in it; it has a line with the names of its columns, and a line for each site",
        );
    }
    sites.tables
}

/// That which the first line has most of.
fn delimiter(bytes: &[u8]) -> u8 {
    let first = bytes.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| first.split(|byte| byte == delimiter).count();
    // `max_by_key` takes the last of equals.
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// Where each line begins.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn of(bytes: &[u8]) -> Self {
        let feeds = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(std::iter::once(0).chain(feeds.map(|(at, _)| at + 1)).collect())
    }

    /// The line of a record that the reader has begun to look for at `from`: line ends may stand there.
    fn line_of(&self, bytes: &[u8], from: u64) -> usize {
        let from = usize::try_from(from).unwrap_or(bytes.len()).min(bytes.len());
        let skipped = bytes[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.0.partition_point(|begin| *begin <= from + skipped)
    }
}

/// Which field of a line is what.
struct Columns {
    fields: usize,
    known: HashMap<&'static str, usize>,
}

impl Columns {
    /// Reads the header; `None` where it is none, which is reported.
    fn read(line: usize, header: &StringRecord, report: &mut Diagnostics) -> Option<Self> {
        let mut known = HashMap::new();
        for (index, said) in header.iter().enumerate() {
            let name = said.to_ascii_lowercase();
            match COLUMNS.iter().find(|column| **column == name) {
                Some(column) if known.insert(*column, index).is_some() => {
                    report.error(line, format!("the column {name:?} stands there twice"));
                }
                Some(_) => {}
                None => match nearest(&name, COLUMNS) {
                    Some(meant) => report.error(line, format!("unknown column {said:?}; did you mean {meant:?}?")),
                    None => {
                        report
                            .warn(line, format!("the column {said:?} is not taken; known are {}", COLUMNS.join(", ")));
                    }
                },
            }
        }
        if !known.contains_key("address") {
            let expected = "expected a line with the names of the columns, one of them address";
            report.error(line, format!("{expected}; such as {}", COLUMNS.join(",")));
            return None;
        }
        Some(Self { fields: header.len(), known })
    }

    /// What the line has in that column, if anything.
    fn field<'r>(&self, record: &'r StringRecord, column: &str) -> Option<&'r str> {
        record.get(*self.known.get(column)?).filter(|field| !field.is_empty())
    }
}

/// The sites so far.
#[derive(Default)]
struct Sites {
    tables: Vec<Table>,
    names: HashMap<String, usize>,
    endpoints: HashMap<(String, u16), usize>,
}

impl Sites {
    fn add(&mut self, line: usize, columns: &Columns, record: &StringRecord, report: &mut Diagnostics) {
        if record.len() != columns.fields {
            let (expected, found) = (columns.fields, record.len());
            return report.error(line, format!("expected {expected} fields, as the first line has, found {found}"));
        }
        let mut error = |column: &str, problem: String| report.error(line, format!("{column}: {problem}"));
        let field = |column| columns.field(record, column);
        let named = |column| field(column).map(|name| if is_name(name) { Ok(name) } else { Err(name) });
        let mut name_in = |column| match named(column)? {
            Ok(name) => Some(name.to_owned()),
            Err(name) => {
                error(column, format!("expected {}, found {name:?}", expected_name()));
                None
            }
        };
        let (name, group) = (name_in("name"), name_in("group"));
        let port = field("port").map(|text| (text, parse_port(text)));
        if let Some((text, None)) = port {
            error("port", format!("expected a whole number from 1 to 65535, found {text:?}"));
        }
        let port = port.and_then(|(_, port)| port);
        let address = match field("address").map(|text| (text, host_of(text))) {
            None => return error("address", "there is none".to_owned()),
            Some((text, Err(expected))) => return error("address", format!("expected {expected}, found {text:?}")),
            Some((_, Ok(address))) => address,
        };
        let name = name.unwrap_or_else(|| address.clone());
        self.check(line, &name, &address, port.unwrap_or(defaults::PORT), report);
        let mut table = Table::new();
        table.insert("name".to_owned(), name.into());
        table.insert("address".to_owned(), address.into());
        if let Some(port) = port {
            table.insert("port".to_owned(), Value::Integer(port.into()));
        }
        if let Some(group) = group {
            table.insert("group".to_owned(), group.into());
        }
        self.tables.push(table);
    }

    fn check(&mut self, line: usize, name: &str, address: &str, port: u16, report: &mut Diagnostics) {
        if let Some(first) = self.names.insert(name.to_owned(), line) {
            report.error(line, format!("name: {name:?} is the site of line {first} already; names are unique"));
        }
        if let Some(first) = self.endpoints.insert((address.to_owned(), port), line) {
            report.error(line, format!("address: {address}, port {port} is the site of line {first} already"));
        }
    }
}

#[cfg(test)]
mod tests;
