//! What sessions share: the storage directory (which folder a name belongs to, who may do what there, what the threads
//! behind it have been asked), and what is known of clients.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use super::claims::Claims;
use super::guesses::Guesses;
use super::outside::Custodian;
use crate::config::server::{StoreSettings, Who};
use crate::net::ConnId;
use crate::proto::{FileName, Verb, quoted};
use crate::store::{
    ArchiveError, Background, Draft, Finished, Folder, Full, IfTaken, Keep, Keeper, Limits, Packed, Quota, Room,
    Source, StoreError, Written,
};

/// The rights of new files, before the umask.
const FILE_MODE: u32 = 0o666;

/// Removals that may be waiting for the disk before those who cause them have to wait, too.
const MOST_REMOVALS: usize = 2_000;

/// What one of the threads has done for a session.
#[derive(Debug)]
pub(super) enum Done {
    /// The file is safe, or is not.
    Kept(Result<(), StoreError>),
    /// An archive has been unpacked, or cannot be.
    Unpacked(Result<Written, ArchiveError>),
    /// An archive has been made, or cannot be.
    Packed(Result<Packed, ArchiveError>),
}

/// The storage directory.
#[derive(Debug)]
pub(super) struct Storage {
    settings: StoreSettings,
    file_mode: u32,
    root: Folder,
    /// Those that filters lead to and that have been used, by the name they have there.
    folders: HashMap<PathBuf, Folder>,
    room: Room,
    keeper: Box<dyn Custodian>,
    background: Background,
    claims: Claims,
    guesses: Guesses,
    /// Who waits for which ticket.
    waiting: HashMap<u64, ConnId>,
    last_ticket: u64,
}

/// Why there is no draft for a file.
pub(super) enum NoDraft {
    /// The quota.
    Full(Full),
    /// The disk.
    Failed(StoreError),
}

/// What is needed to open the storage directory, with nothing started yet: a daemon forks in between.
pub(super) fn open_root(settings: &StoreSettings, umask: u32) -> Result<Folder, StoreError> {
    Folder::open(&settings.directory, FILE_MODE & !umask)
}

impl Storage {
    /// Counts what is there, where the quota needs it, and starts the threads. `notify` makes them: they call what it
    /// makes whenever something is done.
    pub(super) fn start(
        settings: StoreSettings,
        umask: u32,
        storage: Folder,
        notify: impl Fn() -> Box<dyn Fn() + Send>,
    ) -> Result<Self, StoreError> {
        let (durability, background) = (settings.durability, Background::start(notify())?);
        let keeper = |room: &Room| Ok(Box::new(Keeper::start(durability, room.clone(), notify())?) as Box<_>);
        Self::with(settings, umask, storage, background, keeper)
    }

    /// As [`Storage::start`] makes it, with these threads.
    pub(super) fn with(
        settings: StoreSettings,
        umask: u32,
        storage: Folder,
        background: Background,
        keeper: impl FnOnce(&Room) -> Result<Box<dyn Custodian>, StoreError>,
    ) -> Result<Self, StoreError> {
        let room = Room::open(storage.clone(), quota(&settings))?;
        Ok(Self {
            keeper: keeper(&room)?,
            background,
            settings,
            file_mode: FILE_MODE & !umask,
            root: storage,
            folders: HashMap::new(),
            room,
            claims: Claims::default(),
            guesses: Guesses::default(),
            waiting: HashMap::new(),
            last_ticket: 0,
        })
    }

    /// Takes other settings over, all but the directory and the durability, which need a restart.
    pub(super) fn change(&mut self, settings: StoreSettings) {
        self.room.set_quota(quota(&settings));
        self.settings = settings;
        self.recount();
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Has what is stored counted anew, where that matters.
    pub(super) fn recount(&self) {
        let quota = quota(&self.settings);
        if quota.max_bytes.is_some() || quota.max_files.is_some() {
            self.background.recount(self.room.clone());
        }
    }

    /// Whether `who` may do that with a file of this name, or list where this word leads.
    pub(super) fn permits(&self, who: &Who<'_>, verb: Verb, name: &[u8]) -> bool {
        self.settings.rules.permits(who, verb, self.settings.filters.directory_of(name))
    }

    /// The folder that a name belongs to.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<Folder, StoreError> {
        if !self.root.is_in_place() {
            self.reopen_root()?;
        }
        let Some(directory) = self.settings.filters.directory_of(name) else { return Ok(self.root.clone()) };
        if let Some(folder) = self.folders.get(directory).filter(|folder| folder.is_in_place()) {
            return Ok(folder.clone());
        }
        // Not the one that somebody has moved away or removed: that would keep files where nobody looks for them.
        self.folders.remove(directory);
        let folder = self.root.open_inside(directory, self.file_mode)?;
        self.folders.insert(directory.to_owned(), folder.clone());
        Ok(folder)
    }

    /// Somebody has moved or removed the storage directory or its staging area, and perhaps made another.
    fn reopen_root(&mut self) -> Result<(), StoreError> {
        self.folders.clear();
        let root = Folder::open(self.root.path(), self.file_mode)?;
        log::warn!("{}: is another directory now, or was tampered with; opened anew", quoted(root.path()));
        self.room.set_storage(root.clone());
        self.root = root;
        self.recount();
        Ok(())
    }

    /// Room for a file, and the file itself.
    pub(super) fn draft(&self, folder: &Folder, size: u64, now: Instant) -> Result<Draft, NoDraft> {
        let reservation = self.room.admit(folder, size, now).map_err(NoDraft::Full)?;
        match folder.draft(size) {
            Ok(draft) => Ok(draft.with_reservation(reservation)),
            Err(error) => Err(NoDraft::Failed(error)),
        }
    }

    /// Has a file made safe under its name, for a session that waits for it.
    pub(super) fn keep(&mut self, id: ConnId, name: FileName, written: Written) {
        let if_taken = if self.settings.overwrite { IfTaken::Replace } else { IfTaken::Refuse };
        let ticket = self.ticket(id);
        self.keeper.keep(Keep { ticket, name, written, if_taken });
    }

    /// Has an archive unpacked, for a session that waits for it.
    pub(super) fn unpack(&mut self, id: ConnId, archive: Written) {
        let ticket = self.ticket(id);
        let unzip = self.settings.unzip;
        self.background.unpack(ticket, archive, Limits { max_size: unzip.max_bytes, max_ratio: unzip.ratio });
    }

    /// Has an archive made, for a session that waits for it.
    pub(super) fn pack(&mut self, id: ConnId, folder: Folder, source: Source) {
        let ticket = self.ticket(id);
        self.background.pack(ticket, folder, source);
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
    pub(super) fn remove(&self, moved: &super::session::Moved) {
        self.keeper.remove(moved.folder.clone(), moved.name.clone(), moved.identity);
    }

    /// Whether the disk removes files more slowly than clients take them.
    pub(super) fn is_behind(&self) -> bool {
        let folders = self.folders.values().chain([&self.root]);
        folders.map(Folder::removals).sum::<usize>() > MOST_REMOVALS
    }

    /// What the threads have done since the last call, and for whom.
    pub(super) fn done(&mut self) -> Vec<(ConnId, Done)> {
        let kept = self.keeper.completions().into_iter().map(|kept| (kept.ticket, Done::Kept(kept.result)));
        let archived = self.background.completions().into_iter().map(|finished| match finished {
            Finished::Unpacked { ticket, result } => (ticket, Done::Unpacked(result)),
            Finished::Packed { ticket, result } => (ticket, Done::Packed(result)),
        });
        let done: Vec<_> = kept.chain(archived).collect();
        done.into_iter().filter_map(|(ticket, done)| Some((self.waiting.remove(&ticket)?, done))).collect()
    }

    /// Whether all threads are there, without whom sessions would wait for ever.
    pub(super) fn is_alive(&self) -> bool {
        self.keeper.is_alive() && self.background.is_alive()
    }

    /// Carries out what the threads have been asked, and ends them.
    pub(super) fn stop(self) {
        self.background.stop();
        self.keeper.stop();
    }

    fn ticket(&mut self, id: ConnId) -> u64 {
        self.last_ticket += 1;
        self.waiting.insert(self.last_ticket, id);
        self.last_ticket
    }
}

fn quota(settings: &StoreSettings) -> Quota {
    let limit = |value: u64| (value > 0).then_some(value);
    let quota = settings.quota;
    Quota { max_bytes: limit(quota.max_bytes), max_files: limit(quota.max_files), min_free: limit(quota.min_free) }
}
