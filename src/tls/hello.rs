//! What a peer offers in its first message, for connections that fail: rustls does not report it.
//!
//! Read from the bytes that lie in the socket, as far as they are there; a hello that is cut is ignored.

use std::fmt;

use rustls::CipherSuite;

/// How many bytes of a first message are looked at: more than hellos take.
pub(super) const LENGTH: usize = 1024;

/// The most suites that are listed.
const MOST_LISTED: usize = 8;

const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const SUPPORTED_VERSIONS: u16 = 43;
const TLS_1_2: u16 = 0x0303;
/// Signals that a renegotiation is safe, or that a lower version is tried on purpose: no suites.
const SIGNALS: [u16; 2] = [0x00ff, 0x5600];

/// What a client offers, or a server has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Versions, as on the wire.
    versions: Vec<u16>,
    /// Whether the lower versions come with the one that is named.
    and_below: bool,
    /// Cipher suites, as on the wire.
    suites: Vec<u16>,
}

impl Hello {
    /// Reads the beginning of what a peer has sent.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        let mut bytes = Reader(first);
        if bytes.u8()? != HANDSHAKE {
            return None;
        }
        // The record's version and length.
        bytes.take(4)?;
        let kind = bytes.u8()?;
        bytes.take(3)?;
        let version = bytes.u16()?;
        // The random number and the session's name.
        bytes.take(32)?;
        bytes.short_list()?;
        match kind {
            CLIENT_HELLO => Self::of_client(version, &mut bytes),
            SERVER_HELLO => Some(Self { versions: vec![version], and_below: false, suites: vec![bytes.u16()?] }),
            _ => None,
        }
    }

    fn of_client(version: u16, bytes: &mut Reader<'_>) -> Option<Self> {
        let suites = bytes.list()?.u16s().filter(|suite| !is_grease(*suite) && !SIGNALS.contains(suite)).collect();
        bytes.short_list()?;
        let legacy = Self { versions: vec![version], and_below: true, suites };
        // Old clients have no extensions, and this one is younger than TLS 1.2.
        let Some(mut extensions) = bytes.list() else { return Some(legacy) };
        while let Some(kind) = extensions.u16() {
            let mut value = extensions.list()?;
            if kind == SUPPORTED_VERSIONS {
                let versions = value.short_list()?.u16s().filter(|version| !is_grease(*version)).collect();
                return Some(Self { versions, and_below: false, ..legacy });
            }
        }
        Some(legacy)
    }

    /// The versions, such as `TLS 1.0 and TLS 1.1`.
    pub(super) fn versions(&self) -> String {
        let names = self.versions.iter().map(|version| version_name(*version));
        let names = names.collect::<Vec<_>>().join(", ");
        if self.and_below { format!("at most {names}") } else { names }
    }

    /// The cipher suites by their IANA names.
    pub(super) fn suites(&self) -> String {
        let mut names: Vec<String> = self.suites.iter().take(MOST_LISTED).map(|suite| suite_name(*suite)).collect();
        if self.suites.len() > MOST_LISTED {
            names.push(format!("and {} more", self.suites.len() - MOST_LISTED));
        }
        names.join(", ")
    }

    /// Whether the version alone rules it out.
    pub(super) fn is_too_old(&self) -> bool {
        self.versions.iter().all(|version| *version < TLS_1_2)
    }
}

/// The version and the suites, for logs.
impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.versions(), self.suites())
    }
}

fn version_name(version: u16) -> String {
    match version {
        0x0002 | 0x0200 => "SSL 2.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("TLS 1.{}", version - 0x0301),
        other => format!("version {other:#06x}"),
    }
}

fn suite_name(suite: u16) -> String {
    CipherSuite::from(suite).as_str().map_or_else(|| format!("{suite:#06x}"), str::to_owned)
}

/// Values that mean nothing and keep servers from choking on what is new (RFC 8701).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Bytes, from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// What a length of one byte is followed by.
    fn short_list(&mut self) -> Option<Self> {
        let length = self.u8()?;
        self.take(length.into()).map(Self)
    }

    /// What a length of two bytes is followed by.
    fn list(&mut self) -> Option<Self> {
        let length = self.u16()?;
        self.take(length.into()).map(Self)
    }

    fn u16s(self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{client_hello, server_hello};

    #[test]
    fn a_clients_offer_is_read_with_and_without_a_list_of_versions() {
        let old = Hello::of(&client_hello(0x0302, &[0x002f, 0x00ff, 0x0a0a, 0xc014], &[])).unwrap();
        assert_eq!(
            old.to_string(),
            "at most TLS 1.1 with TLS_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
        );
        assert!(old.is_too_old());
        let new = Hello::of(&client_hello(0x0303, &[0x1301, 0xfef0], &[0x3a3a, 0x0304, 0x0302])).unwrap();
        assert_eq!(new.to_string(), "TLS 1.3, TLS 1.1 with TLS13_AES_128_GCM_SHA256, 0xfef0");
        assert!(!new.is_too_old());
    }

    #[test]
    fn a_servers_choice_is_read() {
        let hello = Hello::of(&server_hello(0x0301, 0x0005)).unwrap();
        assert_eq!(hello.to_string(), "TLS 1.0 with TLS_RSA_WITH_RC4_128_SHA");
    }

    #[test]
    fn what_is_cut_or_no_hello_says_nothing() {
        let whole = client_hello(0x0303, &[0x1301], &[0x0304]);
        assert!((0..whole.len()).all(|length| Hello::of(&whole[..length]).is_none_or(|hello| hello.and_below)));
        for other in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"", &[0x15, 3, 1, 0, 2, 2, 70], &[0x16; 200]] {
            assert_eq!(Hello::of(other), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), is_hello: bool) {
            if is_hello && bytes.len() > 6 {
                bytes[0] = HANDSHAKE;
                bytes[5] = CLIENT_HELLO;
            }
            if let Some(hello) = Hello::of(&bytes) {
                assert!(!hello.to_string().is_empty());
            }
        }
    }
}
