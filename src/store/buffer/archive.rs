//! Archives of one entry: the bodies of `ZSEND` and `ZRECV`.

use std::cmp::Ordering;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::fair_queue::StillWanted;
use super::storage_dir::StorageDir;
use crate::proto::zip::{CENTRAL, Directory, END, Entry, LOCAL, Method, ZipError};
use crate::store::fs::error::StoreError;
use crate::store::fs::source::Source;
use crate::store::fs::space::Full;
use crate::store::fs::temp_file::{ClosedTemp, TempFile};

const BUFFER: usize = 64 * 1024;

/// How large what comes out of an archive may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes.
    pub max_size: u64,
    /// Times the archive's own size. Deflate reaches 1032; text rarely 20.
    pub max_ratio: u64,
}

/// Why an archive cannot be unpacked, or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is none that can be unpacked.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// More than a limit.
    #[error("{size} bytes unpacked, {max} are allowed")]
    TooLarge {
        /// The size in its header, in bytes.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// Out of all proportion.
    #[error("{archive} bytes that unpack to {size}: more than the {max_ratio} times allowed")]
    Bomb {
        /// The archive's bytes.
        archive: u64,
        /// The size in its header, in bytes.
        size: u64,
        /// The limit.
        max_ratio: u64,
    },
    /// Nobody waits for it any more.
    #[error("nobody waits for it any more")]
    Unwanted,
    /// The quota is in the way.
    #[error(transparent)]
    Full(#[from] Full),
    /// The disk is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An archive that was made: a file without a name.
#[derive(Debug)]
pub struct Packed {
    /// Open; the archive is all of it.
    pub file: File,
    /// Bytes.
    pub size: u64,
}

/// Unpacks an archive beside itself, whatever its entry's name. The room set aside for the archive goes to what was in it.
///
/// # Errors
/// [`ArchiveError::Unwanted`] once it is not `wanted` any more, beside whatever is wrong with it or with the disk.
pub(in crate::store) fn unpack(
    mut archive: ClosedTemp,
    limits: UnpackLimits,
    wanted: &StillWanted,
) -> Result<ClosedTemp, ArchiveError> {
    let mut content = Content::open(archive.open()?, archive.size(), &archive.path(), limits)?;
    let reservation = archive.take_reservation();
    let mut temp = TempFile::create(archive.dir().clone(), content.size())?;
    if let Some(mut reservation) = reservation {
        reservation.resize(content.size())?;
        temp = temp.with_reservation(reservation);
    }
    let mut buffer = vec![0; BUFFER];
    loop {
        check_wanted(wanted)?;
        match content.read(&mut buffer)? {
            0 => return Ok(temp.finish()?),
            count => temp.write(&buffer[..count])?,
        }
    }
}

/// What is in an archive: its only entry, read piece by piece. It is sound once the end was reached without an error.
pub struct Content {
    entry: Entry,
    reader: Box<dyn Read>,
    crc: Crc,
    done: u64,
    /// The archive's, for messages.
    path: PathBuf,
}

impl Content {
    /// Looks into the archive of `size` bytes, whatever its entry's name; `path` is for messages.
    ///
    /// # Errors
    /// It is no archive of one file, or that file is beyond the limits.
    pub fn open(mut archive: File, size: u64, path: &Path, limits: UnpackLimits) -> Result<Self, ArchiveError> {
        let failed = |error| read_failed(path, error);
        let (entry, data) = find_entry(&archive, size, failed)?;
        check(&entry, size, limits)?;
        archive.seek(SeekFrom::Start(data)).map_err(failed)?;
        let packed = BufReader::with_capacity(BUFFER, archive.take(entry.packed.into()));
        let reader: Box<dyn Read> = match entry.method {
            Method::Stored => Box::new(packed),
            Method::Deflated => Box::new(DeflateDecoder::new(packed)),
        };
        Ok(Self { entry, reader, crc: Crc::new(), done: 0, path: path.to_owned() })
    }

    /// Bytes there will be, if the archive is sound.
    pub fn size(&self) -> u64 {
        self.entry.size.into()
    }

    /// The next bytes; how many, 0 at the end. Never more than [`size`](Self::size) altogether.
    ///
    /// # Errors
    /// The archive is damaged, which may show at the end only: then all of it is.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let count = loop {
            match self.reader.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_failed(&self.path, error)),
            }
        };
        self.done += count as u64;
        self.crc.update(&buffer[..count]);
        match self.done.cmp(&self.size()) {
            Ordering::Greater => Err(ZipError::Malformed("its entry is longer than declared").into()),
            Ordering::Less if count == 0 => Err(ZipError::Malformed("its entry is shorter than declared").into()),
            Ordering::Equal if count == 0 && self.crc.sum() != self.entry.crc => {
                Err(ZipError::Malformed("its checksum is wrong").into())
            }
            _ => Ok(count),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("entry", &self.entry).field("done", &self.done).finish_non_exhaustive()
    }
}

fn read_failed(path: &Path, error: io::Error) -> ArchiveError {
    match error.raw_os_error() {
        Some(_) => ArchiveError::Store(StoreError::std("read", path)(error)),
        // The end of the file, or the decoder's error.
        None => ZipError::Malformed("its entry is damaged").into(),
    }
}

/// The only entry, and where its data begins.
fn find_entry(
    archive: &File,
    size: u64,
    failed: impl Fn(io::Error) -> ArchiveError + Copy,
) -> Result<(Entry, u64), ArchiveError> {
    let end = size.checked_sub(END as u64).ok_or(ZipError::Malformed("it is too short"))?;
    let directory = Directory::decode(&read_at(archive, end).map_err(failed)?, size)?;
    let entry = Entry::decode(&read_at(archive, directory.at).map_err(failed)?, directory)?;
    if let Some(before_last) = entry.name.checked_sub(1) {
        let last = directory.at + CENTRAL as u64 + u64::from(before_last);
        if read_at(archive, last).map_err(failed)? == *b"/" {
            return Err(ZipError::Directory.into());
        }
    }
    let local: [u8; LOCAL] = read_at(archive, entry.local.into()).map_err(failed)?;
    Ok((entry, entry.locate(&local, directory)?))
}

fn check(entry: &Entry, archive: u64, limits: UnpackLimits) -> Result<(), ArchiveError> {
    let (size, UnpackLimits { max_size, max_ratio }) = (u64::from(entry.size), limits);
    if size > max_size {
        return Err(ArchiveError::TooLarge { size, max: max_size });
    }
    if size > archive.saturating_mul(max_ratio) {
        return Err(ArchiveError::Bomb { archive, size, max_ratio });
    }
    Ok(())
}

fn read_at<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Makes an archive of a file, with its bare name, on the filesystem of `storage_dir`.
///
/// # Errors
/// As those of [`pack_into`], and [`ArchiveError::Unwanted`] once it is not `wanted` any more.
pub(in crate::store) fn pack(dir: &StorageDir, source: &Source, wanted: &StillWanted) -> Result<Packed, ArchiveError> {
    let file = dir.dir().create_nameless()?;
    let go_on = || check_wanted(wanted);
    pack_while(file, dir.path(), source.name().as_bytes(), source.file(), source.size(), &go_on)
}

fn check_wanted(wanted: &StillWanted) -> Result<(), ArchiveError> {
    if wanted.is_wanted() { Ok(()) } else { Err(ArchiveError::Unwanted) }
}

/// Makes an archive, in the empty file `to`, of the first `size` bytes of `from`, under the bare name `name`;
/// `directory` is where `to` is, for messages.
///
/// # Errors
/// [`ArchiveError::TooLarge`] for what ZIP without extensions cannot hold; whatever the disk has against it.
///
/// # Panics
/// If the name is longer than any file's.
pub fn pack_into(to: File, directory: &Path, name: &[u8], from: &File, size: u64) -> Result<Packed, ArchiveError> {
    pack_while(to, directory, name, from, size, &|| Ok(()))
}

fn pack_while(
    mut to: File,
    directory: &Path,
    name: &[u8],
    from: &File,
    size: u64,
    go_on: &dyn Fn() -> Result<(), ArchiveError>,
) -> Result<Packed, ArchiveError> {
    let failed = || StoreError::std("pack a file in", directory);
    let mut entry = Entry {
        method: Method::Deflated,
        crc: 0,
        packed: 0,
        size: fit(size)?,
        local: 0,
        name: u16::try_from(name.len()).expect("a name has at most 255 bytes"),
    };
    to.write_all(&entry.local_header()).and_then(|()| to.write_all(name)).map_err(failed())?;
    let mut pieces = Pieces { file: from, left: size, at: 0, crc: Crc::new() };
    let mut encoder = DeflateEncoder::new(&to, Compression::default());
    let mut buffer = vec![0; BUFFER];
    loop {
        go_on()?;
        match pieces.next(&mut buffer).map_err(failed())? {
            [] => break,
            piece => encoder.write_all(piece).map_err(failed())?,
        }
    }
    encoder.try_finish().map_err(failed())?;
    let (size, packed, crc) = (pieces.at, encoder.total_out(), pieces.crc.sum());
    drop(encoder);
    // Another program may have written to the file meanwhile.
    (entry.size, entry.packed, entry.crc) = (fit(size)?, fit(packed)?, crc);
    fit(packed + (LOCAL + name.len()) as u64)?;
    let trailer = entry.trailer(name);
    to.write_all(&trailer).and_then(|()| to.write_all_at(&entry.local_header(), 0)).map_err(failed())?;
    let size = packed + (LOCAL + name.len() + trailer.len()) as u64;
    Ok(Packed { file: to, size })
}

/// A file's bytes, piece by piece, and their checksum.
struct Pieces<'a> {
    file: &'a File,
    /// Bytes to be read at most.
    left: u64,
    at: u64,
    crc: Crc,
}

impl Pieces<'_> {
    /// The next bytes; none at the end.
    fn next<'b>(&mut self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = loop {
            match self.file.read_at(&mut buffer[..most], self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let piece = &buffer[..count];
        self.crc.update(piece);
        self.at += count as u64;
        self.left -= count as u64;
        Ok(piece)
    }
}

/// As a size of a ZIP archive; the last number stands for ZIP64.
fn fit(size: u64) -> Result<u32, ArchiveError> {
    let max = u32::MAX - 1;
    u32::try_from(size).ok().filter(|&size| size <= max).ok_or(ArchiveError::TooLarge { size, max: max.into() })
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
