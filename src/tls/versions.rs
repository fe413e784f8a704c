//! Which versions of TLS are spoken, as Perl's IO::Socket::SSL names them.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 and no other.
    Only12,
    /// 1.3 and no other.
    Only13,
}

/// Why a wish for versions cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionsError {
    /// A version that is too old.
    #[error("{0} is not supported, nor is any version before TLS 1.2; TLSv1_2, TLSv1_3 and SSLv23 (both) are")]
    TooOld(String),
    /// No version at all.
    #[error("{0:?} is no version of TLS: TLSv1_2, TLSv1_3 and SSLv23 (both) are supported, also as in SSLv23:!TLSv1_2")]
    Unknown(String),
    /// Two at once.
    #[error("{0:?} names more than one version: name one, or SSLv23 with the versions left out, as in SSLv23:!TLSv1_2")]
    Several(String),
    /// All are ruled out.
    #[error("{0:?} leaves neither TLS 1.2 nor TLS 1.3, and no other is supported")]
    Nothing(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum VersionName {
    Any,
    Old,
    Tls12,
    Tls13,
}

impl Versions {
    /// Reads what stock takes as `-z` or `ssl_version`: one version or `SSLv23`, and versions left out with `!`,
    /// separated by colons.
    pub fn from_option(text: &str) -> Result<Self, VersionsError> {
        let (mut wanted, mut has_12, mut has_13) = (None, true, true);
        for element in text.split(':').map(str::trim) {
            let (without, name) = element.strip_prefix('!').map_or((false, element), |name| (true, name));
            let named = VersionName::of(name).ok_or_else(|| VersionsError::Unknown(name.to_owned()))?;
            match (without, named) {
                (true, VersionName::Tls12) => has_12 = false,
                (true, VersionName::Tls13) => has_13 = false,
                (true, VersionName::Old) => {}
                (true, VersionName::Any) => return Err(VersionsError::Nothing(text.to_owned())),
                (false, VersionName::Old) => return Err(VersionsError::TooOld(name.to_owned())),
                (false, named) if wanted.is_some_and(|wanted| wanted != named) => {
                    return Err(VersionsError::Several(text.to_owned()));
                }
                (false, named) => wanted = Some(named),
            }
        }
        has_12 &= wanted != Some(VersionName::Tls13);
        has_13 &= wanted != Some(VersionName::Tls12);
        match (has_12, has_13) {
            (true, true) => Ok(Self::Both),
            (true, false) => Ok(Self::Only12),
            (false, true) => Ok(Self::Only13),
            (false, false) => Err(VersionsError::Nothing(text.to_owned())),
        }
    }

    pub(super) fn list(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Both => vec![&TLS13, &TLS12],
            Self::Only12 => vec![&TLS12],
            Self::Only13 => vec![&TLS13],
        }
    }
}

impl VersionName {
    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "sslv23" | "sslv2/3" => Some(Self::Any),
            "sslv2" | "sslv3" | "tlsv1" | "tlsv1_1" | "tlsv11" => Some(Self::Old),
            "tlsv1_2" | "tlsv12" => Some(Self::Tls12),
            "tlsv1_3" | "tlsv13" => Some(Self::Tls13),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_as_perl_names_them() {
        for (text, versions) in [
            ("TLSv1_2", Versions::Only12),
            ("TLSv12", Versions::Only12),
            ("tlsv1_3", Versions::Only13),
            ("TLSv13", Versions::Only13),
            ("SSLv23", Versions::Both),
            ("SSLv2/3", Versions::Both),
            ("SSLv23:!SSLv3:!SSLv2", Versions::Both),
            ("SSLv23 : !SSLv2 : !TLSv1 : !TLSv1_1 : !TLSv1_2", Versions::Only13),
            ("!TLSv1_3", Versions::Only12),
            ("TLSv1_2:TLSv1_2", Versions::Only12),
        ] {
            assert_eq!(Versions::from_option(text), Ok(versions), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        for old in ["SSLv2", "SSLv3", "TLSv1", "TLSv1_1", "TLSv11"] {
            assert_eq!(Versions::from_option(old), Err(VersionsError::TooOld(old.to_owned())));
        }
        let text = VersionsError::TooOld("TLSv1".to_owned()).to_string();
        assert!(text.starts_with("TLSv1 is not supported") && text.contains("TLSv1_2, TLSv1_3"), "{text}");
        assert_eq!(Versions::from_option("TLSv2"), Err(VersionsError::Unknown("TLSv2".to_owned())));
        assert_eq!(Versions::from_option(""), Err(VersionsError::Unknown(String::new())));
        for nothing in ["SSLv23:!TLSv1_2:!TLSv1_3", "TLSv1_2:!TLSv1_2", "!SSLv23"] {
            assert_eq!(Versions::from_option(nothing), Err(VersionsError::Nothing(nothing.to_owned())));
        }
        let both = "TLSv1_2:TLSv1_3";
        assert_eq!(Versions::from_option(both), Err(VersionsError::Several(both.to_owned())));
    }
}
