use proptest::prelude::*;
use rcgen::KeyPair;

use crate::tls::testing::*;
use crate::tls::v1::{Leaf, NotVersion1};
use crate::tls::x509::Certificate;
use crate::tls::{CertificateProblem, fuzz_v1};

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/x509_v1");

fn openssl_leaf() -> Vec<u8> {
    let files = Files::new();
    let path = files.add("leaf.pem", include_str!("../testdata/leaf-v1.openssl.pem"));
    crate::tls::pem::certificates(&path).unwrap().ders[0].to_vec()
}

#[test]
fn the_fuzz_corpus_holds_its_properties() {
    let mut seeds = 0;
    for entry in std::fs::read_dir(SEEDS).unwrap() {
        fuzz_v1(&std::fs::read(entry.unwrap().path()).unwrap());
        seeds += 1;
    }
    assert!(seeds >= 5);
}

#[test]
fn what_openssl_makes_by_default_is_read() {
    let der = openssl_leaf();
    let leaf = Leaf::parse(&der).unwrap();
    let files = Files::new();
    let ca = crate::tls::pem::certificates(&files.add("ca.pem", include_str!("../testdata/ca.openssl.pem"))).unwrap();
    let ca = Certificate::parse(&ca.ders[0]).unwrap();
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    assert_eq!(leaf.signed_by(&ca, algorithms.all), Ok(()));
}

#[test]
fn the_right_key_under_another_name_is_another_issuer() {
    let site = Site::new();
    let renamed = Draft::new("Other", "Other", &site.ca_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    let (leaf, renamed) = (site.v1_leaf(), Certificate::parse(&renamed).unwrap());
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let unknown = CertificateProblem::UnknownIssuer { issuer: "CN=CA".to_owned() };
    assert_eq!(Leaf::parse(&leaf).unwrap().signed_by(&renamed, algorithms.all), Err(unknown));
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let der = openssl_leaf();
    for length in 0..der.len() {
        assert_eq!(Leaf::parse(&der[..length]).unwrap_err(), NotVersion1::Malformed, "cut at {length}");
    }
    assert_eq!(Leaf::parse(&[&der[..], &[0]].concat()).unwrap_err(), NotVersion1::Malformed);
}

#[test]
fn later_versions_and_a_spelled_default_are_refused() {
    let key = KeyPair::generate().unwrap();
    let draft = Draft::new("site", "CA", &key);
    let version = |number| Draft { version: Some(number), ..draft.clone() }.sign(&key);
    assert_eq!(Leaf::parse(&version(2)).unwrap_err(), NotVersion1::OtherVersion);
    assert_eq!(Leaf::parse(&version(1)).unwrap_err(), NotVersion1::OtherVersion);
    assert_eq!(Leaf::parse(&version(0)).unwrap_err(), NotVersion1::Malformed);
    let extended = Draft { extensions: vec![CA_TRUE.to_vec()], ..draft.clone() }.sign(&key);
    assert_eq!(Leaf::parse(&extended).unwrap_err(), NotVersion1::Malformed, "extensions came with version 3");
    let two = Draft { inner_algorithm: ECDSA_SHA384, ..draft }.sign(&key);
    assert_eq!(Leaf::parse(&two).unwrap_err(), NotVersion1::TwoAlgorithms);
}

#[test]
fn names_and_keys_are_read_whole() {
    let key = KeyPair::generate().unwrap();
    let draft = Draft::new("site", "CA", &key);
    let nonsense = tlv(0x30, &tlv(0x31, b""));
    for unsound in [
        Draft { issuer: nonsense.clone(), ..draft.clone() },
        Draft { subject: nonsense.clone(), ..draft.clone() },
        Draft { key: nonsense, ..draft.clone() },
    ] {
        assert_eq!(Leaf::parse(&unsound.sign(&key)).unwrap_err(), NotVersion1::Malformed);
    }
}

#[test]
fn lengths_in_the_long_form_where_the_short_would_do_are_refused() {
    let key = KeyPair::generate().unwrap();
    let draft = Draft::new("site", "CA", &key);
    let sound = draft.sign(&key).to_vec();
    // 30 82 hh ll, or 30 81 ll: stretched by a leading zero, the same length is not DER.
    let (header, octets) = if sound[1] == 0x82 { (4, &sound[2..4]) } else { (3, &sound[2..3]) };
    let stretched = [&[0x30, sound[1] + 1, 0], octets, &sound[header..]].concat();
    assert!(Leaf::parse(&sound).is_ok());
    assert_eq!(Leaf::parse(&stretched).unwrap_err(), NotVersion1::Malformed);
}

proptest! {
    #[test]
    fn altered_certificates_hold_the_properties(at in 0_usize..512, byte: u8) {
        let mut der = openssl_leaf();
        let at = at % der.len();
        der[at] = byte;
        fuzz_v1(&der);
    }

    #[test]
    fn any_bytes_hold_the_properties(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_v1(&bytes);
    }
}
