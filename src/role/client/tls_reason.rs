//! What failed in TLS, in terms of the options.

use crate::config::client::ClientSettings;
use crate::tls::{AlertDescription, CertificateProblem, TlsFailure};

/// What happened.
pub(super) fn words(failure: &TlsFailure) -> String {
    match failure {
        TlsFailure::Certificate(CertificateProblem::NameMismatch { wanted, found }) => {
            format!("The server's certificate is not for {wanted} but for {}.", names(found))
        }
        TlsFailure::Certificate(problem) => format!("The server's certificate is not accepted: {problem}."),
        TlsFailure::ClientCertificateDemanded => "The server demands a client certificate.".to_owned(),
        TlsFailure::ClientCertificateRefused(alert)
        // What OpenSSL and rustls say of a signature that does not fit; a server judges none but our certificate's.
        | TlsFailure::Alert { alert: alert @ AlertDescription::DecryptError, .. } => format!("The server refused our certificate ({alert:?})."),
        TlsFailure::NotTls => "The server answers, but not in TLS.".to_owned(),
        TlsFailure::ClosedInHandshake => "The server closed the connection during the TLS handshake.".to_owned(),
        other => other.to_string(),
    }
}

/// What may help.
pub(super) fn advice(failure: &TlsFailure, settings: &ClientSettings) -> Option<String> {
    let words = match failure {
        TlsFailure::Certificate(CertificateProblem::NameMismatch { .. }) => {
            let host = &settings.server.host;
            return Some(format!(
                "-f checks the name as well: name the server (-a) as its certificate does, or have a certificate made \
                 that carries {host}, or the address behind it (openssl: subjectAltName)."
            ));
        }
        TlsFailure::Certificate(_) => "-f names the PEM file with the authority that signed the server's certificate.",
        TlsFailure::ClientCertificateDemanded => {
            "-e and -k name it; it has to be of the authority that the server's -f names."
        }
        TlsFailure::ClientCertificateRefused(AlertDescription::UnknownCA) => {
            "The server's -f has to name our certificate's authority."
        }
        TlsFailure::NotTls | TlsFailure::ClosedInHandshake => {
            "A tentacle_server without -e and -k speaks no TLS: then leave out -c, -e, -k and -f. Is the port right (-p)?"
        }
        _ => return None,
    };
    Some(words.to_owned())
}

fn names(found: &[String]) -> String {
    if found.is_empty() {
        return "nobody".to_owned();
    }
    found.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
}
