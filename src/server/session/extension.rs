//! `GET`, `LIST`, `DROP`, `PUT` and `DEFLATE`.

use std::sync::{Arc, Weak};

use super::download::{Download, Supply};
use super::{Asked, Awaited, Context, Session, Task};
use crate::net::Failure;
use crate::proto::extension::{Condition, ContentHash, Cursor, MAX_PAGE};
use crate::proto::{FileName, ListArg, Refusal, Verb};
use crate::server::Reason;
use crate::server::listings::Listed;
use crate::server::ports::Connection;
use crate::server::throttled_log::Subject;
use crate::store::{
    ArchiveError, ClosedTemp, Dropped, Hashed, Identity, Listing, ListingKind, PageOf, PendingRemovals, Source,
    StorageDir, StoreError, Wanted,
};

/// Files that are remembered as given; further ones are read again before they are dropped.
const MOST_GIVEN: usize = 10_000;

/// Bytes of a page that are made at once.
const PIECE: usize = 16 * 1024;

/// What a client asks of a list.
#[derive(Debug)]
pub(super) struct PageArgs {
    pub(super) after: Option<Cursor>,
    pub(super) limit: Option<u64>,
}

impl PageArgs {
    fn limit(&self) -> usize {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_PAGE);
        limit.min(MAX_PAGE)
    }
}

/// The list that the next page comes out of, unless others need its memory.
#[derive(Debug)]
pub(super) struct KeptList {
    dir: StorageDir,
    listing: Weak<Listing>,
    _wanted: Wanted,
}

/// What a file is hashed for.
#[derive(Debug)]
pub(super) enum Hashing {
    /// To be removed if it is this one.
    Drop { dir: StorageDir, name: FileName, hash: ContentHash },
    /// To be replaced if it is this one.
    Replace { name: FileName, hash: ContentHash, written: ClosedTemp },
}

/// A page on its way out.
#[derive(Debug)]
pub(super) struct PageSupply {
    listing: Arc<Listing>,
    /// Whose lines are still to be made.
    places: std::ops::Range<usize>,
    /// Lines, of which so many bytes have been written.
    lines: Vec<u8>,
    written: usize,
}

impl PageSupply {
    /// Writes as much as goes; how much, 0 where the socket blocks.
    pub(super) fn write(&mut self, io: &mut dyn Connection) -> Result<u64, Failure> {
        if self.written == self.lines.len() {
            self.lines.clear();
            self.written = 0;
            while self.lines.len() < PIECE
                && let Some(place) = self.places.next()
            {
                self.listing.line(place, &mut self.lines);
            }
        }
        let written = io.write(&self.lines[self.written..])?;
        self.written += written;
        Ok(written as u64)
    }
}

/// What a client would drop.
enum Found {
    Nothing,
    Pending(PendingRemovals),
    /// Another size.
    Changed,
    /// The file that was given, as it was.
    Given(Identity, StorageDir),
    /// It is to be hashed.
    Unknown(Source, StorageDir),
}

impl Session {
    /// Gives a file at once.
    pub(super) fn give(&mut self, dir: &StorageDir, source: Source, cx: &mut Context<'_>) -> Result<(), Reason> {
        if self.given.len() < MOST_GIVEN {
            self.given.extend(source.settled_state());
        }
        let (name, size, mtime) = (source.name().clone(), source.size(), source.mtime());
        let supply = Supply::of(dir, source);
        self.task = Task::Downloading(Download { name: Some(name), supply, size, sent: 0, moved: None });
        self.machine.give_file(size, mtime)?;
        self.supply_begins(cx);
        Ok(())
    }

    pub(super) fn page_asked(&mut self, word: ListArg, args: PageArgs, cx: &mut Context<'_>) -> Result<(), Reason> {
        let bytes = word.as_bytes();
        if !cx.storage.permits(&self.who(), Verb::List, bytes) {
            return self.refuse(bytes, Refusal::NotAllowed, cx);
        }
        let dir = match cx.storage.dir_of(bytes, cx.io.now()) {
            Ok(dir) => dir,
            Err(error) => return self.refuse_unreadable(bytes, &error, cx),
        };
        let kept = self.list.take().filter(|list| args.after.is_some() && list.dir.is_same(&dir));
        if let Some(listing) = kept.as_ref().and_then(|list| list.listing.upgrade()) {
            return self.give_page(listing, dir, &args, cx);
        }
        let removals = dir.pending_removals(None);
        self.wait_for(Awaited::Removals(removals), Asked::Page { word, args }, cx);
        Ok(())
    }

    /// Has what is there listed, as for `LS`.
    pub(super) fn list_files(&mut self, word: &ListArg, args: PageArgs, cx: &mut Context<'_>) -> Result<(), Reason> {
        match cx.storage.dir_of(word.as_bytes(), cx.io.now()) {
            Ok(dir) => {
                Self::clear_deadline(cx);
                let wanted = cx.storage.listings().ask(cx.id, dir.clone(), ListingKind::Files);
                self.task = Task::Listing { _wanted: wanted, page: Some((dir, args)) };
                Ok(())
            }
            Err(error) => self.refuse_unreadable(word.as_bytes(), &error, cx),
        }
    }

    /// The list has been made, or not.
    pub(super) fn files_listed(
        &mut self,
        listed: Listed,
        dir: StorageDir,
        args: &PageArgs,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        match listed {
            Ok(listing) => self.give_page(listing, dir, args, cx),
            Err(error) => self.refuse_unreadable(b"", &error, cx),
        }
    }

    fn give_page(
        &mut self,
        listing: Arc<Listing>,
        dir: StorageDir,
        args: &PageArgs,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        let PageOf { files, size, remaining } = listing.page(args.after.as_ref(), args.limit());
        self.list = remaining.map(|_| KeptList {
            dir,
            listing: Arc::downgrade(&listing),
            _wanted: cx.storage.listings().keep(Arc::clone(&listing)),
        });
        let supply = Supply::Page(PageSupply { listing, places: files, lines: Vec::new(), written: 0 });
        self.task = Task::Downloading(Download { name: None, supply, size, sent: 0, moved: None });
        self.machine.give_page(size, remaining)?;
        self.supply_begins(cx);
        Ok(())
    }

    /// Removes the file if it is the one that was given, or hashes to the same.
    pub(super) fn drop_asked(
        &mut self,
        name: FileName,
        size: u64,
        hash: ContentHash,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        if !cx.storage.permits(&self.who(), Verb::Drop, name.as_bytes()) {
            return self.refuse(name.as_bytes(), Refusal::NotAllowed, cx);
        }
        let given = &mut self.given;
        let found = cx.storage.dir_of(name.as_bytes(), cx.io.now()).and_then(|dir| {
            let mut removals = dir.pending_removals(Some(&name));
            if !removals.are_done() {
                return Ok(Found::Pending(removals));
            }
            dir.check_removal()?;
            match dir.look(&name)? {
                None => Ok(Found::Nothing),
                Some(state) if state.identity().size() != size => Ok(Found::Changed),
                Some(state) if given.remove(&state) => Ok(Found::Given(state.identity(), dir)),
                Some(_) => Ok(dir.find(&name)?.map_or(Found::Nothing, |source| Found::Unknown(source, dir))),
            }
        });
        match found {
            Ok(Found::Pending(removals)) => {
                self.wait_for(Awaited::Removals(removals), Asked::Drop { name, size, hash }, cx);
                Ok(())
            }
            Ok(Found::Nothing) => self.refuse(name.as_bytes(), Refusal::Missing, cx),
            Ok(Found::Changed) => self.refuse(name.as_bytes(), Refusal::Changed, cx),
            Ok(Found::Given(identity, dir)) => self.drop_file(dir, name, identity, cx),
            Ok(Found::Unknown(source, dir)) => {
                Self::clear_deadline(cx);
                let wanted = cx.storage.hash(cx.id, self.client(), dir.clone(), source);
                self.task = Task::Hashing { purpose: Hashing::Drop { dir, name, hash }, _wanted: wanted };
                Ok(())
            }
            Err(error) => self.refuse_unreadable(name.as_bytes(), &error, cx),
        }
    }

    /// From now on nobody finds the file; the answer comes once it is gone for good, and more commands may come before.
    fn drop_file(
        &mut self,
        dir: StorageDir,
        name: FileName,
        identity: Identity,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        self.log("dropped", &name, identity.size());
        cx.status.collected.add(identity.size(), self.client(), cx.io.now());
        cx.storage.drop_file(cx.id, dir, name, identity);
        Ok(self.machine.dropping()?)
    }

    /// The oldest file that was to be removed is, or is not.
    pub(super) fn dropped(&mut self, result: Result<Dropped, StoreError>, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        let answer = match result {
            Ok(Dropped::Gone) => Ok(()),
            Ok(Dropped::Changed) => Err(Refusal::Changed),
            Ok(Dropped::Missing) => Err(Refusal::Missing),
            Err(error) => {
                cx.log.warn(Subject::Storage, &error.log_key(), &format!("reason=store {error}"), cx.io.now());
                Err(Refusal::Failed)
            }
        };
        if let Err(refusal) = &answer {
            cx.status.refused(refusal, cx.io.now());
        }
        self.machine.dropped(answer)?;
        self.machine.resume()?;
        while let Some(event) = self.machine.poll_event() {
            self.handle(event, cx)?;
        }
        Ok(())
    }

    /// Takes a body, or reads past it.
    pub(super) fn put_offered(
        &mut self,
        name: FileName,
        size: u64,
        condition: Condition,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        if !cx.storage.permits(&self.who(), Verb::Put, name.as_bytes()) {
            return self.refuse(name.as_bytes(), Refusal::NotAllowed, cx);
        }
        let dir = match cx.storage.dir_of(name.as_bytes(), cx.io.now()) {
            Ok(dir) => dir,
            Err(error) => return self.refuse_unreadable(name.as_bytes(), &error, cx),
        };
        let may_replace = cx.storage.settings().overwrite && condition != Condition::Absent;
        if !may_replace && dir.exists(&name).unwrap_or(false) {
            return self.refuse(name.as_bytes(), Refusal::Exists, cx);
        }
        self.take_into(Verb::Put, name, size, (dir, condition), cx)
    }

    /// The body is here. It may be stored in place of these bytes alone.
    pub(super) fn compare_replaced(
        &mut self,
        name: FileName,
        written: ClosedTemp,
        hash: ContentHash,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        let found = cx
            .storage
            .dir_of(name.as_bytes(), cx.io.now())
            .and_then(|dir| Ok(dir.find(&name)?.map(|source| (source, dir))));
        match found {
            Ok(Some((source, dir))) => {
                Self::clear_deadline(cx);
                let wanted = cx.storage.hash(cx.id, self.client(), dir, source);
                self.task = Task::Hashing { purpose: Hashing::Replace { name, hash, written }, _wanted: wanted };
                Ok(())
            }
            Ok(None) => self.refuse(name.as_bytes(), Refusal::Missing, cx),
            Err(error) => self.refuse_unreadable(name.as_bytes(), &error, cx),
        }
    }

    /// Consents where there is memory for it.
    pub(super) fn compression_asked(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let Some(place) = cx.io.compression_place() else { return self.refuse(b"compression", Refusal::NoRoom, cx) };
        self.task = Task::Compressing(place);
        Ok(self.machine.consent()?)
    }

    /// The consent is written: what the client sends behind its command is compressed, and so is all that it gets.
    pub(super) fn compress(&mut self, io: &mut dyn Connection) -> Result<(), Reason> {
        if let Task::Compressing(place) = std::mem::replace(&mut self.task, Task::Idle) {
            io.compress(place);
        }
        Ok(self.machine.compressed()?)
    }

    /// A file has been hashed, or cannot be.
    pub(super) fn hashed(
        &mut self,
        purpose: Hashing,
        result: Result<Hashed, ArchiveError>,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.limits.idle_timeout));
        let (Hashing::Drop { name, hash, .. } | Hashing::Replace { name, hash, .. }) = &purpose;
        let identity = match result {
            Ok(hashed) if hashed.hash == *hash => hashed.identity,
            Ok(_) => return self.refuse(name.as_bytes(), Refusal::Changed, cx),
            Err(error) => {
                cx.log.warn(Subject::Reading, "hash", &format!("file={name} reason=unreadable {error}"), cx.io.now());
                return self.refuse(name.as_bytes(), Refusal::Failed, cx);
            }
        };
        match purpose {
            Hashing::Drop { dir, name, .. } => self.drop_file(dir, name, identity, cx),
            Hashing::Replace { name, written, .. } => {
                self.store(name, written, (true, Some(identity)), cx);
                Ok(())
            }
        }
    }
}
