//! The status port's settings, and their keys.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::parse_endpoint;
use super::keys::{Reload, keys};
use super::source::{SecretFile, SecretPurpose, UnreadSecret};
use super::toml_conf::{FilePath, HostNames, Identity, Listen, Token};
use crate::proto::Secret;
use crate::tls::IdentitySettings;

keys! {
    /// The status port.
    #[derive(Clone, Debug, PartialEq)]
    pub struct HttpSettings {
        /// Files with its token or passphrase that could not be read: it is not served without.
        unread_secrets: Vec<UnreadSecret>,
    }

    /// The keys of `[http]`.
    static HTTP: Reload = {
        /// Where it is served; `None` for nowhere.
        listen: Option<SocketAddr> = None, Listen, AtOnce;

        /// What who asks has to know.
        token: Option<Secret> = None, Token, AtOnce;

        /// Its certificate and key; without, it speaks no TLS.
        identity: Option<IdentitySettings> = None, Identity, AtOnce;

        /// PEM file with the authorities of whom who asks has to show a certificate.
        client_ca: Option<PathBuf> = None, FilePath, AtOnce;

        /// Names that it may be asked by, in small letters, besides addresses and `localhost`.
        hosts: Vec<String> = Vec::new(), HostNames, AtOnce;
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self::built_in()
    }
}

/// A shorter token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Whom a port that others than this machine's users reach lets in, or tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Anyone would be answered.
    ToAnyone,
    /// Who listens on the line learns the token, and what is answered.
    ToListeners,
}

/// Whether a token cannot be guessed, and is sent as it is; else what was expected.
pub(super) fn check_token(token: &Secret) -> Result<(), String> {
    let is_sent_whole = |byte: &u8| byte.is_ascii_graphic();
    if token.expose().len() >= SHORTEST_TOKEN && token.expose().iter().all(is_sent_whole) {
        return Ok(());
    }
    let expected = format!("{SHORTEST_TOKEN} or more letters, digits and signs of ASCII, without blanks");
    Err(format!("expected {expected}; `openssl rand -hex 32` makes one"))
}

/// A host's name without a port, as browsers send it.
pub(super) fn host_name(text: &str) -> Option<String> {
    let endpoint = parse_endpoint(text).filter(|endpoint| endpoint.port.is_none())?;
    Some(endpoint.host.trim_end_matches('.').to_owned())
}

/// An address of this machine, and a port.
pub(super) fn listen_address(text: &str) -> Option<SocketAddr> {
    text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0)
}

impl HttpSettings {
    /// What is dangerous about where it is served; `is_encrypted` is whether it has a certificate.
    pub(super) fn exposure(&self, is_encrypted: bool) -> Option<Exposure> {
        if self.listen?.ip().is_loopback() {
            return None;
        }
        if !self.asks_who() {
            return Some(Exposure::ToAnyone);
        }
        (!is_encrypted).then_some(Exposure::ToListeners)
    }

    /// Whether only who has a token or a certificate is served.
    pub fn asks_who(&self) -> bool {
        let unread = &mut self.unread_secrets.iter();
        self.token.is_some() || self.client_ca.is_some() || unread.any(|file| file.purpose == SecretPurpose::Token)
    }

    /// What protected the port by `before`, and does not any more.
    pub(super) fn lost_since(&self, before: &Self) -> Option<&'static str> {
        self.listen?;
        let token = before.token.is_some() && self.token.is_none() && self.unread_secrets.is_empty();
        let certificate = before.client_ca.is_some() && self.client_ca.is_none();
        token.then_some("token").or(certificate.then_some("client_ca"))
    }

    /// The files with its certificates and its key.
    pub(super) fn pem_files(&self) -> impl Iterator<Item = &PathBuf> {
        let of_identity = self.identity.iter().flat_map(|identity| [&identity.cert, &identity.key]);
        of_identity.chain(&self.client_ca)
    }

    /// Reads the files again that could not be read when the configuration was.
    ///
    /// # Errors
    /// The first that still cannot be.
    pub fn read_secrets(&mut self) -> Result<(), UnreadSecret> {
        while let Some(unread) = self.unread_secrets.first() {
            let secret = unread.read(SecretFile::read)?;
            match self.unread_secrets.remove(0).purpose {
                SecretPurpose::Token => self.token = Some(secret),
                SecretPurpose::Passphrase => {
                    if let Some(identity) = &mut self.identity {
                        identity.passphrase = Some(secret);
                    }
                }
                SecretPurpose::Password | SecretPurpose::Proxy { .. } => {}
            }
        }
        Ok(())
    }
}
