//! What sessions share: the storage directory (which directory a name belongs to, who may do what there, the requests
//! to its threads), and what is known of clients.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::claims::Claims;
use super::guesses::{Guesses, network};
use super::listings::{Listed, Listings};
use super::ports::FileStore;
use crate::config::server::{StoreSettings, Who};
use crate::net::ConnId;
use crate::proto::{FileName, Verb, quoted};
use crate::store::{
    ArchiveError, Background, ClosedTemp, Concluded, Dropped, Finished, Full, Hashed, Identity, LastCount, OnConflict,
    Packed, Quota, QuotaUse, Source, SpaceAccount, StorageDir, StoreError, StoreRequest, StoreWorker, TempFile,
    UnpackLimits, Wanted,
};

/// The rights of new files, before the umask.
pub(super) const FILE_MODE: u32 = 0o666;

/// Removals that may be waiting for the disk before those who cause them have to wait, too.
const MOST_REMOVALS: usize = 2_000;

/// What one of the threads, or [`Listings`], has done for a session.
#[derive(Debug)]
pub(super) enum Done {
    /// The file is safe, or is not.
    Stored(Result<(), StoreError>),
    /// An archive has been unpacked, or cannot be.
    Unpacked(Result<ClosedTemp, ArchiveError>),
    /// An archive has been made, or cannot be.
    Packed(Result<Packed, ArchiveError>),
    /// A file has been hashed, or cannot be.
    Hashed(Result<Hashed, ArchiveError>),
    /// A file has been removed, or cannot be.
    Dropped(Result<Dropped, StoreError>),
    /// A directory has been listed, or cannot be.
    Listed(Listed),
}

/// The storage directory.
#[derive(Debug)]
pub(super) struct Storage {
    settings: StoreSettings,
    file_mode: u32,
    root: Seen,
    /// Those that filters lead to and that have been used, by the name they have there.
    dirs: HashMap<PathBuf, Seen>,
    space: SpaceAccount,
    store_worker: Box<dyn FileStore>,
    background: Background,
    listings: Listings,
    claims: Claims,
    guesses: Guesses,
    /// When what is stored was last to be counted for somebody who asked.
    count_asked: Option<Instant>,
}

/// A directory that may be moved or removed at any time, and when it was seen in its place.
#[derive(Debug)]
struct Seen {
    dir: StorageDir,
    at: Option<Instant>,
}

impl Seen {
    fn new(dir: StorageDir) -> Self {
        Self { dir, at: None }
    }

    /// Looks once a turn of the loop.
    fn is_in_place(&mut self, now: Instant) -> bool {
        if self.at != Some(now) {
            self.at = self.dir.is_in_place().then_some(now);
        }
        self.at.is_some()
    }
}

/// Why there is no temporary file for an upload, or no more of it.
pub(super) enum NoTempFile {
    /// The quota.
    Full(Full),
    /// The disk.
    Failed(StoreError),
}

/// What is needed to open the storage directory, with nothing started yet: a daemon forks in between.
pub(super) fn open_root(settings: &StoreSettings, umask: u32) -> Result<StorageDir, StoreError> {
    StorageDir::open(&settings.directory, FILE_MODE & !umask)
}

/// The directories that filters lead to and that cannot be used, each with what comes of it. They may come to be later.
pub(super) fn unusable_dirs(settings: &StoreSettings) -> Vec<String> {
    let directories: BTreeSet<&Path> = settings.filters.directories().collect();
    let errors = directories.into_iter().filter_map(|below| StorageDir::check_inside(&settings.directory, below).err());
    errors
        .map(|error| {
            format!(
                "{error}, or change the filters (-i); until then a file that they lead there is not taken, and its client \
                 disconnected, as by stock"
            )
        })
        .collect()
}

fn warn_of_unusable_dirs(settings: &StoreSettings) {
    for why in unusable_dirs(settings) {
        log::warn!("{why}");
    }
}

impl Storage {
    /// Counts what is there, where the quota needs it, and starts the threads. `notify` makes them: they call what it
    /// makes whenever something is done.
    pub(super) fn start(
        settings: StoreSettings,
        umask: u32,
        storage: StorageDir,
        notify: impl Fn() -> Box<dyn Fn() + Send>,
    ) -> Result<Self, StoreError> {
        let (durability, background) = (settings.durability, Background::start(notify())?);
        let store_worker =
            |space: &SpaceAccount| Ok(Box::new(StoreWorker::start(durability, space.clone(), notify())?) as Box<_>);
        Self::with(settings, umask, storage, background, store_worker)
    }

    /// As [`Storage::start`] makes it, with these threads.
    pub(super) fn with(
        settings: StoreSettings,
        umask: u32,
        storage: StorageDir,
        background: Background,
        store_worker: impl FnOnce(&SpaceAccount) -> Result<Box<dyn FileStore>, StoreError>,
    ) -> Result<Self, StoreError> {
        let space = SpaceAccount::open(&storage, quota(&settings))?;
        warn_of_unusable_dirs(&settings);
        Ok(Self {
            store_worker: store_worker(&space)?,
            background,
            settings,
            file_mode: FILE_MODE & !umask,
            root: Seen::new(storage),
            dirs: HashMap::new(),
            space,
            listings: Listings::default(),
            claims: Claims::default(),
            guesses: Guesses::default(),
            count_asked: None,
        })
    }

    /// Takes other settings over, all but the directory and the durability, which need a restart.
    pub(super) fn change(&mut self, settings: StoreSettings) {
        self.space.set_quota(quota(&settings));
        warn_of_unusable_dirs(&settings);
        self.settings = settings;
        self.recount();
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Has what is stored counted anew, where that matters.
    pub(super) fn recount(&self) {
        if quota(&self.settings).is_of_count() {
            self.background.recount(self.space.clone());
        }
    }

    /// Has what is stored counted anew for somebody who asks, unless that is under way.
    pub(super) fn count(&mut self, now: Instant) {
        if self.counting_since().is_none() {
            self.count_asked = Some(now);
            self.background.recount(self.space.clone());
        }
    }

    /// Since when a count is under way that was [asked for](Self::count).
    pub(super) fn counting_since(&self) -> Option<Instant> {
        let last = self.last_count();
        self.count_asked.filter(|asked| last.is_none_or(|last| last.began < *asked))
    }

    /// The last count that has ended.
    pub(super) fn last_count(&self) -> Option<LastCount> {
        self.space.last_count()
    }

    /// Whether another count is not worth its while yet.
    pub(super) fn has_fresh_count(&self, now: Instant) -> bool {
        self.last_count().is_some_and(|count| now < count.stale_at)
    }

    /// What is used of the quota.
    pub(super) fn quota_use(&self) -> QuotaUse {
        self.space.quota_use()
    }

    /// When to have that done, since a client found no room.
    pub(super) fn recount_due(&self) -> Option<Instant> {
        self.space.recount_due()
    }

    /// Whether `who` may do that with a file of this name, or list where this word leads.
    pub(super) fn permits(&self, who: &Who<'_>, verb: Verb, name: &[u8]) -> bool {
        self.settings.rules.permits(who, verb, self.settings.filters.directory_of(name))
    }

    /// The directory that a name belongs to; `now` is this turn's time.
    pub(super) fn dir_of(&mut self, name: &[u8], now: Instant) -> Result<StorageDir, StoreError> {
        if !self.root.is_in_place(now) {
            self.reopen_root()?;
        }
        let Some(directory) = self.settings.filters.directory_of(name) else { return Ok(self.root.dir.clone()) };
        if let Some(seen) = self.dirs.get_mut(directory)
            && seen.is_in_place(now)
        {
            return Ok(seen.dir.clone());
        }
        // Not the one that somebody has moved away or removed: that would keep files where nobody looks for them.
        self.dirs.remove(directory);
        let dir = self.root.dir.open_inside(directory, self.file_mode)?;
        self.dirs.insert(directory.to_owned(), Seen::new(dir.clone()));
        Ok(dir)
    }

    /// Somebody has moved or removed the storage directory or its staging area, and perhaps made another.
    fn reopen_root(&mut self) -> Result<(), StoreError> {
        self.dirs.clear();
        let root = StorageDir::open(self.root.dir.path(), self.file_mode)?;
        log::warn!("{}: is another directory now, or was tampered with; opened anew", quoted(root.path()));
        self.space.set_storage(&root);
        self.root = Seen::new(root);
        self.recount();
        Ok(())
    }

    /// Room for a file of this name, and the file itself.
    pub(super) fn create_temp(
        &self,
        dir: &StorageDir,
        name: &FileName,
        size: u64,
        now: Instant,
    ) -> Result<TempFile, NoTempFile> {
        // Its size is looked up only where the quota counts it.
        let may_replace = self.settings.overwrite && quota(&self.settings).is_of_count();
        let replaced = if may_replace { dir.size_of(name) } else { None };
        let reservation = self.space.admit(dir, size, replaced, now).map_err(NoTempFile::Full)?;
        match dir.create_temp(size) {
            Ok(temp) => Ok(temp.with_reservation(reservation)),
            Err(error) => Err(NoTempFile::Failed(error)),
        }
    }

    /// Has a file made safe under its name, for a session that waits for it. `expected`: in place of that one alone.
    pub(super) fn store(
        &mut self,
        id: ConnId,
        name: FileName,
        written: ClosedTemp,
        may_replace: bool,
        expected: Option<Identity>,
    ) {
        let may_replace = may_replace && self.settings.overwrite;
        let on_conflict = if may_replace { OnConflict::Replace } else { OnConflict::Refuse };
        self.store_worker.store(StoreRequest { ticket: id.to_bits(), name, written, on_conflict, expected });
    }

    /// Has a file removed, for a session that waits for it.
    pub(super) fn drop_file(&self, id: ConnId, dir: StorageDir, name: FileName, identity: Identity) {
        self.store_worker.drop_file(id.to_bits(), dir, name, identity);
    }

    /// Has a file hashed, for a session that waits for it as long as it keeps what this returns.
    pub(super) fn hash(&mut self, id: ConnId, client: IpAddr, dir: StorageDir, source: Source) -> Wanted {
        self.background.hash(id.to_bits(), network(client), dir, source)
    }

    /// Has an archive unpacked, for a session that waits for it as long as it keeps what this returns.
    pub(super) fn unpack(&mut self, id: ConnId, client: IpAddr, archive: ClosedTemp) -> Wanted {
        let unzip = self.settings.unzip;
        let limits = UnpackLimits { max_size: unzip.max_bytes, max_ratio: unzip.ratio };
        self.background.unpack(id.to_bits(), network(client), archive, limits)
    }

    /// Has an archive made, for a session that waits for it as long as it keeps what this returns.
    pub(super) fn pack(&mut self, id: ConnId, client: IpAddr, dir: StorageDir, source: Source) -> Wanted {
        self.background.pack(id.to_bits(), network(client), dir, source)
    }

    /// The listings that are being made.
    pub(super) fn listings(&mut self) -> &mut Listings {
        &mut self.listings
    }

    /// The files that clients are being moved.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Wrong passwords that clients have sent.
    pub(super) fn guesses(&mut self) -> &mut Guesses {
        &mut self.guesses
    }

    /// Has a file removed that its client has.
    pub(super) fn remove(&self, moved: &super::session::MovedFile) {
        self.store_worker.remove(moved.dir.clone(), moved.name.clone(), moved.identity);
    }

    /// Whether the disk removes files more slowly than clients take them.
    pub(super) fn is_behind(&self) -> bool {
        let dirs = self.dirs.values().chain([&self.root]);
        dirs.map(|seen| seen.dir.removals()).sum::<usize>() > MOST_REMOVALS
    }

    /// What the threads have done since the last call, and for whom.
    pub(super) fn done(&mut self) -> Vec<(ConnId, Done)> {
        let stored = self.store_worker.completions().into_iter().map(|concluded| match concluded {
            Concluded::Stored(stored) => (stored.ticket, Done::Stored(stored.result)),
            Concluded::Dropped { ticket, result } => (ticket, Done::Dropped(result)),
        });
        let archived = self.background.completions().into_iter().map(|finished| match finished {
            Finished::Unpacked { ticket, result } => (ticket, Done::Unpacked(result)),
            Finished::Packed { ticket, result } => (ticket, Done::Packed(result)),
            Finished::Hashed { ticket, result } => (ticket, Done::Hashed(result)),
        });
        stored.chain(archived).map(|(ticket, done)| (ConnId::from_bits(ticket), done)).collect()
    }

    /// Whether all threads are there, without whom sessions would wait for ever.
    pub(super) fn is_alive(&self) -> bool {
        self.store_worker.is_alive() && self.background.is_alive()
    }

    /// Whether the thread for what takes long has something to do or to report.
    #[cfg(test)]
    pub(super) fn is_hashing(&self) -> bool {
        self.background.pending() > 0
    }

    /// Carries out what the threads have been asked, and ends them.
    pub(super) fn stop(self) {
        self.background.stop();
        self.store_worker.stop();
    }
}

fn quota(settings: &StoreSettings) -> Quota {
    let limit = |value: u64| (value > 0).then_some(value);
    let quota = settings.quota;
    Quota { max_bytes: limit(quota.max_bytes), max_files: limit(quota.max_files), min_free: limit(quota.min_free) }
}
