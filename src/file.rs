//! Opening files that a configuration names, and the configuration itself. Waits for nobody: at a FIFO that has no other
//! end, it would hold up the program and the signals that are to end it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// What the system says.
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

/// Opens a file that lines are added to, and makes it if `create` says so.
///
/// # Errors
/// What the system says; [`io::ErrorKind::NotConnected`] where it is a FIFO that nobody reads.
pub(crate) fn append_to(path: &Path, create: bool) -> io::Result<File> {
    let file = open(OpenOptions::new().append(true).create(create), path).map_err(|error| {
        let is_fifo = || path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && is_fifo() {
            io::Error::new(io::ErrorKind::NotConnected, "a FIFO that nobody reads")
        } else {
            error
        }
    })?;
    // From here on a slow reader is waited for: a line is written whole.
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, fcntl_getfl, mkfifoat};

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
        assert_eq!(append_to(&path, true).unwrap_err().kind(), io::ErrorKind::NotConnected);
        let reader = open(OpenOptions::new().read(true), &path).unwrap();
        let writer = append_to(&path, false).unwrap();
        assert_eq!(fcntl_getfl(&writer).unwrap() & OFlags::NONBLOCK, OFlags::empty());
        drop(reader);
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
