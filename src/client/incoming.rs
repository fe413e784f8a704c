//! Files that are got. Until one is whole it lies beside its place under another name; then it is renamed: a program
//! that has the old one open or comes in between sees the old one or the new one, and a get that fails leaves the old
//! one.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tempfile::{Builder, NamedTempFile};

use super::reason::{Reason, plain};
use crate::store::{Content, UnpackLimits, set_rights};

/// What comes out of an archive: our server's limits are of this kind.
const LIMITS: UnpackLimits =
    UnpackLimits { max_size: 1 << 30, max_ratio: crate::config::server::defaults::UNZIP_RATIO };

/// The rights of a file that is new, before the umask takes its own.
const RIGHTS: u32 = 0o666;

/// A file on its way in; dropped, it is removed.
#[derive(Debug)]
pub(super) struct Incoming {
    staged: NamedTempFile,
    place: PathBuf,
}

impl Incoming {
    /// For the file of this path.
    pub(super) fn create(path: &Path) -> Result<Self, Reason> {
        Self::beside(path).map_err(|error| Reason::Unwritable { path: path.to_owned(), why: plain(&error) })
    }

    fn beside(path: &Path) -> io::Result<Self> {
        let old = replaced(path)?;
        // A link stays, and what it leads to is replaced.
        let place = if old.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        let directory = match place.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        // Never more than the old file has, also where the filesystem does not let us change them.
        let rights = old.as_ref().map_or(RIGHTS, |old| old.permissions().mode() & 0o7777);
        let staged = Builder::new()
            .prefix(".tentacle_client-")
            .permissions(Permissions::from_mode(rights))
            .tempfile_in(directory)?;
        if old.is_some() {
            // What the umask has taken.
            set_rights(staged.as_file(), Mode::from_raw_mode(rights))?;
        }
        Ok(Self { staged, place })
    }

    /// The file's next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.staged.as_file_mut().write_all(bytes).map_err(|error| self.unwritten(error))
    }

    /// Writes what is in an archive of `size` bytes.
    pub(super) fn unpack(&mut self, archive: File, size: u64) -> Result<(), Reason> {
        let mut content = Content::open(archive, size, &std::env::temp_dir(), LIMITS).map_err(Reason::Unpack)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match content.read(&mut buffer).map_err(Reason::Unpack)? {
                0 => return Ok(()),
                count => self.write(&buffer[..count])?,
            }
        }
    }

    /// Whether nothing has come, as out of an archive of an empty file.
    pub(super) fn is_empty(&self) -> Result<bool, Reason> {
        Ok(self.staged.as_file().metadata().map_err(|error| self.unwritten(error))?.len() == 0)
    }

    /// The file is whole: it takes its place, and will be there after a power failure as well, or the old one.
    pub(super) fn keep(self) -> Result<(), Reason> {
        self.staged.as_file().sync_data().map_err(|error| self.unwritten(error))?;
        let place = self.place;
        self.staged.persist(&place).map(drop).map_err(|failed| Reason::Unwritten { path: place, error: failed.error })
    }

    fn unwritten(&self, error: io::Error) -> Reason {
        Reason::Unwritten { path: self.place.clone(), error }
    }
}

/// The file that will be replaced, if there is one. It must be a file, and one that we could write to: a rename would not
/// ask.
fn replaced(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            // Should it be a FIFO by now, nobody is to wait for its reader.
            File::options().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
            Ok(Some(metadata))
        }
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Err(io::Error::other("it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
