//! What the site's server understands beside stock's commands, and what follows from that.

use std::time::{Duration, Instant};

use log::info;

use super::Site;
use crate::collector::configuring;
use crate::collector::status::Protocol;
use crate::proto::extension::{Capabilities, Capability};
use crate::sync::Delivery;

/// What the site has to be able to do for the extension to be of use.
const NEEDED: [Capability; 5] =
    [Capability::Pipeline, Capability::Get, Capability::List, Capability::Drop, Capability::Blake3];

/// How soon a stock server is asked again whether it is one.
const ASK_AGAIN: Duration = Duration::from_secs(10 * 60);

/// What the site's server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// It was not asked.
    Unknown,
    /// Stock's commands; it was asked then.
    Stock(Instant),
    /// The extension as well, of which it can do this.
    Extended(Capabilities),
    /// The extension as well, when it was asked last but one; the last connection has ended at the question.
    Doubtful(Capabilities),
}

impl Site {
    /// Whether a new connection begins with the question whether the site speaks the extension. What it deletes it has to be
    /// told, so where files are moved at once it is not of use.
    pub(in crate::collector) fn is_to_be_asked(&self, now: Instant) -> bool {
        let is_of_use = self.settings.extension && self.settings.delivery == Delivery::Safe;
        is_of_use
            && match self.dialect {
                Dialect::Unknown | Dialect::Extended(_) | Dialect::Doubtful(_) => true,
                Dialect::Stock(asked) => now.saturating_duration_since(asked) >= ASK_AGAIN,
            }
    }

    /// What its server understands, as far as is known.
    pub(in crate::collector) fn protocol_spoken(&self) -> Protocol {
        match self.dialect {
            Dialect::Unknown | Dialect::Doubtful(_) => Protocol::Unknown,
            Dialect::Stock(_) => Protocol::Stock,
            Dialect::Extended(_) => Protocol::Extension,
        }
    }

    /// Whether the site spoke the extension when it was asked last.
    pub(in crate::collector) fn is_extended(&self) -> bool {
        matches!(self.dialect, Dialect::Extended(_))
    }

    /// Whether commands go behind that question before it is answered: the site is known to speak the extension. Not where
    /// compression is to be asked for next, behind which nothing may stand.
    pub(in crate::collector) fn goes_behind_question(&self, now: Instant) -> bool {
        self.is_extended() && self.is_to_be_asked(now) && !self.is_to_be_compressed()
    }

    /// What is to be spoken about configuration, on a connection on which it has said what it can do.
    pub(in crate::collector) fn config_dialect(&self) -> configuring::Dialect {
        match self.dialect {
            Dialect::Extended(capabilities) => configuring::Dialect::of(capabilities),
            Dialect::Unknown | Dialect::Stock(_) | Dialect::Doubtful(_) => configuring::Dialect::Stock,
        }
    }

    /// Whether a connection to it is to be compressed.
    pub(in crate::collector) fn is_to_be_compressed(&self) -> bool {
        self.settings.compression
            && match self.dialect {
                Dialect::Extended(capabilities) | Dialect::Doubtful(capabilities) => {
                    capabilities.has(Capability::Deflate)
                }
                Dialect::Unknown | Dialect::Stock(_) => false,
            }
    }

    /// The site has said what it can do beyond stock's commands, if anything. A change is logged.
    pub(in crate::collector) fn speaks(&mut self, capabilities: Option<Capabilities>, now: Instant) {
        let extended = capabilities.filter(|capabilities| NEEDED.into_iter().all(|one| capabilities.has(one)));
        let (before, compressed_before) = (self.dialect, self.is_to_be_compressed());
        self.dialect = extended.map_or(Dialect::Stock(now), Dialect::Extended);
        match (before, extended.is_some()) {
            (Dialect::Unknown | Dialect::Stock(_), true) => {
                info!("site={} speaks the extension: files are asked for ahead", self.shown());
                self.log_compression();
            }
            (Dialect::Extended(_) | Dialect::Doubtful(_), true) if self.is_to_be_compressed() != compressed_before => {
                self.log_compression();
            }
            (Dialect::Extended(_) | Dialect::Doubtful(_), false) => {
                info!(
                    "site={} does not speak the extension any more: it is collected from as from stock",
                    self.shown()
                );
            }
            (Dialect::Unknown | Dialect::Stock(_), false) | (Dialect::Extended(_) | Dialect::Doubtful(_), true) => {}
        }
    }

    /// Says whether the wish for compression is fulfilled.
    fn log_compression(&self) {
        if self.is_to_be_compressed() {
            info!("site={} compresses: what it sends, and what it is sent, is compressed", self.shown());
        } else if self.settings.compression {
            info!(
                "site={} does not compress, for all that compression is true: its server does not offer it (an older \
                 version, or compression 0 there); it is collected from without",
                self.shown()
            );
        }
    }

    /// The connection ended at the question. One that is known to have an answer is asked again.
    pub(in crate::collector) fn did_not_say(&mut self) {
        let since = self.running.as_ref().map(|running| running.since);
        self.dialect = match (self.dialect, since) {
            (Dialect::Extended(capabilities), _) => Dialect::Doubtful(capabilities),
            (_, Some(since)) => Dialect::Stock(since),
            (_, None) => Dialect::Unknown,
        };
    }
}
