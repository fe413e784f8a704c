//! Why TLS with a client of ours failed, in the words of the server's log.

use rustls::{AlertDescription, PeerIncompatible};

use super::certificate_problem::CertificateProblem;
use super::failure::{Missing, Phase, phase_text};
use super::refusal::Refusal;

/// Why TLS with a client failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFailure {
    /// We do not accept the client's certificate.
    #[error("the client's certificate is not accepted: {0}")]
    Certificate(CertificateProblem),
    /// One is required.
    #[error(
        "the client offered no certificate, and one is required (-f, ssl_ca): give the client one of that authority (its \
         options -e and -k)"
    )]
    NoCertificate,
    /// The client does not accept ours.
    #[error("{}", refused(*.0))]
    CertificateRefused(AlertDescription),
    /// There is nothing both sides can do.
    #[error("{}", missing(*.0))]
    NothingInCommon(Missing),
    /// It does not speak TLS.
    #[error("{0}")]
    NotTls(Opening),
    /// It hung up before the handshake was done.
    #[error(
        "the client closed the connection during the TLS handshake: some do so instead of saying that they do not accept \
         our certificate, and so do monitoring checks and port scans"
    )]
    ClosedInHandshake,
    /// Any other alert.
    #[error("the client ended TLS with the alert {alert:?} {}", phase_text(*.phase))]
    Alert {
        /// What it said.
        alert: AlertDescription,
        /// When.
        phase: Phase,
    },
    /// The client broke the protocol, or bytes were altered on the way.
    #[error("TLS broke down: {0}")]
    Broken(String),
}

impl ClientFailure {
    /// What rustls's `error` means at this point of a connection that began with `opening`.
    pub(super) fn from_rustls(error: &rustls::Error, phase: Phase, opening: Opening) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(Refusal::behind(error).problem),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert, phase),
            rustls::Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic,
            ) => Self::NothingInCommon(Missing::Version),
            rustls::Error::PeerIncompatible(_) => Self::NothingInCommon(Missing::Algorithm),
            rustls::Error::InvalidMessage(_) if phase == Phase::Hello => Self::NotTls(opening),
            other => Self::Broken(other.to_string()),
        }
    }

    fn from_alert(alert: AlertDescription, phase: Phase) -> Self {
        match alert {
            AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => Self::CertificateRefused(alert),
            AlertDescription::ProtocolVersion => Self::NothingInCommon(Missing::Version),
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                Self::NothingInCommon(Missing::Algorithm)
            }
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => Self::ClosedInHandshake,
            _ => Self::Alert { alert, phase },
        }
    }
}

/// What a client that does not speak TLS began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Opening {
    /// A command of Tentacle.
    #[error(
        "the client speaks plain Tentacle where TLS is expected: switch TLS on there (its option -c, or -e and -k)"
    )]
    PlainTentacle,
    /// A request of HTTP.
    #[error("the client speaks HTTP: a browser, a proxy, or a monitoring check for another service")]
    Http,
    /// Something else.
    #[error("the client does not speak TLS, nor Tentacle: a port scan, or a client of another service")]
    Unknown,
}

impl Opening {
    /// How many bytes are enough to tell.
    pub(super) const LENGTH: usize = 8;

    pub(super) fn of(first: &[u8]) -> Self {
        let begins_with = |words: &[&str]| words.iter().any(|word| first.starts_with(word.as_bytes()));
        if begins_with(&["SEND ", "RECV ", "ZSEND ", "ZRECV ", "PASS ", "LS ", "MV ", "QUIT"]) {
            Self::PlainTentacle
        } else if begins_with(&["GET ", "HEAD ", "POST ", "PUT ", "OPTIONS ", "CONNECT "]) {
            Self::Http
        } else {
            Self::Unknown
        }
    }
}

fn refused(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => {
            "it trusts another authority than ours: its -f has to name the authority of our certificate, or our \
             certificate itself where that is self-signed"
        }
        AlertDescription::DecryptError => {
            "it trusts an authority of the same name as ours, but with another key: its -f has to name ours"
        }
        AlertDescription::CertificateExpired => "it has expired, or the client's clock is wrong",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::UnsupportedCertificate => "its kind or purpose does not suit the client",
        _ => {
            "it did not say why. Stock clients with -f want our IP address in it (as alternative name or common name), \
             beside an authority they trust"
        }
    };
    format!("the client refused our certificate ({alert:?}): {why}")
}

fn missing(missing: Missing) -> &'static str {
    match missing {
        Missing::Version => {
            "the client and we have no version of TLS in common: TLS 1.2 and 1.3 are spoken here, or what -z \
             (ssl_version) leaves of them. TLS 1.1 and older cannot be had: update the client's OpenSSL"
        }
        Missing::Algorithm => {
            "the client has no algorithm in common with us: we speak ECDHE (X25519, P-256, P-384) with AES-GCM or \
             ChaCha20-Poly1305, or what -u (ssl_cipher) leaves of them, and signatures by our certificate's key"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_who_is_there() {
        assert_eq!(Opening::of(b"SEND <a."), Opening::PlainTentacle);
        assert_eq!(Opening::of(b"LS <*>\n"), Opening::PlainTentacle);
        assert_eq!(Opening::of(b"QUIT\n"), Opening::PlainTentacle);
        assert_eq!(Opening::of(b"GET / HT"), Opening::Http);
        assert_eq!(Opening::of(b"SSH-2.0-"), Opening::Unknown);
        assert_eq!(Opening::of(b""), Opening::Unknown);
    }

    #[test]
    fn alerts_of_clients_are_about_us() {
        let of = |alert| {
            let error = rustls::Error::AlertReceived(alert);
            ClientFailure::from_rustls(&error, Phase::Handshake, Opening::Unknown)
        };
        let refused = of(AlertDescription::UnknownCA);
        assert_eq!(refused, ClientFailure::CertificateRefused(AlertDescription::UnknownCA));
        assert!(refused.to_string().contains("trusts another authority than ours"), "{refused}");
        assert_eq!(of(AlertDescription::ProtocolVersion), ClientFailure::NothingInCommon(Missing::Version));
        assert_eq!(of(AlertDescription::HandshakeFailure), ClientFailure::NothingInCommon(Missing::Algorithm));
        assert_eq!(of(AlertDescription::UserCanceled), ClientFailure::ClosedInHandshake);
    }
}
