//! What failed in TLS, in terms of the options.

use crate::config::client::ClientSettings;
use crate::tls::{AlertDescription, CertificateProblem, Missing, Refusal, SetupError, TlsFailure};

/// What happened.
pub(super) fn words(failure: &TlsFailure) -> String {
    match failure {
        TlsFailure::Certificate(Refusal {
            problem: CertificateProblem::NameMismatch { wanted, found, misnaming },
            ..
        }) => {
            let misnaming = misnaming.map(|slip| format!(" ({slip})")).unwrap_or_default();
            format!("The server's certificate is not for {wanted} but for {}{misnaming}.", names(found))
        }
        TlsFailure::Certificate(Refusal { problem, .. }) => format!("The server's certificate is not accepted: {problem}."),
        TlsFailure::ClientCertificateDemanded(_) => "The server demands a client certificate.".to_owned(),
        TlsFailure::ClientCertificateRefused(alert)
        // How OpenSSL and rustls report a signature that does not fit; a server judges none but our certificate's.
        | TlsFailure::Alert { alert: alert @ AlertDescription::DecryptError, .. } => format!("The server refused our certificate ({alert:?})."),
        TlsFailure::NothingInCommon(missing, hello) => {
            let what = match missing {
                Missing::Version => "The server speaks neither TLS 1.2 nor TLS 1.3",
                Missing::Algorithm => "The server has no algorithm of TLS in common with us",
            };
            let chosen = hello.as_ref().map(|hello| format!(": it chose {hello}")).unwrap_or_default();
            format!("{what}{chosen}.")
        }
        TlsFailure::NotTls => "The server answers, but not in TLS.".to_owned(),
        TlsFailure::ClosedInHandshake => "The server closed the connection during the TLS handshake.".to_owned(),
        TlsFailure::Alert { alert, .. } => format!("The server ended TLS with the alert {alert:?}."),
        TlsFailure::Broken(why) => format!("TLS with the server broke down: {why}."),
    }
}

/// What may help.
pub(super) fn advice(failure: &TlsFailure, settings: &ClientSettings) -> String {
    let words = match failure {
        TlsFailure::Certificate(Refusal { problem, .. }) => return certificate_advice(problem, settings),
        TlsFailure::ClientCertificateDemanded(_) => {
            "-e and -k name it; it has to be of the authority that the server's -f names."
        }
        TlsFailure::ClientCertificateRefused(alert) | TlsFailure::Alert { alert, .. } => alert_advice(*alert),
        TlsFailure::NothingInCommon(Missing::Version, _) => {
            "Its OpenSSL may be too old, or its -z leave both out (TLSv1_2, TLSv1_3)."
        }
        TlsFailure::NothingInCommon(Missing::Algorithm, _) => {
            "We speak ECDHE with AES-GCM or ChaCha20-Poly1305, to RSA keys from 2048 bits, ECDSA and Ed25519: look at the \
             server's -u, and at the key of its certificate (-e, -k)."
        }
        TlsFailure::NotTls | TlsFailure::ClosedInHandshake => {
            "A tentacle_server without -e and -k speaks no TLS: then leave out -c, -e, -k and -f. Is the port right (-p)?"
        }
        TlsFailure::Broken(_) => "Is it a Tentacle server (-a, -p)? If so, its log may say why.",
    };
    words.to_owned()
}

/// What may help where our own files are to blame.
pub(super) fn setup_advice(error: &SetupError) -> &'static str {
    if error.is_for_want_of_a_passphrase() {
        "-w asks for it."
    } else {
        "-f names the PEM file with the server's authority, -e the one with our certificate, -k the one with its key."
    }
}

fn certificate_advice(problem: &CertificateProblem, settings: &ClientSettings) -> String {
    let words = match problem {
        CertificateProblem::NameMismatch { .. } => {
            let host = &settings.server.host;
            return format!(
                "-f checks the name as well: name the server (-a) as its certificate does, or have a certificate made \
                 that carries {host}, or the address behind it (openssl: subjectAltName)."
            );
        }
        CertificateProblem::UnknownIssuer { .. } | CertificateProblem::BadSignature { .. } => {
            "-f has to name the PEM file with the authority that signed the server's certificate."
        }
        CertificateProblem::SelfSignedUnlisted { .. } => {
            "-f may name a file with that certificate itself, copied from the server's own (its -e)."
        }
        CertificateProblem::Expired { .. } | CertificateProblem::NotYetValid { .. } => {
            "Look at the clocks first; it is the server (its -e) that needs a new certificate, not we."
        }
        _ => "The server needs another certificate (its -e and -k), signed by an authority that our -f names.",
    };
    words.to_owned()
}

fn alert_advice(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "The server's -f has to name the authority that signed our certificate (-e)."
        }
        AlertDescription::CertificateExpired => {
            "Ours (-e), or an authority above it, has expired, or the server's clock is wrong."
        }
        AlertDescription::BadCertificate => {
            "Ours (-e) is damaged, or not signed by the authority that the server's -f names but by another one of that name."
        }
        AlertDescription::CertificateRevoked => "Ours (-e) was revoked: get a new one.",
        AlertDescription::UnsupportedCertificate => {
            "Ours (-e) has to be one for clients (without an extended key usage, or with clientAuth), with a key and a \
             signature that the server takes; its log may say which it is."
        }
        _ => "The server's log may say why.",
    }
}

fn names(found: &[String]) -> String {
    if found.is_empty() {
        return "nobody".to_owned();
    }
    found.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::client::{Invocation, parse_args};
    use crate::tls::{
        Irregularity, Misnaming, Phase, Purpose, Sha256, UnixTime, UnknownExtension, UnsupportedShape, Weakness, Whose,
    };

    fn settings() -> ClientSettings {
        let args = ["-c", "-f", "ca.pem", "-a", "site.example", "a.data"].map(Into::into);
        match parse_args(args, |_| true) {
            Ok(Invocation::Transfer(settings)) => *settings,
            other => panic!("{other:?}"),
        }
    }

    fn problems() -> Vec<CertificateProblem> {
        let (issuer, sha256) = ("CN=CA".to_owned(), Sha256::of(b"der"));
        let (whose, time) = (Whose::Leaf, UnixTime::since_unix_epoch(std::time::Duration::ZERO));
        vec![
            CertificateProblem::Malformed,
            CertificateProblem::UnknownIssuer { issuer: issuer.clone() },
            CertificateProblem::SelfSignedUnlisted { sha256 },
            CertificateProblem::BadSignature { issuer },
            CertificateProblem::BadHandshakeSignature,
            CertificateProblem::Expired { whose, not_after: time },
            CertificateProblem::NotYetValid { whose, not_before: time },
            CertificateProblem::NameMismatch {
                wanted: "site.example".into(),
                found: vec!["other".into()],
                misnaming: Some(Misnaming::OtherKinds),
            },
            CertificateProblem::UnsupportedShape(UnsupportedShape::AuthorityAsLeaf),
            CertificateProblem::Irregular(Irregularity::ExplicitVersion1),
            CertificateProblem::NameLimits,
            CertificateProblem::Weak(Weakness::ShortRsaKey(1024)),
            CertificateProblem::WrongPurpose(Purpose::Server),
            CertificateProblem::UnknownCriticalExtension(UnknownExtension::OfAuthority),
            CertificateProblem::Other("odd".into()),
        ]
    }

    fn failures() -> Vec<TlsFailure> {
        let alerts = [
            AlertDescription::UnknownCA,
            AlertDescription::CertificateExpired,
            AlertDescription::CertificateRevoked,
            AlertDescription::UnsupportedCertificate,
            AlertDescription::BadCertificate,
        ];
        let mut failures: Vec<_> =
            problems().into_iter().map(|problem| TlsFailure::Certificate(problem.into())).collect();
        failures.extend(alerts.map(TlsFailure::ClientCertificateRefused));
        failures.extend([
            TlsFailure::ClientCertificateDemanded(AlertDescription::CertificateRequired),
            TlsFailure::NothingInCommon(Missing::Version, None),
            TlsFailure::NothingInCommon(Missing::Algorithm, None),
            TlsFailure::NotTls,
            TlsFailure::ClosedInHandshake,
            TlsFailure::Alert { alert: AlertDescription::DecryptError, phase: Phase::Handshake },
            TlsFailure::Alert { alert: AlertDescription::InternalError, phase: Phase::Established },
            TlsFailure::Broken("decryption failed".into()),
        ]);
        failures
    }

    #[test]
    fn every_failure_is_a_sentence_and_has_advice_that_a_command_line_can_follow() {
        for failure in failures() {
            let (words, advice) = (words(&failure), advice(&failure, &settings()));
            assert!(words.contains("server") && words.starts_with('T') && words.ends_with('.'), "{words}");
            for text in [words, advice] {
                for elsewhere in [" pin", "verify", "offer_client_cert", "`cert`", "this site", "site's", "the peer"] {
                    assert!(!text.contains(elsewhere), "{elsewhere:?} is of tentacle-syncd: {text}");
                }
            }
        }
    }

    #[test]
    fn what_to_do_follows_from_what_is_wrong() {
        let advice = |problem: CertificateProblem| advice(&TlsFailure::Certificate(problem.into()), &settings());
        let sha256 = Sha256::of(b"der");
        assert!(advice(CertificateProblem::SelfSignedUnlisted { sha256 }).contains("-f may name a file with that"));
        assert!(advice(CertificateProblem::UnknownIssuer { issuer: "CN=CA".into() }).contains("-f has to name"));
        let shape = UnsupportedShape::Version1UnderIntermediate;
        assert!(advice(CertificateProblem::UnsupportedShape(shape)).contains("needs another certificate"));
    }
}
