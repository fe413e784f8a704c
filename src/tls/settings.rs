//! What a site's TLS is set up by.

use std::path::PathBuf;

use crate::proto::Secret;

/// How to speak TLS to a site.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsSettings {
    /// PEM file with the authorities (or self-signed certificates) trusted at the site.
    pub ca: Option<PathBuf>,
    /// Our own certificate, if there is one.
    pub identity: Option<IdentitySettings>,
    /// How the site's certificate is checked.
    pub verify: Verify,
    /// Whether our own certificate is offered.
    pub offer: ClientCertPolicy,
}

impl TlsSettings {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca.iter().chain(self.identity.iter().flat_map(|identity| [&identity.cert, &identity.key]))
    }
}

/// Our own certificate and its key.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentitySettings {
    /// PEM file with the certificate, then its chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// What the key is encrypted with.
    pub passphrase: Option<Secret>,
}

/// How the site's certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Signed by the CA; the name is not checked: what `sync_ca` means at stock.
    Chain,
    /// Signed by the CA, and for this address: as SAN, or as CN where there is no SAN.
    ChainAndName,
    /// The leaf certificate's SHA-256 is one of these; nothing else counts, and nothing else helps.
    Pin(Vec<[u8; 32]>),
    /// The certificate is not checked.
    None,
}

impl Verify {
    /// What was checked by `before`, and is not by this.
    pub(crate) fn lost_since(&self, before: &Self) -> Option<&'static str> {
        match (before, self) {
            (Self::None, _) | (Self::Chain, Self::Chain) | (_, Self::ChainAndName | Self::Pin(_)) => None,
            (_, Self::None) => Some("check of the certificate (verify)"),
            (Self::ChainAndName, Self::Chain) => Some("check of the name (verify)"),
            (Self::Pin(_), Self::Chain) => Some("check of the pin (verify)"),
        }
    }
}

/// Whether our own certificate is offered to a site that asks for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertPolicy {
    /// Offered; where the site answers that with unknown-CA, as a stock server without `-f` does, we go on without.
    #[default]
    Auto,
    /// Offered in any case.
    Always,
    /// Not offered.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_no_more_is_told() {
        use Verify::{Chain, ChainAndName, None as Nothing, Pin};
        let pin = |byte| Pin(vec![[byte; 32]]);
        for (before, now, lost) in [
            (Chain, Nothing, Some("check of the certificate (verify)")),
            (ChainAndName, Nothing, Some("check of the certificate (verify)")),
            (pin(1), Nothing, Some("check of the certificate (verify)")),
            (ChainAndName, Chain, Some("check of the name (verify)")),
            (pin(1), Chain, Some("check of the pin (verify)")),
            (Nothing, Nothing, None),
            (Nothing, Chain, None),
            (Chain, ChainAndName, None),
            (ChainAndName, pin(1), None),
            (pin(1), pin(2), None),
            (pin(1), ChainAndName, None),
        ] {
            assert_eq!(now.lost_since(&before), lost, "{before:?} {now:?}");
        }
    }
}
