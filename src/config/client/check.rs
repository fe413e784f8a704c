//! What the options mean, looked at in stock's order, so that of several mistakes the same one is reported.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::address::{Endpoint, parse_endpoint};
use super::super::defaults;
use super::super::settings::ProxySettings;
use super::args::ShortOptions;
use super::{ClientIdentity, ClientSettings, ClientTls, ClientUsageError, Direction, Server, Verbosity};
use crate::proto::Secret;

/// The server that stock talks to unless configured otherwise.
const HOST: &str = "127.0.0.1";
/// One wait for the network, in seconds, and how often it is repeated.
const TIMEOUT: u32 = 1;
const RETRIES: u32 = 3;

pub(super) fn settings(
    letters: &ShortOptions,
    files: Vec<PathBuf>,
    is_file: impl Fn(&Path) -> bool,
) -> Result<ClientSettings, ClientUsageError> {
    let host = match letters.text(b'a') {
        None => HOST.to_owned(),
        Some(text) => host_or(&text, ClientUsageError::Address)?,
    };
    let local = letters.text(b'b').map(|text| host_or(&text, ClientUsageError::LocalAddress)).transpose()?;
    let tls = tls(letters, is_file)?;
    let port = match letters.text(b'p') {
        None => defaults::PORT,
        Some(text) => port(&text).ok_or(ClientUsageError::Port(text))?,
    };
    let retries = letters.count(b'r', RETRIES).ok_or(ClientUsageError::Retries)?;
    let timeout = letters.count(b't', TIMEOUT).ok_or(ClientUsageError::Timeout)?;
    if letters.has(b'w') && !letters.has(b'e') {
        return Err(ClientUsageError::PassphraseWithoutKey);
    }
    let proxy = letters.value(b'y').map(proxy).transpose()?;
    let direction = if letters.has(b'g') { Direction::Get } else { Direction::Send };
    if direction == Direction::Send && files.is_empty() {
        return Err(ClientUsageError::NoFiles);
    }
    Ok(ClientSettings {
        server: Server { host, port },
        local,
        proxy,
        tls,
        password: letters.value(b'x').filter(|password| !password.expose().is_empty()).cloned(),
        timeout: Duration::from_secs(u64::from(timeout) * (u64::from(retries) + 1)),
        direction,
        zip: letters.has(b'z'),
        files,
        verbosity: Verbosity { quiet: letters.has(b'q'), verbose: letters.has(b'v') },
    })
}

impl ShortOptions {
    fn text(&self, letter: u8) -> Option<String> {
        self.value(letter).map(|value| String::from_utf8_lossy(value.expose()).into_owned())
    }

    fn path(&self, letter: u8) -> Option<PathBuf> {
        self.value(letter).map(|value| OsString::from_vec(value.expose().to_vec()).into())
    }

    /// A number of at least 1.
    fn count(&self, letter: u8, default: u32) -> Option<u32> {
        self.text(letter).map_or(Some(default), |text| number(&text).filter(|&number| number > 0))
    }
}

/// With `-c`, `-f` is ours alone: stock checks the server only where we have a certificate.
fn tls(letters: &ShortOptions, is_file: impl Fn(&Path) -> bool) -> Result<Option<ClientTls>, ClientUsageError> {
    let existing = |path: PathBuf| if is_file(&path) { Ok(path) } else { Err(ClientUsageError::NoFile(path)) };
    if letters.has(b'c') && letters.has(b'e') {
        return Err(ClientUsageError::CertificateOrNot);
    }
    let cert = letters.path(b'e').map(existing).transpose()?;
    if letters.has(b'f') && cert.is_none() && !letters.has(b'c') {
        return Err(ClientUsageError::CaWithoutTls);
    }
    let ca = letters.path(b'f').map(existing).transpose()?;
    if letters.has(b'k') && cert.is_none() {
        return Err(ClientUsageError::KeyWithoutCertificate);
    }
    let key = letters.path(b'k').map(existing).transpose()?;
    let identity = cert.map(|cert| ClientIdentity {
        key: key.unwrap_or_else(|| cert.clone()),
        cert,
        ask_passphrase: letters.has(b'w'),
    });
    Ok((letters.has(b'c') || identity.is_some()).then_some(ClientTls { ca, identity }))
}

fn host_or(text: &str, error: impl Fn(String) -> ClientUsageError) -> Result<String, ClientUsageError> {
    host(text).ok_or_else(|| error(text.to_owned()))
}

fn host(text: &str) -> Option<String> {
    match parse_endpoint(text)? {
        Endpoint { host, port: None } => Some(host),
        Endpoint { port: Some(_), .. } => None,
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn port(text: &str) -> Option<u16> {
    number(text).and_then(|number| u16::try_from(number).ok()).filter(|&port| port > 0)
}

/// `[user:password@]address:port`; a password may hold `:` and `@`.
fn proxy(value: &Secret) -> Result<ProxySettings, ClientUsageError> {
    let text = String::from_utf8_lossy(value.expose());
    let (pair, address) = match text.rsplit_once('@') {
        None => (None, &*text),
        Some((pair, address)) => (Some(pair), address),
    };
    let invalid = || ClientUsageError::Proxy(format!("{}{address}", if pair.is_some() { "***@" } else { "" }));
    let pair = pair.map(|pair| pair.split_once(':').ok_or_else(invalid)).transpose()?;
    let (host_text, port_text) = address.rsplit_once(':').ok_or_else(invalid)?;
    let host = host(host_text).ok_or_else(invalid)?;
    let port = port(port_text).ok_or_else(|| ClientUsageError::ProxyPort(port_text.to_owned()))?;
    let credentials = pair
        .filter(|(user, _)| !user.is_empty())
        .map(|(user, password)| (user.to_owned(), Secret::new(password.as_bytes().to_vec())));
    Ok(ProxySettings { host, port, credentials })
}
