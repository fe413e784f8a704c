//! From the text of a rule to a [`Rule`].

use std::iter::Peekable;
use std::path::PathBuf;
use std::vec::IntoIter;

use super::super::super::nearest::nearest;
use super::super::super::pin::parse_pin;
use super::super::filters::inside;
use super::super::{Network, NetworkError};
use super::tokens::{self, Token};
use super::{RIGHTS, Right, Rule, Sources};
use crate::tls::Sha256;

/// Why a rule is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A verb that cannot be allowed.
    #[error("{found:?} is nothing to allow{}; expected send, recv, ls, mv or all", hint(*nearest))]
    Verb {
        /// As written.
        found: String,
        /// What was probably intended.
        nearest: Option<&'static str>,
    },
    /// A word where `in`, `from`, `cert` or `pin` should stand.
    #[error("{found:?} is out of place{}; {EXPECTED}", hint(*nearest))]
    OutOfPlace {
        /// As written.
        found: String,
        /// What was probably intended.
        nearest: Option<&'static str>,
    },
    /// A list that ends before an item.
    #[error("there is nothing after {0:?}; {EXPECTED}")]
    NothingAfter(&'static str),
    /// The same clause again.
    #[error("{0} stands there twice; separate several by commas")]
    Twice(&'static str),
    /// It names no client.
    #[error("it names no client; add \"from any\", or addresses as in \"from 10.1.0.0/16\"")]
    NoFrom,
    /// A source that is no address.
    #[error("from: {0}, or any")]
    Source(#[from] NetworkError),
    /// `any` and something else.
    #[error("from: any and addresses exclude each other; remove one of them")]
    AnyAndMore,
    /// A directory outside.
    #[error("in: {0:?} is not inside the storage directory; expected a directory that filters lead to, or /")]
    Directory(String),
    /// A name that is not one of a certificate.
    #[error("cert: {0:?} is no name; expected a CN or a SAN of the client's certificate, such as \"CN=centre\"")]
    CertName(String),
    /// A fingerprint that is none.
    #[error("pin: expected the certificate's SHA-256, 64 hexadecimal digits, with or without colons; found {0:?}")]
    Pin(String),
    /// A quote without its other half.
    #[error("a quote is left open; put \" at both ends")]
    OpenQuote,
}

const EXPECTED: &str = "expected: allow VERBS [in DIRECTORY] from ADDRESSES [cert NAME] [pin SHA256]";

fn hint(nearest: Option<&'static str>) -> String {
    nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default()
}

/// The words that clauses begin with.
const CLAUSES: [&str; 4] = ["in", "from", "cert", "pin"];

/// Reads what follows `allow`.
pub(super) fn parse(text: &str) -> Result<Rule, RuleError> {
    let mut tokens = Tokens(tokens::split(text).ok_or(RuleError::OpenQuote)?.into_iter().peekable());
    let rights = tokens.list("allow")?.into_iter().map(rights).collect::<Result<Vec<_>, _>>()?.concat();
    let mut clauses: [Option<Vec<String>>; CLAUSES.len()] = Default::default();
    while let Some(index) = tokens.clause()? {
        if clauses[index].is_some() {
            return Err(RuleError::Twice(CLAUSES[index]));
        }
        clauses[index] = Some(tokens.list(CLAUSES[index])?);
    }
    let [directories, from, cert_names, pins] = clauses;
    Ok(Rule {
        rights,
        directories: each(directories, directory)?,
        sources: sources(&from.ok_or(RuleError::NoFrom)?)?,
        cert_names: each(cert_names, cert_name)?,
        pins: each(pins, pin)?,
    })
}

fn each<T>(items: Option<Vec<String>>, read: fn(String) -> Result<T, RuleError>) -> Result<Vec<T>, RuleError> {
    items.unwrap_or_default().into_iter().map(read).collect()
}

struct Tokens(Peekable<IntoIter<Token>>);

impl Tokens {
    /// One or more items with commas between them.
    fn list(&mut self, after: &'static str) -> Result<Vec<String>, RuleError> {
        let mut items = Vec::new();
        loop {
            match self.0.next() {
                Some(Token::Word(item) | Token::Quoted(item)) => items.push(item),
                Some(Token::Comma) | None => return Err(RuleError::NothingAfter(after)),
            }
            if self.0.next_if_eq(&Token::Comma).is_none() {
                return Ok(items);
            }
        }
    }

    /// Which clause begins here; `None` at the end.
    fn clause(&mut self) -> Result<Option<usize>, RuleError> {
        let found = match self.0.next() {
            None => return Ok(None),
            Some(Token::Word(word)) => match CLAUSES.iter().position(|clause| *clause == word) {
                Some(index) => return Ok(Some(index)),
                None => word,
            },
            Some(Token::Quoted(text)) => text,
            Some(Token::Comma) => ",".to_owned(),
        };
        Err(RuleError::OutOfPlace { nearest: nearest(&found, CLAUSES), found })
    }
}

fn rights(word: String) -> Result<Vec<Right>, RuleError> {
    if word == "all" {
        return Ok(RIGHTS.iter().map(|(_, right)| *right).collect());
    }
    if let Some((_, right)) = RIGHTS.iter().find(|(name, _)| *name == word) {
        return Ok(vec![*right]);
    }
    let known = RIGHTS.iter().map(|(name, _)| *name).chain(["all"]);
    Err(RuleError::Verb { nearest: nearest(&word, known), found: word })
}

fn directory(text: String) -> Result<PathBuf, RuleError> {
    if text == "/" {
        return Ok(PathBuf::new());
    }
    inside(text.as_bytes()).filter(|_| !text.is_empty()).ok_or(RuleError::Directory(text))
}

fn sources(items: &[String]) -> Result<Sources, RuleError> {
    match items.iter().any(|item| item == "any") {
        true if items.len() == 1 => Ok(Sources::Any),
        true => Err(RuleError::AnyAndMore),
        false => Ok(Sources::Of(items.iter().map(|item| item.parse::<Network>()).collect::<Result<_, _>>()?)),
    }
}

/// With or without `CN=`; other parts of a subject are no names.
fn cert_name(text: String) -> Result<String, RuleError> {
    let name = text.strip_prefix("CN=").unwrap_or(&text).trim();
    if name.is_empty() || name.contains('=') { Err(RuleError::CertName(text)) } else { Ok(name.to_owned()) }
}

fn pin(text: String) -> Result<Sha256, RuleError> {
    parse_pin(&text).map(Sha256).ok_or(RuleError::Pin(text))
}
