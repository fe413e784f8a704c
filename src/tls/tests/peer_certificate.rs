use std::borrow::Borrow;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::server::NoClientAuth;

use crate::tls::failure::TlsFailure;
use crate::tls::testing::*;
use crate::tls::{
    CertificateProblem, Purpose, Refusal, Sha256, UnixTime, UnknownExtension, UnsupportedShape, Verify, Weakness, Whose,
};

pub(super) const HOST: &str = "10.0.0.7";
pub(super) const NOBODY: &[CertificateDer<'static>] = &[];

fn owned(certificates: &[impl Borrow<CertificateDer<'static>>]) -> Vec<CertificateDer<'static>> {
    certificates.iter().map(|der| der.borrow().clone()).collect()
}

/// What becomes of a site that shows the certificates `sent` and proves it with `key`; the same in both versions of TLS.
pub(super) fn verdict(
    verify: &Verify,
    listed: &[impl Borrow<CertificateDer<'static>>],
    sent: &[impl Borrow<CertificateDer<'static>>],
    key: &KeyPair,
    host: &str,
) -> Result<(), CertificateProblem> {
    refusal(verify, listed, sent, key, host).map_err(|refusal| refusal.problem)
}

pub(super) fn refusal(
    verify: &Verify,
    listed: &[impl Borrow<CertificateDer<'static>>],
    sent: &[impl Borrow<CertificateDer<'static>>],
    key: &KeyPair,
    host: &str,
) -> Result<(), Refusal> {
    let [listed, sent] = [owned(listed), owned(sent)];
    let connector = connector(verify.clone(), &listed);
    let [first, second] = BOTH_VERSIONS.map(|version| {
        let mut client = connector.connect(host, true).unwrap();
        let mut server = server(&sent, key, version, std::sync::Arc::new(NoClientAuth));
        match run(&mut client, &mut server) {
            Ok(()) => Ok(()),
            Err(TlsFailure::Certificate(refusal)) => Err(refusal),
            Err(other) => panic!("{other}"),
        }
    });
    assert_eq!(first, second, "TLS 1.2 and 1.3 disagree");
    first
}

pub(super) fn chain(
    listed: &[impl Borrow<CertificateDer<'static>>],
    sent: &[impl Borrow<CertificateDer<'static>>],
    key: &KeyPair,
) -> Result<(), CertificateProblem> {
    verdict(&Verify::Chain, listed, sent, key, HOST)
}

fn bad_signature() -> Result<(), CertificateProblem> {
    Err(CertificateProblem::BadSignature { issuer: "CN=CA".to_owned() })
}

fn unknown_issuer(issuer: &str) -> Result<(), CertificateProblem> {
    Err(CertificateProblem::UnknownIssuer { issuer: issuer.to_owned() })
}

pub(super) fn unsupported(shape: UnsupportedShape) -> Result<(), CertificateProblem> {
    Err(CertificateProblem::UnsupportedShape(shape))
}

#[test]
fn a_v1_leaf_directly_under_a_listed_authority_is_taken() {
    let site = Site::new();
    assert_eq!(chain(&[&site.ca], &[&site.v1_leaf()], &site.key), Ok(()));
    assert_eq!(chain(&[&site.ca], &[&site.v1_leaf(), &site.ca], &site.key), Ok(()), "CA sent along");
}

#[test]
fn a_v1_leaf_with_an_rsa_key_under_an_rsa_authority_is_taken() {
    let rsa = KeyPair::from_pem(include_str!("../testdata/rsa.pkcs8.pem")).unwrap();
    let mut draft = Draft::new("site", "CA", &rsa);
    draft.inner_algorithm = RSA_SHA256;
    draft.outer_algorithm = RSA_SHA256;
    let ca = { Draft { subject: name("CA"), ..draft.clone() }.v3(&[CA_TRUE]).sign(&rsa) };
    assert_eq!(chain(&[&ca], &[&draft.sign(&rsa)], &rsa), Ok(()));
}

#[test]
fn a_v1_leaf_whose_key_the_peer_does_not_hold_is_refused() {
    let site = Site::new();
    let (leaf, other) = (site.v1_leaf(), KeyPair::generate().unwrap());
    for verify in [Verify::Chain, Verify::None, Verify::Pin(vec![Sha256::of(&leaf).0])] {
        let verdict = verdict(&verify, &[&site.ca], &[&leaf], &other, HOST);
        assert_eq!(verdict, Err(CertificateProblem::BadHandshakeSignature), "{verify:?}");
    }
}

#[test]
fn a_v1_leaf_of_another_authority_is_refused_whatever_that_calls_itself() {
    let (site, other) = (Site::new(), Site::new());
    let same_name = Draft::new("site", "CA", &site.key).sign(&other.ca_key);
    assert_eq!(chain(&[&site.ca], &[&same_name], &site.key), bad_signature());
    assert_eq!(chain(&[&site.ca], &[&same_name, &other.ca], &site.key), bad_signature());
    let other_name = Draft::new("site", "Other", &site.key).sign(&site.ca_key);
    assert_eq!(chain(&[&site.ca], &[&other_name], &site.key), unknown_issuer("CN=Other"));
}

#[test]
fn of_two_authorities_of_one_name_the_one_with_the_key_counts() {
    let (site, other) = (Site::new(), Site::new());
    assert_eq!(chain(&[&other.ca, &site.ca], &[&site.v1_leaf()], &site.key), Ok(()));
    assert_eq!(chain(&[&site.ca, &other.ca], &[&site.v1_leaf()], &site.key), Ok(()));
}

#[test]
fn a_v1_leaf_altered_after_signing_is_refused() {
    let site = Site::new();
    let draft = site.draft();
    let signature = rcgen::SigningKey::sign(&site.ca_key, &draft.tbs()).unwrap();
    let altered = Draft { subject: name("else.example"), ..draft.clone() };
    let altered = altered.seal(&altered.tbs(), &signature);
    assert_eq!(chain(&[&site.ca], &[&altered], &site.key), bad_signature());
    let mut cut = signature.clone();
    cut.pop();
    assert_eq!(chain(&[&site.ca], &[&draft.seal(&draft.tbs(), &cut)], &site.key), bad_signature());
}

#[test]
fn a_v1_leaf_never_vouches_for_another() {
    let site = Site::new();
    let middle_key = KeyPair::generate().unwrap();
    let middle = Draft::new("middle", "CA", &middle_key).sign(&site.ca_key);
    let leaf = Draft::new("site", "middle", &site.key).sign(&middle_key);
    let sent = [leaf.clone(), middle.clone()];
    let refused = unsupported(UnsupportedShape::Version1UnderIntermediate);
    assert_eq!(chain(&[&site.ca], &sent, &site.key), refused);
    assert_eq!(chain(&[&site.ca], &sent[..1], &site.key), unknown_issuer("CN=middle"));
    assert_eq!(chain(&[&site.ca, &middle], &sent, &site.key), refused, "not even when listed");
    let v3 = Draft::new("site", "middle", &site.key).v3(&[]).sign(&middle_key);
    assert_eq!(chain(&[&site.ca, &middle], &[&v3, &middle], &site.key), unknown_issuer("CN=middle"));
}

#[test]
fn a_v1_leaf_under_an_intermediate_is_to_be_pinned() {
    let site = Site::new();
    let middle_key = KeyPair::generate().unwrap();
    let middle = Draft::new("middle", "CA", &middle_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    let leaf = Draft::new("site", "middle", &site.key).sign(&middle_key);
    let sent = [leaf.clone(), middle.clone()];
    assert_eq!(chain(&[&site.ca], &sent, &site.key), unsupported(UnsupportedShape::Version1UnderIntermediate));
    assert_eq!(chain(&[&middle], &sent, &site.key), Ok(()), "listed, the intermediate is an authority like any other");
    let pin = Verify::Pin(vec![Sha256::of(&leaf).0]);
    assert_eq!(verdict(&pin, NOBODY, &sent, &site.key, HOST), Ok(()));
}

#[test]
fn a_v1_leaf_with_two_signature_algorithms_is_refused() {
    let site = Site::new();
    let draft = Draft { inner_algorithm: ECDSA_SHA384, ..site.draft() };
    let leaf = draft.sign(&site.ca_key);
    assert_eq!(chain(&[&site.ca], &[&leaf], &site.key), Err(CertificateProblem::Malformed));
}

#[test]
fn sha1_and_short_keys_are_called_weak() {
    let site = Site::new();
    let sha1 = Draft { inner_algorithm: ECDSA_SHA1, outer_algorithm: ECDSA_SHA1, ..site.draft() };
    let weak = Err(CertificateProblem::Weak(Weakness::SignatureAlgorithm("SHA-1 and ECDSA".to_owned())));
    assert_eq!(chain(&[&site.ca], &[&sha1.sign(&site.ca_key)], &site.key), weak);
    assert_eq!(chain(&[&site.ca], &[&sha1.v3(&[]).sign(&site.ca_key)], &site.key), weak);

    let short = Err(CertificateProblem::Weak(Weakness::ShortRsaKey(1024)));
    let short_ca = Draft { key: rsa_1024_key(), ..Draft::new("CA", "CA", &site.ca_key) };
    let short_ca = short_ca.v3(&[CA_TRUE]).sign(&site.ca_key);
    assert_eq!(chain(&[&short_ca], &[&site.v1_leaf()], &site.key), short);
    let short_leaf = Draft { key: rsa_1024_key(), ..site.draft() }.sign(&site.ca_key);
    assert_eq!(chain(&[&site.ca], &[&short_leaf], &site.key), short);
}

#[test]
fn a_v3_leaf_under_a_v1_authority_is_taken() {
    let site = Site::new();
    let ca = Draft::new("CA", "CA", &site.ca_key).sign(&site.ca_key);
    let leaf = site.draft().v3(&[]).sign(&site.ca_key);
    assert_eq!(chain(&[&ca], &[&leaf], &site.key), Ok(()));
    assert_eq!(chain(&[&ca], &[&leaf, &ca], &site.key), Ok(()), "sent along, too");
    assert_eq!(chain(&[&ca], &[&site.v1_leaf()], &site.key), Ok(()), "a v1 leaf as well: one hop");
}

#[test]
fn a_v3_leaf_under_an_intermediate_is_taken() {
    let site = Site::new();
    let middle_key = KeyPair::generate().unwrap();
    let middle = Draft::new("middle", "CA", &middle_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    let leaf = Draft::new("site", "middle", &site.key).v3(&[]).sign(&middle_key);
    assert_eq!(chain(&[&site.ca], &[&leaf, &middle], &site.key), Ok(()));
    assert_eq!(chain(&[&site.ca], &[&leaf], &site.key), unknown_issuer("CN=middle"));
}

#[test]
fn a_listed_certificate_that_is_no_authority_vouches_for_nobody() {
    let site = Site::new();
    let other_key = KeyPair::generate().unwrap();
    let listed = Draft::new("CA", "CA", &other_key).v3(&[]).sign(&other_key);
    let leaf = Draft::new("site", "CA", &site.key).v3(&[]).sign(&other_key);
    assert_eq!(chain(&[&listed], &[&leaf], &site.key), unknown_issuer("CN=CA"));
    let leaf = Draft::new("site", "CA", &site.key).sign(&other_key);
    assert_eq!(chain(&[&listed], &[&leaf], &site.key), unknown_issuer("CN=CA"));
}

#[test]
fn a_self_signed_certificate_is_taken_when_it_is_listed_byte_for_byte() {
    let key = KeyPair::generate().unwrap();
    let draft = Draft::new("site", "site", &key);
    let other = Draft { not_after: "481231235959Z", ..draft.clone() }.sign(&key);
    for leaf in [draft.sign(&key), draft.clone().v3(&[CA_TRUE]).sign(&key), draft.clone().v3(&[]).sign(&key)] {
        assert_eq!(chain(&[&other, &leaf], &[&leaf], &key), Ok(()));
        let unlisted = Err(CertificateProblem::SelfSignedUnlisted { sha256: Sha256::of(&leaf) });
        assert_eq!(chain(&[&Site::new().ca], &[&leaf], &key), unlisted);
    }
}

#[test]
fn a_self_signed_certificate_of_a_listed_name_but_another_key_is_refused() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let listed = Draft::new("site", "site", &key).v3(&[CA_TRUE]).sign(&key);
    for leaf in [Draft::new("site", "site", &other), Draft::new("site", "site", &other).v3(&[])] {
        let leaf = leaf.sign(&other);
        assert!(chain(&[&listed], &[&leaf], &other).is_err());
    }
}

#[test]
fn a_listed_certificate_that_another_signed_does_not_stand_for_itself() {
    let (site, other) = (Site::new(), Site::new());
    let other_ca = Draft::new("Other", "Other", &other.ca_key).sign(&other.ca_key);
    for leaf in [site.v1_leaf(), site.draft().v3(&[]).sign(&site.ca_key)] {
        assert_eq!(chain(&[&other_ca, &leaf], &[&leaf], &site.key), unknown_issuer("CN=CA"));
    }
}

#[test]
fn a_leaf_of_its_authoritys_very_name_is_taken_by_its_signature() {
    let site = Site::new();
    for leaf in [Draft::new("CA", "CA", &site.key), Draft::new("CA", "CA", &site.key).v3(&[])] {
        assert_eq!(chain(&[&site.ca], &[&leaf.sign(&site.ca_key)], &site.key), Ok(()));
    }
}

#[test]
fn an_authoritys_certificate_as_a_servers_is_to_be_pinned() {
    let site = Site::new();
    let leaf = site.draft().v3(&[CA_TRUE]).sign(&site.ca_key);
    let refused = unsupported(UnsupportedShape::AuthorityAsLeaf);
    assert_eq!(chain(&[&site.ca], &[&leaf], &site.key), refused);
    let pin = Verify::Pin(vec![[0; 32], Sha256::of(&leaf).0]);
    assert_eq!(verdict(&pin, NOBODY, &[&leaf], &site.key, HOST), Ok(()));
}

#[test]
fn wrong_purposes_and_unknown_critical_extensions_are_refused_but_for_a_pin() {
    let site = Site::new();
    for (extension, problem) in [
        (ONLY_CLIENTS, CertificateProblem::WrongPurpose(Purpose::Server)),
        (
            UNHEARD_OF_AND_CRITICAL,
            CertificateProblem::UnknownCriticalExtension(UnknownExtension::OfLeaf("1.2.3.4".to_owned())),
        ),
    ] {
        let leaf = site.draft().v3(&[extension]).sign(&site.ca_key);
        assert_eq!(chain(&[&site.ca], &[&leaf], &site.key), Err(problem.clone()));
        let alone = Draft::new("site", "site", &site.key).v3(&[CA_TRUE, extension]).sign(&site.key);
        assert_eq!(chain(&[&alone], &[&alone], &site.key), Err(problem));
        let pin = Verify::Pin(vec![Sha256::of(&leaf).0]);
        assert_eq!(verdict(&pin, NOBODY, &[&leaf], &site.key, HOST), Ok(()));
    }
}

#[test]
fn expired_and_future_certificates_are_refused_but_for_a_pin() {
    let site = Site::new();
    let expired = Draft { not_after: "210101000000Z", ..site.draft() };
    let future = Draft { not_before: "490101000000Z", ..site.draft() };
    let end = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_609_459_200));
    let start = UnixTime::since_unix_epoch(std::time::Duration::from_secs(2_493_072_000));
    let alone = Draft { issuer: expired.subject.clone(), ..expired.clone() }.sign(&site.key);
    for (listed, leaf) in [
        (site.ca.clone(), expired.sign(&site.ca_key)),
        (site.ca.clone(), expired.clone().v3(&[]).sign(&site.ca_key)),
        (alone.clone(), alone),
    ] {
        let problem = CertificateProblem::Expired { whose: Whose::Leaf, not_after: end };
        assert_eq!(chain(&[&listed], &[&leaf], &site.key), Err(problem));
        let pin = Verify::Pin(vec![Sha256::of(&leaf).0]);
        assert_eq!(verdict(&pin, NOBODY, &[&leaf], &site.key, HOST), Ok(()));
    }
    for leaf in [future.sign(&site.ca_key), future.clone().v3(&[]).sign(&site.ca_key)] {
        let problem = CertificateProblem::NotYetValid { whose: Whose::Leaf, not_before: start };
        assert_eq!(chain(&[&site.ca], &[&leaf], &site.key), Err(problem));
    }
}

#[test]
fn an_expired_authority_counts_no_more_unless_it_is_listed_renewed() {
    let site = Site::new();
    let old = Draft { not_after: "210101000000Z", ..Draft::new("CA", "CA", &site.ca_key) };
    let old = old.v3(&[CA_TRUE]).sign(&site.ca_key);
    let end = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_609_459_200));
    let expired = Err(CertificateProblem::Expired { whose: Whose::Authority, not_after: end });
    for leaf in [site.v1_leaf(), site.draft().v3(&[]).sign(&site.ca_key)] {
        assert_eq!(chain(&[&old], &[&leaf], &site.key), expired);
        assert_eq!(chain(&[&old, &site.ca], &[&leaf], &site.key), Ok(()));
        assert_eq!(chain(&[&site.ca, &old], &[&leaf], &site.key), Ok(()));
    }
}

#[test]
fn the_right_name_does_not_make_up_for_the_wrong_authority() {
    let site = Site::new();
    let verdict = verdict(&Verify::ChainAndName, &[&Site::new().ca], &[&site.v1_leaf()], &site.key, "site.example");
    assert_eq!(verdict, bad_signature());
}

#[test]
fn pins_are_exclusive_even_where_the_authority_would_vouch() {
    let site = Site::new();
    let leaf = site.v1_leaf();
    let pin = Verify::Pin(vec![Sha256::of(&site.ca).0]);
    let verdict = verdict(&pin, &[&site.ca], &[&leaf, &site.ca], &site.key, HOST);
    assert_eq!(verdict, Err(CertificateProblem::PinMismatch { found: Sha256::of(&leaf) }));
}

#[test]
fn without_verification_anything_that_can_prove_its_key_is_taken() {
    let site = Site::new();
    for leaf in [site.v1_leaf(), site.draft().v3(&[UNHEARD_OF_AND_CRITICAL]).sign(&site.ca_key)] {
        assert_eq!(verdict(&Verify::None, NOBODY, &[&leaf], &site.key, HOST), Ok(()));
    }
}

#[test]
fn what_is_no_certificate_at_all_is_refused_under_every_policy() {
    let site = Site::new();
    let nonsense = [CertificateDer::from(b"\x30\x03\x02\x01\x00".to_vec())];
    for verify in [Verify::Chain, Verify::ChainAndName, Verify::None, Verify::Pin(vec![Sha256::of(&nonsense[0]).0])] {
        let verdict = verdict(&verify, &[&site.ca], &nonsense, &site.key, HOST);
        assert_eq!(verdict, Err(CertificateProblem::Malformed), "{verify:?}");
    }
}
