use std::path::PathBuf;

use crate::proto::Secret;
use crate::tls::testing::*;
use crate::tls::{
    BlockFault, ClientCertPolicy, Connector, FileProblem, IdentitySettings, SetupError, TlsSettings, Verify,
};

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
    set_up(&TlsSettings { ca: None, identity: Some(identity), verify: Verify::None, offer: ClientCertPolicy::Auto })
}

fn authorities(path: PathBuf) -> Result<(), FileProblem> {
    set_up(&TlsSettings { ca: Some(path), identity: None, verify: Verify::Chain, offer: ClientCertPolicy::Auto })
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

fn broken(line: usize, label: &str, fault: BlockFault) -> Result<(), FileProblem> {
    Err(FileProblem::Broken { line, label: label.to_owned(), fault })
}

#[test]
fn files_that_are_not_whole_say_so_with_the_line() {
    assert_eq!(authorities_of(""), Err(FileProblem::Empty));
    assert_eq!(authorities_of(" \r\n"), Err(FileProblem::Empty));
    assert_eq!(authorities_of(vec![b'-'; 5 << 20]), Err(FileProblem::TooLarge(4 << 20)));
    let (lines, label) = (RSA_CERT.lines().count(), "CERTIFICATE");
    let cut = &RSA_CERT[..RSA_CERT.len() / 2];
    assert_eq!(authorities_of(cut), broken(1, label, BlockFault::NoEnd));
    assert_eq!(authorities_of([RSA_CERT, cut].concat()), broken(lines + 1, label, BlockFault::NoEnd));
    assert_eq!(authorities_of([cut, "\n", RSA_CERT].concat()), broken(1, label, BlockFault::NoEnd));
    let key = identity(RSA_CERT, &RSA_ENCRYPTED[..900], Some("x"));
    assert_eq!(key, broken(1, "ENCRYPTED PRIVATE KEY", BlockFault::NoEnd));
    assert_eq!(authorities_of(RSA_CERT.replacen("MII", "M!I", 1)), broken(2, label, BlockFault::NotBase64('!')));
    let uneven = "-----BEGIN CERTIFICATE-----\nMAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(authorities_of([RSA_CERT, uneven].concat()), broken(lines + 1, label, BlockFault::NotWhole));
    let other_end = RSA_CERT.replace("END CERTIFICATE", "END PRIVATE KEY");
    assert_eq!(authorities_of(other_end), broken(lines, label, BlockFault::OtherEnd("PRIVATE KEY".to_owned())));
    let no_cert = pem("CERTIFICATE", b"no");
    let bad = FileProblem::BadCertificate { number: 2, line: lines + 1 };
    assert!(bad.to_string().starts_with(&format!("line {}: certificate 2", lines + 1)), "{bad}");
    assert_eq!(authorities_of([RSA_CERT, &no_cert].concat()), Err(bad));
}

#[test]
fn a_block_that_is_not_seen_as_one_is_not_passed_over() {
    let lines = RSA_CERT.lines().count();
    let label = "CERTIFICATE";
    let four_dashes = RSA_CERT.replace("-----BEGIN", "----BEGIN");
    assert_eq!(authorities_of([RSA_CERT, &four_dashes].concat()), broken(2 * lines, label, BlockFault::NoBegin));
    let cut_marker = RSA_CERT.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE--");
    assert_eq!(authorities_of([RSA_CERT, &cut_marker].concat()), broken(lines + 1, "block", BlockFault::CutMarker));
    let quoted = format!("{RSA_CERT}ca = \"{}\"", RSA_CERT.replace('\n', "\\n"));
    assert_eq!(authorities_of(quoted), broken(lines + 1, label, BlockFault::TextBefore));
    let escaped = RSA_CERT.trim_end().replace('\n', "\\n");
    assert_eq!(authorities_of(escaped), broken(1, label, BlockFault::NotBase64('\\')));
}

#[test]
fn every_block_is_read_however_the_lines_are_cut() {
    let other = Site::new().ca;
    let other = certificates_pem(&[other]);
    for (shape, text) in [
        ("a mark before the first", format!("\u{feff}{RSA_CERT}{other}")),
        ("a mark before each", format!("\u{feff}{RSA_CERT}\u{feff}{other}")),
        ("two on a line", format!("{}{other}", RSA_CERT.trim_end())),
        ("carriage returns", format!("{RSA_CERT}{other}").replace('\n', "\r")),
        ("carriage returns and line feeds", format!("{RSA_CERT}{other}").replace('\n', "\r\n")),
        ("blanks behind each line", format!("{RSA_CERT}{other}").replace('\n', " \t\n")),
        ("blanks before each line", format!("  {RSA_CERT}{other}").replace('\n', "\n  ")),
        ("everything on a line", format!("{RSA_CERT}{other}").replace('\n', "")),
        ("text of openssl", format!("Certificate:\n  Data: ----- BEGIN\n{RSA_CERT}\nCaf\u{e9} -----END x\n{other}")),
    ] {
        let read = crate::tls::pem::parse_certificates(text.as_bytes()).unwrap();
        assert_eq!(read.ders, [der_of(RSA_CERT), der_of(&other)].map(Into::into), "{shape}");
        assert_eq!(read.remarks, Vec::<String>::new(), "{shape}");
        assert_eq!(authorities_of(text), Ok(()), "{shape}");
    }
    let latin1 = [b"# Caf\xe9\n", RSA_CERT.as_bytes()].concat();
    assert_eq!(authorities_of(latin1), Ok(()));
    assert_eq!(identity(format!("\u{feff}{EC_CERT}{RSA_CERT}"), EC_SEC1, None), Ok(()), "certificate and chain");
}

#[test]
fn certificates_are_taken_under_every_label_that_openssl_takes() {
    let old = RSA_CERT.replace("CERTIFICATE", "X509 CERTIFICATE");
    assert_eq!(authorities_of(&old), Ok(()));
    assert_eq!(identity(&old, RSA_PKCS8, None), Ok(()));
    let certificate = der_of(RSA_CERT);
    // A friendly name alone, and a use that it is rejected for.
    let named = tlv(0x30, &tlv(0x0c, b"Plant CA"));
    let rejected = tlv(0x30, &tlv(0xa0, &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]));
    for (settings, is_said) in [(&[][..], false), (&named, false), (&rejected, true)] {
        let text = pem("TRUSTED CERTIFICATE", &[&certificate, settings].concat());
        assert_eq!(authorities_of(&text), Ok(()));
        assert_eq!(identity(&text, RSA_PKCS8, None), Ok(()));
        let read = crate::tls::pem::parse_certificates(text.as_bytes()).unwrap();
        assert_eq!(read.ders, [certificate.clone().into()]);
        assert_eq!(read.remarks.iter().any(|remark| remark.starts_with("line 1: the trust settings")), is_said);
    }
}

#[test]
fn what_has_no_effect_in_a_file_is_warned_of() {
    let files = Files::new();
    let crl = pem("X509 CRL", b"whatever");
    let listed = certificates_pem(&[Site::new().ca]);
    let lines = listed.lines().count();
    for (extra, words) in [
        (crl.as_str(), Some("-----BEGIN X509 CRL----- has no effect; certificates are not checked for being revoked")),
        (&pem("PKCS7", b"whatever"), Some("openssl pkcs7 -print_certs")),
        (&pem("CERTIFICATE REQUEST", b"whatever"), Some("only certificates and keys are read")),
        (RSA_PKCS8, None),
        (RSA_ENCRYPTED, None),
        (&pem("EC PARAMETERS", b"whatever"), None),
    ] {
        let ca = files.add("ca.pem", [&listed, extra].concat());
        let settings =
            TlsSettings { ca: Some(ca.clone()), identity: None, verify: Verify::Chain, offer: ClientCertPolicy::Auto };
        let connector = Connector::new(&settings, now()).unwrap();
        let place = format!("{}: line {}: ", ca.to_string_lossy(), lines + 1);
        match words {
            None => assert_eq!(connector.file_warnings(), Vec::<String>::new()),
            Some(words) => {
                let warnings = connector.file_warnings();
                let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
                assert!(warning.starts_with(&place) && warning.contains(words), "{warning}");
            }
        }
    }
}

#[test]
fn other_containers_are_named_with_the_command_that_converts_them() {
    // What OpenSSL writes begins so: version 3 and the type of the contents; the type alone.
    let pkcs12 = tlv(0x30, &[&[2, 1, 3][..], &tlv(0x30, &[0; 200])].concat());
    let endless = [&[0x30, 0x80][..], &pkcs12[3..]].concat();
    let pkcs7 = tlv(0x30, &[&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2][..], &[0; 300]].concat());
    for (contents, problem, command) in [
        (pkcs12, FileProblem::Pkcs12, "openssl pkcs12 -in FILE -nodes -out"),
        (endless, FileProblem::Pkcs12, "openssl pkcs12"),
        (pkcs7, FileProblem::Pkcs7(true), "openssl pkcs7 -print_certs -inform der -in FILE"),
        (pem("PKCS7", &[0; 300]).into_bytes(), FileProblem::Pkcs7(false), "openssl pkcs7 -print_certs -in FILE"),
    ] {
        assert!(problem.to_string().contains(command), "{problem}");
        assert_eq!(authorities_of(&contents), Err(problem.clone()));
        assert_eq!(identity(&contents, RSA_PKCS8, None), Err(problem.clone()));
        if problem == FileProblem::Pkcs12 {
            assert_eq!(identity(RSA_CERT, &contents, None), Err(problem));
        }
    }
    let utf16: Vec<u8> = RSA_CERT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let problem = authorities_of(utf16).unwrap_err().to_string();
    assert!(problem.contains("iconv -f UTF-16LE -t UTF-8"), "{problem}");
}

#[test]
fn a_damaged_certificate_behind_our_own_is_an_error_with_its_line() {
    let damaged = pem("CERTIFICATE", &der_of(RSA_CERT)[..400]);
    let line = EC_CERT.lines().count() + 1;
    let problem = FileProblem::BadCertificate { number: 2, line };
    assert_eq!(identity([EC_CERT, &damaged].concat(), EC_SEC1, None), Err(problem));
}

#[test]
fn of_several_keys_the_first_counts_as_with_openssl() {
    assert_eq!(identity(RSA_CERT, [RSA_PKCS8, RSA_ENCRYPTED].concat(), None), Ok(()));
    assert_eq!(identity(EC_CERT, [RSA_CERT, EC_SEC1, RSA_PKCS8].concat(), None), Ok(()));
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
    let settings =
        TlsSettings { ca: Some(missing), identity: None, verify: Verify::Chain, offer: ClientCertPolicy::Auto };
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

proptest::proptest! {
    /// Pieces of PEM in any order, with anything in between.
    #[test]
    fn no_file_makes_the_reader_panic(pieces in proptest::collection::vec((0..8usize, "[ -~\\r\\n\u{feff}]{0,12}"), 0..12)) {
        const PIECES: [&str; 8] = [
            "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----", "-----BEGIN TRUSTED CERTIFICATE-----", "-----END TRUSTED CERTIFICATE-----",
            "-----BEGIN ", RSA_CERT,
        ];
        let text: String = pieces.iter().flat_map(|(piece, between)| [PIECES[*piece], between]).collect();
        for bytes in [text.clone().into_bytes(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()] {
            if let Ok(read) = crate::tls::pem::parse_certificates(&bytes) {
                assert_eq!(read.ders.len(), read.lines.len());
                assert!(read.ders.len() >= text.matches(RSA_CERT.trim_end()).count(), "none is dropped");
            }
            let _ = crate::tls::pem::parse_key(&bytes, None);
        }
    }
}
