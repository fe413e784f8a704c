//! Pairs of files that do not fit each other, in words that say what to do.

use std::fmt;
use std::path::PathBuf;

use super::files::Fault;
use crate::proto::{Quoted, quoted};
use crate::sync::remote_config::{Item, ItemKind};

/// A pair of the centre's that is not sent to any site, as it does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitPair {
    /// What the pair is.
    pub item: Item,
    /// The agent whose configuration it is, where that names it.
    pub agent: Option<Box<str>>,
    /// Where its content belongs.
    pub content: PathBuf,
    /// Where its MD5 belongs.
    pub md5: PathBuf,
    /// What is wrong.
    pub why: Unfit,
}

/// Why a pair does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The content is not there, and its MD5 is.
    NoContent,
    /// The MD5 is not there, and the content is.
    NoMd5,
    /// The content is empty.
    Empty,
    /// The MD5 is that of other bytes: the file was edited by hand or by `pandora_manage`, or an edit is under way.
    OtherBytes,
    /// The content cannot be used.
    Content(Fault),
    /// The other file cannot be used.
    Md5(Fault),
}

impl fmt::Display for UnfitPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (content, md5) = (quoted(&self.content), quoted(&self.md5));
        let agent = self.agent.as_ref().map(|agent| format!(" (agent {})", Quoted::of_bytes(agent.as_bytes())));
        let agent = agent.unwrap_or_default();
        let renew = match self.item.kind() {
            ItemKind::Configuration => "save the configuration in the console once more",
            ItemKind::Collection => "have the console make the collection once more",
        };
        match &self.why {
            Unfit::NoContent => write!(f, "{content} is missing, and its {md5} is there: {renew}, or remove that file"),
            Unfit::NoMd5 => write!(f, "{content}{agent}: its {md5} is missing: {renew}, or remove this file too"),
            Unfit::Empty => write!(f, "{content} is empty, which no agent can use: {renew}, or remove both files"),
            Unfit::OtherBytes => write!(
                f,
                "{content}{agent}: {md5} has the MD5 of other bytes, as after an edit by hand or with pandora_manage: {renew}"
            ),
            Unfit::Content(fault) => write!(f, "{content} {fault}"),
            Unfit::Md5(fault) => write!(f, "{md5} {fault}"),
        }
    }
}
