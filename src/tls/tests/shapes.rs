//! Shapes of certificates that OpenSSL takes and we do not, the pins that work for them, and names that are spelled in
//! more ways than one.

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;

use super::peer_certificate::{HOST, NOBODY, chain, refusal, unsupported, verdict};
use crate::tls::failure::TlsFailure;
use crate::tls::testing::*;
use crate::tls::{
    CertificateProblem, Irregularity, Misnaming, Refusal, Sha256, UnknownExtension, UnsupportedShape, Verify, Weakness,
    Whose,
};

/// A certificate whose version is spelled, whatever it is.
fn with_version(draft: Draft, version: u8) -> Draft {
    Draft { version: Some(version), ..draft }
}

#[test]
fn every_shape_that_others_take_and_we_do_not_names_the_pin_that_works() {
    let site = Site::new();
    let policies = tlv(
        0x30,
        &[&tlv(6, &[0x55, 0x1d, 0x20])[..], &[1, 1, 0xff], &tlv(4, &tlv(0x30, &tlv(0x30, &[6, 2, 0x2a, 3])))].concat(),
    );
    let untrue = [&CA_TRUE[..CA_TRUE.len() - 1], &[1]].concat();
    let signed_with = |algorithm| Draft { inner_algorithm: algorithm, outer_algorithm: algorithm, ..site.draft() };
    let sha512 = signed_with(ECDSA_SHA512).v3(&[]).sign(&site.ca_key);
    let sha224 = signed_with(RSA_SHA224).v3(&[]).sign(&site.ca_key);
    let pss = signed_with(RSA_PSS_WITHOUT_NULLS).v3(&[]).sign(&site.ca_key);
    let weak = |name: &str| CertificateProblem::Weak(Weakness::SignatureAlgorithm(name.to_owned()));
    let extended = Draft { extensions: vec![ONLY_SERVERS.to_vec()], ..site.draft() };
    let old = Draft { not_before: "500101000000Z", ..site.draft() };
    let policy = UnknownExtension::OfLeaf("certificatePolicies".to_owned());
    for (shape, leaf, problem) in [
        (
            "critical policies",
            site.draft().v3(&[&policies]).sign(&site.ca_key),
            CertificateProblem::UnknownCriticalExtension(policy),
        ),
        ("ECDSA with SHA-512", sha512, weak("SHA-512 and ECDSA")),
        ("RSA with SHA-224", sha224, weak("SHA-224 and RSA")),
        ("PSS without NULLs", pss, weak("RSASSA-PSS in an unusual form")),
        ("a BOOLEAN of 1", site.draft().v3(&[&untrue]).sign(&site.ca_key), CertificateProblem::Malformed),
        (
            "version 1, spelled",
            with_version(site.draft(), 0).sign(&site.ca_key),
            CertificateProblem::Irregular(Irregularity::ExplicitVersion1),
        ),
        (
            "version 1 with extensions",
            extended.sign(&site.ca_key),
            CertificateProblem::Irregular(Irregularity::ExtensionsWithoutVersion),
        ),
        ("from 1950", old.sign(&site.ca_key), CertificateProblem::Irregular(Irregularity::BeforeUnix)),
        (
            "version 2",
            with_version(site.draft(), 1).sign(&site.ca_key),
            CertificateProblem::UnsupportedShape(UnsupportedShape::Version2),
        ),
    ] {
        refused_but_for_its_pin(shape, &site.ca, &leaf, &site.key, &problem);
    }
    let directory = Draft::new("CA", "CA", &site.ca_key).v3(&[CA_TRUE, &directory_constraints("site.example")]);
    let leaf = site.draft().v3(&[]).sign(&site.ca_key);
    let directory = directory.sign(&site.ca_key);
    refused_but_for_its_pin("limits of directories", &directory, &leaf, &site.key, &CertificateProblem::NameLimits);
}

fn refused_but_for_its_pin(
    shape: &str,
    ca: &CertificateDer<'static>,
    leaf: &CertificateDer<'static>,
    key: &KeyPair,
    problem: &CertificateProblem,
) {
    let refusal = refusal(&Verify::Chain, &[ca], &[leaf], key, HOST).unwrap_err();
    assert_eq!(refusal, Refusal { problem: problem.clone(), pin: Some(Sha256::of(leaf)) }, "{shape}");
    let words = TlsFailure::Certificate(refusal).to_string();
    let pin = format!("pins = [\"{}\"]", Sha256::of(leaf));
    assert!(words.contains(&pin) && words.contains("compared it at the other end"), "{shape}: {words}");
    for verify in [Verify::Pin(vec![Sha256::of(leaf).0]), Verify::None] {
        assert_eq!(verdict(&verify, NOBODY, &[leaf], key, HOST), Ok(()), "{shape}, {verify:?}");
    }
    let other = KeyPair::generate().unwrap();
    let pin = Verify::Pin(vec![Sha256::of(leaf).0]);
    let impostor = verdict(&pin, NOBODY, &[leaf], &other, HOST);
    assert_eq!(impostor, Err(CertificateProblem::BadHandshakeSignature), "{shape}");
}

#[test]
fn a_pin_is_named_only_where_it_helps() {
    let site = Site::new();
    let short = Draft { key: rsa_1024_key(), ..Draft::new("site", "Other", &site.key) }.v3(&[]).sign(&site.ca_key);
    let refusal = refusal(&Verify::Chain, &[&site.ca], &[&short], &site.key, HOST).unwrap_err();
    assert_eq!(refusal.pin, None, "nobody can prove to hold such a key: {refusal:?}");
}

#[test]
fn an_issuer_is_found_however_its_name_is_spelled() {
    let site = Site::new();
    let spelled = |tag, text: &str| {
        let pair = [tlv(0x06, &[0x55, 4, 3]), tlv(tag, text.as_bytes())].concat();
        tlv(0x30, &tlv(0x31, &tlv(0x30, &pair)))
    };
    for issuer in [spelled(0x13, "CA"), spelled(0x0c, "ca"), spelled(0x0c, " CA ")] {
        let draft = Draft { issuer: issuer.clone(), ..site.draft() };
        let middle_key = KeyPair::generate().unwrap();
        let middle = Draft { issuer, ..Draft::new("middle", "CA", &middle_key) }.v3(&[CA_TRUE]).sign(&site.ca_key);
        let below = Draft::new("site", "middle", &site.key).v3(&[]).sign(&middle_key);
        assert_eq!(chain(&[&site.ca], &[&draft.sign(&site.ca_key)], &site.key), Ok(()), "v1");
        assert_eq!(chain(&[&site.ca], &[&draft.clone().v3(&[]).sign(&site.ca_key)], &site.key), Ok(()), "v3");
        assert_eq!(chain(&[&site.ca], &[&below, &middle], &site.key), Ok(()), "under an intermediate");
        let other = KeyPair::generate().unwrap();
        assert!(chain(&[&site.ca], &[&draft.v3(&[]).sign(&other)], &site.key).is_err(), "it is the key that counts");
        let end = Draft { not_after: "210101000000Z", ..Draft::new("CA", "CA", &site.ca_key) };
        let expired = end.v3(&[CA_TRUE]).sign(&site.ca_key);
        let verdict = chain(&[&expired], &[&below, &middle], &site.key);
        assert!(matches!(verdict, Err(CertificateProblem::Expired { whose: Whose::Authority, .. })), "{verdict:?}");
    }
}

#[test]
fn what_is_wrong_with_those_above_a_certificate_is_said_in_words() {
    let site = Site::new();
    let middle_key = KeyPair::generate().unwrap();
    let leaf = Draft::new("site", "middle", &site.key).v3(&[]).sign(&middle_key);
    let middle = Draft::new("middle", "CA", &middle_key).v3(&[]).sign(&site.ca_key);
    let words = chain(&[&site.ca], &[&leaf, &middle], &site.key).unwrap_err().to_string();
    assert!(words.contains("lacks CA:TRUE"), "{words}");
}

#[test]
fn a_name_is_an_alternative_name_or_without_any_the_common_name() {
    let site = Site::new();
    let ca = [site.ca.clone()];
    let leaf = |common_name: &str, extensions: Option<&[&[u8]]>| {
        let draft = Draft::new(common_name, "CA", &site.key);
        extensions.map_or(draft.clone(), |extensions| draft.v3(extensions)).sign(&site.ca_key)
    };
    let named = |leaf: &CertificateDer<'static>, host: &str| {
        verdict(&Verify::ChainAndName, &ca, std::slice::from_ref(leaf), &site.key, host)
    };
    let other = |wanted: &str, found: &[&str]| {
        let found = found.iter().map(|&name| name.to_owned()).collect();
        Err(CertificateProblem::NameMismatch { wanted: wanted.to_owned(), found, misnaming: None })
    };
    let misnamed = |wanted: &str, found: &[&str], misnaming| {
        let found = found.iter().map(|&name| name.to_owned()).collect();
        Err(CertificateProblem::NameMismatch { wanted: wanted.to_owned(), found, misnaming: Some(misnaming) })
    };
    for extensions in [None, Some(&[][..])] {
        assert_eq!(named(&leaf("Site.Example", extensions), "site.example"), Ok(()));
        assert_eq!(named(&leaf("10.0.0.7", extensions), "10.0.0.7"), Ok(()));
        assert_eq!(named(&leaf("::1", extensions), "0:0:0:0:0:0:0:1"), Ok(()));
        assert_eq!(named(&leaf("10.0.0.7", extensions), "10.0.0.8"), other("10.0.0.8", &["10.0.0.7"]));
        assert_eq!(
            named(&leaf("*.example", extensions), "site.example"),
            misnamed("site.example", &["*.example"], Misnaming::WildcardInCommonName)
        );
    }
    let san = alternative_names(&["*.sites.example", "b.test"], &[[10, 0, 0, 7]]);
    let with_san = leaf("c.test", Some(&[&san]));
    for host in ["a.sites.example", "b.test", "10.0.0.7"] {
        assert_eq!(named(&with_san, host), Ok(()));
    }
    assert_eq!(named(&with_san, "c.test"), other("c.test", &["*.sites.example", "b.test", "10.0.0.7"]));
    let address_as_name = leaf("c.test", Some(&[&alternative_names(&["10.0.0.7"], &[])]));
    let verdict = named(&address_as_name, "10.0.0.7");
    assert_eq!(verdict, misnamed("10.0.0.7", &["10.0.0.7"], Misnaming::AddressAsDnsName));
    let mail = leaf("site.example", Some(&[&mail_name("admin@site.example")]));
    let verdict = named(&mail, "site.example");
    assert_eq!(verdict, misnamed("site.example", &["admin@site.example"], Misnaming::OtherKinds));
    let words = verdict.unwrap_err().to_string();
    assert!(
        words.contains("its common name does not count") && words.contains("subjectAltName=DNS:site.example"),
        "{words}"
    );
    assert_eq!(chain(&ca, &[&with_san], &site.key), Ok(()), "chain alone does not look at names");
}

#[test]
fn a_common_name_does_not_get_around_an_authoritys_limits() {
    let site = Site::new();
    let limited = Draft::new("CA", "CA", &site.ca_key).v3(&[CA_TRUE, &name_constraints("b.test")]).sign(&site.ca_key);
    for leaf in [site.v1_leaf(), site.draft().v3(&[]).sign(&site.ca_key)] {
        assert_eq!(
            verdict(&Verify::ChainAndName, &[&limited], &[&leaf], &site.key, "site.example"),
            unsupported(UnsupportedShape::CommonNameUnderConstraints)
        );
    }
    let within = site.draft().v3(&[&alternative_names(&["b.test"], &[])]).sign(&site.ca_key);
    assert_eq!(verdict(&Verify::ChainAndName, &[&limited], &[&within], &site.key, "b.test"), Ok(()));
    let beyond = site.draft().v3(&[&alternative_names(&["c.test"], &[])]).sign(&site.ca_key);
    assert!(verdict(&Verify::ChainAndName, &[&limited], &[&beyond], &site.key, "c.test").is_err());
}
