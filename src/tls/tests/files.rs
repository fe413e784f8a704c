use std::path::PathBuf;

use crate::proto::Secret;
use crate::tls::testing::*;
use crate::tls::{Connector, FileProblem, IdentitySettings, Offer, SetupError, TlsSettings, Verify};

const RSA_CERT: &str = include_str!("../testdata/ca.openssl.pem");
const RSA_PKCS8: &str = include_str!("../testdata/rsa.pkcs8.pem");
const RSA_PKCS1: &str = include_str!("../testdata/rsa.pkcs1.pem");
const RSA_ENCRYPTED: &str = include_str!("../testdata/rsa.encrypted.pem");
const RSA_PROC_TYPE: &str = include_str!("../testdata/rsa.proc-type.pem");
const EC_CERT: &str = include_str!("../testdata/leaf-v1.openssl.pem");
const EC_SEC1: &str = include_str!("../testdata/ec.sec1.pem");
const EC_3DES: &str = include_str!("../testdata/ec.encrypted-3des.pem");
const EC_PBES1: &str = include_str!("../testdata/ec.pbes1.pem");
const EC_521: &str = include_str!("../testdata/ec521.sec1.pem");
const PASSPHRASE: &str = "site-passphrase";

/// What becomes of an identity of these two files.
fn identity(cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>, passphrase: Option<&str>) -> Result<(), FileProblem> {
    let files = Files::new();
    let identity = IdentitySettings {
        cert: files.add("cert.pem", cert),
        key: files.add("key.pem", key),
        passphrase: passphrase.map(|text| Secret::new(text.into())),
    };
    set_up(&TlsSettings { ca: None, identity: Some(identity), verify: Verify::None, offer: Offer::Auto })
}

fn authorities(path: PathBuf) -> Result<(), FileProblem> {
    set_up(&TlsSettings { ca: Some(path), identity: None, verify: Verify::Chain, offer: Offer::Auto })
}

fn authorities_of(contents: impl AsRef<[u8]>) -> Result<(), FileProblem> {
    let files = Files::new();
    authorities(files.add("ca.pem", contents))
}

fn set_up(settings: &TlsSettings) -> Result<(), FileProblem> {
    match Connector::new(settings, now()) {
        Ok(_) => Ok(()),
        Err(SetupError::File { problem, .. }) => Err(problem),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn keys_are_taken_in_every_form_openssl_writes() {
    assert_eq!(identity(RSA_CERT, RSA_PKCS8, None), Ok(()));
    assert_eq!(identity(RSA_CERT, RSA_PKCS1, None), Ok(()));
    assert_eq!(identity(EC_CERT, EC_SEC1, None), Ok(()));
    assert_eq!(identity(RSA_CERT, RSA_ENCRYPTED, Some(PASSPHRASE)), Ok(()));
    assert_eq!(identity(EC_CERT, EC_3DES, Some(PASSPHRASE)), Ok(()));
    assert_eq!(identity(RSA_CERT, RSA_PKCS8, Some("not needed")), Ok(()));
}

#[test]
fn a_file_with_key_and_certificates_serves_as_both() {
    for mixed in [[RSA_PKCS8, RSA_CERT, EC_CERT].concat(), [RSA_CERT, RSA_PKCS1].concat()] {
        assert_eq!(identity(&mixed, &mixed, None), Ok(()));
        assert_eq!(authorities_of(&mixed), Ok(()));
    }
}

#[test]
fn line_ends_byte_order_marks_and_remarks_do_not_matter() {
    let windows = |text: &str| text.replace('\n', "\r\n");
    assert_eq!(identity(windows(RSA_CERT), windows(RSA_PKCS8), None), Ok(()));
    assert_eq!(identity(RSA_CERT, windows(RSA_ENCRYPTED), Some(PASSPHRASE)), Ok(()));
    assert_eq!(authorities_of(format!("\u{feff}subject=the authority\n{RSA_CERT}\n\n")), Ok(()));
    assert_eq!(authorities_of(RSA_CERT.trim_end()), Ok(()));
}

#[test]
fn a_passphrase_that_is_missing_or_wrong_is_said_to_be() {
    for encrypted in [RSA_ENCRYPTED, EC_3DES] {
        assert_eq!(identity(RSA_CERT, encrypted, None), Err(FileProblem::PassphraseMissing));
        assert_eq!(identity(RSA_CERT, encrypted, Some("wrong")), Err(FileProblem::PassphraseWrong));
        assert_eq!(identity(RSA_CERT, encrypted, Some("")), Err(FileProblem::PassphraseWrong));
    }
}

#[test]
fn encryption_of_the_old_kinds_comes_with_the_command_that_replaces_it() {
    let old = identity(RSA_CERT, RSA_PROC_TYPE, Some(PASSPHRASE)).unwrap_err();
    assert_eq!(old, FileProblem::OldEncryption);
    let pbes1 = identity(EC_CERT, EC_PBES1, Some(PASSPHRASE)).unwrap_err();
    assert!(matches!(pbes1, FileProblem::UnknownEncryption(_)), "{pbes1}");
    for problem in [old, pbes1] {
        assert!(problem.to_string().contains("openssl pkcs8 -topk8"), "{problem}");
    }
}

#[test]
fn der_is_told_from_pem() {
    let der = der_of(RSA_CERT);
    assert_eq!(authorities_of(&der), Err(FileProblem::Der("x509")));
    assert_eq!(identity(RSA_CERT, der_of(RSA_PKCS8), None), Err(FileProblem::Der("pkey")));
    assert_eq!(identity(RSA_CERT, der_of(EC_3DES), None), Err(FileProblem::Der("pkey")));
    assert_eq!(authorities_of("a remark\n"), Err(FileProblem::NotPem));
    assert_eq!(authorities_of([0, 159, 146, 150]), Err(FileProblem::NotPem));
}

/// The body of a file with one block.
fn der_of(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

#[test]
fn files_that_were_mixed_up_say_what_they_hold() {
    let key = || vec!["PRIVATE KEY".to_owned()];
    assert_eq!(authorities_of(RSA_PKCS8), Err(FileProblem::NoCertificate(key())));
    assert_eq!(identity(RSA_PKCS8, RSA_PKCS8, None), Err(FileProblem::NoCertificate(key())));
    assert_eq!(identity(RSA_CERT, RSA_CERT, None), Err(FileProblem::NoKey(vec!["CERTIFICATE".to_owned()])));
    let dsa = pem("DSA PRIVATE KEY", b"whatever");
    assert_eq!(identity(RSA_CERT, dsa, None), Err(FileProblem::NoKey(vec!["DSA PRIVATE KEY".to_owned()])));
}

#[test]
fn files_that_are_not_whole_say_so() {
    assert_eq!(authorities_of(""), Err(FileProblem::Empty));
    assert_eq!(authorities_of(" \r\n"), Err(FileProblem::Empty));
    let cut = &RSA_CERT[..RSA_CERT.len() / 2];
    assert!(matches!(authorities_of(cut), Err(FileProblem::Broken(_))));
    assert!(matches!(identity(RSA_CERT, &RSA_ENCRYPTED[..900], Some("x")), Err(FileProblem::Broken(_))));
    assert!(matches!(authorities_of(RSA_CERT.replace("MII", "M!I")), Err(FileProblem::Broken(_))));
    assert_eq!(authorities_of([RSA_CERT, &pem("CERTIFICATE", b"no")].concat()), Err(FileProblem::BadCertificate(2)));
    assert_eq!(authorities_of(vec![b'-'; 5 << 20]), Err(FileProblem::TooLarge(4 << 20)));
}

#[test]
fn keys_that_cannot_be_used_say_which_can() {
    let problem = identity(RSA_CERT, EC_521, None).unwrap_err();
    assert!(matches!(problem, FileProblem::UnusableKey(_)), "{problem}");
    assert!(problem.to_string().contains("P-256"), "{problem}");
    let empty = identity(RSA_CERT, pem("PRIVATE KEY", b""), None);
    assert!(matches!(empty, Err(FileProblem::UnusableKey(_))), "{empty:?}");
}

#[test]
fn files_that_are_not_there_or_no_files_say_so() {
    let files = Files::new();
    let missing = files.add("x", "").with_file_name("missing.pem");
    assert_eq!(authorities(missing.clone()), Err(FileProblem::Unreadable(std::io::ErrorKind::NotFound)));
    let directory = missing.parent().unwrap().to_owned();
    assert_eq!(authorities(directory), Err(FileProblem::Unreadable(std::io::ErrorKind::IsADirectory)));
    let settings = TlsSettings { ca: Some(missing), identity: None, verify: Verify::Chain, offer: Offer::Auto };
    let error = Connector::new(&settings, now()).unwrap_err().to_string();
    assert!(error.ends_with("missing.pem: cannot be read: there is no such file"), "{error}");
}

#[test]
fn no_secret_shows_in_what_is_printed_for_debugging() {
    let files = Files::new();
    let path = files.add("key.pem", RSA_PKCS8);
    let key = crate::tls::pem::private_key(&path, None).unwrap();
    assert_eq!(format!("{key:?}"), "KeyDer(***)");
}
