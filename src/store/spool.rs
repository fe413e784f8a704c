//! An incoming directory and the staging area inside it.

use std::fs::File;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, Access, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::StoreError;
use super::journal::{SpoolId, StageId};
use super::sink::SinkKind;
use super::stage::Stage;
use crate::proto::{FileName, Fingerprint, Fingerprinter};

/// The staging area's name. The data server looks at `*.data` in the incoming directory itself only.
const STAGING: &str = ".tentacle-sync";
const ID: &str = "id";

/// What published files may be: read and written by the user and by the group, which is the web console's.
const FILE_MODE: Mode = Mode::from_raw_mode(0o660);
const SETGID: Mode = Mode::SGID;

/// One incoming directory, shared by all sites whose files land there. Clones are the same spool.
///
/// Open a directory once and keep the value: what is staged through it stays untouched when a
/// [`Committer`](super::Committer) is stopped and another one started.
#[derive(Clone, Debug)]
pub struct Spool {
    area: Arc<Area>,
    sink: SinkKind,
}

impl Spool {
    /// Opens `incoming`, which must exist, and the staging area inside it, which is made if need be.
    ///
    /// # Errors
    /// Whatever would keep files from being stored there: no directory, no right to write, a read-only or full disk.
    pub fn open(incoming: &Path) -> Result<Self, StoreError> {
        Ok(Self { area: Arc::new(Area::open(incoming)?), sink: SinkKind::default() })
    }

    /// The same spool, with files written in another way from now on.
    #[must_use]
    pub fn with_sink(self, sink: SinkKind) -> Self {
        Self { sink, ..self }
    }

    /// The incoming directory, as an absolute path without links.
    pub fn incoming(&self) -> &Path {
        &self.area.path
    }

    /// A new, empty file in the staging area. `size_hint` is how large it is expected to become, in bytes; being wrong
    /// costs time at most.
    pub fn stage(&self, size_hint: u64) -> Result<Stage, StoreError> {
        Stage::create(self.area.clone(), self.sink, size_hint)
    }

    pub(super) fn area(&self) -> &Arc<Area> {
        &self.area
    }
}

/// How a file's bytes compare with what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// A plain file with these bytes.
    Same,
    /// Something else: other bytes, a directory, a link, a file we may not read.
    Different,
    /// Nothing is there.
    Absent,
}

/// Directories held open, so that every step works on the directories that were checked.
#[derive(Debug)]
pub(super) struct Area {
    pub(super) id: SpoolId,
    path: PathBuf,
    incoming: OwnedFd,
    staging: OwnedFd,
    /// Its lock is ours while we live.
    id_file: File,
    device: u64,
    session: u64,
    next: AtomicU64,
}

impl Area {
    fn open(incoming: &Path) -> Result<Self, StoreError> {
        let path = incoming.canonicalize().map_err(StoreError::std("open the incoming directory", incoming))?;
        let dir = open_dir(fs::CWD, &path).map_err(StoreError::io("open the incoming directory", &path))?;
        fs::accessat(fs::CWD, &path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())
            .map_err(StoreError::io("store files", &path))?;
        let staging = open_staging(&dir, &path)?;
        let id_file = open_id(&staging, &path.join(STAGING))?;
        let device = fs::fstat(&staging).map_err(StoreError::io("look at the staging area", &path))?.st_dev;
        let id = id_file.1;
        let (next, session) = (AtomicU64::new(0), random());
        Ok(Self { id, path, incoming: dir, staging, id_file: id_file.0, device, session, next })
    }

    /// The incoming directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the filesystem.
    pub(super) fn device(&self) -> u64 {
        self.device
    }

    /// Keeps other processes from sweeping this staging area, or finds that one of them is already here.
    pub(super) fn lock(&self) -> Result<(), StoreError> {
        lock(&self.id_file, &self.path.join(STAGING))
    }

    /// Where a staged file is, for messages.
    pub(super) fn staged_path(&self, stage: StageId) -> PathBuf {
        self.path.join(STAGING).join(stage.to_string())
    }

    /// Makes a new staged file.
    pub(super) fn create(&self) -> Result<(StageId, File), StoreError> {
        let stage = StageId { session: self.session, number: self.next.fetch_add(1, Ordering::Relaxed) };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno: Errno| StoreError::io("create", &self.staged_path(stage))(errno);
        let file = fs::openat(&self.staging, stage.to_string(), flags, FILE_MODE).map_err(failed)?;
        // The umask may have taken the group's rights, which the console needs.
        fs::fchmod(&file, FILE_MODE).map_err(failed)?;
        Ok((stage, file.into()))
    }

    /// Removes a staged file, if it is there.
    pub(super) fn discard(&self, stage: StageId) -> Result<(), StoreError> {
        match fs::unlinkat(&self.staging, stage.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StoreError::io("remove", &self.staged_path(stage))(errno)),
        }
    }

    /// Changes the length of a staged file, so that no recovery takes it for what it was.
    pub(super) fn void(&self, stage: StageId, was: &Fingerprint) -> Result<(), StoreError> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let emptied = fs::openat(&self.staging, stage.to_string(), flags, Mode::empty())
            .and_then(|file| fs::ftruncate(file, u64::from(was.size == 0)));
        match emptied {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StoreError::io("empty", &self.staged_path(stage))(errno)),
        }
    }

    /// Gives a staged file its name in the incoming directory, unless that is taken: then `false`.
    pub(super) fn place(&self, stage: StageId, name: &FileName) -> Result<bool, StoreError> {
        let staged = stage.to_string();
        let renamed =
            fs::renameat_with(&self.staging, &staged, &self.incoming, name.as_bytes(), RenameFlags::NOREPLACE);
        let placed = match renamed {
            // What filesystems without RENAME_NOREPLACE answer.
            Err(Errno::INVAL | Errno::NOSYS) => self.link(&staged, name),
            renamed => renamed,
        };
        match placed {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(StoreError::io("publish", &self.published_path(name))(errno)),
        }
    }

    fn link(&self, staged: &str, name: &FileName) -> Result<(), Errno> {
        fs::linkat(&self.staging, staged, &self.incoming, name.as_bytes(), AtFlags::empty())?;
        fs::unlinkat(&self.staging, staged, AtFlags::empty())
    }

    /// Compares a staged file with what it should be.
    pub(super) fn compare_staged(&self, stage: StageId, wanted: &Fingerprint) -> Result<Likeness, StoreError> {
        let path = self.staged_path(stage);
        Ok(compare(&self.staging, stage.to_string().as_bytes(), wanted).map_err(StoreError::io("read", &path))?.0)
    }

    /// Compares a file of the incoming directory; if it is the same, its bytes are made durable.
    pub(super) fn compare_published(&self, name: &FileName, wanted: &Fingerprint) -> Result<Likeness, StoreError> {
        let failed = |errno: Errno| StoreError::io("read", &self.published_path(name))(errno);
        let (likeness, file) = compare(&self.incoming, name.as_bytes(), wanted).map_err(failed)?;
        if let (Likeness::Same, Some(file)) = (likeness, file) {
            fs::fdatasync(&file).map_err(failed)?;
        }
        Ok(likeness)
    }

    /// Makes all that was written to this filesystem durable; tells of every write that failed since the last call
    /// for this spool, whoever's it was and also if its file is closed by now (Linux 5.8).
    pub(super) fn sync_filesystem(&self) -> Result<(), StoreError> {
        fs::syncfs(&self.staging).map_err(StoreError::io("flush the filesystem", &self.path))
    }

    /// Makes the names in the incoming directory durable.
    pub(super) fn sync_names(&self) -> Result<(), StoreError> {
        fs::fsync(&self.incoming).map_err(StoreError::io("flush the directory", &self.path))
    }

    /// Staged files that an earlier run, or another spool value on this directory, has left.
    pub(super) fn leftovers(&self) -> Result<Vec<StageId>, StoreError> {
        let failed = |errno: Errno| StoreError::io("list the staging area", &self.path.join(STAGING))(errno);
        let mut leftovers = Vec::new();
        for entry in fs::Dir::read_from(&self.staging).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let stage = entry.file_name().to_str().ok().and_then(|name| name.parse::<StageId>().ok());
            leftovers.extend(stage.filter(|stage| stage.session != self.session));
        }
        Ok(leftovers)
    }

    pub(super) fn published_path(&self, name: &FileName) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(name.as_bytes()))
    }
}

/// Takes the lock on `file`, for as long as it is open.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(StoreError::Busy(path.to_owned())),
        Err(errno) => Err(StoreError::io("lock", path)(errno)),
    }
}

fn open_dir<Fd: AsFd>(at: Fd, path: &Path) -> Result<OwnedFd, Errno> {
    fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens or makes the staging area: ours alone, its files the group's that the incoming directory is of.
fn open_staging(incoming: &OwnedFd, path: &Path) -> Result<OwnedFd, StoreError> {
    let staging = path.join(STAGING);
    let failed = |errno: Errno| StoreError::io("make the staging area", &staging)(errno);
    match fs::mkdirat(incoming, STAGING, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = fs::openat(incoming, STAGING, flags, Mode::empty()).map_err(failed)?;
    let (outer, inner) = (fs::fstat(incoming).map_err(failed)?, fs::fstat(&dir).map_err(failed)?);
    if outer.st_dev != inner.st_dev {
        return Err(StoreError::OtherFilesystem(staging));
    }
    // Made before the incoming directory got its group: files would be published with the old one.
    let is_setgid = |mode| Mode::from_raw_mode(mode).contains(SETGID);
    if is_setgid(outer.st_mode) && (outer.st_gid != inner.st_gid || !is_setgid(inner.st_mode)) {
        fs::fchown(&dir, None, Some(fs::Gid::from_raw(outer.st_gid))).map_err(failed)?;
        fs::fchmod(&dir, Mode::RWXU | SETGID).map_err(failed)?;
    }
    fs::accessat(incoming, STAGING, Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()).map_err(failed)?;
    Ok(dir)
}

/// Opens the file with the staging area's identity, after writing one if there is none that can be read.
fn open_id(staging: &OwnedFd, path: &Path) -> Result<(File, SpoolId), StoreError> {
    let failed = |errno: Errno| StoreError::io("read the identity in", path)(errno);
    let open = || fs::openat(staging, ID, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let read = |file: OwnedFd| -> Result<(File, Option<SpoolId>), StoreError> {
        let (mut file, mut text) = (File::from(file), Vec::new());
        Read::by_ref(&mut file)
            .take(64)
            .read_to_end(&mut text)
            .map_err(StoreError::std("read the identity in", path))?;
        let id = std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
        Ok((file, id))
    };
    let replace = match open() {
        Ok(file) => match read(file)? {
            (file, Some(id)) => return Ok((file, id)),
            (_, None) => RenameFlags::empty(),
        },
        Err(Errno::NOENT) => RenameFlags::NOREPLACE,
        Err(errno) => return Err(failed(errno)),
    };
    write_id(staging, path, replace)?;
    let (file, id) = read(open().map_err(failed)?)?;
    Ok((file, id.ok_or(Errno::IO).map_err(failed)?))
}

/// Writes a fresh identity, whole or not at all; whoever else came first wins if `how` says so.
fn write_id(staging: &OwnedFd, path: &Path, how: RenameFlags) -> Result<(), StoreError> {
    let failed = |errno: Errno| StoreError::io("write the identity in", path)(errno);
    let id = SpoolId(u128::from(random()) << 64 | u128::from(random()));
    let draft = format!("{ID}.{:016x}", random());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(staging, &draft, flags, FILE_MODE).map_err(failed)?);
    let written = writeln!(file, "{id}").and_then(|()| file.sync_all());
    let renamed =
        written.map_err(StoreError::std("write the identity in", path)).and_then(|()| {
            match fs::renameat_with(staging, &draft, staging, ID, how) {
                Err(Errno::INVAL | Errno::NOSYS) => fs::renameat(staging, &draft, staging, ID).map_err(failed),
                renamed => renamed.map_err(failed),
            }
        });
    if renamed.is_err() {
        // Nothing more can be done if that fails too; the draft is in nobody's way.
        fs::unlinkat(staging, &draft, AtFlags::empty()).ok();
    }
    match renamed {
        Err(StoreError::Io { errno: Errno::EXIST, .. }) => Ok(()),
        other => other.and_then(|()| fs::fsync(staging).map_err(failed)),
    }
}

/// Unlike any other: seeded by the system.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

fn compare(dir: &OwnedFd, name: &[u8], wanted: &Fingerprint) -> Result<(Likeness, Option<File>), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok((Likeness::Absent, None)),
        // A link, a socket, somebody else's file.
        Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS | Errno::PERM) => return Ok((Likeness::Different, None)),
        Err(errno) => return Err(errno),
    };
    let stat = fs::fstat(&file)?;
    let is_file = fs::FileType::from_raw_mode(stat.st_mode).is_file();
    if !is_file || u64::try_from(stat.st_size) != Ok(wanted.size) {
        return Ok((Likeness::Different, None));
    }
    let found = fingerprint(&mut file).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok((if found == *wanted { Likeness::Same } else { Likeness::Different }, Some(file)))
}

fn fingerprint(file: &mut File) -> std::io::Result<Fingerprint> {
    let mut running = Fingerprinter::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(running.finish()),
            count => running.update(&buffer[..count]),
        }
    }
}
