//! One connection's conversation with its site: [`StockSession`], one thing after the other, as every server understands it;
//! [`AheadSession`], which asks stock for files ahead of its answers, as far as stock lets it; and [`ExtendedSession`], where
//! the site turns out to be a server of ours that speaks the extension.

mod ahead;
mod body;
mod delete;
mod extended;
mod fetch;
mod listing;
mod stock;
mod task;

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use self::ahead::AheadSession;
use self::extended::ExtendedSession;
use self::stock::StockSession;
use super::Reason;
use super::commit_queue::CommitQueue;
use super::ports::Connection;
use super::reason::BodyProgress;
use super::site::Site;
use crate::net::ClientDriver;
use crate::proto::{Count, FileName, Want};
use crate::sync::ConnectionKey;

/// The largest listing taken, in bytes: sixteen million names of 64 bytes.
pub(crate) const MAX_LISTING: u64 = 1 << 30;

/// Names of a listing that are judged before the other connections have their turn.
const NAMES_PER_TURN: usize = 2_000;

/// Bytes of a listing that are looked at without looking at what that cost.
const LISTING_PIECE: u64 = 4096;

/// Bytes of an archive that are unpacked without looking at where they go to: they unfold to 4 MiB at most.
const ARCHIVE_PIECE: u64 = 4096;

/// Bytes that come out of archives before the other connections have their turn: the connection's budget counts only what
/// it brings, which may unfold a thousandfold.
const UNPACKED_PER_TURN: u64 = 4 << 20;

/// Why a session stopped pumping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PumpOutcome {
    /// Until the socket can go on.
    Blocked,
    /// Until the round has something for it, or the socket can go on.
    Waiting,
    /// Until the directory that its file goes into has gone on.
    Staging,
    /// Until the socket can go on, or then: a message is not to be sent before.
    Paced(Instant),
    /// The round has nothing more for it.
    Leaving,
    /// The round may have, but this connection can take no more commands.
    Exhausted,
    /// The site has closed while nothing was under way.
    Dropped,
}

/// What a session works with.
pub(super) struct Context<'a> {
    pub(super) io: &'a mut dyn Connection,
    pub(super) site: &'a mut Site,
    pub(super) commit_queue: &'a mut CommitQueue,
}

/// How long an answer is waited for on a connection that was opened beside others: where the site has no place for it, an agent
/// may wait for one behind it.
const PLACE_WAIT: Duration = Duration::from_secs(3);

/// Whether a connection is known to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// Opened, and not answered yet.
    New,
    /// The same, beside others that work: the site may have no place for it.
    Beside,
    /// What happens to it is the site's doing.
    Fresh,
    /// Used again after a rest: the site may have closed it meanwhile, as stock does after 4 s.
    Reused,
}

/// A connection's session.
pub(super) enum Session {
    Stock(Box<StockSession>),
    Ahead(Box<AheadSession>),
    Extended(Box<ExtendedSession>),
}

/// What both kinds of sessions can do.
pub(super) trait Conversation {
    /// The site's key.
    fn site(&self) -> usize;

    /// Whether the connection stands.
    fn is_open(&self) -> bool;

    /// Whether no round is at stake when the connection ends.
    fn is_parked(&self) -> bool;

    /// The connection stays open, without a round.
    fn park(&mut self);

    /// A parked connection is used again.
    fn resume(&mut self);

    /// Whether the end of this connection says nothing about the site: it was used again, and has not answered since; or
    /// nothing more was to come.
    fn may_end(&self) -> bool;

    /// Whether it was opened beside others, and nothing shows yet that the site has a place for it.
    fn awaits_place(&self) -> bool {
        false
    }

    /// Gives back what a site was asked that has no place for it.
    fn hand_back(&mut self, _site: &mut Site) {}

    /// Whether it waits for the round to have something for it.
    fn is_ready(&self) -> bool;

    /// Whether the connection's end would cost something: bytes of a file that have come, or the answer to a deletion.
    fn has_file_under_way(&self) -> bool;

    /// Whether the directory that its file goes into has not gone on so far that it may. If it has not, it is called again.
    fn awaits_staging(&self) -> bool;

    /// The file that is under way, and what has come of it.
    fn file(&self) -> Option<(&FileName, BodyProgress)>;

    /// What the site owes us, for a message about a deadline that passed.
    fn awaited(&self) -> String;

    /// Whether a body is under way.
    fn is_in_body(&self) -> bool;

    /// Goes on for as long as the socket, the budget and the round let it.
    fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason>;

    /// Ends the session in good order, as far as the socket takes it at once.
    fn quit(&mut self, io: &mut dyn Connection);

    /// The connection is gone: what is under way goes back to the round, or ends with what has come; what the site cannot have
    /// begun with goes back as it was.
    fn abandon(&mut self, site: &mut Site, commit_queue: &mut CommitQueue);
}

impl Session {
    /// That of a connection that is being opened; `key` is its among those of a round.
    pub(super) fn new(site: usize, key: ConnectionKey) -> Self {
        Self::Stock(Box::new(StockSession::new(site, key, Reuse::New)))
    }

    /// The same, where the round has others that work.
    pub(super) fn beside(site: usize, key: ConnectionKey) -> Self {
        Self::Stock(Box::new(StockSession::new(site, key, Reuse::Beside)))
    }

    /// The connection stands: the password first, where there is one.
    pub(super) fn opened(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let Self::Stock(session) = self else { return Ok(()) };
        match session.known_extended(cx) {
            Some(extended) => *self = Self::Extended(Box::new(extended)),
            None => return session.opened(cx),
        }
        Ok(())
    }

    /// Goes on for as long as the socket, the budget and the round let it.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        self.turn(cx)?;
        Conversation::pump(&mut **self, cx)
    }

    /// Another kind of session goes on where this one has come to its end.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        match self {
            Self::Stock(session) => {
                if let Some(extended) = session.extended(cx.site) {
                    *self = Self::Extended(Box::new(extended));
                } else if let Some((mut ahead, assignment)) = session.ahead() {
                    let asked = ahead.ask(assignment, cx);
                    *self = Self::Ahead(Box::new(ahead));
                    return asked;
                }
            }
            Self::Ahead(session) => {
                if let Some((mut stock, assignment)) = session.lock_step() {
                    let begun = assignment.map_or(Ok(()), |assignment| stock.begin(assignment, cx));
                    *self = Self::Stock(Box::new(stock));
                    return begun;
                }
            }
            Self::Extended(_) => {}
        }
        Ok(())
    }

    /// Whether the site has said on this connection that it speaks the extension.
    pub(super) fn is_extended(&self) -> bool {
        matches!(self, Self::Extended(_))
    }

    /// What a session about something else goes on with, where nothing is under way.
    pub(super) fn into_driver(self) -> ClientDriver {
        match self {
            Self::Stock(session) => session.into_driver(),
            // Where nothing is due, a stock command may come as well as another.
            Self::Ahead(_) | Self::Extended(_) => ClientDriver::new(),
        }
    }
}

impl Deref for Session {
    type Target = dyn Conversation;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Stock(session) => &**session,
            Self::Ahead(session) => &**session,
            Self::Extended(session) => &**session,
        }
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Stock(session) => &mut **session,
            Self::Ahead(session) => &mut **session,
            Self::Extended(session) => &mut **session,
        }
    }
}

impl Reuse {
    /// How long an answer is waited for.
    fn timeout(self, site: &Site) -> Duration {
        match self {
            Self::Beside => site.settings.timeout.min(PLACE_WAIT),
            Self::New | Self::Fresh | Self::Reused => site.settings.timeout,
        }
    }

    /// Whether the site has answered on this connection.
    fn is_answered(self) -> bool {
        matches!(self, Self::Fresh | Self::Reused)
    }
}

impl Context<'_> {
    /// Has the round take no more new files where there is no room for them.
    fn check_room(&mut self) {
        if self.commit_queue.is_full() || self.site.has_its_share(self.commit_queue, self.io.now()) {
            self.site.stop_fetching();
        }
    }
}

/// What of `of` is awaited, for a message.
fn awaited(want: Want, of: &str) -> String {
    match want {
        Want::Body(left) => format!("the last {} of {of}", Count(left, "byte")),
        _ => format!("an answer about {of}"),
    }
}

/// The other connections have their turn.
fn give_way(cx: &mut Context<'_>) -> PumpOutcome {
    cx.io.wake();
    PumpOutcome::Blocked
}

#[cfg(test)]
mod tests;
