//! A site's machine. The directories of its server's storage are real, so that the server works on them as it does; the
//! model decides what of them survives a loss of power, and removes the rest.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};
use std::{fs, thread};

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::proto::FileName;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::StageId;

/// A file that has, or had, a name: its number among all of the machine's.
pub(crate) type FileId = usize;

/// What the step that is counted down to meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SiteFault {
    /// The process is killed.
    Kill(When),
    /// The machine loses power: a kill that also costs what was not synced.
    PowerLoss(When),
    /// The step fails, perhaps half done; the next ones work.
    Error,
    /// From this step on every one fails, until the process is started again.
    Broken,
}

/// Whether the step before which, or after which, all ends is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
    Either,
}

/// What a server's storage came to, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageEvent {
    /// A file got its name, which another may have had.
    Named { file: FileId, replaced: Option<FileId> },
    /// A file was removed.
    Removed(FileId),
    /// A file's removal is ordered: nobody is shown it any more.
    RemovalOrdered(FileId),
    /// It is still there, and everybody is shown it again.
    RemovalFailed(FileId),
    /// That another file has this one's name has become durable.
    Superseded(FileId),
    /// What was not durable may be gone, and what was removed may be back.
    PowerLost,
}

/// A stored file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: FileName,
    pub(crate) bytes: Vec<u8>,
    is_durable: bool,
}

#[derive(Debug)]
enum Change {
    Named(FileId),
    Removed(FileId),
}

/// What has become of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Killed,
    /// Its machine has lost power.
    Dark,
}

/// Which names lead to which files.
type Names = BTreeMap<FileName, FileId>;

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    names: Names,
    durable: Names,
    /// What `names` is ahead of `durable`: filesystems keep the order of a directory's changes.
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Machine {
    directories: Vec<Directory>,
    files: Vec<File>,
    /// What was flushed before it got its name, by where it is staged.
    flushed: HashMap<StageId, Vec<u8>>,
    site_faults: VecDeque<(u64, SiteFault)>,
    state: State,
    steps: u64,
    chance: fastrand::Rng,
    happened: Vec<StorageEvent>,
    /// Whose removal was ordered.
    to_be_removed: Vec<FileId>,
}

/// A site's disk, shared with whatever works on it.
#[derive(Clone, Debug)]
pub(crate) struct SiteDisk(Arc<Mutex<Machine>>);

impl SiteDisk {
    /// Makes `directories`, the storage directory first, anew and empty.
    pub(crate) fn new(directories: Vec<PathBuf>, seed: u64) -> Self {
        fs::remove_dir_all(&directories[0]).ok();
        let make = |path: PathBuf| {
            fs::create_dir_all(&path).expect("a directory can be made");
            let path = path.canonicalize().expect("it is there");
            Directory { path, names: Names::new(), durable: Names::new(), changes: Vec::new() }
        };
        Self(Arc::new(Mutex::new(Machine {
            directories: directories.into_iter().map(make).collect(),
            files: Vec::new(),
            flushed: HashMap::new(),
            site_faults: VecDeque::new(),
            state: State::Running,
            steps: 0,
            chance: fastrand::Rng::with_seed(seed),
            happened: Vec::new(),
            to_be_removed: Vec::new(),
        })))
    }

    /// After so many more good steps, this happens.
    pub(crate) fn inject(&self, steps: u64, fault: SiteFault) {
        self.locked().site_faults.push_back((steps, fault));
    }

    /// Meets no more site_faults.
    pub(crate) fn clear_faults(&self) {
        self.locked().site_faults.clear();
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> u64 {
        self.locked().steps
    }

    /// Whether the process must be started again.
    pub(crate) fn is_down(&self) -> bool {
        self.locked().state != State::Running
    }

    /// Whether it is the machine that must be.
    pub(crate) fn is_dark(&self) -> bool {
        self.locked().state == State::Dark
    }

    /// The process dies here and now.
    pub(crate) fn kill(&self) {
        self.locked().state = State::Killed;
    }

    /// The machine does.
    pub(crate) fn cut_power(&self) {
        let mut machine = self.locked();
        machine.lose_power();
    }

    /// A new process.
    pub(crate) fn start(&self) {
        let mut machine = self.locked();
        machine.state = State::Running;
        let Machine { to_be_removed, happened, directories, .. } = &mut *machine;
        let stays = |file: &FileId| directories.iter().any(|directory| directory.names.values().any(|is| is == file));
        happened.extend(to_be_removed.drain(..).filter(stays).map(StorageEvent::RemovalFailed));
        if let Some((0, SiteFault::Broken)) = machine.site_faults.front() {
            machine.site_faults.pop_front();
        }
    }

    /// What has happened since the last call.
    pub(crate) fn happened(&self) -> Vec<StorageEvent> {
        std::mem::take(&mut self.locked().happened)
    }

    /// Looks at a file.
    pub(crate) fn look<T>(&self, file: FileId, at: impl FnOnce(&File) -> T) -> T {
        at(&self.locked().files[file])
    }

    /// The files that are there now.
    pub(crate) fn files(&self) -> Vec<FileId> {
        let machine = self.locked();
        machine.directories.iter().flat_map(|directory| directory.names.values().copied()).collect()
    }

    /// Whether this file would be there, whole, after a loss of power.
    pub(crate) fn keeps(&self, directory: usize, name: &FileName, bytes: &[u8]) -> bool {
        let machine = self.locked();
        let file = machine.directories[directory].durable.get(name).map(|&file| &machine.files[file]);
        file.is_some_and(|file| file.is_durable && file.bytes == bytes)
    }

    /// One step on the disk: whether `act` is carried out, and how it ends.
    pub(in crate::store) fn step<T>(
        &self,
        act: impl FnOnce(&mut Storage<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut machine = self.locked();
        let errno = if machine.chance.bool() { Errno::IO } else { Errno::NOSPC };
        let failed = || StoreError::Io { action: "work", path: "model".into(), errno };
        if machine.state != State::Running {
            return Err(failed());
        }
        let fault = match machine.site_faults.front_mut() {
            Some(&mut (0, fault)) => fault,
            other => {
                if let Some((steps, _)) = other {
                    *steps -= 1;
                }
                machine.steps += 1;
                return act(&mut Storage(&mut machine));
            }
        };
        let is_carried_out = match fault {
            SiteFault::Kill(When::Before) | SiteFault::PowerLoss(When::Before) | SiteFault::Broken => false,
            SiteFault::Kill(When::After) | SiteFault::PowerLoss(When::After) => true,
            SiteFault::Kill(When::Either) | SiteFault::PowerLoss(When::Either) | SiteFault::Error => {
                machine.chance.bool()
            }
        };
        if is_carried_out {
            act(&mut Storage(&mut machine)).ok();
        }
        match fault {
            SiteFault::Broken => return Err(failed()),
            SiteFault::Error => {}
            SiteFault::Kill(_) => machine.state = State::Killed,
            SiteFault::PowerLoss(_) => machine.lose_power(),
        }
        machine.site_faults.pop_front();
        Err(failed())
    }

    pub(in crate::store) fn shuffle<T>(&self, these: &mut [T]) {
        self.locked().chance.shuffle(these);
    }

    /// The removal of the file that has this name is ordered.
    pub(in crate::store) fn removal_ordered(&self, directory: usize, name: &FileName) {
        let Machine { to_be_removed, happened, directories, .. } = &mut *self.locked();
        let file = directories[directory].names.get(name).copied();
        to_be_removed.extend(file);
        happened.extend(file.map(StorageEvent::RemovalOrdered));
    }

    /// That order is carried out, or failed.
    pub(in crate::store) fn removal_done(&self, directory: usize, name: &FileName, has_failed: bool) {
        let Machine { to_be_removed, files, happened, directories, .. } = &mut *self.locked();
        let stays = |file: &FileId| directories[directory].names.get(name) == Some(file);
        if let Some(at) = to_be_removed.iter().position(|&file| files[file].name == *name) {
            happened.extend(
                Some(to_be_removed.remove(at))
                    .filter(|file| has_failed && stays(file))
                    .map(StorageEvent::RemovalFailed),
            );
        }
    }

    /// Which of the directories this is.
    pub(in crate::store) fn directory(&self, path: &Path) -> usize {
        let machine = self.locked();
        machine.directories.iter().position(|directory| directory.path == path).expect("a directory of the storage")
    }

    fn locked(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().expect("no test goes on after a panic")
    }
}

/// What a step does to the machine.
pub(in crate::store) struct Storage<'a>(&'a mut Machine);

impl Storage<'_> {
    /// The bytes of a staged file are durable.
    pub(in crate::store) fn flushed(&mut self, stage: StageId, path: &Path) {
        // As with the real disk: a file that is not there shows when it is to get its name.
        self.0.flushed.extend(fs::read(path).ok().map(|bytes| (stage, bytes)));
    }

    /// A staged file is about to get its name.
    pub(in crate::store) fn is_to_be_named(&self, path: &Path) -> Vec<u8> {
        set_time(path, self.0.files.len());
        fs::read(path).unwrap_or_default()
    }

    /// It has it.
    pub(in crate::store) fn named(&mut self, directory: usize, stage: StageId, name: FileName, bytes: Vec<u8>) {
        let is_durable = self.0.flushed.remove(&stage).is_some_and(|flushed| flushed == bytes);
        let file = self.0.files.len();
        self.0.files.push(File { name: name.clone(), bytes, is_durable });
        let Directory { path, names, changes, .. } = &mut self.0.directories[directory];
        settle(&path.join(name.to_string()));
        let replaced = names.insert(name, file);
        changes.push(Change::Named(file));
        self.0.happened.push(StorageEvent::Named { file, replaced });
    }

    /// The file of this name has been removed.
    pub(in crate::store) fn removed(&mut self, directory: usize, name: &FileName) {
        let Directory { names, changes, .. } = &mut self.0.directories[directory];
        let file = names.remove(name).expect("what is removed was there");
        changes.push(Change::Removed(file));
        self.0.happened.push(StorageEvent::Removed(file));
    }

    /// The names in a directory are durable.
    pub(in crate::store) fn names_flushed(&mut self, directory: usize) {
        self.0.make_durable(directory, usize::MAX);
    }
}

impl Machine {
    /// The first of a directory's changes are.
    fn make_durable(&mut self, directory: usize, most: usize) {
        let Self { directories, files, happened, .. } = self;
        let Directory { durable, changes, .. } = &mut directories[directory];
        for change in changes.drain(..most.min(changes.len())) {
            match change {
                Change::Named(file) => {
                    let replaced = durable.insert(files[file].name.clone(), file);
                    happened.extend(replaced.map(StorageEvent::Superseded));
                }
                Change::Removed(file) => drop(durable.remove(&files[file].name)),
            }
        }
    }

    fn lose_power(&mut self) {
        self.state = State::Dark;
        for number in 0..self.directories.len() {
            let survived = self.chance.usize(..=self.directories[number].changes.len());
            self.make_durable(number, survived);
            let Directory { path, names, durable, changes } = &mut self.directories[number];
            changes.clear();
            names.clone_from(durable);
            empty(path);
            for &file in durable.values() {
                let File { name, bytes, is_durable, .. } = &mut self.files[file];
                if !std::mem::replace(is_durable, true) && self.chance.bool() {
                    bytes.truncate(self.chance.usize(..=bytes.len()));
                    bytes.resize(bytes.len() + 1, 0);
                }
                let path = path.join(name.to_string());
                fs::write(&path, bytes).expect("a file can be written");
                set_time(&path, file);
                settle(&path);
            }
        }
        self.flushed.clear();
        self.happened.push(StorageEvent::PowerLost);
    }
}

/// Gives a file a time that follows from its number: unlike any other's, as where time goes by between two.
fn set_time(path: &Path, file: FileId) {
    let time = UNIX_EPOCH + Duration::from_secs(file as u64);
    // As with the real disk: a file that is not there shows later.
    let file = fs::File::options().write(true).open(path);
    file.and_then(|file| file.set_modified(time)).ok();
}

thread_local! {
    /// Whether files of the machines that this thread lets live are [settled](settle).
    static SETTLES: Cell<bool> = const { Cell::new(false) };
}

/// From now on, what this thread does with machines' files does not depend on when it does it: it takes some milliseconds for
/// each.
pub(crate) fn settle_files() {
    SETTLES.set(true);
}

/// Where that is wanted, waits until the kernel stamps files with another time than it gave this one. A server may or may not
/// hash one that has been changed just now.
fn settle(path: &Path) {
    let is_settled = |file: &fs::Metadata| {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        (file.ctime(), file.ctime_nsec()) < (now.tv_sec, now.tv_nsec)
    };
    while SETTLES.get() && fs::symlink_metadata(path).is_ok_and(|file| !is_settled(&file)) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Removes a directory's files, not the directories in there.
fn empty(path: &Path) {
    for entry in fs::read_dir(path).expect("the directory is there") {
        fs::remove_file(entry.expect("it can be read").path()).ok();
    }
}
