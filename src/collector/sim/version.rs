//! What agents have written.

use std::time::Instant;

use crate::proto::{FileName, Fingerprint};

/// One file as an agent wrote it: the same name written again is another version.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) site: usize,
    pub(super) name: FileName,
    pub(super) bytes: Vec<u8>,
    pub(super) fingerprint: Fingerprint,
    pub(super) written: Instant,
    /// Written when the site had, or had had, another file of the name.
    pub(super) is_rewrite: bool,
    pub(super) place: Place,
    /// How often it was seen at a site with our server: sent again by an agent that got no answer, or brought back by a
    /// loss of power. Each time it may be collected, and published, once.
    pub(super) appearances: usize,
}

/// Where a version is, as far as its site goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not stored yet, or not for good.
    AtAgent,
    AtSite,
    /// An agent wrote over it.
    Overwritten,
    /// Let go, and safe at the centre.
    Released,
    /// Let go before the centre had it safe: sent in answer to an `MV` for an older file of its name, which no client
    /// can prevent, or moved without more ado, as is configured.
    InFlight,
    /// Let go unsent, as stock does with what is written between its opening a file and removing it.
    LostUnsent,
}
