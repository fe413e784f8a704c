//! Files on disk: the collector's spool, and the server's storage.
//!
//! - `spool`: the centre: staging, group commit, the journal, the publishing order.
//! - `central_config`: the centre: agents' configuration, as the console edits it.
//! - `buffer`: the site: the storage's directories, the thread that stores, archives, the quota.
//! - `fs`: what both use: directories held open, temporary files, flushing, locks, space.
//!
//! Both work on a `SpoolDir`: a directory with a staging area inside, held open. Most of this page is about the collector,
//! which must remember across a crash what it has published; the last part is about the server, which need not.
//!
//! The loop stages files: it makes and writes them, which fills the page cache and waits for no flush. The
//! [`Committer`] makes them durable in groups and reports; only then may a site's copy go. It publishes them when their
//! turn has come: see [`Publish`]. It has one thread for all that is on the journal's filesystem, and one for each
//! other, and these share the journal (`spool/shared_journal.rs`). Each takes the steps below in their order for its
//! own files, and writes to the journal whole records, one thread at a time.
//!
//! # On disk
//! ```text
//! <incoming>/                        the data server's; its mode is never changed
//!     web01.1700000000.data          published: mode 0660, the directory's group if that is setgid
//!     .tentacle-sync-<id>/           ours, and empty: a site that lists it serves this directory, by a wrong address
//!     .tentacle-sync/                ours: mode 0700, on the same filesystem; made anew if removed while we are stopped
//!         id                         32 hexadecimal digits: which staging area this is; locked by its committer
//!         journal                    the path of the journal that has it
//!         <session>-<number>         staged, or committed
//! <state_dir>/
//!     lock                           locked by the committer
//!     journal                        what is committed and not published, and what sites may still have of it
//!     journal.new                    the next one, while it is being written
//! ```
//! The journal's lines are described in `spool/journal.rs`.
//!
//! # Committing a group
//! 1. The staged bytes, and that the files exist, are flushed: a few files each for itself, all at once, from threads that
//!    are kept; more with `syncfs`, which is faster then but also waits for what other programs have written.
//! 2. The journal gets an *intent* for each file, and is flushed.
//! 3. The loop is notified: the site's copy may go.
//!
//! # Publishing, for each file whose turn it is
//! 1. The file is renamed, never over anything.
//! 2. The directory is flushed.
//! 3. The journal gets *published* (not flushed).
//!
//! # Why nothing is lost and nothing comes twice
//! An intent means that a whole staged file was durable, so the disk shows what became of it: the staged file is there:
//! it was not renamed, and waits for its turn; it is absent: it was renamed, since only that removes a file with an
//! intent; it is damaged: it was given up. Hence step 1 of a commit ends before step 2 begins, even on one filesystem:
//! had an intent become durable first and the file never, its absence would pass for a publication, and the site's copy
//! would be deleted. Hence too a file that is given up after step 2 is removed only once a journal without its intent
//! is durable; as long as that cannot be written the file is emptied instead.
//!
//! What may be at a site is another matter: it begins with the intent, and ends with *gone*, which is flushed: after
//! it, the next file of that name is another one, whatever its bytes.
//!
//! Losing *published* costs a look at the disk. Losing the whole journal, or finding one beside another staging area
//! (the `id` differs), or one that another was kept after (the staging area has its path), makes it "at least once" for
//! what may still be at sites; what waited for its publication is published under names of ours. That is warned of. A
//! journal that is removed while we run is written anew when the next file is committed.
//!
//! A failed flush is never tried again as if it were clean. That of step 1 of a commit fails: the group's files on that
//! filesystem are removed and reported failed, to be fetched again. The journal fails: so too, and it is written anew
//! before it is used again. The directory's flush fails, after the renames: the intents stay, for the next start to see
//! what became of the files. What cannot be renamed waits, and with it its agent's later files.
//!
//! A file that fails breaks its [`PublishOrder`], its agent's files: none that was queued after it is committed, or one
//! agent's files would not come in their order. They are reported failed too.
//!
//! An incoming directory on another filesystem than the journal's may stop answering. The loop gives a thread of the
//! directory's own orders to stage, and never waits for it: bounded in number, so that who has more to write reads no
//! more meanwhile (`fs/staging_queue.rs`). The committer of that filesystem, for which nobody else waits, asks another
//! thread, and waits so long and no longer (`fs/answering.rs`). A step that timed out is a failed step that may still
//! be carried out, before any later one there; the argument above allows for both.
//!
//! Needs Linux 5.8, whose `syncfs` reports write errors, and a local filesystem that keeps the order of its own
//! metadata (ext4, XFS, btrfs). Where a filesystem has no exclusive rename, a link and an unlink take its place: a kill
//! between those two, followed by the data server taking the file before our next start, publishes it twice.
//! `fs/lacks.rs` lists what else a filesystem may lack; a start warns of it.
//!
//! # The server's storage
//! A [`StorageDir`] is the storage directory or one inside it, each with a staging area, `.tentacle-server`, as above.
//! What a client sends is written to a [`TempFile`]; the [`StoreWorker`]'s thread stores it, in groups but without a
//! journal: whoever got no answer sends again. `buffer/store_group.rs` has the steps and why no name ever stands for
//! half a file. What a client takes is a [`Source`], one open file; it is removed by its [`Identity`], so that a newer
//! file of its name stays. [`SpaceAccount`] holds the storage to its [`Quota`]. Archives and recounts are left to the
//! thread of [`Background`].
//!
//! # What it costs
//! `cargo bench --bench disk`: ext4 and XFS in loop images, two shared cores; medians of three runs. *Beside* is beside
//! another program that has just written a gigabyte, flushes nothing, and goes on writing.
//!
//! | 4 KiB files a second, 1,024 on their way | ext4 | beside | XFS | beside |
//! |---|---|---|---|---|
//! | nothing flushed | 47,300 | 42,000 | 41,400 | 42,600 |
//! | one by one: fdatasync, rename, fsync of the directory | 650 | 840 | 1,130 | 1,070 |
//! | fdatasync from 16 threads, then for all as above | 8,900 | 8,500 | 8,200 | 8,600 |
//! | a log is flushed; `syncfs` when it is full | 25,300 | 14,200 | 23,600 | 15,200 |
//! | one `syncfs`, then for all as above | 22,100 | 12,300 | 24,600 | 14,400 |
//! | that with a journal: the committer | 21,500 (34x one by one) | 9,900 (12x) | 20,900 (18x) | 11,400 (11x) |
//!
//! The log, which would need a recovery of its own, gains nothing that lasts. Beside the gigabyte a `syncfs` takes 0.4 s
//! whatever it is for: a lone file took 0.6 s there at the worst, and takes 6 to 20 ms now that small groups do without.
//!
//! | ms to flush so many files | 1 | 4 | 8 | 16 | 32 | 64 |
//! |---|---|---|---|---|---|---|
//! | in turn, ext4 / XFS | 0.9 / 0.6 | 2.8 / 2.0 | 5.0 / 4.1 | 12 / 7.5 | 20 / 16 | 44 / 30 |
//! | from threads started for it, ext4 / XFS | 0.9 / 0.6 | 1.4 / 1.0 | 1.6 / 1.6 | 2.6 / 2.0 | 3.9 / 3.2 | 6.8 / 5.9 |
//! | `syncfs`, ext4 / XFS | 1.5 / 0.7 | 1.4 / 0.7 | 1.3 / 0.7 | 1.6 / 0.9 | 1.8 / 1.4 | 1.9 / 1.7 |
//! | from threads started for it, beside | 0.8 / 0.5 | 1.6 / 1.1 | 1.6 / 1.4 | 2.9 / 2.1 | 3.7 / 3.1 | 6.2 / 7.5 |
//! | `syncfs`, beside | 400 / 400 | 400 / 370 | 420 / 380 | 430 / 370 | 420 / 370 | 450 / 360 |
//!
//! From threads that are kept, as here, 8 or 16 files take 0.5 to 0.8 of what they take from threads started for them on
//! ext4, and 0.75 to 0.95 on XFS: medians of some hundred pairs, on processors that had other work too. A committer keeps
//! 15 at most, from its first group of so many files until it ends, and so does the server's storage.
//!
//! The loop's longest stall by staging while others are committed was 2.6 to 4.5 ms, and once 5.2 ms. The mapped sink
//! takes 2 to 3 times as long as appending for a 4 KiB file, as long for 64 MiB. So [`SinkKind::Append`] is the default.

mod buffer;
mod central_config;
mod fs;
#[cfg(test)]
pub(crate) mod model;
mod spool;

pub use buffer::archive::{ArchiveError, Content, Packed, UnpackLimits, pack_into};
pub use buffer::background::{Background, Finished, Hashed};
pub use buffer::fair_queue::{StillWanted, Wanted};
pub use buffer::lister::{Lister, Listing, ListingKind, PageOf, Progress};
pub use buffer::storage_dir::{PendingRemovals, StorageDir};
pub use buffer::store_worker::{Concluded, Dropped, StoreRequest, StoreResult, StoreWorker};
pub use central_config::{
    CentralCompletion, CentralConfig, CentralFiles, CentralFinding, CentralView, Fault, GuardFile, InStepFile,
    MAX_COLLECTION, MAX_CONFIGURATION, SeenCentre, Unfit, UnfitPair, Upload, agent_of, check_pairs,
};
pub(crate) use fs::advice::MOUNT_WRITABLE;
pub use fs::durability::Durability;
pub use fs::error::StoreError;
pub(crate) use fs::lacks::set_rights;
pub use fs::lacks::{Lack, check_threads, lacks_of};
pub(crate) use fs::mark::BorrowedMark;
pub use fs::on_conflict::OnConflict;
pub use fs::setup::check_directory;
pub use fs::sink::{OpenSink, Sink, SinkKind};
pub use fs::source::{FileState, Identity, Source};
pub use fs::space::{Full, LastCount, Quota, QuotaUse, Reservation, SpaceAccount};
#[cfg(test)]
pub(crate) use fs::staging_queue::Deferred;
pub use fs::temp_file::{ClosedTemp, TempFile};
pub use fs::usage::{Held, Usage};
pub use spool::Spool;
pub use spool::committer::{CommitPolicy, Committer, CommitterNotify, Completion, Outstanding, Publication, Waiting};
pub use spool::committing::Commits;
pub use spool::hashed_temp::{ClosedHashedTemp, HashedTemp};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use spool::journal::fuzz_journal;
pub(crate) use spool::journal_file::JOURNAL;
pub use spool::journal_file::StateDir;
pub use spool::left_behind::{LeftBehind, LeftOfSite};
pub use spool::publish_order::PublishOrder;
pub use spool::publish_queue::Publish;
pub use spool::spooled::InSpool;
