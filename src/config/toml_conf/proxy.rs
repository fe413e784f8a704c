//! An HTTP proxy: `"http://user:password@host:port"`, or a table.

use toml::de::DeValue;
use toml::{Table, Value};

use super::super::address::{Endpoint, parse_endpoint};
use super::super::settings::ProxySettings;
use super::super::source::SecretPurpose;
use super::kinds::Kind;
use super::reader::{In, Layers};
use super::schema::Section;
use super::{secret, values};
use crate::proto::{Secret, quoted};

/// A proxy, or `false` for none.
pub(in crate::config) struct Proxy;

impl Kind<Option<ProxySettings>> for Proxy {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Option<ProxySettings>> {
        let found = layers.find(key)?;
        let (reader, place) = (&mut *layers.reader, found.place);
        match found.value {
            DeValue::Boolean(false) => Some(None),
            DeValue::Table(table) => {
                let table = In { file: place.file, value: table };
                reader.check_keys(table, Section::Proxy);
                Some(from_table(&mut Layers { reader, tables: &[table], place }))
            }
            DeValue::String(text) => {
                let proxy = from_url(text);
                match &proxy {
                    // The URL may hold a password, so nothing of it is repeated.
                    None => {
                        let expected = "expected \"http://host:port\" or \"http://user:password@host:port\"";
                        reader.error(place, format!("{key}: {expected}"));
                    }
                    Some(proxy) if proxy.credentials.is_some() && reader.source(place).text.world_readable => {
                        let path = quoted(reader.source(place).path);
                        let advice = format!("every user of this machine can read this file; chmod o-r {path}");
                        reader.warn(place, format!("{key}: {advice}"));
                    }
                    Some(_) => {}
                }
                Some(proxy)
            }
            other => {
                let found = values::type_of(other);
                let expected = "expected \"http://host:port\", a table, or false for none";
                reader.error(place, format!("{key}: {expected}; found {found}"));
                None
            }
        }
    }

    fn write(self, value: &Option<ProxySettings>, key: &'static str, table: &mut Table) {
        let said = value.as_ref().map_or(Value::Boolean(false), |ProxySettings { host, port, .. }| {
            let keys = [("host", host.as_str().into()), ("port", Value::Integer((*port).into()))];
            Value::Table(keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        });
        table.insert(key.to_owned(), said);
    }
}

/// The keys of a table.
pub(super) fn keys() -> Vec<&'static str> {
    ["host", "port", "user"].into_iter().chain(secret::PASSWORD.keys()).collect()
}

fn from_table(layers: &mut Layers<'_, '_, '_>) -> Option<ProxySettings> {
    let host = layers.read("host", host);
    let port = layers.read("port", values::whole(1..=u16::MAX.into()));
    let user = layers.read("user", user);
    let purpose = SecretPurpose::Proxy { user: user.clone().unwrap_or_default() };
    let password = secret::read(layers, &secret::PASSWORD, purpose);
    for key in ["host", "port"] {
        if layers.find(key).is_none() {
            layers.reader.error(layers.place, format!("proxy: {key} is missing"));
        }
    }
    let says_password = secret::PASSWORD.keys().any(|key| layers.find(key).is_some());
    if layers.find("user").is_some() != says_password {
        layers.reader.error(layers.place, "proxy: user and password go together; give both, or none");
    }
    Some(ProxySettings { host: host?, port: port?, credentials: user.zip(password) })
}

/// A host name or an address, with or without brackets.
pub(super) fn host(value: &DeValue<'_>) -> Result<String, values::Expected> {
    host_of(value.as_str().unwrap_or_default())
}

/// The same, as text.
pub(in crate::config) fn host_of(text: &str) -> Result<String, values::Expected> {
    match parse_endpoint(text) {
        Some(Endpoint { host, port: None }) => Ok(host),
        Some(Endpoint { port: Some(_), .. }) => Err("a host name or an address, and its port as `port`".to_owned()),
        None => Err("a host name or an address".to_owned()),
    }
}

/// Basic auth ends the user's name at the first colon.
fn user(value: &DeValue<'_>) -> Result<String, values::Expected> {
    let name = values::text(value)?;
    if is_user(&name) { Ok(name) } else { Err("a user's name without colons and control characters".to_owned()) }
}

fn is_user(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control())
}

fn from_url(url: &str) -> Option<ProxySettings> {
    let rest = url.strip_prefix("http://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (credentials, endpoint) = match rest.rsplit_once('@') {
        Some((credentials, endpoint)) => (Some(parse_credentials(credentials)?), endpoint),
        None => (None, rest),
    };
    let Endpoint { host, port } = parse_endpoint(endpoint)?;
    Some(ProxySettings { host, port: port?, credentials })
}

fn parse_credentials(text: &str) -> Option<(String, Secret)> {
    let (user, password) = text.split_once(':')?;
    let user = String::from_utf8(percent_decoded(user)?).ok()?;
    let password = percent_decoded(password)?;
    (is_user(&user) && !password.is_empty()).then(|| (user, Secret::new(password)))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(decoded)
}
