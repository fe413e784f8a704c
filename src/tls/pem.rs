//! PEM files: certificates and private keys as people have them.
//!
//! The only user of rustls-pemfile.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls_pemfile::Item;
use zeroize::{Zeroize, Zeroizing};

use super::setup::{FileProblem, SetupError};
use crate::proto::Secret;

/// More than any bundle of authorities has, in bytes.
const MAX_FILE: usize = 4 << 20;

const BEGIN: &str = "-----BEGIN ";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// The certificates in a PEM file, in its order, at least one; what else is in the file is passed over.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    read(path).and_then(|bytes| parse_certificates(&bytes)).map_err(|problem| SetupError::file(path, problem))
}

/// The first private key in a PEM file, decrypted.
pub(super) fn private_key(path: &Path, passphrase: Option<&Secret>) -> Result<KeyDer, SetupError> {
    read(path).and_then(|bytes| parse_key(&bytes, passphrase)).map_err(|problem| SetupError::file(path, problem))
}

/// A private key's DER, wiped when dropped.
pub(super) struct KeyDer(PrivateKeyDer<'static>);

impl KeyDer {
    /// The key itself: for the provider only.
    pub(super) fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }
}

impl Drop for KeyDer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for KeyDer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyDer(***)")
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    let unreadable = |error: std::io::Error| FileProblem::Unreadable(error.kind());
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(MAX_FILE));
    // Reserved at once: a buffer that grows leaves copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.min(MAX_FILE) + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE { Err(FileProblem::TooLarge(MAX_FILE)) } else { Ok(bytes) }
}

pub(super) fn parse_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    check_is_pem(bytes, "x509")?;
    let certificates: Vec<_> = items(bytes)?
        .into_iter()
        .filter_map(|item| match item {
            Item::X509Certificate(certificate) => Some(certificate),
            other => {
                wipe(other);
                None
            }
        })
        .collect();
    if certificates.is_empty() { Err(FileProblem::NoCertificate(labels(bytes))) } else { Ok(certificates) }
}

pub(super) fn parse_key(bytes: &[u8], passphrase: Option<&Secret>) -> Result<KeyDer, FileProblem> {
    check_is_pem(bytes, "pkey")?;
    let found = labels(bytes);
    if found.iter().any(|label| label == ENCRYPTED_LABEL) {
        return decrypt(bytes, passphrase);
    }
    // The base64 of such a block is cipher text, and pemfile stumbles over its headers.
    if lines(bytes).any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
        return Err(FileProblem::OldEncryption);
    }
    let mut key = None;
    for item in items(bytes)? {
        match item {
            Item::Pkcs1Key(found) if key.is_none() => key = Some(KeyDer(found.into())),
            Item::Pkcs8Key(found) if key.is_none() => key = Some(KeyDer(found.into())),
            Item::Sec1Key(found) if key.is_none() => key = Some(KeyDer(found.into())),
            other => wipe(other),
        }
    }
    key.ok_or(FileProblem::NoKey(found))
}

/// pemfile knows no encrypted keys, but looks at nothing but labels: under a plain key's, it reads them.
fn decrypt(bytes: &[u8], passphrase: Option<&Secret>) -> Result<KeyDer, FileProblem> {
    let passphrase = passphrase.ok_or(FileProblem::PassphraseMissing)?;
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).replace(ENCRYPTED_LABEL, "PRIVATE KEY"));
    let encrypted = items(text.as_bytes())?.into_iter().find_map(|item| match item {
        Item::Pkcs8Key(encrypted) => Some(encrypted),
        other => {
            wipe(other);
            None
        }
    });
    let encrypted = encrypted.ok_or_else(|| FileProblem::Broken("the encrypted key has no end".to_owned()))?;
    let unknown = |error: &dyn std::fmt::Display| FileProblem::UnknownEncryption(error.to_string());
    let info = EncryptedPrivateKeyInfoRef::try_from(encrypted.secret_pkcs8_der()).map_err(|error| unknown(&error))?;
    let key = info.decrypt(passphrase.expose()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            error @ (pkcs8::pkcs5::Error::NoPbes1CryptSupport
            | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }),
        ) => unknown(&error),
        _ => FileProblem::PassphraseWrong,
    })?;
    Ok(KeyDer(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()))
}

fn items(bytes: &[u8]) -> Result<Vec<Item>, FileProblem> {
    rustls_pemfile::read_all(&mut &*bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| FileProblem::Broken(error.to_string()))
}

fn wipe(item: Item) {
    match item {
        Item::Pkcs1Key(mut key) => key.zeroize(),
        Item::Pkcs8Key(mut key) => key.zeroize(),
        Item::Sec1Key(mut key) => key.zeroize(),
        _ => {}
    }
}

/// `converter` is the openssl command that reads such a thing as DER.
fn check_is_pem(bytes: &[u8], converter: &'static str) -> Result<(), FileProblem> {
    if bytes.trim_ascii().is_empty() {
        return Err(FileProblem::Empty);
    }
    if lines(bytes).any(|line| line.starts_with(BEGIN)) {
        return Ok(());
    }
    // A SEQUENCE with a length of two bytes is how any certificate or RSA key begins in DER; short keys have one byte.
    match bytes {
        [0x30, 0x81 | 0x82, ..] => Err(FileProblem::Der(converter)),
        [0x30, length, rest @ ..] if usize::from(*length) == rest.len() => Err(FileProblem::Der(converter)),
        _ => Err(FileProblem::NotPem),
    }
}

fn labels(bytes: &[u8]) -> Vec<String> {
    lines(bytes)
        .filter_map(|line| line.strip_prefix(BEGIN)?.trim_end().strip_suffix("-----").map(str::to_owned))
        .collect()
}

/// The lines that are text, whatever ends them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| std::str::from_utf8(line).ok())
}
