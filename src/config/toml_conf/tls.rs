//! TLS of one site: its own `tls` table over the one in `[defaults]` over `[tls]`, key by key.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::super::error::Place;
use super::super::keys::{Key, key, table};
use super::super::pin::parse_pin;
use super::super::source::SecretPurpose;
use super::super::words::{POLICIES, VerifyPolicy, word_for};
use super::kinds::{FilePath, Kind};
use super::reader::{In, Layers, Reader};
use super::schema::Section;
use super::{secret, values};
use crate::tls::{ClientCertPolicy, IdentitySettings, Sha256, TlsSettings, Verify};

/// The keys of `[tls]`.
pub(in crate::config) static KEYS: &[Key<TlsSettings, ()>] = &[
    key!(TlsSettings, ca: Option<PathBuf>, FilePath, ()),
    key!(TlsSettings, identity: Option<IdentitySettings>, Identity, ()),
    key!(TlsSettings, verify: Verify, Check, ()),
    key!(TlsSettings, offer: ClientCertPolicy, OfferClientCert, ()),
];

/// A table like `[tls]`, or `false` for plain TCP.
pub(in crate::config) struct Tls;

impl Kind<Option<TlsSettings>> for Tls {
    /// Nothing: it is put together from more tables than a site's own, and looked at as a whole. See [`read`].
    fn read(self, _: &mut Layers<'_, '_, '_>, _: &'static str) -> Option<Option<TlsSettings>> {
        None
    }

    fn write(self, value: &Option<TlsSettings>, key: &'static str, keys: &mut Table) {
        let said = value.as_ref().map_or(Value::Boolean(false), |tls| Value::Table(table(KEYS, tls)));
        keys.insert(key.to_owned(), said);
    }
}

/// The TLS of a site whose own table, group and `[defaults]` are `tables`; `None` for plain TCP.
pub(super) fn read<'t>(
    reader: &mut Reader<'_>,
    tables: &[In<&'t DeTable<'t>>],
    of_file: Option<(Place, In<&'t DeTable<'t>>)>,
) -> Option<TlsSettings> {
    let mut layers = Vec::new();
    for table in tables {
        match said_in(reader, *table) {
            // Off, unless something nearer turned it on.
            Some(Said::Off) if layers.is_empty() => return None,
            None | Some(Said::Off) => {}
            Some(Said::Table(place, table)) => layers.push((place, table)),
            Some(Said::Wrong) => return None,
        }
    }
    layers.extend(of_file);
    let (place, _) = *layers.first()?;
    for (_, table) in &layers {
        reader.check_keys(*table, Section::Tls);
    }
    let tables: Vec<In<&DeTable<'_>>> = layers.into_iter().map(|(_, table)| table).collect();
    let layers = &mut Layers { reader, tables: &tables, place };
    let mut tls = TlsSettings { ca: None, identity: None, verify: Verify::Chain, offer: ClientCertPolicy::default() };
    for key in KEYS {
        (key.read)(layers, &mut tls);
    }
    Some(tls)
}

/// What `tls` is in a table.
enum Said<'t> {
    Off,
    /// Where it begins, and what it has.
    Table(Place, In<&'t DeTable<'t>>),
    /// Neither, which is reported.
    Wrong,
}

fn said_in<'t>(reader: &mut Reader<'_>, table: In<&'t DeTable<'t>>) -> Option<Said<'t>> {
    let said = table.get("tls")?;
    let place = reader.place(said, &said.value.span());
    Some(match said.value.get_ref() {
        DeValue::Boolean(false) => Said::Off,
        DeValue::Table(value) => Said::Table(place, In { file: said.file, value }),
        other => {
            let found = values::shown(other);
            reader.error(place, format!("tls: expected a table like [tls], or false for none; found {found}"));
            Said::Wrong
        }
    })
}

/// Looks at what a group or `[defaults]` says of TLS, also where no site goes by it.
pub(super) fn check_within(reader: &mut Reader<'_>, table: In<&DeTable<'_>>) {
    if let Some(Said::Table(place, table)) = said_in(reader, table) {
        check(reader, place, table);
    }
}

/// Looks at a table like `[tls]` on its own: its keys and each value. What it lacks a site may have.
pub(super) fn check(reader: &mut Reader<'_>, place: Place, table: In<&DeTable<'_>>) {
    reader.check_keys(table, Section::Tls);
    let layers = &mut Layers { reader, tables: &[table], place };
    for key in ["ca", "cert", "key", secret::PASSPHRASE.file] {
        layers.path(key);
    }
    layers.read(secret::PASSPHRASE.env, values::text);
    layers.read("verify", values::choice(&POLICIES));
    if layers.find("pins").is_some() {
        read_pins(layers, place);
    }
    OfferClientCert.read(layers, "offer_client_cert");
}

/// Our own certificate, its key, and what that is encrypted with.
pub(in crate::config) struct Identity;

impl Kind<Option<IdentitySettings>> for Identity {
    fn names(self, _: &'static str) -> Vec<&'static str> {
        ["cert", "key"].into_iter().chain(secret::PASSPHRASE.keys()).collect()
    }

    fn read(self, layers: &mut Layers<'_, '_, '_>, _: &'static str) -> Option<Option<IdentitySettings>> {
        let (cert, key) = (layers.path("cert"), layers.path("key"));
        let passphrase = secret::read(layers, &secret::PASSPHRASE, SecretPurpose::Passphrase);
        let missing = match (layers.find("cert"), layers.find("key")) {
            (Some(found), None) => Some((found.place, "cert without key", "key")),
            (None, Some(found)) => Some((found.place, "key without cert", "cert")),
            _ => None,
        };
        if let Some((place, what, missing)) = missing {
            let advice = format!("a certificate and its key are used together; add {missing}");
            layers.reader.error(place, format!("{what}: {advice}"));
        }
        Some(Some(IdentitySettings { cert: cert?, key: key?, passphrase }))
    }

    fn write(self, value: &Option<IdentitySettings>, _: &'static str, keys: &mut Table) {
        if let Some(IdentitySettings { cert, key, .. }) = value {
            FilePath.write(cert, "cert", keys);
            FilePath.write(key, "key", keys);
        }
    }
}

/// How the site's certificate is checked.
struct Check;

impl Kind<Verify> for Check {
    fn names(self, _: &'static str) -> Vec<&'static str> {
        vec!["verify", "pins"]
    }

    fn read(self, layers: &mut Layers<'_, '_, '_>, _: &'static str) -> Option<Verify> {
        let said = layers.find("verify");
        let policy = match said {
            Some(_) => layers.read("verify", values::choice(&POLICIES))?,
            None => VerifyPolicy::Chain,
        };
        let place = said.map_or(layers.place, |found| found.place);
        refuse_idle_pins(layers, policy);
        match policy {
            VerifyPolicy::Chain | VerifyPolicy::ChainAndName if layers.find("ca").is_none() => {
                let ways = "name it with ca, or choose verify = \"pin\" with pins, or verify = \"none\"";
                let problem = format!("tls: there is no CA to check the site's certificate against; {ways}");
                layers.reader.error(place, problem);
                None
            }
            VerifyPolicy::Chain => Some(Verify::Chain),
            VerifyPolicy::ChainAndName => Some(Verify::ChainAndName),
            VerifyPolicy::Pin => read_pins(layers, place).map(Verify::Pin),
            VerifyPolicy::None => {
                let danger = "the site's certificate is not checked, and anyone on the way can pose as the site";
                layers.reader.warn(place, format!("verify = \"none\": {danger}"));
                Some(Verify::None)
            }
        }
    }

    fn write(self, value: &Verify, _: &'static str, keys: &mut Table) {
        let policy = match value {
            Verify::Chain => VerifyPolicy::Chain,
            Verify::ChainAndName => VerifyPolicy::ChainAndName,
            Verify::Pin(pins) => {
                let pins = pins.iter().map(|pin| Sha256(*pin).to_string().into());
                keys.insert("pins".to_owned(), Value::Array(pins.collect()));
                VerifyPolicy::Pin
            }
            Verify::None => VerifyPolicy::None,
        };
        keys.insert("verify".to_owned(), word_for(&POLICIES, &policy).into());
    }
}

/// Those that a farther table lists are for other sites.
fn refuse_idle_pins(layers: &mut Layers<'_, '_, '_>, policy: VerifyPolicy) {
    let (pins, said) = (layers.find("pins"), layers.find("verify"));
    let are_inherited = pins.zip(said).is_some_and(|(pins, said)| pins.depth > said.depth);
    if let Some(pins) = pins
        && policy != VerifyPolicy::Pin
        && !are_inherited
    {
        layers.reader.error(pins.place, "pins: they count with verify = \"pin\" only; add it, or remove them");
    }
}

fn read_pins(layers: &mut Layers<'_, '_, '_>, place: Place) -> Option<Vec<[u8; 32]>> {
    if layers.find("pins").is_none() {
        layers
            .reader
            .error(place, "verify = \"pin\" without pins; list the SHA-256 of the site's certificate: pins = [\"…\"]");
        return None;
    }
    let expected = "a list of SHA-256 fingerprints: 64 hexadecimal digits each, with or without colons";
    let pins = |value: &DeValue<'_>| match values::list(value) {
        Ok(texts) if !texts.is_empty() => texts.iter().map(|text| parse_pin(text)).collect::<Option<_>>(),
        _ => None,
    };
    layers.read("pins", |value| pins(value).ok_or_else(|| expected.to_owned()))
}

/// Whether our certificate is offered: `true`, `false` or `"auto"`.
struct OfferClientCert;

impl Kind<ClientCertPolicy> for OfferClientCert {
    fn names(self, _: &'static str) -> Vec<&'static str> {
        vec!["offer_client_cert"]
    }

    fn read(self, layers: &mut Layers<'_, '_, '_>, _: &'static str) -> Option<ClientCertPolicy> {
        layers.read("offer_client_cert", |value| match value {
            DeValue::Boolean(true) => Ok(ClientCertPolicy::Always),
            DeValue::Boolean(false) => Ok(ClientCertPolicy::Never),
            DeValue::String(text) if text == "auto" => Ok(ClientCertPolicy::Auto),
            _ => Err("true, false or \"auto\"".to_owned()),
        })
    }

    /// `"auto"` is left out: that makes the table shorter.
    fn write(self, value: &ClientCertPolicy, _: &'static str, keys: &mut Table) {
        let is_offered = match value {
            ClientCertPolicy::Auto => return,
            ClientCertPolicy::Always => true,
            ClientCertPolicy::Never => false,
        };
        keys.insert("offer_client_cert".to_owned(), Value::Boolean(is_offered));
    }
}
