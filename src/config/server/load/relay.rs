//! The server that bytes are relayed to.

use super::super::super::address::{Endpoint, parse_endpoint};
use super::super::super::pin::parse_pin;
use super::super::super::words::{POLICIES, VerifyPolicy};
use super::super::defaults;
use super::super::key::Key;
use super::super::reader::{self, Reader};
use super::super::settings::RelaySettings;
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

/// `None`, and an error, if there is no usable address.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<RelaySettings> {
    if let Some(said) = reader.find(Key::Directory) {
        reader.warn(&said, "has no effect with proxy_ip (-b): connections are relayed, as at stock");
    }
    if let Some(said) = reader.find(Key::Password) {
        reader.warn(&said, "has no effect with proxy_ip (-b): the server relayed to asks for its own");
    }
    if let Some(said) = reader.find(Key::Allow) {
        reader.error(&said, "cannot be kept with proxy_ip (-b): bytes are relayed without a look at the commands");
    }
    let port = reader.read(Key::ProxyPort, reader::port).unwrap_or(defaults::PORT);
    let tls = upstream_tls(reader);
    let host = reader.read(Key::ProxyIp, host)?;
    Some(RelaySettings { host, port, tls })
}

fn host(value: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(value).ok().and_then(parse_endpoint) {
        Some(Endpoint { host, port: None }) => Ok(host),
        _ => Err("an address or a host name; the port is said with proxy_port (-g)".to_owned()),
    }
}

const SETTINGS: [Key; 6] = [
    Key::UpstreamSslCa,
    Key::UpstreamSslCert,
    Key::UpstreamSslKeyFile,
    Key::UpstreamSslPasswordFile,
    Key::UpstreamSslPin,
    Key::UpstreamSslVerify,
];

fn upstream_tls(reader: &mut Reader<'_>) -> Option<TlsSettings> {
    if !reader.switch(Key::UpstreamSsl) {
        for key in SETTINGS {
            if let Some(said) = reader.find(key) {
                reader.error(&said, "needs upstream_ssl 1, or the other server is spoken to in plain TCP");
            }
        }
        return None;
    }
    let ca = reader.path(Key::UpstreamSslCa);
    let identity = identity(reader);
    let verify = verify(reader)?;
    if ca.is_none()
        && matches!(verify, Verify::Chain | Verify::ChainAndName)
        && let Some(said) = reader.find(Key::UpstreamSsl)
    {
        let ways = "name it with upstream_ssl_ca, or the certificate's SHA-256 with upstream_ssl_pin";
        reader.error(&said, &format!("there is no CA to check the other server's certificate against; {ways}"));
    }
    Some(TlsSettings { ca, identity, verify, offer: ClientCertPolicy::Auto })
}

fn identity(reader: &mut Reader<'_>) -> Option<IdentitySettings> {
    let passphrase = reader.secret_in_file(Key::UpstreamSslPasswordFile);
    let cert = reader.path(Key::UpstreamSslCert);
    let key = reader.path(Key::UpstreamSslKeyFile);
    if cert.is_none()
        && let Some(said) = reader.find(Key::UpstreamSslKeyFile)
    {
        reader.error(&said, "a certificate and its key are used together; add upstream_ssl_cert");
    }
    let cert = cert?;
    Some(IdentitySettings { key: key.unwrap_or_else(|| cert.clone()), cert, passphrase })
}

/// Pins alone are enough: no policy needs to be named.
fn verify(reader: &mut Reader<'_>) -> Option<Verify> {
    let pins = reader.find(Key::UpstreamSslPin);
    let policy = match reader.has(Key::UpstreamSslVerify) {
        true => reader.read(Key::UpstreamSslVerify, reader::choice(&POLICIES))?,
        false if pins.is_some() => VerifyPolicy::Pin,
        false => VerifyPolicy::Chain,
    };
    match (policy, pins) {
        (VerifyPolicy::Pin, Some(_)) => reader.read(Key::UpstreamSslPin, parse_pins).map(Verify::Pin),
        (_, Some(said)) => {
            reader.error(&said, "counts with upstream_ssl_verify pin only; remove one of them");
            None
        }
        (VerifyPolicy::Pin, None) => {
            let said = reader.find(Key::UpstreamSslVerify)?;
            reader.error(&said, "there is no pin; add upstream_ssl_pin with the certificate's SHA-256");
            None
        }
        (VerifyPolicy::Chain, None) => Some(Verify::Chain),
        (VerifyPolicy::ChainAndName, None) => Some(Verify::ChainAndName),
        (VerifyPolicy::None, None) => {
            let said = reader.find(Key::UpstreamSslVerify)?;
            reader.warn(&said, "the certificate is not checked, and anyone on the way can pose as the other server");
            Some(Verify::None)
        }
    }
}

fn parse_pins(value: &[u8]) -> Result<Vec<[u8; 32]>, String> {
    let pins = |text: &str| text.split(',').map(|pin| parse_pin(pin.trim())).collect::<Option<_>>();
    let expected = "SHA-256 fingerprints, separated by commas: 64 hexadecimal digits each, with or without colons";
    std::str::from_utf8(value).ok().and_then(pins).ok_or_else(|| expected.to_owned())
}
