//! Why TLS with a client of ours failed, in the words of the server's log.

use rustls::{AlertDescription, PeerIncompatible};

use super::certificate_problem::CertificateProblem;
use super::failure::{Missing, Phase, phase_text};
use super::hello::Hello;
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
    #[error("{}{}", missing(*.0), offered(.1.as_ref()))]
    NothingInCommon(Missing, Option<Hello>),
    /// It does not speak TLS.
    #[error("{0}")]
    NotTls(ClientPreface),
    /// It hung up before the handshake was done.
    #[error(
        "the client closed the connection during the TLS handshake: some do so instead of saying that they do not accept \
         our certificate, and so do monitoring checks and port scans"
    )]
    ClosedInHandshake,
    /// Any other alert.
    #[error("the client ended TLS with the alert {alert:?} {}", phase_text(*.phase))]
    Alert {
        /// The alert.
        alert: AlertDescription,
        /// When.
        phase: Phase,
    },
    /// The client broke the protocol, or bytes were altered on the way.
    #[error("TLS broke down: {0}")]
    Broken(String),
}

impl ClientFailure {
    /// What rustls's `error` means at this point of a connection that began with `first`.
    pub(super) fn from_rustls(error: &rustls::Error, phase: Phase, first: &[u8]) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(Refusal::behind(error).problem),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert, phase),
            rustls::Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic,
            ) => Self::NothingInCommon(Missing::Version, Hello::of(first)),
            rustls::Error::PeerIncompatible(_) => {
                let hello = Hello::of(first);
                let is_too_old = hello.as_ref().is_some_and(Hello::is_too_old);
                Self::NothingInCommon(if is_too_old { Missing::Version } else { Missing::Algorithm }, hello)
            }
            rustls::Error::InvalidMessage(_) if phase == Phase::Hello => Self::NotTls(ClientPreface::of(first)),
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
            AlertDescription::ProtocolVersion => Self::NothingInCommon(Missing::Version, None),
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                Self::NothingInCommon(Missing::Algorithm, None)
            }
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => Self::ClosedInHandshake,
            _ => Self::Alert { alert, phase },
        }
    }
}

/// What a client that does not speak TLS began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientPreface {
    /// A command of Tentacle.
    #[error(
        "the client speaks plain Tentacle where TLS is expected: switch TLS on there (its option -c, or -e and -k)"
    )]
    PlainTentacle,
    /// A request of HTTP.
    #[error("the client speaks HTTP: a browser, a proxy, or a monitoring check for another service")]
    Http,
    /// A hello as of SSL 2, which OpenSSL sent before 1.0 to offer up to TLS 1.0.
    #[error(
        "the client begins as SSL 2 has it, which programs with OpenSSL before 1.0 do: TLS 1.2 and 1.3 are spoken here; \
         update the client's OpenSSL"
    )]
    Ssl2,
    /// Something else.
    #[error("the client does not speak TLS, nor Tentacle: a port scan, or a client of another service")]
    Unknown,
}

impl ClientPreface {
    pub(super) fn of(first: &[u8]) -> Self {
        let begins_with = |words: &[&str]| words.iter().any(|word| first.starts_with(word.as_bytes()));
        if begins_with(&["SEND ", "RECV ", "ZSEND ", "ZRECV ", "PASS ", "LS ", "MV ", "QUIT"]) {
            Self::PlainTentacle
        } else if begins_with(&["GET ", "HEAD ", "POST ", "PUT ", "OPTIONS ", "CONNECT "]) {
            Self::Http
        } else if matches!(first, [0x80..=0xff, _, 0x01, 0x00 | 0x03, 0x00..=0x03, ..]) {
            Self::Ssl2
        } else {
            Self::Unknown
        }
    }
}

/// What the alert stands for, and then what may be looked at.
fn refused(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => {
            "it finds no authority that it trusts above it: its -f has to name the authority of our certificate, or our \
             certificate itself where that is self-signed, and ours (-e) has to hold the intermediate ones"
        }
        AlertDescription::DecryptError | AlertDescription::BadCertificate => {
            "to the client it is damaged, or not for the address, or a signature in its chain does not fit: its -f may name \
             an authority of the same name as ours that has another key; stock clients with -f want our IP address in it \
             (as alternative name or common name)"
        }
        AlertDescription::CertificateExpired => {
            "to the client it, or an authority above it, does not count at this time: look at its dates, and at the \
             client's clock"
        }
        AlertDescription::CertificateRevoked => "to the client it is revoked",
        AlertDescription::UnsupportedCertificate => {
            "its kind does not suit the client: its use (extendedKeyUsage has to have serverAuth, or not to be there), its \
             key, how it is signed, or its version"
        }
        _ => {
            "the alert does not say why. Stock clients with -f want our IP address in it (as alternative name or common \
             name), beside an authority they trust"
        }
    };
    format!("the client refused our certificate (alert {alert:?}): {why}")
}

fn offered(hello: Option<&Hello>) -> String {
    hello.map_or_else(String::new, |hello| format!(". The client offers {hello}"))
}

fn missing(missing: Missing) -> &'static str {
    match missing {
        Missing::Version => {
            "the client and we have no version of TLS in common: TLS 1.2 and 1.3 are spoken here, or what -z \
             (ssl_version) leaves of them. TLS 1.1 and older are not supported: update the client's OpenSSL"
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
        assert_eq!(ClientPreface::of(b"SEND <a."), ClientPreface::PlainTentacle);
        assert_eq!(ClientPreface::of(b"LS <*>\n"), ClientPreface::PlainTentacle);
        assert_eq!(ClientPreface::of(b"QUIT\n"), ClientPreface::PlainTentacle);
        assert_eq!(ClientPreface::of(b"GET / HT"), ClientPreface::Http);
        assert_eq!(ClientPreface::of(b"SSH-2.0-"), ClientPreface::Unknown);
        assert_eq!(ClientPreface::of(b""), ClientPreface::Unknown);
        assert_eq!(ClientPreface::of(&[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0]), ClientPreface::Ssl2);
    }

    #[test]
    fn alerts_of_clients_are_about_us() {
        let of = |alert| {
            let error = rustls::Error::AlertReceived(alert);
            ClientFailure::from_rustls(&error, Phase::Handshake, &[])
        };
        let refused = of(AlertDescription::UnknownCA);
        assert_eq!(refused, ClientFailure::CertificateRefused(AlertDescription::UnknownCA));
        assert!(refused.to_string().contains("no authority that it trusts"), "{refused}");
        assert_eq!(of(AlertDescription::ProtocolVersion), ClientFailure::NothingInCommon(Missing::Version, None));
        assert_eq!(of(AlertDescription::HandshakeFailure), ClientFailure::NothingInCommon(Missing::Algorithm, None));
        assert_eq!(of(AlertDescription::UserCanceled), ClientFailure::ClosedInHandshake);
    }
}
