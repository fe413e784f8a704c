//! From a [`CommandLine`] to a [`ServerConfig`].

mod http;
mod relay;
mod store;
mod tls;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::address::{Endpoint, parse_endpoint};
use super::super::cut_off::warning_of_end;
use super::super::source::FileText;
use super::super::source::io_message;
use super::args::CommandLine;
use super::env::Env;
use super::error::{Diagnostics, Place, ServerConfigError, ServerProblem, UsageError};
use super::key::Key;
use super::reader::{self, Reader};
use super::settings::{
    ControlSettings, Limits, ListenAddress, LogSettings, Mode, ProcessSettings, ServerConfig, Verbosity,
};
use super::{HostsAccess, defaults, file};
use crate::proto::{Secret, quoted};
use crate::text::why_unreadable;

/// Seconds of `-t`, and times of `-r`: the product still is a time.
const MOST_WAITS: u64 = 1_000_000;
/// Of one server.
const MOST_CONNECTIONS: u64 = 1_000_000;
/// A month.
const LONGEST_IDLE: Duration = Duration::from_secs(30 * 86_400);

/// Reads the file that `line` names, if it names one, and puts `line` over it.
///
/// Of other files only the one with the key's passphrase, and with `-T` hosts.allow and hosts.deny, are read: certificates
/// and directories need not exist.
///
/// # Errors
/// All that is wrong with the command line's values and the files, with places.
pub fn load(line: &CommandLine, surroundings: &Env) -> Result<ServerConfig, ServerConfigError> {
    let Some(path) = line.config_file(surroundings) else { return load_text(line, surroundings, None) };
    match (surroundings.read)(&path) {
        Ok(FileText { bytes, world_readable }) => {
            let mut config = load_text(line, surroundings, Some((&path, &bytes)))?;
            config.warnings.extend(warning_of_end(&path, &bytes));
            if world_readable {
                config.warnings.extend(exposed_secrets(&bytes, &path));
            }
            Ok(config)
        }
        Err(error) => Err(unreadable(&path, &error)),
    }
}

/// The files that [`load`] reads.
pub fn read_by_load(line: &CommandLine, surroundings: &Env) -> Vec<PathBuf> {
    let file = line.config_file(surroundings);
    file.into_iter().chain([surroundings.hosts_allow.clone(), surroundings.hosts_deny.clone()]).collect()
}

/// Where a server serves its control socket that runs by this command line and file, as far as they say; whatever else they
/// hold, it is to be reached.
///
/// # Errors
/// The file cannot be read, or what it says of that cannot be understood.
pub fn control_socket(line: &CommandLine, surroundings: &Env) -> Result<Option<PathBuf>, ServerConfigError> {
    let (mut said, mut findings) = (Vec::new(), Diagnostics::default());
    if let Some(path) = line.config_file(surroundings) {
        let file = (surroundings.read)(&path).map_err(|error| unreadable(&path, &error))?;
        said = file::read(&file.bytes, &path, &mut Diagnostics::default());
    }
    said.extend(line.said.iter().cloned());
    let socket = Reader { said, surroundings, findings: &mut findings }.path(Key::ControlSocket);
    findings.finish()?;
    Ok(socket)
}

/// Like [`load`], with a file that has been read.
pub(super) fn load_text(
    line: &CommandLine,
    surroundings: &Env,
    file: Option<(&Path, &[u8])>,
) -> Result<ServerConfig, ServerConfigError> {
    let mut findings = Diagnostics::default();
    if let Some((path, bytes)) = file
        && let Some((line, message)) = why_unreadable(bytes, path)
    {
        let place = line.map_or_else(|| Place::File(path.to_owned()), |line| Place::Line(path.to_owned(), line));
        return Err(ServerConfigError::Invalid(vec![ServerProblem { place, message }]));
    }
    let mut said = file.map(|(path, bytes)| file::read(bytes, path, &mut findings)).unwrap_or_default();
    said.extend(line.said.iter().cloned());
    let config = assemble(line, &mut Reader { said, surroundings, findings: &mut findings });
    let warnings = findings.finish()?;
    match config {
        Some(config) => Ok(ServerConfig { warnings, ..config }),
        None => Err(UsageError::NoMode { warnings }.into()),
    }
}

/// Stock goes on without the file, and so without its password.
fn unreadable(path: &Path, error: &io::Error) -> ServerConfigError {
    let (path, reason) = (quoted(path), io_message(error));
    let message = format!("cannot read {path}: {reason}; write it, make it readable for this user, or leave -F out");
    ServerConfigError::Invalid(vec![ServerProblem { place: Place::Option("-F".to_owned()), message }])
}

fn exposed_secrets(bytes: &[u8], path: &Path) -> Vec<String> {
    let said = file::read(bytes, path, &mut Diagnostics::default());
    let secrets = said.iter().filter(|said| said.key.is_secret());
    let advice = format!("every user of this machine can read this file; chmod o-r {}", quoted(path));
    secrets.map(|said| format!("{}: {}{advice}", said.place, said.about())).collect()
}

/// Everything but the warnings; `None` if nothing to do is named.
fn assemble(line: &CommandLine, reader: &mut Reader<'_>) -> Option<ServerConfig> {
    let tls = tls::read(reader, line.ask_passphrase);
    let mode = if reader.has(Key::ProxyIp) {
        relay::read(reader).map(Mode::Relay)
    } else if reader.has(Key::Directory) {
        store::read(reader, tls.as_ref()).map(Mode::Store)
    } else {
        None
    };
    check_stocks_internals(reader);
    let config = ServerConfig {
        listen: reader.read(Key::Addresses, addresses).unwrap_or_else(|| vec![ListenAddress::Any]),
        port: reader.read(Key::Port, reader::port).unwrap_or(defaults::PORT),
        tls,
        hosts_access: hosts_access(reader),
        limits: limits(reader),
        process: ProcessSettings {
            daemon: daemon(reader),
            user: reader.read(Key::User, reader::text),
            allow_root: line.allow_root,
            umask: reader.read(Key::Umask, reader::umask).unwrap_or(defaults::UMASK),
        },
        log: LogSettings { file: reader.path(Key::LogFile), verbosity: verbosity(reader) },
        control: ControlSettings {
            socket: reader.path(Key::ControlSocket),
            mode: reader.read(Key::ControlMode, reader::rights).unwrap_or(defaults::CONTROL_MODE),
            group: reader.read(Key::ControlGroup, reader::text),
        },
        http: http::read(reader),
        warnings: Vec::new(),
        mode: mode?,
    };
    Some(config)
}

/// A service manager that waits for a notification from the process it has started takes a service whose process ends
/// for dead, and takes no notification from the one in the background.
fn daemon(reader: &mut Reader<'_>) -> bool {
    let is_wanted = reader.switch(Key::Daemon);
    if !reader.surroundings.is_notified {
        return is_wanted;
    }
    if is_wanted && let Some(said) = reader.find(Key::Daemon) {
        reader.warn(
            &said,
            "ignored, as systemd's Type=notify needs the process that it has started (NOTIFY_SOCKET is set)",
        );
    }
    false
}

/// Separated by commas. `0` is stock's word for every address.
fn addresses(value: &[u8]) -> Result<Vec<ListenAddress>, String> {
    let expected = || "addresses to listen on, separated by commas, such as 0 (all) or 10.0.0.1,::1".to_owned();
    let text = std::str::from_utf8(value).map_err(|_| expected())?;
    let mut addresses = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let address = match (item, parse_endpoint(item)) {
            ("0" | "::", _) => ListenAddress::Any,
            (_, Some(Endpoint { host, port: None })) => match host.parse() {
                Ok(address) => ListenAddress::Ip(address),
                Err(_) => ListenAddress::Name(host),
            },
            (_, Some(Endpoint { port: Some(_), .. }) | None) => return Err(expected()),
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    // Stock's own default is `0,0.0.0.0`.
    if addresses.contains(&ListenAddress::Any) {
        addresses.retain(|address| matches!(address, ListenAddress::Any | ListenAddress::Name(_)));
    }
    if addresses.is_empty() { Err(expected()) } else { Ok(addresses) }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let timeout = reader.read(Key::Timeout, reader::whole(1..=MOST_WAITS)).map(Duration::from_secs);
    let retries: u32 = reader.read(Key::Retries, reader::whole(1..=MOST_WAITS)).unwrap_or(defaults::RETRIES);
    let as_stock = timeout.unwrap_or(defaults::TIMEOUT).saturating_mul(retries.saturating_add(1));
    let range = Duration::from_millis(100)..=LONGEST_IDLE;
    Limits {
        max_connections: reader
            .read(Key::MaxConnections, reader::whole(1..=MOST_CONNECTIONS))
            .unwrap_or(defaults::MAX_CONNECTIONS),
        max_connections_per_client: reader
            .read(Key::MaxConnectionsPerClient, reader::whole(0..=MOST_CONNECTIONS))
            .filter(|most| *most > 0),
        idle_timeout: reader.read(Key::IdleTimeout, reader::duration(range)).unwrap_or(as_stock),
        body_min_rate: reader.read(Key::BodyMinRate, reader::size(0)).unwrap_or(defaults::BODY_MIN_RATE),
    }
}

fn verbosity(reader: &mut Reader<'_>) -> Verbosity {
    if reader.switch(Key::Quiet) {
        return Verbosity::Quiet;
    }
    let Some(said) = reader.find(Key::Verbose) else { return Verbosity::Normal };
    match said.value() {
        b"1" => Verbosity::Verbose,
        b"2" => Verbosity::Everything,
        b"0" => Verbosity::Normal,
        _ => {
            reader.warn(&said, "0, as at stock, for anything but 1 and 2");
            Verbosity::Normal
        }
    }
}

/// The password of that key, as it stands: to stock, blanks at its end count.
fn password(reader: &mut Reader<'_>, key: Key) -> Option<Secret> {
    let said = reader.find(key)?;
    let value = said.value();
    if value.is_empty() {
        reader.warn(&said, "empty, so there is none");
        return None;
    }
    if value.last().is_some_and(u8::is_ascii_whitespace) {
        reader.warn(&said, "ends with a blank, which is part of it, as at stock");
    }
    Some(Secret::new(value.to_vec()))
}

fn hosts_access(reader: &mut Reader<'_>) -> Option<HostsAccess> {
    if !reader.switch(Key::UseLibwrap) {
        return None;
    }
    let Env { hosts_allow, hosts_deny, .. } = reader.surroundings;
    let (allow, deny) = (hosts_file(reader, hosts_allow), hosts_file(reader, hosts_deny));
    Some(HostsAccess::parse((hosts_allow, &allow), (hosts_deny, &deny), reader.findings))
}

/// An absent file is an empty one.
fn hosts_file(reader: &mut Reader<'_>, path: &Path) -> Vec<u8> {
    match (reader.surroundings.read)(path) {
        Ok(file) => file.bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            reader.findings.error(&Place::File(path.to_owned()), format!("cannot read it: {}", io_message(&error)));
            Vec::new()
        }
    }
}

/// What no name may hold.
const FORBIDDEN: &[u8] = b"*+,/:;<=>?[]\\'~";

/// `block_size` is taken and means nothing here; names are checked by fixed rules.
fn check_stocks_internals(reader: &mut Reader<'_>) {
    if let Some(said) = reader.find(Key::InvalidChars)
        && !lists_the_forbidden(said.value())
    {
        reader.warn(&said, "not adjustable here; names may not hold ? [ ] / \\ = + < > : ; ' , * ~");
    }
}

/// Whether the inside of a bracket expression holds what is forbidden here and nothing else.
fn lists_the_forbidden(class: &[u8]) -> bool {
    let mut listed = BTreeSet::new();
    let mut bytes = class.iter();
    while let Some(byte) = bytes.next() {
        listed.insert(if *byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    listed == FORBIDDEN.iter().collect()
}
