//! The status port: `[http]`.

use std::net::SocketAddr;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::super::error::Place;
use super::super::http_settings::{Exposure, HTTP, HttpSettings, check_token, host_name, listen_address};
use super::super::source::SecretPurpose;
use super::kinds::Kind;
use super::reader::{In, Layers, Reader};
use super::{secret, values};
use crate::proto::Secret;

/// The table, and whether what it says goes together.
pub(super) fn read(reader: &mut Reader<'_>, table: In<&DeTable<'_>>) -> HttpSettings {
    let mut http = HttpSettings::default();
    reader.unread.clear();
    for key in HTTP {
        (key.read)(&mut Layers { reader, tables: &[table], place: Place::MAIN }, &mut http);
    }
    http.unread_secrets = std::mem::take(&mut reader.unread);
    check(&mut Layers { reader, tables: &[table], place: Place::MAIN }, &http);
    http
}

/// Nobody but this machine's users is told anything without having shown who they are.
fn check(layers: &mut Layers<'_, '_, '_>, http: &HttpSettings) {
    if let Some(found) = layers.find("client_ca")
        && layers.find("cert").is_none()
    {
        let advice = "certificates are shown in TLS, which takes one of our own: add cert and key";
        layers.reader.error(found.place, format!("client_ca without cert: {advice}"));
    }
    let (Some(listen), Some(found)) = (http.listen, layers.find("listen")) else { return };
    match http.exposure(layers.find("cert").is_some()) {
        None => {}
        Some(Exposure::ToAnyone) => {
            let ways = "set token_file, or cert, key and client_ca, or listen on 127.0.0.1";
            layers.reader.error(
                found.place,
                format!("listen: {listen} can be reached from elsewhere, and anyone would be answered; {ways}"),
            );
        }
        Some(Exposure::ToListeners) => {
            let danger = "the token goes over the network in the clear, and so does what is answered; set cert and key";
            layers.reader.warn(found.place, format!("listen: {danger}"));
        }
    }
}

/// An address of this machine, and a port.
pub(in crate::config) struct Listen;

impl Kind<Option<SocketAddr>> for Listen {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Option<SocketAddr>> {
        let address = |value: &DeValue<'_>| {
            let address = value.as_str().and_then(listen_address);
            address.ok_or_else(|| "an address and a port such as \"127.0.0.1:41122\" or \"[::1]:41122\"".to_owned())
        };
        layers.read(key, address).map(Some)
    }

    fn write(self, value: &Option<SocketAddr>, key: &'static str, table: &mut Table) {
        if let Some(address) = value {
            table.insert(key.to_owned(), address.to_string().into());
        }
    }
}

/// What who asks has to know.
pub(in crate::config) struct Token;

impl Kind<Option<Secret>> for Token {
    fn names(self, _: &'static str) -> Vec<&'static str> {
        secret::TOKEN.keys().collect()
    }

    fn read(self, layers: &mut Layers<'_, '_, '_>, _: &'static str) -> Option<Option<Secret>> {
        let token = secret::read(layers, &secret::TOKEN, SecretPurpose::Token)?;
        let found = secret::TOKEN.keys().find_map(|key| Some((key, layers.find(key)?)));
        if let Some((key, found)) = found
            && let Err(expected) = check_token(&token)
        {
            layers.reader.error(found.place, format!("{key}: {expected}"));
            return None;
        }
        Some(Some(token))
    }

    fn write(self, _: &Option<Secret>, _: &'static str, _: &mut Table) {}
}

/// Names of hosts, kept in small letters.
pub(in crate::config) struct HostNames;

impl Kind<Vec<String>> for HostNames {
    fn read(self, layers: &mut Layers<'_, '_, '_>, key: &'static str) -> Option<Vec<String>> {
        let names = |value: &DeValue<'_>| {
            values::list(value).ok()?.iter().map(|name| host_name(name)).collect::<Option<Vec<_>>>()
        };
        let expected = "a list of host names without ports such as [\"collector.example.org\"]";
        layers.read(key, |value| names(value).ok_or_else(|| expected.to_owned()))
    }

    fn write(self, value: &Vec<String>, key: &'static str, table: &mut Table) {
        table.insert(key.to_owned(), Value::Array(value.iter().map(|name| name.as_str().into()).collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::load::parse_only;
    use super::super::super::source::{Env, SecretFile};
    use super::*;

    const LONG: &str = "0123456789abcdef";

    /// What is read of `[http]` with these lines, which begin with line 2; with all that is warned of, or wrong.
    fn read(lines: &str) -> Result<(HttpSettings, Vec<String>), String> {
        let environment = Env {
            var: |_| None,
            read_secret: |path| match path.to_str() {
                Some("/missing") => Err(std::io::ErrorKind::NotFound.into()),
                Some("/short") => Ok(SecretFile { bytes: b"short\n".to_vec(), world_readable: false }),
                _ => Ok(SecretFile { bytes: format!("{LONG}\n").into_bytes(), world_readable: false }),
            },
            can_keep_state_in: |_| false,
        };
        let text = format!("[http]\n{lines}\n[[site]]\naddress = \"a\"\n");
        let settings = parse_only(text.as_bytes(), "/c.toml", environment).map_err(|error| error.to_string())?;
        Ok((settings.http, settings.warnings))
    }

    #[test]
    fn nothing_is_served_unless_that_is_asked_for() {
        let (http, warnings) = read("").unwrap();
        assert_eq!((http, warnings), (HttpSettings::default(), Vec::new()));
        assert_eq!(HttpSettings::default().listen, None);
    }

    #[test]
    fn loopback_is_open_to_this_machine_and_all_else_asks_who_comes() {
        for address in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80"] {
            let (http, warnings) = read(&format!("listen = {address:?}")).unwrap();
            assert_eq!((http.listen, warnings.len()), (address.parse().ok(), 0));
        }
        for address in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:127.0.0.1]:80"] {
            let error = read(&format!("listen = {address:?}")).unwrap_err();
            let words = format!("/c.toml:2: listen: {address} can be reached from elsewhere");
            assert!(error.starts_with(&words) && error.contains("token_file"), "{error}");
            let tls = "cert = \"/c\"\nkey = \"/k\"";
            assert!(read(&format!("listen = {address:?}\n{tls}")).is_err(), "whom, is not asked");
            for (lines, warned) in [
                (format!("token_file = \"/t\"\n{tls}"), 0),
                (format!("token_file = \"/missing\"\n{tls}"), 0),
                (format!("client_ca = \"/ca\"\n{tls}"), 0),
                ("token_file = \"/t\"".to_owned(), 1),
            ] {
                let (_, warnings) = read(&format!("listen = {address:?}\n{lines}")).unwrap();
                assert_eq!(warnings.len(), warned, "{lines}: {warnings:?}");
            }
        }
    }

    #[test]
    fn secrets_are_read_and_what_cannot_be_is_known() {
        let (http, _) = read("token_file = \"/t\"").unwrap();
        assert_eq!(http.token.unwrap().expose(), LONG.as_bytes());
        let (http, _) = read("token_file = \"/missing\"").unwrap();
        assert!(http.token.is_none() && http.asks_who());
        assert_eq!(http.unread_secrets[0].purpose, SecretPurpose::Token);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (lines, words) in [
            ("listen = 80", ":2: listen: expected an address and a port such as \"127.0.0.1:41122\""),
            ("listen = \"localhost:80\"", ":2: listen: expected an address"),
            ("listen = \"127.0.0.1:0\"", ":2: listen: expected an address"),
            ("token_file = \"/short\"", ":2: token_file: expected 16 or more letters"),
            ("token = \"0123456789abcde \"", ":2: token: expected 16 or more letters"),
            ("client_ca = \"/ca\"", ":2: client_ca without cert"),
            ("cert = \"/c\"", ":2: cert without key"),
            ("hosts = [\"a:80\"]", ":2: hosts: expected a list of host names without ports"),
            ("hosts = \"a\"", ":2: hosts: expected a list of host names without ports"),
            ("port = 80", "unknown key \"port\" in [http]"),
        ] {
            let error = read(lines).unwrap_err();
            assert!(error.contains(words), "{lines}: {error}");
        }
        let (http, _) = read("hosts = [\"Collector.Example.org.\", \"::1\"]").unwrap();
        assert_eq!(http.hosts, ["collector.example.org", "::1"]);
    }
}
