//! Passwords and passphrases: in a file, in an environment variable, or spelled out.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use toml::Table;
use toml::de::DeValue;

use super::super::error::Place;
use super::super::source::{SecretPurpose, UnreadSecret, secret_line};
use super::kinds::Kind;
use super::reader::{Found, Layers, Reader};
use super::values;
use crate::proto::{Secret, quoted};

/// The keys by which a secret may be given; one of them at a time.
pub(super) struct SecretKeys {
    pub(super) file: &'static str,
    pub(super) env: &'static str,
    /// Not all may be spelled out.
    pub(super) literal: Option<&'static str>,
}

impl SecretKeys {
    /// Each of them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        [Some(self.file), Some(self.env), self.literal].into_iter().flatten()
    }
}

/// A site's, or a proxy's.
pub(super) const PASSWORD: SecretKeys =
    SecretKeys { file: "password_file", env: "password_env", literal: Some("password") };

/// The status port's.
pub(super) const TOKEN: SecretKeys = SecretKeys { file: "token_file", env: "token_env", literal: Some("token") };

/// A private key's.
pub(super) const PASSPHRASE: SecretKeys = SecretKeys { file: "passphrase_file", env: "passphrase_env", literal: None };

/// The site's password.
pub(in crate::config) struct Password;

impl Kind<Option<Secret>> for Password {
    fn names(self, _: &'static str) -> Vec<&'static str> {
        PASSWORD.keys().collect()
    }

    fn read(self, layers: &mut Layers<'_, '_, '_>, _: &'static str) -> Option<Option<Secret>> {
        read(layers, &PASSWORD, SecretPurpose::Password).map(Some)
    }

    fn write(self, _: &Option<Secret>, _: &'static str, _: &mut Table) {}
}

/// The secret of the nearest table that gives one. A file that cannot be read is an error of the site alone: it is put
/// among the reader's unread ones.
pub(super) fn read(layers: &mut Layers<'_, '_, '_>, keys: &SecretKeys, purpose: SecretPurpose) -> Option<Secret> {
    let given: Vec<(&str, Found<'_>)> = keys.keys().filter_map(|key| Some((key, layers.find(key)?))).collect();
    let (key, found) = *given.iter().min_by_key(|(_, found)| found.depth)?;
    if let Some((other, second)) = given.iter().find(|(other, second)| *other != key && second.depth == found.depth) {
        layers.reader.error(
            second.place.max(found.place),
            format!("{key} and {other}: one of them is enough; remove the other"),
        );
        return None;
    }
    if key == keys.file {
        from_file(layers, keys.file, found.place, purpose)
    } else if key == keys.env {
        from_environment(layers, key, found.place)
    } else {
        from_text(layers.reader, key, found)
    }
}

fn from_file(
    layers: &mut Layers<'_, '_, '_>,
    key: &'static str,
    place: Place,
    purpose: SecretPurpose,
) -> Option<Secret> {
    let path: PathBuf = layers.path(key)?;
    let reader = &mut *layers.reader;
    let (source, line) = (reader.source(place), place.line.unwrap_or_default());
    let file = UnreadSecret { purpose, key, file: source.path.into(), line, path, problem: String::new() };
    let mut is_world_readable = false;
    let read = file.read(|path| {
        let file = (source.environment.read_secret)(path)?;
        is_world_readable = file.world_readable;
        Ok(file)
    });
    if is_world_readable {
        let path = quoted(&file.path);
        reader.warn(place, format!("{key}: every user of this machine can read {path}; chmod o-r {path}"));
    }
    read.map_err(|unread| reader.unread.push(unread)).ok()
}

fn from_environment(layers: &mut Layers<'_, '_, '_>, key: &str, place: Place) -> Option<Secret> {
    let name = layers.read(key, values::text)?;
    if !is_variable_name(&name) {
        // Not repeated: it may be the secret itself.
        layers
            .reader
            .error(place, format!("{key}: expected the name of an environment variable, such as SITE_PASSWORD"));
        return None;
    }
    let value = (layers.reader.source(place).environment.var)(&name);
    let secret = value.and_then(|value| secret_line(value.into_vec()));
    if secret.is_none() {
        layers.reader.error(place, format!("{key}: the environment variable {name} is not set, or empty"));
    }
    secret
}

fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn from_text(reader: &mut Reader<'_>, key: &str, found: Found<'_>) -> Option<Secret> {
    let source = reader.source(found.place);
    if source.text.world_readable {
        let path = quoted(source.path);
        reader.warn(found.place, format!("{key}: every user of this machine can read this file; chmod o-r {path}"));
    }
    match found.value {
        DeValue::String(text) if !text.is_empty() => Some(Secret::new(text.as_bytes().to_vec())),
        other => {
            // The text there may be the password all the same: only its type is reported.
            let found_type = values::type_of(other);
            reader.error(found.place, format!("{key}: expected text in quotes, not empty; found {found_type}"));
            None
        }
    }
}
