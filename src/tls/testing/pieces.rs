//! Pieces of certificates: algorithms, extensions, keys.

use super::{name, tlv};

pub(in crate::tls) const ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
pub(in crate::tls) const ECDSA_SHA384: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
pub(in crate::tls) const ECDSA_SHA1: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];

pub(in crate::tls) const ECDSA_SHA512: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
pub(in crate::tls) const RSA_SHA224: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14, 5, 0];
/// RSASSA-PSS with SHA-256, whose hash algorithms come without parameters.
#[rustfmt::skip]
pub(in crate::tls) const RSA_PSS_WITHOUT_NULLS: &[u8] = &[
    0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10,
    0x30, 48,
    0xa0, 13, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1,
    0xa1, 26, 0x30, 24, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1,
    0xa2, 3, 2, 1, 32,
];

pub(in crate::tls) const CA_TRUE: &[u8] = &[0x30, 15, 6, 3, 0x55, 0x1d, 0x13, 1, 1, 0xff, 4, 5, 0x30, 3, 1, 1, 0xff];
pub(in crate::tls) const ONLY_CLIENTS: &[u8] =
    &[0x30, 19, 6, 3, 0x55, 0x1d, 0x25, 4, 12, 0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
pub(in crate::tls) const ONLY_SERVERS: &[u8] =
    &[0x30, 19, 6, 3, 0x55, 0x1d, 0x25, 4, 12, 0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(in crate::tls) const UNHEARD_OF_AND_CRITICAL: &[u8] = &[0x30, 12, 6, 3, 0x2a, 3, 4, 1, 1, 0xff, 4, 2, 5, 0];

pub(in crate::tls) const RSA_SHA256: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];

/// The public half of an RSA key of 1,024 bits that nobody has.
pub(in crate::tls) fn rsa_1024_key() -> Vec<u8> {
    const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let modulus = tlv(0x02, &[&[0][..], &[0xc3; 128]].concat());
    let key = tlv(0x30, &[modulus, tlv(0x02, &[1, 0, 1])].concat());
    tlv(0x30, &[tlv(0x30, RSA), tlv(0x03, &[&[0], &key[..]].concat())].concat())
}

/// A subjectAltName extension.
pub(in crate::tls) fn alternative_names(names: &[&str], addresses: &[[u8; 4]]) -> Vec<u8> {
    let names = names.iter().map(|name| tlv(0x82, name.as_bytes()));
    let addresses = addresses.iter().map(|address| tlv(0x87, address));
    let list = tlv(0x30, &names.chain(addresses).collect::<Vec<_>>().concat());
    tlv(0x30, &[tlv(0x06, &[0x55, 0x1d, 0x11]), tlv(0x04, &list)].concat())
}

/// nameConstraints that permit `name` and what lies under it.
pub(in crate::tls) fn name_constraints(name: &str) -> Vec<u8> {
    let subtree = tlv(0x30, &tlv(0x82, name.as_bytes()));
    let constraints = tlv(0x30, &tlv(0xa0, &subtree));
    tlv(0x30, &[tlv(0x06, &[0x55, 0x1d, 0x1e]), tlv(0x04, &constraints)].concat())
}

/// A subjectAltName extension with an e-mail address.
pub(in crate::tls) fn mail_name(address: &str) -> Vec<u8> {
    let list = tlv(0x30, &tlv(0x81, address.as_bytes()));
    tlv(0x30, &[tlv(0x06, &[0x55, 0x1d, 0x11]), tlv(0x04, &list)].concat())
}

/// nameConstraints that permit the directory name with this common name.
pub(in crate::tls) fn directory_constraints(common_name: &str) -> Vec<u8> {
    let subtree = tlv(0x30, &tlv(0xa4, &name(common_name)));
    let constraints = tlv(0x30, &tlv(0xa0, &subtree));
    tlv(0x30, &[tlv(0x06, &[0x55, 0x1d, 0x1e]), tlv(0x04, &constraints)].concat())
}
