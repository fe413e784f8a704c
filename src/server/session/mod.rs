//! One client's session on the storage directory.
//!
//! ```text
//! Idle ──► Uploading ──► Storing ──► Idle            SEND: temporary file → storing thread
//!   │          └────► Unpacking ──► Storing ──► …      ZSEND: temporary file → background thread → storing thread
//!   ├──► Downloading ──► Idle                          RECV, MV: straight from the file
//!   ├──► Packing ──► Downloading ──► …                 ZRECV: background thread, then as a file
//!   ├──► Listing ──► Downloading ──► …                 LS: made a piece at a time, for all who ask
//!   ├──► Uploading ──► Hashing ──► Storing ──► …       PUT; hashed where it may replace those bytes alone
//!   ├──► Hashing ──► Idle                              DROP, unless its bytes are known: then at once
//!   ├──► Compressing ──► Idle                          DEFLATE
//!   └──► Waiting ──► …                                 for removals of what was taken before, or for another client
//!                                                      that is being moved the same file: then as above
//! ```

mod download;
mod extension;
mod gathered;
mod moved;
mod task;
mod upload;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use self::extension::{KeptList, PageArgs};
use self::gathered::Gathered;
pub(super) use self::moved::MovedFile;
use self::task::{Asked, Awaited, Task};
use super::Reason;
use super::ports::Connection;
use super::status::ServerStatus;
use super::storage::{Done, Storage};
use super::throttled_log::ThrottledLog;
use crate::config::server::{Limits, Who};
use crate::deadline::BodyPace;
use crate::net::{ConnId, Failure, Read};
use crate::proto::server::{CloseReason, Event, Policy, Server, Want};
use crate::proto::{Count, FileName, Quoted, Refusal};
use crate::store::FileState;
use crate::tls::{PeerDescription, Sha256};

/// More than any line has, so that the line's end is looked for in one piece.
const LINE: u64 = 4096;

/// Files that a client may be moved ahead of showing that it has them; further ones stay.
const MOST_MOVED: usize = 10_000;

/// How soon to look again whether the disk has caught up with the client.
const CAUGHT_UP_SOON: Duration = Duration::from_millis(5);

/// How long an answer waits for removals that the disk does not carry out, or for another client.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why a session stopped pumping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PumpOutcome {
    /// Until the socket can go on, or a thread is done.
    Blocked,
    /// For so long.
    For(Duration),
    /// Until the client closes; we have sent all we had to send.
    Leaving,
    /// It is over.
    Over,
}

/// What a session works with.
pub(super) struct Context<'a> {
    pub(super) id: ConnId,
    pub(super) io: &'a mut dyn Connection,
    pub(super) storage: &'a mut Storage,
    pub(super) limits: &'a Limits,
    pub(super) log: &'a mut ThrottledLog,
    pub(super) status: &'a mut ServerStatus,
}

/// A client's certificate.
#[derive(Debug, Default)]
struct Certificate {
    /// Where an authority of ours vouches for them.
    names: Vec<String>,
    pin: Option<Sha256>,
}

/// A client's session.
#[derive(Debug)]
pub(super) struct Session {
    peer: SocketAddr,
    certificate: Option<Box<Certificate>>,
    machine: Server,
    gathered: Gathered,
    task: Task,
    moved: Vec<MovedFile>,
    /// Files that were given with `GET`, as they were: a `DROP` need not read them again.
    given: HashSet<FileState>,
    /// What the next page comes out of.
    list: Option<KeptList>,
    /// Whether the client had sent more before the end of the last body was written.
    pipelined: bool,
    /// When the password that the client has sent is looked at.
    password_due: Option<Instant>,
    /// When the body under way must have passed; `None` for no limit.
    body: Option<BodyPace>,
}

impl Session {
    /// A session with a client whose connection is open.
    pub(super) fn new(peer: SocketAddr, policy: Arc<Policy>, tls: Option<PeerDescription>, is_verified: bool) -> Self {
        Self {
            peer,
            certificate: tls.and_then(|tls| Certificate::of(tls, is_verified)).map(Box::new),
            machine: Server::new(policy),
            gathered: Gathered::default(),
            task: Task::Idle,
            moved: Vec::new(),
            given: HashSet::new(),
            list: None,
            pipelined: false,
            password_due: None,
            body: None,
        }
    }

    /// Whether nothing is under way: such a session can be ended without a loss to its client.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.task, Task::Idle) && !self.machine.owes_answers() && self.gathered.is_empty()
    }

    /// Whether it is our turn: the client is not to blame for what takes its time.
    pub(super) fn waits_for_us(&self) -> bool {
        match self.task {
            Task::Unpacking { .. }
            | Task::Storing { .. }
            | Task::Packing { .. }
            | Task::Listing { .. }
            | Task::Hashing { .. }
            | Task::Waiting { .. } => true,
            Task::Idle => self.machine.owes_answers(),
            Task::Uploading(_) | Task::Downloading(_) | Task::Compressing(_) => false,
        }
    }

    /// Whether the client is being given a listing.
    pub(super) fn has_listing(&self) -> bool {
        matches!(&self.task, Task::Downloading(download) if download.is_listing())
    }

    /// What the client has to send or take, for a message about a deadline that passed.
    pub(super) fn awaited(&self) -> String {
        match (self.machine.want(), &self.task) {
            (Want::Body(left), Task::Uploading(upload)) => {
                format!("the last {} of {}", Count(left, "byte"), upload.name())
            }
            (Want::Supply(left), _) => format!("that it takes the last {} it asked for", Count(left, "byte")),
            _ if !self.machine.transmit().is_empty() || !self.gathered.is_empty() => "that it takes our answer".into(),
            _ => "the next command".into(),
        }
    }

    /// The keys of the limits that a deadline of this session comes from.
    pub(super) fn limits_in_force(&self) -> &'static str {
        match self.machine.want() {
            Want::Body(_) | Want::Supply(_) => "idle_timeout, body_min_rate",
            _ => "idle_timeout",
        }
    }

    /// Begins: the client has so long for its first command.
    pub(super) fn opened(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        self.pump(cx)
    }

    /// Goes on for as long as the socket and the budget let it. Then the client gets what was written: it may wait for that.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let outcome = self.go_on(cx);
        // Also where it fails: what was answered before is the client's.
        let written = self.gathered.write(cx.io);
        let outcome = outcome?;
        written?;
        cx.io.flush()?;
        Ok(outcome)
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        loop {
            if self.machine.want() == Want::Flush && !cx.io.is_flushed() {
                self.pipelined = cx.io.has_input();
            }
            if !self.transmit(cx.io)? {
                return Ok(PumpOutcome::Blocked);
            }
            let pause = match self.machine.want() {
                Want::Line if !self.moved.is_empty() && cx.storage.is_behind() => Some(Self::backpressure(cx)?),
                Want::Line => match self.wait_for_password(cx)? {
                    Some(pause) => Some(pause),
                    None => self.read_line(cx)?,
                },
                Want::Decision => match self.see_whether_gone(cx)? {
                    Some(pause) => Some(pause),
                    None => self.decide(cx)?,
                },
                Want::Body(left) => self.receive_body(left, cx)?,
                Want::Supply(left) => self.supply(left, cx)?,
                Want::Flush | Want::Closed if !cx.io.flush()? => Some(PumpOutcome::Blocked),
                Want::Flush => {
                    self.machine.body_flushed(self.pipelined)?;
                    cx.io.half_close_after(cx.limits.idle_timeout);
                    None
                }
                Want::Compression => {
                    self.compress(cx.io)?;
                    None
                }
                Want::Closed if self.moved.is_empty() => Some(PumpOutcome::Over),
                Want::Closed => self.await_end(cx)?,
            };
            while let Some(event) = self.machine.poll_event() {
                self.handle(event, cx)?;
            }
            if let Some(pause) = pause {
                return Ok(pause);
            }
        }
    }

    /// Takes what a thread has done; to be [pumped](Self::pump) then.
    pub(super) fn done(&mut self, done: Done, cx: &mut Context<'_>) -> Result<(), Reason> {
        match (done, std::mem::replace(&mut self.task, Task::Idle)) {
            (Done::Stored(result), Task::Storing { name, size, replaces }) => {
                self.stored(&name, (size, replaces), result, cx)?;
            }
            (Done::Unpacked(result), Task::Unpacking { name, .. }) => self.unpacked(name, result, cx)?,
            (Done::Packed(result), Task::Packing { name, .. }) => self.packed(name, result, cx)?,
            (Done::Listed(result), Task::Listing { page: None, .. }) => self.listed(result, cx)?,
            (Done::Listed(result), Task::Listing { page: Some((dir, args)), .. }) => {
                self.files_listed(result, dir, &args, cx)?;
            }
            (Done::Hashed(result), Task::Hashing { purpose, .. }) => self.hashed(purpose, result, cx)?,
            (Done::Dropped(result), task) => {
                self.task = task;
                self.dropped(result, cx)?;
            }
            (_, task) => self.task = task,
        }
        Ok(())
    }

    fn client(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    fn who(&self) -> Who<'_> {
        let (cert_names, pin) =
            self.certificate.as_ref().map_or((&[][..], None), |certificate| (&certificate.names, certificate.pin));
        Who { address: self.client(), cert_names, pin }
    }

    /// What is done for a client that is gone is given up, and its place is free. One that has ended its direction may wait
    /// for an answer still, but cannot accept a body any more.
    fn see_whether_gone(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        check_reset(cx.io)?;
        match self.task {
            Task::Packing { .. } | Task::Listing { .. } | Task::Waiting { .. } | Task::Hashing { .. } => {}
            _ => return Ok(None),
        }
        match cx.io.read(1, &mut |_| 0)? {
            Read::Eof { orderly } => self.handle_eof(orderly, cx),
            Read::Bytes(_) | Read::Blocked => Ok(None),
        }
    }

    /// Whether all of the protocol's bytes are written, or gathered with what follows.
    fn transmit(&mut self, io: &mut dyn Connection) -> Result<bool, Reason> {
        if self.is_gathering() {
            let answer = self.machine.transmit();
            let count = answer.len();
            self.gathered.push(answer);
            self.machine.transmitted(count);
            return Ok(self.gathered.has_room(0) || self.gathered.write(io)?);
        }
        if !self.gathered.write(io)? {
            return Ok(false);
        }
        while !self.machine.transmit().is_empty() {
            match io.write(self.machine.transmit())? {
                0 => return Ok(false),
                written => self.machine.transmitted(written),
            }
        }
        Ok(true)
    }

    /// Whether what is written may wait for the end of this turn. Where a file is to go once its client has it, it may not:
    /// what the client has had is judged by what was written.
    fn is_gathering(&self) -> bool {
        self.moved.is_empty() && matches!(self.machine.want(), Want::Line | Want::Decision | Want::Supply(_))
    }

    fn read_line(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        self.check_receipt(cx.io);
        let (machine, mut refused) = (&mut self.machine, None);
        let read = cx.io.read(LINE, &mut |bytes| {
            machine.handle_input(bytes).unwrap_or_else(|ending| {
                refused = Some(ending);
                bytes.len()
            })
        })?;
        match (read, refused) {
            (_, Some(ending)) => {
                if ending == CloseReason::PasswordWrong {
                    cx.storage.guesses().was_wrong(self.client(), cx.io.now());
                }
                Err(ending.into())
            }
            (Read::Bytes(_), None) => Ok(None),
            (Read::Blocked, None) => Ok(Some(PumpOutcome::Blocked)),
            (Read::Eof { orderly }, None) => self.handle_eof(orderly, cx),
        }
    }

    /// Waits, after wrong passwords from the same address, until this one may be checked.
    fn wait_for_password(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        if !self.machine.awaits_password() || self.password_due.is_none() && !cx.io.has_input() {
            return Ok(None);
        }
        check_reset(cx.io)?;
        let (client, now) = (self.client(), cx.io.now());
        let due = *self.password_due.get_or_insert_with(|| cx.storage.guesses().check_at(client, now));
        let wait = due.saturating_duration_since(now);
        if wait.is_zero() {
            return Ok(None);
        }
        // Its input waits for us.
        cx.io.set_deadline(Some(cx.limits.idle_timeout.saturating_add(wait)));
        Ok(Some(PumpOutcome::For(wait)))
    }

    /// The client's next command would have a file removed, and enough of them wait for the disk: it would be given files
    /// for as long as there is memory.
    fn backpressure(cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        check_reset(cx.io)?;
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        Ok(PumpOutcome::For(CAUGHT_UP_SOON))
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        match event {
            Event::PasswordAccepted => Ok(()),
            Event::Offered { verb, name, size } => self.offered(verb, name, size, cx),
            Event::BodyComplete { .. } => self.body_complete(cx),
            Event::Asked { verb, name } => self.asked(verb, name, cx),
            Event::ListAsked { word } => self.list_asked(word, cx),
            Event::PageAsked { word, after, limit } => self.page_asked(word, PageArgs { after, limit }, cx),
            Event::DropAsked { name, size, hash } => self.drop_asked(name, size, hash, cx),
            Event::PutOffered { name, size, condition } => self.put_offered(name, size, condition, cx),
            Event::CompressionAsked => self.compression_asked(cx),
            Event::Accepted { .. } => {
                self.accepted(cx);
                Ok(())
            }
            Event::Declined { verb } => {
                info!("client={} declined what it had asked for with {verb}", self.peer);
                self.task = Task::Idle;
                Ok(())
            }
            Event::Refused { verb, refusal, line } => {
                cx.status.refused(&refusal, cx.io.now());
                info!("client={} refused={verb}: {}: {line}", self.peer, refusal.own_words());
                Ok(())
            }
            Event::MovesConfirmed => {
                let (client, now) = (self.client(), cx.io.now());
                for moved in self.moved.drain(..) {
                    cx.status.collected.add(moved.identity.size(), client, now);
                    cx.storage.remove(&moved);
                }
                Ok(())
            }
        }
    }

    /// Refuses a command with an answer to the client; the operator sees it only with `-v`, as with stock.
    fn refuse(&mut self, name: &[u8], refusal: Refusal, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.status.refused(&refusal, cx.io.now());
        info!("client={} refused={}: {}", self.peer, Quoted::of_bytes(name), refusal.own_words());
        self.task = Task::Idle;
        Ok(self.machine.refuse(refusal)?)
    }

    /// A body of which `left` bytes have not moved yet may go on, unless it is too slow.
    fn extend_deadline(&self, left: u64, cx: &mut Context<'_>) {
        let idle_timeout = cx.limits.idle_timeout;
        let wait = self.body.map_or(idle_timeout, |body| body.wait(left, idle_timeout, cx.io.now()));
        cx.io.set_deadline(Some(wait));
    }

    /// A body of so many bytes begins.
    fn body_begins(&mut self, size: u64, cx: &mut Context<'_>) {
        self.body = Some(BodyPace::new(cx.io.now(), size, cx.limits.idle_timeout, cx.limits.body_min_rate));
    }

    /// A waiting client is not to blame for what takes its time here.
    fn clear_deadline(cx: &mut Context<'_>) {
        cx.io.set_deadline(None);
    }

    fn log(&self, what: &str, name: &FileName, bytes: u64) {
        info!("client={} {what}={name} bytes={bytes}", self.peer);
    }
}

/// An error where the client is gone: what is not read does not show that.
fn check_reset(io: &mut dyn Connection) -> Result<(), Reason> {
    if io.is_reset() { Err(Failure::Io(io::ErrorKind::ConnectionReset.into()).into()) } else { Ok(()) }
}

impl Certificate {
    fn of(tls: PeerDescription, is_verified: bool) -> Option<Self> {
        let certificate = tls.certificate?;
        Some(Self { names: if is_verified { certificate.names } else { Vec::new() }, pin: Some(certificate.sha256) })
    }
}
