//! `RECV`, `ZRECV`, `MV` and `LS`.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::extension::PageSupply;
use super::{Asked, Awaited, CAUGHT_UP_SOON, Context, LONGEST_WAIT, MOST_MOVED, MovedFile, PumpOutcome, Session, Task};
use crate::net::FileSent;
use crate::proto::{FileName, ListArg, Refusal, Verb};
use crate::server::Reason;
use crate::server::listings::Listed;
use crate::server::throttled_log::Subject;
use crate::store::{ArchiveError, Listing, ListingKind, Packed, PendingRemovals, Source, StorageDir, StoreError};

/// A body on its way out.
#[derive(Debug)]
pub(super) struct Download {
    /// For the log; `None` for a listing.
    pub(super) name: Option<FileName>,
    pub(super) supply: Supply,
    /// Bytes.
    pub(super) size: u64,
    /// Of those, so many have been written.
    pub(super) sent: u64,
    /// What may go once the client has it.
    pub(super) moved: Option<MovedFile>,
}

/// Where a body's bytes are.
#[derive(Debug)]
pub(super) enum Supply {
    File { file: File, path: PathBuf },
    Listing(Arc<Listing>),
    Page(PageSupply),
}

impl Supply {
    pub(super) fn of(dir: &StorageDir, source: Source) -> Self {
        let path = dir.path().join(OsStr::from_bytes(source.name().as_bytes()));
        Self::File { file: source.into_file(), path }
    }
}

impl Download {
    pub(super) fn is_listing(&self) -> bool {
        matches!(self.supply, Supply::Listing(_) | Supply::Page(_))
    }
}

/// What there is of a name.
enum Found {
    Nothing,
    File(Source, StorageDir),
    /// It was taken before, and is being removed.
    Pending(PendingRemovals),
}

impl Session {
    pub(super) fn asked(&mut self, verb: Verb, name: FileName, cx: &mut Context<'_>) -> Result<(), Reason> {
        if !cx.storage.permits(&self.who(), verb, name.as_bytes()) {
            return self.refuse(name.as_bytes(), Refusal::NotAllowed, cx);
        }
        let found = cx.storage.dir_of(name.as_bytes(), cx.io.now()).and_then(|dir| {
            let mut removals = dir.pending_removals(Some(&name));
            if !removals.are_done() {
                return Ok(Found::Pending(removals));
            }
            // Otherwise a file that cannot be removed would be given again and again.
            if verb == Verb::Mv {
                dir.check_removal()?;
            }
            Ok(dir.find(&name)?.map_or(Found::Nothing, |source| Found::File(source, dir)))
        });
        match found {
            Ok(Found::Pending(removals)) => {
                self.wait_for(Awaited::Removals(removals), Asked::File { verb, name }, cx);
                Ok(())
            }
            Ok(Found::File(source, dir)) if verb == Verb::Zrecv => {
                Self::clear_deadline(cx);
                let wanted = cx.storage.pack(cx.id, self.client(), dir, source);
                self.task = Task::Packing { name, _wanted: wanted };
                Ok(())
            }
            Ok(Found::File(source, dir)) if verb == Verb::Mv => self.move_file(&dir, source, cx),
            Ok(Found::File(source, dir)) if verb == Verb::Get => self.give(&dir, source, cx),
            Ok(Found::File(source, dir)) => self.send_source(&dir, source, None),
            Ok(Found::Nothing) => self.refuse(name.as_bytes(), Refusal::Missing, cx),
            Err(error) => self.refuse_unreadable(name.as_bytes(), &error, cx),
        }
    }

    /// No such directory is no such file; anything else is the disk's.
    pub(super) fn refuse_unreadable(
        &mut self,
        name: &[u8],
        error: &StoreError,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        if error.is_missing() {
            return self.refuse(name, Refusal::Missing, cx);
        }
        // What is wrong with the whole disk shows with files that come as well.
        let is_of_disk = error.concerns_all();
        let (subject, word) = if is_of_disk { (Subject::Storage, "store") } else { (Subject::Reading, "unreadable") };
        cx.log.warn(subject, &error.log_key(), &format!("reason={word} {error}"), cx.io.now());
        self.refuse(name, Refusal::Failed, cx)
    }

    /// Two clients that are moved one file would both count it as theirs alone.
    fn move_file(&mut self, dir: &StorageDir, source: Source, cx: &mut Context<'_>) -> Result<(), Reason> {
        let (name, identity) = (source.name().clone(), source.identity());
        match cx.storage.claims().take(identity) {
            Some(claim) => {
                let moved = MovedFile { dir: dir.clone(), name, identity, _claim: claim };
                self.send_source(dir, source, Some(moved))
            }
            None if self.moved.iter().any(|moved| moved.identity == identity) => {
                self.refuse(name.as_bytes(), Refusal::Missing, cx)
            }
            None => {
                self.wait_for(Awaited::Mover(identity), Asked::File { verb: Verb::Mv, name }, cx);
                Ok(())
            }
        }
    }

    fn send_source(&mut self, dir: &StorageDir, source: Source, moved: Option<MovedFile>) -> Result<(), Reason> {
        let (name, size) = (source.name().clone(), source.size());
        let supply = Supply::of(dir, source);
        self.announce(Download { name: Some(name), supply, size, sent: 0, moved })
    }

    fn announce(&mut self, download: Download) -> Result<(), Reason> {
        let size = download.size;
        self.task = Task::Downloading(download);
        Ok(self.machine.announce(size)?)
    }

    /// The archive has been made, or not.
    pub(super) fn packed(
        &mut self,
        name: FileName,
        result: Result<Packed, ArchiveError>,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        match result {
            Ok(Packed { file, size }) => {
                let path = PathBuf::from(format!("the archive of {name}"));
                self.announce(Download {
                    name: Some(name),
                    supply: Supply::File { file, path },
                    size,
                    sent: 0,
                    moved: None,
                })
            }
            Err(error) => {
                cx.log.warn(Subject::Reading, "archive", &format!("file={name} reason=archive {error}"), cx.io.now());
                self.refuse(name.as_bytes(), Refusal::Failed, cx)
            }
        }
    }

    pub(super) fn list_asked(&mut self, word: ListArg, cx: &mut Context<'_>) -> Result<(), Reason> {
        let bytes = word.as_bytes();
        if !cx.storage.permits(&self.who(), Verb::Ls, bytes) {
            return self.refuse(bytes, Refusal::NotAllowed, cx);
        }
        match cx.storage.dir_of(bytes, cx.io.now()) {
            Ok(dir) => {
                let removals = dir.pending_removals(None);
                self.wait_for(Awaited::Removals(removals), Asked::Listing { word }, cx);
                Ok(())
            }
            Err(error) => self.refuse_unreadable(bytes, &error, cx),
        }
    }

    /// Waits for that; then goes on with what was asked.
    pub(super) fn wait_for(&mut self, awaited: Awaited, asked: Asked, cx: &mut Context<'_>) {
        Self::clear_deadline(cx);
        self.task = Task::Waiting { awaited, asked, until: cx.io.now() + LONGEST_WAIT };
    }

    /// Has what is there listed: what was taken before is removed by now, or is listed.
    fn list(&mut self, word: &ListArg, cx: &mut Context<'_>) -> Result<(), Reason> {
        match cx.storage.dir_of(word.as_bytes(), cx.io.now()) {
            Ok(dir) => {
                Self::clear_deadline(cx);
                self.task =
                    Task::Listing { _wanted: cx.storage.listings().ask(cx.id, dir, ListingKind::Names), page: None };
                Ok(())
            }
            Err(error) => self.refuse_unreadable(word.as_bytes(), &error, cx),
        }
    }

    /// The listing has been made, or not.
    pub(super) fn listed(&mut self, listed: Listed, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        match listed {
            Ok(listing) => {
                let size = listing.as_bytes().len() as u64;
                self.announce(Download { name: None, supply: Supply::Listing(listing), size, sent: 0, moved: None })
            }
            Err(error) => self.refuse_unreadable(b"", &error, cx),
        }
    }

    /// Something is to be decided: where removals are waited for, looks whether they are done; everything else is
    /// reported by its thread.
    pub(super) fn decide(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        match std::mem::replace(&mut self.task, Task::Idle) {
            Task::Waiting { mut awaited, asked, until } => {
                let is_over = match &mut awaited {
                    Awaited::Removals(removals) => removals.are_done(),
                    Awaited::Mover(file) => !cx.storage.claims().is_taken(file),
                };
                if !is_over && cx.io.now() < until {
                    self.task = Task::Waiting { awaited, asked, until };
                    return Ok(Some(PumpOutcome::For(CAUGHT_UP_SOON)));
                }
                cx.io.set_deadline(Some(cx.limits.idle_timeout));
                match asked {
                    Asked::Listing { word } => self.list(&word, cx)?,
                    Asked::Page { word, args } => self.list_files(&word, args, cx)?,
                    Asked::File { verb, name } if is_over => self.asked(verb, name, cx)?,
                    Asked::Drop { name, size, hash } if is_over => self.drop_asked(name, size, hash, cx)?,
                    Asked::File { name, .. } | Asked::Drop { name, .. } => {
                        self.refuse(name.as_bytes(), Refusal::Failed, cx)?;
                    }
                }
                Ok(None)
            }
            task => {
                self.task = task;
                Ok(Some(PumpOutcome::Blocked))
            }
        }
    }

    /// The client accepts the body that was announced.
    pub(super) fn accepted(&mut self, cx: &mut Context<'_>) {
        let Task::Downloading(download) = &mut self.task else { return };
        if let Some(moved) = download.moved.take()
            && self.moved.len() < MOST_MOVED
        {
            self.moved.push(moved);
        }
        self.supply_begins(cx);
    }

    /// A body of ours may be written from now on.
    pub(super) fn supply_begins(&mut self, cx: &mut Context<'_>) {
        let Task::Downloading(Download { size, .. }) = self.task else { return };
        self.body_begins(size, cx);
        if size == 0 {
            self.body_sent(cx);
        }
    }

    /// Moves bytes of a body from the disk to the connection.
    pub(super) fn supply(&mut self, left: u64, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        let may_gather = self.is_gathering() && self.gathered.has_room(left);
        let Task::Downloading(download) = &mut self.task else { return Ok(Some(PumpOutcome::Blocked)) };
        let is_gathered = may_gather && matches!(download.supply, Supply::File { .. });
        if !is_gathered && !self.gathered.write(cx.io)? {
            return Ok(Some(PumpOutcome::Blocked));
        }
        // Before the last byte is written: after it, the client may be quicker than we are.
        self.pipelined = !self.moved.is_empty() && cx.io.has_input();
        let sent = match &mut download.supply {
            Supply::File { file, path } => {
                let sent = if is_gathered {
                    self.gathered.push_file(file, download.sent, left)
                } else {
                    cx.io.send_file(file, download.sent, left)
                };
                match sent? {
                    FileSent::Bytes(count) => count,
                    FileSent::Blocked => 0,
                    FileSent::Short => return Err(Reason::Shortened(path.clone())),
                }
            }
            Supply::Listing(listing) => {
                let rest = usize::try_from(download.sent)
                    .ok()
                    .and_then(|sent| listing.as_bytes().get(sent..))
                    .unwrap_or_default();
                cx.io.write(rest)? as u64
            }
            Supply::Page(page) => page.write(cx.io)?,
        };
        if sent == 0 {
            return Ok(Some(PumpOutcome::Blocked));
        }
        download.sent += sent;
        self.machine.body_transferred(sent)?;
        if sent < left {
            self.extend_deadline(left - sent, cx);
        } else {
            cx.io.drain_by(cx.limits.idle_timeout, self.body.and_then(|body| body.due(0)));
            self.body_sent(cx);
        }
        Ok(None)
    }

    /// The last byte of a body is on its way.
    fn body_sent(&mut self, cx: &mut Context<'_>) {
        match std::mem::replace(&mut self.task, Task::Idle) {
            Task::Downloading(Download { name: Some(name), size, .. }) => self.log("gave", &name, size),
            Task::Downloading(Download { name: None, size, .. }) => {
                cx.status.listed(self.client(), cx.io.now());
                log::info!("client={} listed bytes={size}", self.peer);
            }
            _ => {}
        }
    }
}
