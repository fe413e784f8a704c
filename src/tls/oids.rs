//! What object identifiers are called.

use der::asn1::ObjectIdentifier;
use der::{Decode, SliceReader};

/// Signature algorithms that certificates are found with and not accepted with, and those that are with some keys.
const SIGNATURES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.2", "MD2 and RSA"),
    ("1.2.840.113549.1.1.4", "MD5 and RSA"),
    ("1.2.840.113549.1.1.5", "SHA-1 and RSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS in an unusual form"),
    ("1.2.840.113549.1.1.11", "SHA-256 and RSA"),
    ("1.2.840.113549.1.1.12", "SHA-384 and RSA"),
    ("1.2.840.113549.1.1.13", "SHA-512 and RSA"),
    ("1.2.840.113549.1.1.14", "SHA-224 and RSA"),
    ("1.2.840.10045.4.1", "SHA-1 and ECDSA"),
    ("1.2.840.10045.4.3.1", "SHA-224 and ECDSA"),
    ("1.2.840.10045.4.3.2", "SHA-256 and ECDSA"),
    ("1.2.840.10045.4.3.3", "SHA-384 and ECDSA"),
    ("1.2.840.10045.4.3.4", "SHA-512 and ECDSA"),
    ("1.2.840.10040.4.3", "SHA-1 and DSA"),
    ("2.16.840.1.101.3.4.3.1", "SHA-224 and DSA"),
    ("2.16.840.1.101.3.4.3.2", "SHA-256 and DSA"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

/// Extensions that some mark as critical.
const EXTENSIONS: &[(&str, &str)] = &[
    ("2.5.29.9", "subjectDirectoryAttributes"),
    ("2.5.29.14", "subjectKeyIdentifier"),
    ("2.5.29.16", "privateKeyUsagePeriod"),
    ("2.5.29.18", "issuerAltName"),
    ("2.5.29.32", "certificatePolicies"),
    ("2.5.29.33", "policyMappings"),
    ("2.5.29.35", "authorityKeyIdentifier"),
    ("2.5.29.36", "policyConstraints"),
    ("2.5.29.46", "freshestCRL"),
    ("2.5.29.54", "inhibitAnyPolicy"),
    ("1.3.6.1.5.5.7.1.1", "authorityInfoAccess"),
    ("1.3.6.1.5.5.7.1.24", "tlsfeature"),
    ("2.16.840.1.113730.1.1", "nsCertType"),
];

/// The name of a signature algorithm; `algorithm` is the contents of an AlgorithmIdentifier.
pub(super) fn signature_name(algorithm: &[u8]) -> String {
    let id = SliceReader::new(algorithm).and_then(|mut reader| ObjectIdentifier::decode(&mut reader));
    id.map_or_else(|_| "an unreadable algorithm".to_owned(), |id| name(SIGNATURES, id))
}

/// The name of an extension.
pub(super) fn extension_name(id: ObjectIdentifier) -> String {
    name(EXTENSIONS, id)
}

fn name(known: &[(&str, &str)], id: ObjectIdentifier) -> String {
    let id = id.to_string();
    known.iter().find(|(known, _)| *known == id).map_or(id.clone(), |(_, name)| (*name).to_owned())
}
