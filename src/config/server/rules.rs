//! Who may do what, beyond what stock can express: `allow` lines.
//!
//! ```text
//! allow VERBS [in DIRECTORIES] from SOURCES [cert NAMES] [pin FINGERPRINTS]
//! ```
//! Verbs are `send`, `recv`, `ls`, `mv` or `all` (`ZSEND` and `PUT` go with `send`, `ZRECV` and `GET` with `recv`, `LIST`
//! with `ls`, `DROP` with `mv`); a directory is one that
//! filters lead to, or `/` for the storage directory itself; a source is an address, a range, or `any`; a name is one of
//! the client's verified certificate; a fingerprint is that certificate's SHA-256. Each list is separated by commas, and
//! one of its items must fit; of a line everything must, of several lines one. What no line allows is refused.

mod grammar;
mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::grammar::RuleError;
use super::Network;
use crate::proto::Verb;
use crate::tls::Sha256;

/// All rules; without any everything is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Where from.
    pub address: IpAddr,
    /// CN and SANs of the client's certificate, if it is of an authority we trust; else empty.
    pub cert_names: &'a [String],
    /// The SHA-256 of the client's certificate, if it has shown one, of whatever authority.
    pub pin: Option<Sha256>,
}

/// One `allow` line, without that word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    rights: Vec<Right>,
    /// Empty for every one; an empty path is the storage directory itself.
    directories: Vec<PathBuf>,
    sources: Sources,
    /// Empty for any, or none.
    cert_names: Vec<String>,
    /// Empty for any, or none.
    pins: Vec<Sha256>,
}

/// What a rule can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Send,
    Recv,
    Ls,
    Mv,
}

const RIGHTS: [(&str, Right); 4] = [("send", Right::Send), ("recv", Right::Recv), ("ls", Right::Ls), ("mv", Right::Mv)];

impl Right {
    /// What `verb` needs; logging in needs none.
    fn of(verb: Verb) -> Option<Self> {
        match verb {
            Verb::Pass | Verb::Caps | Verb::Deflate => None,
            Verb::Ls | Verb::List => Some(Self::Ls),
            Verb::Recv | Verb::Zrecv | Verb::Get => Some(Self::Recv),
            Verb::Mv | Verb::Drop => Some(Self::Mv),
            Verb::Send | Verb::Zsend | Verb::Put => Some(Self::Send),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sources {
    Any,
    Of(Vec<Network>),
}

impl Sources {
    fn contain(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Of(networks) => networks.iter().any(|network| network.contains(address)),
        }
    }
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Whether there is no rule, so that everything is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `who` may do that in `directory`, as [`super::Filters::directory_of`] gives it: `None` for the storage
    /// directory itself.
    pub fn permits(&self, who: &Who<'_>, verb: Verb, directory: Option<&Path>) -> bool {
        let Some(right) = Right::of(verb) else { return true };
        let directory = directory.unwrap_or(Path::new(""));
        self.0.is_empty() || self.0.iter().any(|rule| rule.permits(who, right, directory))
    }

    /// Whether a client's certificate can make a difference, so that clients should be asked for one.
    pub fn look_at_certificates(&self) -> bool {
        self.0.iter().any(Rule::looks_at_certificates)
    }
}

impl Rule {
    fn permits(&self, who: &Who<'_>, right: Right, directory: &Path) -> bool {
        self.rights.contains(&right)
            && (self.directories.is_empty() || self.directories.iter().any(|allowed| allowed == directory))
            && self.sources.contain(who.address)
            && (self.cert_names.is_empty() || self.cert_names.iter().any(|name| who.cert_names.contains(name)))
            && (self.pins.is_empty() || who.pin.is_some_and(|pin| self.pins.contains(&pin)))
    }

    /// Its directories, without the storage directory itself.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(PathBuf::as_path).filter(|directory| !directory.as_os_str().is_empty())
    }

    /// Whether it allows by name what there is with `-I` only.
    pub(super) fn names_what_needs_insecure(&self) -> bool {
        self.rights.len() < RIGHTS.len() && self.rights.iter().any(|right| matches!(right, Right::Ls | Right::Mv))
    }

    /// Whether it needs a name of a verified certificate.
    pub(super) fn wants_verified_certificate(&self) -> bool {
        !self.cert_names.is_empty()
    }

    /// Whether it needs anything of a certificate.
    pub(super) fn looks_at_certificates(&self) -> bool {
        !(self.cert_names.is_empty() && self.pins.is_empty())
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        grammar::parse(text)
    }
}

/// One line each, as they stand in a file.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|rule| writeln!(f, "allow {rule}"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_of = |right: &Right| RIGHTS.iter().find(|(_, known)| known == right).map_or("", |(name, _)| *name);
        f.write_str(&self.rights.iter().map(name_of).collect::<Vec<_>>().join(","))?;
        if !self.directories.is_empty() {
            let directories = self.directories.iter().map(|directory| match directory.to_string_lossy() {
                root if root.is_empty() => "/".to_owned(),
                below => tokens::quoted(&below),
            });
            write!(f, " in {}", directories.collect::<Vec<_>>().join(","))?;
        }
        match &self.sources {
            Sources::Any => f.write_str(" from any")?,
            Sources::Of(networks) => write!(f, " from {}", joined(networks))?,
        }
        if !self.cert_names.is_empty() {
            let names = self.cert_names.iter().map(|name| tokens::quoted(&format!("CN={name}")));
            write!(f, " cert {}", names.collect::<Vec<_>>().join(","))?;
        }
        if !self.pins.is_empty() {
            write!(f, " pin {}", joined(&self.pins))?;
        }
        Ok(())
    }
}

fn joined(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
