//! Opening files that a configuration names, and the configuration itself. Waits for nobody: at a FIFO that has no other
//! end, it would hold up the program and the signals that are to end it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::{self, Mode, OFlags, PROC_SUPER_MAGIC, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::proto::quoted;

/// Links in a row that are followed: as many as the kernel follows.
const MOST_LINKS: u8 = 40;

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The system's error.
    Io(io::Error),
    /// It is a FIFO, which may never have anything to be read.
    Fifo,
    /// It is longer than what it is to be.
    TooLarge,
}

impl ReadError {
    /// As an I/O error, with these words for a file that is too large.
    pub(crate) fn into_io(self, too_large: impl Into<String>) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::Fifo => io::Error::new(io::ErrorKind::InvalidInput, "a FIFO, and a regular file is expected"),
            Self::TooLarge => io::Error::new(io::ErrorKind::InvalidData, too_large.into()),
        }
    }
}

/// Reads a file of at most `most` bytes into `bytes`, which are reserved at once: a buffer that grows leaves copies of a
/// secret behind. The file, for what else is to be known of it.
pub(crate) fn read(path: &Path, most: usize, bytes: &mut Vec<u8>) -> Result<File, ReadError> {
    let file = open(OpenOptions::new().read(true), path).map_err(ReadError::Io)?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if metadata.file_type().is_fifo() {
        return Err(ReadError::Fifo);
    }
    bytes.reserve_exact(usize::try_from(metadata.len()).unwrap_or(most).min(most) + 1);
    (&file).take(most as u64 + 1).read_to_end(bytes).map_err(ReadError::Io)?;
    if bytes.len() > most { Err(ReadError::TooLarge) } else { Ok(file) }
}

/// What is done where a file that lines are added to is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Missing {
    /// Nothing: that is an error.
    Fail,
    /// It is created: as root with this owner, or else as ours.
    Create(Option<Owner>),
}

/// The owner of a file to be created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Opens a file that lines are added to. A link in its place is followed only if it is root's or our own: in a directory of
/// another user's, root could be led to any file.
///
/// # Errors
/// The system's error; [`io::ErrorKind::NotConnected`] where it is a FIFO that nobody reads, and
/// [`io::ErrorKind::InvalidInput`] at a link of another user's.
pub(crate) fn append_to(path: &Path, missing: Missing) -> io::Result<File> {
    let file = append_behind_links(path, missing, MOST_LINKS).map_err(|error| {
        let is_fifo = || path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        if is(&error, Errno::NXIO) && is_fifo() {
            io::Error::new(io::ErrorKind::NotConnected, "a FIFO that nobody reads")
        } else {
            error
        }
    })?;
    // From here on a slow reader is waited for: a line is written whole.
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

/// Looks at each link itself, and at its target: the name may lead elsewhere by then.
fn append_behind_links(path: &Path, missing: Missing, links: u8) -> io::Result<File> {
    let opened = open_with(OpenOptions::new().append(true), OFlags::NOFOLLOW, path);
    match (opened, missing) {
        (Err(error), Missing::Create(owner)) if error.kind() == io::ErrorKind::NotFound => return create(path, owner),
        (Err(error), _) if is(&error, Errno::LOOP) && links > 0 => {}
        (opened, _) => return opened,
    }
    let link = fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let (owner, target) = (fs::fstat(&link)?.st_uid, fs::readlinkat(&link, "", Vec::new())?);
    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
    if owner != 0 && owner != geteuid().as_raw() {
        let (target, us) = (quoted(target), geteuid());
        let why = format!(
            "it is a link of user {owner} to {target}, and user {us} follows only root's and its own: name the file itself"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    // What is open is no name there.
    if fs::fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
        return open(OpenOptions::new().append(true), path);
    }
    append_behind_links(&path.parent().unwrap_or(Path::new("")).join(target), missing, links - 1)
}

/// Creates a file, and nothing behind a link that somebody has put there just now.
fn create(path: &Path, owner: Option<Owner>) -> io::Result<File> {
    let file = open(OpenOptions::new().append(true).create_new(true), path)?;
    if let Some(Owner { uid, gid }) = owner {
        // Where it cannot be given away it is a log all the same, until it is to be opened anew.
        fchown(&file, Some(uid), Some(gid)).ok();
    }
    Ok(file)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open_with(options, OFlags::empty(), path)
}

fn open_with(options: &mut OpenOptions, flags: OFlags, path: &Path) -> io::Result<File> {
    options.custom_flags((flags | OFlags::NONBLOCK).bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, fcntl_getfl, mkfifoat};

    use super::*;

    #[test]
    fn a_fifo_is_refused_and_waited_for_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let error = read(&path, 10, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ReadError::Fifo), "{error:?}");
        assert!(error.into_io("").to_string().contains("a FIFO"));
    }

    #[test]
    fn a_fifo_is_added_to_once_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(append_to(&path, Missing::Create(None)).unwrap_err().kind(), io::ErrorKind::NotConnected);
        let reader = open(OpenOptions::new().read(true), &path).unwrap();
        let writer = append_to(&path, Missing::Fail).unwrap();
        assert_eq!(fcntl_getfl(&writer).unwrap() & OFlags::NONBLOCK, OFlags::empty());
        drop(reader);
    }

    #[test]
    fn links_of_our_own_are_followed_to_their_end_if_they_have_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        symlink("second", path("first")).unwrap();
        symlink(path("file"), path("second")).unwrap();
        symlink("round", path("round")).unwrap();
        let append = |name: &str, missing| append_to(&path(name), missing);
        assert_eq!(append("first", Missing::Fail).unwrap_err().kind(), io::ErrorKind::NotFound);
        append("first", Missing::Create(None)).unwrap();
        append("first", Missing::Fail).unwrap();
        assert!(path("file").symlink_metadata().unwrap().is_file());
        let error = append("round", Missing::Create(None)).unwrap_err();
        assert!(is(&error, Errno::LOOP), "{error}");
    }

    #[test]
    fn what_is_open_is_opened_by_its_number() {
        use std::os::fd::AsRawFd;
        let file = tempfile::tempfile().unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        append_to(Path::new(&path), Missing::Fail).unwrap();
    }

    #[test]
    fn a_file_has_as_many_bytes_as_it_may_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        let mut bytes = Vec::new();
        assert!(read(&path, 10, &mut bytes).is_ok() && bytes == b"0123456789");
        for (path, most) in [(&*path, 9), (Path::new("/dev/zero"), 9)] {
            assert!(matches!(read(path, most, &mut Vec::new()), Err(ReadError::TooLarge)));
        }
    }
}
