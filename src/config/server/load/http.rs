//! The status port.

use std::net::SocketAddr;

use super::super::super::http_settings::{Exposure, HttpSettings, check_token, host_name, listen_address};
use super::super::key::Key;
use super::super::reader::Reader;
use crate::proto::Secret;
use crate::tls::IdentitySettings;

/// What has no effect where it is not served.
const OTHERS: [Key; 6] =
    [Key::HttpTokenFile, Key::HttpCert, Key::HttpKeyFile, Key::HttpPassphraseFile, Key::HttpClientCa, Key::HttpHosts];

/// It is served where that is asked for alone.
pub(super) fn read(reader: &mut Reader<'_>) -> HttpSettings {
    if !reader.has(Key::HttpListen) {
        for said in OTHERS.into_iter().filter_map(|key| reader.find(key)).collect::<Vec<_>>() {
            reader.warn(&said, "has no effect without http_listen: no status port is served");
        }
        return HttpSettings::default();
    }
    let mut http = HttpSettings { listen: reader.read(Key::HttpListen, address), ..HttpSettings::default() };
    http.token = token(reader);
    http.identity = identity(reader);
    http.client_ca = reader.path(Key::HttpClientCa);
    http.hosts = reader.read(Key::HttpHosts, hosts).unwrap_or_default();
    check(reader, &http);
    http
}

/// Nobody but this machine's users is told anything without having shown who they are.
fn check(reader: &mut Reader<'_>, http: &HttpSettings) {
    let (has_cert, has_token) = (reader.has(Key::HttpCert), reader.has(Key::HttpTokenFile));
    if let Some(said) = reader.find(Key::HttpClientCa)
        && !has_cert
    {
        let advice = "certificates are shown in TLS, which takes one of our own: add http_cert";
        return reader.error(&said, &format!("without http_cert: {advice}"));
    }
    let Some(said) = reader.find(Key::HttpListen) else { return };
    match http.exposure(has_cert) {
        None => {}
        // What is wrong with the token is told already.
        Some(Exposure::ToAnyone) if has_token => {}
        Some(Exposure::ToAnyone) => {
            let ways = "set http_token_file, or http_cert and http_client_ca, or listen on 127.0.0.1";
            reader.error(&said, &format!("it can be reached from elsewhere, and anyone would be answered; {ways}"));
        }
        Some(Exposure::ToListeners) => reader
            .warn(&said, "the token goes over the network in the clear, and so does what is answered; set http_cert"),
    }
}

fn address(value: &[u8]) -> Result<SocketAddr, String> {
    let address = std::str::from_utf8(value).ok().and_then(listen_address);
    address.ok_or_else(|| "an address and a port such as 127.0.0.1:41123 or [::1]:41123".to_owned())
}

fn token(reader: &mut Reader<'_>) -> Option<Secret> {
    let token = reader.secret_in_file(Key::HttpTokenFile)?;
    let said = reader.find(Key::HttpTokenFile)?;
    match check_token(&token) {
        Ok(()) => Some(token),
        Err(expected) => {
            reader.error(&said, &expected);
            None
        }
    }
}

fn identity(reader: &mut Reader<'_>) -> Option<IdentitySettings> {
    if !reader.has(Key::HttpCert) {
        for said in [Key::HttpKeyFile, Key::HttpPassphraseFile]
            .into_iter()
            .filter_map(|key| reader.find(key))
            .collect::<Vec<_>>()
        {
            reader.warn(&said, "has no effect without http_cert: no TLS is spoken");
        }
        return None;
    }
    let (cert, key) = (reader.path(Key::HttpCert), reader.path(Key::HttpKeyFile));
    let passphrase = reader.secret_in_file(Key::HttpPassphraseFile);
    let cert = cert?;
    Some(IdentitySettings { key: key.unwrap_or_else(|| cert.clone()), cert, passphrase })
}

/// Separated by commas.
fn hosts(value: &[u8]) -> Result<Vec<String>, String> {
    let names = std::str::from_utf8(value).ok().and_then(|text| {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(host_name).collect::<Option<Vec<_>>>()
    });
    names
        .filter(|names| !names.is_empty())
        .ok_or_else(|| "host names without ports, separated by commas, such as buffer.example.org".to_owned())
}
