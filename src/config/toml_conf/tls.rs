//! TLS of one site: its own `tls` table over the one in `[defaults]` over `[tls]`, key by key.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::pin::parse_pin;
use super::super::policy::{POLICIES, Policy};
use super::super::source::SecretPurpose;
use super::reader::{Layers, Reader};
use super::values;
use super::{schema, secret};
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

/// The TLS of a site whose own table and `[defaults]` are `tables`; `None` for plain TCP.
pub(super) fn read<'t>(
    reader: &mut Reader<'_>,
    tables: &[&'t DeTable<'t>],
    of_file: Option<&'t Spanned<DeValue<'t>>>,
) -> Option<TlsSettings> {
    let mut layers = Vec::new();
    for said in tables.iter().filter_map(|table| table.get("tls")) {
        match said.get_ref() {
            // Off, unless something nearer turned it on.
            DeValue::Boolean(false) if layers.is_empty() => return None,
            DeValue::Boolean(false) => {}
            DeValue::Table(table) => layers.push((reader.line(&said.span()), table)),
            other => {
                let (line, found) = (reader.line(&said.span()), values::shown(other));
                reader.error(line, format!("tls: expected a table like [tls], or false for none; found {found}"));
                return None;
            }
        }
    }
    if let Some(said) = of_file
        && let Some(table) = said.get_ref().as_table()
    {
        layers.push((reader.line(&said.span()), table));
    }
    let (line, _) = *layers.first()?;
    for (_, table) in &layers {
        reader.check_keys(table, schema::TLS);
    }
    settings(&mut Layers { reader, tables: layers.into_iter().map(|(_, table)| table).collect() }, line)
}

fn settings(layers: &mut Layers<'_, '_, '_>, line: usize) -> Option<TlsSettings> {
    let ca = layers.path("ca");
    let identity = identity(layers);
    let offers = |value: &DeValue<'_>| match value {
        DeValue::Boolean(true) => Ok(ClientCertPolicy::Always),
        DeValue::Boolean(false) => Ok(ClientCertPolicy::Never),
        DeValue::String(text) if text == "auto" => Ok(ClientCertPolicy::Auto),
        _ => Err("true, false or \"auto\"".to_owned()),
    };
    let offer = layers.read("offer_client_cert", offers).unwrap_or_default();
    let verify = verify(layers, line)?;
    if ca.is_none() && matches!(verify, Verify::Chain | Verify::ChainAndName) {
        let line = layers.find("verify").map_or(line, |found| found.line);
        let ways = "name it with ca, or choose verify = \"pin\" with pins, or verify = \"none\"";
        layers.reader.error(line, format!("tls: there is no CA to check the site's certificate against; {ways}"));
    }
    Some(TlsSettings { ca, identity, verify, offer })
}

fn identity(layers: &mut Layers<'_, '_, '_>) -> Option<IdentitySettings> {
    let (cert, key) = (layers.path("cert"), layers.path("key"));
    let passphrase = secret::read(layers, &secret::PASSPHRASE, SecretPurpose::Passphrase);
    let missing = match (layers.find("cert"), layers.find("key")) {
        (Some(found), None) => Some((found.line, "cert without key", "key")),
        (None, Some(found)) => Some((found.line, "key without cert", "cert")),
        _ => None,
    };
    if let Some((line, what, missing)) = missing {
        let advice = format!("a certificate and its key are used together; add {missing}");
        layers.reader.error(line, format!("{what}: {advice}"));
    }
    Some(IdentitySettings { cert: cert?, key: key?, passphrase })
}

fn verify(layers: &mut Layers<'_, '_, '_>, line: usize) -> Option<Verify> {
    let said = layers.find("verify");
    let policy = match said {
        Some(_) => layers.read("verify", values::choice(&POLICIES))?,
        None => Policy::Chain,
    };
    let pins = layers.find("pins");
    let pins_are_inherited = pins.zip(said).is_some_and(|(pins, said)| pins.depth > said.depth);
    if let Some(pins) = pins
        && policy != Policy::Pin
        && !pins_are_inherited
    {
        layers.reader.error(pins.line, "pins: they count with verify = \"pin\" only; add it, or remove them");
    }
    match policy {
        Policy::Chain => Some(Verify::Chain),
        Policy::ChainAndName => Some(Verify::ChainAndName),
        Policy::Pin => read_pins(layers, said.map_or(line, |found| found.line)).map(Verify::Pin),
        Policy::None => {
            let danger = "the site's certificate is not checked, and anyone on the way can pose as the site";
            layers.reader.warn(said.map(|found| found.line), format!("verify = \"none\": {danger}"));
            Some(Verify::None)
        }
    }
}

fn read_pins(layers: &mut Layers<'_, '_, '_>, line: usize) -> Option<Vec<[u8; 32]>> {
    if layers.find("pins").is_none() {
        layers
            .reader
            .error(line, "verify = \"pin\" without pins; list the SHA-256 of the site's certificate: pins = [\"…\"]");
        return None;
    }
    let expected = "a list of SHA-256 fingerprints: 64 hexadecimal digits each, with or without colons";
    let pins = |value: &DeValue<'_>| match values::list(value) {
        Ok(texts) if !texts.is_empty() => texts.iter().map(|text| parse_pin(text)).collect::<Option<_>>(),
        _ => None,
    };
    layers.read("pins", |value| pins(value).ok_or_else(|| expected.to_owned()))
}
