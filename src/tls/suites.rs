//! Which cipher suites are spoken, as OpenSSL's cipher strings name them.

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};

/// The supported suites of TLS 1.2, by OpenSSL's name and by the words of cipher strings that include them.
const KNOWN: &[(&str, SupportedCipherSuite, &[&str])] = &[
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM"],
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM"],
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        &["ECDSA", "aECDSA", "CHACHA20"],
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        &["aRSA", "AES", "AES256", "AESGCM"],
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        &["aRSA", "AES", "AES128", "AESGCM"],
    ),
    ("ECDHE-RSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, &["aRSA", "CHACHA20"]),
];

/// The words that mean all of them.
const ALL: &[&str] =
    &["DEFAULT", "PROFILE=SYSTEM", "ALL", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH", "TLSv1.2"];

/// The strictest of OpenSSL's security levels that our own limits meet.
const SECURITY_LEVEL: u8 = 2;

/// The cipher suites of TLS 1.2 to choose from, best first. Those of TLS 1.3 are always there, as they are with OpenSSL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suites {
    /// Positions in `KNOWN`; `None` for the library's own choice.
    chosen: Option<Vec<usize>>,
    unavailable: Vec<String>,
}

/// Why a cipher string cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuitesError {
    /// Nothing is left.
    #[error("{text:?} leaves no cipher suite of the supported ones: {known}; HIGH, DEFAULT and ALL mean all of them", known = supported_names())]
    Nothing {
        /// The cipher string.
        text: String,
    },
    /// A command we do not follow.
    #[error("{0:?} cannot be followed; of OpenSSL's commands, @STRENGTH and @SECLEVEL up to {SECURITY_LEVEL} can")]
    Command(String),
}

impl Suites {
    /// Reads what stock takes as `-u` or `ssl_cipher`: OpenSSL's cipher string.
    pub fn from_option(text: &str) -> Result<Self, SuitesError> {
        let (mut chosen, mut killed, mut unavailable) = (Vec::new(), Vec::new(), Vec::new());
        // A command ends the element before it, with or without a separator: DEFAULT@SECLEVEL=1.
        let separated = text.replace('@', ":@");
        for element in separated.split([':', ',', ';', ' ']).filter(|element| !element.is_empty()) {
            let operator = element.chars().next().filter(|first| "!-+@".contains(*first));
            let words = operator.map_or(element, |_| &element[1..]);
            let meant: Vec<usize> = (0..KNOWN.len()).filter(|&index| matches(words, index)).collect();
            match operator {
                Some('@') => command(element, &mut chosen)?,
                Some('!') => {
                    chosen.retain(|index| !meant.contains(index));
                    killed.extend(meant);
                }
                Some('-') => chosen.retain(|index| !meant.contains(index)),
                Some('+') => chosen.sort_by_key(|index| meant.contains(index)),
                _ => {
                    if meant.is_empty() && !words.starts_with("TLS_") {
                        unavailable.push(words.to_owned());
                    }
                    let new = |index: &usize| !chosen.contains(index) && !killed.contains(index);
                    let new: Vec<usize> = meant.into_iter().filter(new).collect();
                    chosen.extend(new);
                }
            }
        }
        if chosen.is_empty() {
            return Err(SuitesError::Nothing { text: text.to_owned() });
        }
        Ok(Self { chosen: Some(chosen), unavailable })
    }

    /// What was asked for by name and is not supported, beside what is.
    pub fn unavailable(&self) -> &[String] {
        &self.unavailable
    }

    /// Whether our order counts: stock's server takes it from the one who has set it.
    pub(super) fn in_our_order(&self) -> bool {
        self.chosen.is_some()
    }

    /// The library's provider, limited to these.
    pub(super) fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if let Some(chosen) = &self.chosen {
            provider.cipher_suites.retain(|suite| suite.tls13().is_some());
            provider.cipher_suites.extend(chosen.iter().map(|&index| KNOWN[index].1));
        }
        provider
    }
}

/// Whether an element of a cipher string names a suite: by its name, or by words joined with `+` that all fit.
fn matches(element: &str, index: usize) -> bool {
    let (name, _, words) = KNOWN[index];
    element.split('+').all(|word| word == name || words.contains(&word) || ALL.contains(&word))
}

fn command(element: &str, chosen: &mut [usize]) -> Result<(), SuitesError> {
    let level = element.strip_prefix("@SECLEVEL=").and_then(|level| level.parse::<u8>().ok());
    match (element, level) {
        ("@STRENGTH", _) => chosen.sort_by_key(|&index| KNOWN[index].0.contains("AES128")),
        (_, Some(0..=SECURITY_LEVEL)) => {}
        _ => return Err(SuitesError::Command(element.to_owned())),
    }
    Ok(())
}

fn supported_names() -> String {
    KNOWN.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        let suites = Suites::from_option(text).unwrap();
        suites.chosen.unwrap().into_iter().map(|index| KNOWN[index].0).collect()
    }

    #[test]
    fn suites_are_named_as_openssl_names_them_and_keep_the_order() {
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
        );
        assert_eq!(names("ECDHE+CHACHA20, HIGH").len(), 6);
        assert_eq!(names("ECDHE+CHACHA20, HIGH")[0], "ECDHE-ECDSA-CHACHA20-POLY1305");
        assert_eq!(names("AES128:+ECDSA"), ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
        assert_eq!(names("aRSA:@STRENGTH").last(), Some(&"ECDHE-RSA-AES128-GCM-SHA256"));
    }

    #[test]
    fn the_usual_groups_mean_everything_there_is() {
        for text in ["HIGH", "DEFAULT", "ALL", "HIGH:!aNULL:!MD5", "ALL:!ADH:!LOW:!EXP:@STRENGTH", "DEFAULT@SECLEVEL=1"]
        {
            assert_eq!(names(text).len(), 6, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_stays_out_or_comes_back() {
        assert_eq!(names("ALL:!ECDSA:!CHACHA20:ALL"), ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(names("ALL:-AES:-aRSA:CHACHA20").len(), 2);
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let mixed = Suites::from_option("DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA").unwrap();
        assert_eq!(mixed.unavailable(), ["DHE-RSA-AES128-GCM-SHA256", "AES256-SHA"]);
        for text in ["AES256-SHA", "RC4:MD5", "", "ALL:!ECDHE", "TLS_AES_128_GCM_SHA256", "é", "!"] {
            assert_eq!(Suites::from_option(text), Err(SuitesError::Nothing { text: text.to_owned() }));
        }
        let error = SuitesError::Nothing { text: "RC4".to_owned() }.to_string();
        assert!(error.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{error}");
        assert_eq!(Suites::from_option("ALL:@SECLEVEL=3"), Err(SuitesError::Command("@SECLEVEL=3".to_owned())));
        assert_eq!(Suites::from_option("ALL:@SORT"), Err(SuitesError::Command("@SORT".to_owned())));
    }

    #[test]
    fn every_known_suite_is_the_librarys() {
        let all = Suites::from_option("ALL").unwrap().provider().cipher_suites;
        let defaults = Suites::default().provider().cipher_suites;
        assert_eq!(all.len(), defaults.len());
        assert!(all.iter().all(|suite| defaults.contains(suite)));
    }
}
