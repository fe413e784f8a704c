//! A listing on its way: all at once, as stock sends it, or in the pages of the extension.

use std::time::Duration;

use super::{Context, MAX_LISTING};
use crate::collector::Reason;
use crate::collector::site::Site;
use crate::proto::extension::{Cursor, ExtensionCommand, Page, PageParser, Remaining};
use crate::proto::{Error, Excerpt, ListArg, Listing, ListingParser, Verb};
use crate::sync::{AgeSource, Assignment, Details, ListAssignment, Selection};
use crate::tls::UnixTime;

/// Bytes of a listing that cost as much as judging a name.
const BYTES_PER_COST: usize = 32;

/// A stock server's listing.
pub(super) struct ListingTask {
    parser: ListingParser,
    assignment: ListAssignment,
    selection: Selection,
    /// What it has cost so far, in names.
    cost: usize,
}

impl ListingTask {
    pub(super) fn new(assignment: ListAssignment, site: &mut Site, date: UnixTime) -> Self {
        Self { parser: ListingParser::default(), assignment, selection: site.select(AgeSource::Names, date), cost: 0 }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], site: &mut Site) {
        let Self { parser, selection, cost, .. } = self;
        *cost += bytes.len() / BYTES_PER_COST;
        parser.feed(bytes, |name| {
            *cost += 1;
            site.judge(name, selection);
        });
    }

    pub(super) fn finish(self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let Self { parser, assignment, mut selection, .. } = self;
        let listing = parser.finish(|name| cx.site.judge(name, &mut selection));
        if let Err(reason) = look_for_own_mark(&listing, cx) {
            cx.site.dropped(Assignment::List(assignment));
            return Err(reason);
        }
        cx.site.log_refused(&listing, 0);
        cx.site.note_listing(&selection, cx.io.now());
        cx.site.listed(assignment, selection, cx.commit_queue);
        Ok(())
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn into_assignment(self) -> ListAssignment {
        self.assignment
    }
}

/// A listing in pages.
pub(super) struct PagedListing {
    assignment: ListAssignment,
    selection: Selection,
    parser: PageParser,
    /// What follows the page that is on its way.
    remaining: Option<Remaining>,
    /// Where that began.
    after: Option<Cursor>,
    /// Of all pages so far, in bytes.
    size: u64,
    /// Files of all pages so far, and their bytes.
    files: u64,
    bytes: u64,
    /// Names of the pages before that cannot be used.
    refused: u64,
    /// What it has cost so far, in names.
    cost: usize,
}

impl PagedListing {
    pub(super) fn new(assignment: ListAssignment, site: &mut Site, date: UnixTime) -> Self {
        Self {
            assignment,
            selection: site.select(AgeSource::Written, date),
            parser: PageParser::default(),
            remaining: None,
            after: None,
            size: 0,
            files: 0,
            bytes: 0,
            refused: 0,
            cost: 0,
        }
    }

    /// What asks for the next page.
    pub(super) fn command(&self) -> ExtensionCommand {
        ExtensionCommand::List { word: ListArg::root(), after: self.after.clone(), limit: None }
    }

    /// A page of so many bytes follows, and `remaining` that.
    pub(super) fn announced(&mut self, size: u64, remaining: Option<Remaining>) -> Result<(), Reason> {
        self.remaining = remaining;
        self.size = self.size.saturating_add(size);
        if self.size > MAX_LISTING {
            return Err(Reason::ListingTooLarge { size: self.size, most: MAX_LISTING });
        }
        Ok(())
    }

    pub(super) fn feed(&mut self, bytes: &[u8], site: &mut Site) {
        let Self { parser, selection, cost, files, bytes: sum, .. } = self;
        *cost += bytes.len() / BYTES_PER_COST;
        parser.feed(bytes, |entry| {
            *cost += 1;
            *files += 1;
            *sum = sum.saturating_add(entry.size);
            let details = Details { size: entry.size, written: Duration::from_nanos(entry.mtime) };
            site.judge_with(entry.name, details, selection);
        });
    }

    /// A page has come whole: what is left to be asked for, if anything is.
    pub(super) fn page_complete(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Box<Self>>, (Box<Self>, Reason)> {
        let parser = std::mem::take(&mut self.parser);
        let Page { listing, last } = match parser.finish() {
            Ok(page) => page,
            Err(error) => return Err(self.garbage(error.line, cx)),
        };
        if let Err(reason) = look_for_own_mark(&listing, cx) {
            return Err((self, reason));
        }
        cx.site.log_refused(&listing, self.refused);
        self.refused += listing.refused_count();
        if self.remaining.is_none() {
            cx.site.note_listing(&self.selection, cx.io.now());
            cx.site.ask_ahead(self.bytes / self.files.max(1));
            cx.site.listed(self.assignment, self.selection, cx.commit_queue);
            return Ok(None);
        }
        // A page that leads nowhere would be asked for again and again.
        let place = |cursor: &Cursor| (cursor.mtime, cursor.name.clone());
        match last {
            Some(last) if self.after.as_ref().is_none_or(|after| place(after).0 <= last.mtime && *after != last) => {
                self.after = Some(last);
                Ok(Some(self))
            }
            _ => Err(self.garbage(Excerpt::of(b"a page that ends where it begins"), cx)),
        }
    }

    fn garbage(self: Box<Self>, excerpt: Excerpt, cx: &Context<'_>) -> (Box<Self>, Reason) {
        let reason = cx.site.protocol(Error::Garbage { verb: Verb::List, excerpt });
        (self, reason)
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn into_assignment(self) -> ListAssignment {
        self.assignment
    }
}

/// An error if what is listed is an incoming directory of ours.
fn look_for_own_mark(listing: &Listing, cx: &Context<'_>) -> Result<(), Reason> {
    match cx.commit_queue.own_spool(listing.marks()) {
        Some(directory) => Err(Reason::OwnSpool(directory.to_owned())),
        None => Ok(()),
    }
}
