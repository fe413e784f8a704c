//! PEM files: certificates and private keys as people have them.
//!
//! The only user of rustls-pemfile, which reads a block's base64; which blocks there are is seen here, since what is
//! not read has to be reported.

mod blocks;

use std::path::Path;

use der::{Reader, SliceReader};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls_pemfile::Item;
use zeroize::{Zeroize, Zeroizing};

use self::blocks::Block;
use super::setup::{BlockFault, FileProblem, SetupError};
use crate::file::{self, ReadError};
use crate::proto::{Secret, quoted};
use crate::text::Foreign;

/// More than any bundle of authorities has, in bytes.
const MAX_FILE: usize = 4 << 20;

/// A certificate by its current and its older name, and one with trust settings behind it: all that OpenSSL reads.
const CERTIFICATE: &str = "CERTIFICATE";
const OLD_CERTIFICATE: &str = "X509 CERTIFICATE";
const TRUSTED_CERTIFICATE: &str = "TRUSTED CERTIFICATE";

const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";
const PKCS8_KEY: &str = "PRIVATE KEY";
const PLAIN_KEYS: [&str; 3] = [PKCS8_KEY, "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// What `openssl` writes beside keys and certificates, and nobody misses.
const WITHOUT_EFFECT: [&str; 2] = ["EC PARAMETERS", "DH PARAMETERS"];

/// The certificates of a PEM file.
#[derive(Debug)]
pub(super) struct Certificates {
    /// In the file's order, at least one.
    pub(super) ders: Vec<CertificateDer<'static>>,
    /// The line in which each begins.
    pub(super) lines: Vec<usize>,
    /// What stands in the file and has no effect, though its author may think so.
    pub(super) remarks: Vec<String>,
}

impl Certificates {
    /// The problem that certificate `index` cannot be read.
    pub(super) fn bad(&self, index: usize) -> FileProblem {
        FileProblem::BadCertificate { number: index + 1, line: self.line(index) }
    }

    /// The problem that certificate `index` is of a shape that cannot vouch for others.
    pub(super) fn odd(&self, index: usize, what: String) -> FileProblem {
        FileProblem::OddCertificate { number: index + 1, line: self.line(index), what }
    }

    fn line(&self, index: usize) -> usize {
        self.lines.get(index).copied().unwrap_or_default()
    }
}

/// The certificates in a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Certificates, SetupError> {
    let problem = |problem| SetupError::file(path, problem);
    let bytes = read(path).map_err(problem)?;
    let mut certificates = parse_certificates(&bytes).map_err(problem)?;
    certificates.remarks.iter_mut().for_each(|remark| *remark = format!("{}: {remark}", quoted(path)));
    Ok(certificates)
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
    let mut bytes = Zeroizing::new(Vec::new());
    match file::read(path, MAX_FILE, &mut bytes) {
        Ok(_) => Ok(bytes),
        Err(ReadError::Io(error)) => Err(FileProblem::Unreadable(error.kind())),
        Err(ReadError::Fifo) => Err(FileProblem::Fifo),
        Err(ReadError::TooLarge) => Err(FileProblem::TooLarge(MAX_FILE)),
    }
}

pub(super) fn parse_certificates(bytes: &[u8]) -> Result<Certificates, FileProblem> {
    let blocks = blocks(bytes, "x509")?;
    let mut found = Certificates { ders: Vec::new(), lines: Vec::new(), remarks: Vec::new() };
    let mut wrapped = false;
    for block in &blocks {
        match block.label {
            CERTIFICATE | OLD_CERTIFICATE => found.ders.push(certificate(block)?),
            TRUSTED_CERTIFICATE => found.ders.push(trusted_certificate(block, &mut found.remarks)?),
            label => {
                wrapped |= is_pkcs7(label);
                found.remarks.extend(remark(block));
                continue;
            }
        }
        found.lines.push(block.line);
    }
    match found.ders.is_empty() {
        false => Ok(found),
        true if wrapped => Err(FileProblem::Pkcs7(false)),
        true => Err(FileProblem::NoCertificate(labels(&blocks))),
    }
}

fn is_pkcs7(label: &str) -> bool {
    matches!(label, "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS")
}

/// What is to be reported of a block that is no certificate. Keys are at home in such a file.
fn remark(block: &Block<'_>) -> Option<String> {
    let Block { label, line, .. } = block;
    let advice = match *label {
        label if label.ends_with(PKCS8_KEY) || WITHOUT_EFFECT.contains(&label) => return None,
        "X509 CRL" => "certificates are not checked for being revoked",
        label if is_pkcs7(label) => "plain certificates are read: `openssl pkcs7 -print_certs` makes them of it",
        _ => "only certificates and keys are read: is it mixed up with something else?",
    };
    Some(format!("line {line}: -----BEGIN {label}----- has no effect; {advice}"))
}

fn certificate(block: &Block<'_>) -> Result<CertificateDer<'static>, FileProblem> {
    match item(block, CERTIFICATE)? {
        Item::X509Certificate(certificate) => Ok(certificate),
        other => {
            wipe(other);
            Err(block.broken(block.line, BlockFault::NotThat))
        }
    }
}

/// OpenSSL's own form: the certificate, and behind it what it is to be trusted for.
fn trusted_certificate(block: &Block<'_>, remarks: &mut Vec<String>) -> Result<CertificateDer<'static>, FileProblem> {
    let whole = certificate(block)?;
    let not_that = |_| block.broken(block.line, BlockFault::NotThat);
    let mut reader = SliceReader::new(&whole).map_err(not_that)?;
    let certificate = reader.tlv_bytes().map_err(not_that)?;
    let settings = &whole[certificate.len()..];
    // Uses that it is trusted or rejected for; a friendly name, the other thing there may be, is no matter.
    if matches!(settings, [0x30, _, 0x30 | 0xa0, ..]) {
        remarks.push(format!(
            "line {}: the trust settings behind the certificate (-----BEGIN {TRUSTED_CERTIFICATE}-----) have no effect; \
             take the certificate out if it is not to be trusted here",
            block.line
        ));
    }
    Ok(certificate.to_vec().into())
}

pub(super) fn parse_key(bytes: &[u8], passphrase: Option<&Secret>) -> Result<KeyDer, FileProblem> {
    let blocks = blocks(bytes, "pkey")?;
    let is_key = |block: &&Block<'_>| block.label == ENCRYPTED_KEY || PLAIN_KEYS.contains(&block.label);
    let block = blocks.iter().find(is_key).ok_or_else(|| FileProblem::NoKey(labels(&blocks)))?;
    if block.label == ENCRYPTED_KEY {
        return decrypt(block, passphrase);
    }
    // The base64 of such a block is cipher text.
    if block.is_encrypted_the_old_way() {
        return Err(FileProblem::OldEncryption);
    }
    match item(block, block.label)? {
        Item::Pkcs1Key(key) => Ok(KeyDer(key.into())),
        Item::Pkcs8Key(key) => Ok(KeyDer(key.into())),
        Item::Sec1Key(key) => Ok(KeyDer(key.into())),
        other => {
            wipe(other);
            Err(block.broken(block.line, BlockFault::NotThat))
        }
    }
}

/// pemfile has no encrypted keys, but looks at nothing but labels: under a plain key's, it reads them.
fn decrypt(block: &Block<'_>, passphrase: Option<&Secret>) -> Result<KeyDer, FileProblem> {
    let passphrase = passphrase.ok_or(FileProblem::PassphraseMissing)?;
    let Item::Pkcs8Key(encrypted) = item(block, PKCS8_KEY)? else {
        return Err(block.broken(block.line, BlockFault::NotThat));
    };
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

/// What is in a block, read as what `label` stands for.
fn item(block: &Block<'_>, label: &str) -> Result<Item, FileProblem> {
    let text = block.canonical(label)?;
    match rustls_pemfile::read_one_from_slice(&text) {
        Ok(Some((item, _))) => Ok(item),
        Ok(None) => Err(block.broken(block.line, BlockFault::NotThat)),
        Err(_) => Err(block.broken(block.line, BlockFault::NotWhole)),
    }
}

fn wipe(item: Item) {
    match item {
        Item::Pkcs1Key(mut key) => key.zeroize(),
        Item::Pkcs8Key(mut key) => key.zeroize(),
        Item::Sec1Key(mut key) => key.zeroize(),
        _ => {}
    }
}

/// The blocks of a file, at least one. `converter` is the openssl command that reads such a thing as DER.
fn blocks<'a>(bytes: &'a [u8], converter: &'static str) -> Result<Vec<Block<'a>>, FileProblem> {
    if bytes.trim_ascii().is_empty() {
        return Err(FileProblem::Empty);
    }
    if let Some(problem) = binary(bytes, converter) {
        return Err(problem);
    }
    let blocks = Block::all(bytes)?;
    if blocks.is_empty() { Err(FileProblem::NotPem) } else { Ok(blocks) }
}

/// What a file is that holds no PEM, by its first bytes.
fn binary(bytes: &[u8], converter: &'static str) -> Option<FileProblem> {
    if let Some(encoding @ Foreign::Utf16(_)) = Foreign::of(bytes) {
        return Some(FileProblem::Encoding(encoding.advice("FILE")));
    }
    let contents = match bytes {
        // A length of up to 127 bytes, of which short keys are.
        [0x30, length, rest @ ..] if usize::from(*length) == rest.len() => rest,
        // One without an end to it, as BER may have: some programs write PKCS#12 and PKCS#7 so.
        [0x30, 0x80, rest @ ..]
        | [0x30, 0x81, _, rest @ ..]
        | [0x30, 0x82, _, _, rest @ ..]
        | [0x30, 0x83, _, _, _, rest @ ..] => rest,
        _ => return None,
    };
    Some(match contents {
        // Its version, and the type of its contents.
        [0x02, 0x01, 0x03, 0x30, ..] => FileProblem::Pkcs12,
        [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, ..] => FileProblem::Pkcs7(true),
        _ => FileProblem::Der(converter),
    })
}

fn labels(blocks: &[Block<'_>]) -> Vec<String> {
    blocks.iter().map(|block| block.label.to_owned()).collect()
}
