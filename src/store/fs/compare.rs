//! Files measured, and compared with what they should be.

use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::open::{self, Found};
use crate::proto::{Fingerprint, Fingerprinter, Md5Hasher, Md5Sum};

/// How a file's bytes compare with what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Comparison {
    /// A plain file with these bytes.
    Same,
    /// Something else: other bytes, a directory, a link.
    Different,
    /// Nothing is there.
    Absent,
}

/// Compares the file of this name with what it should be.
pub(in crate::store) fn compare(dir: &OwnedFd, name: &[u8], wanted: &Fingerprint) -> Result<Comparison, Errno> {
    let (mut file, stat) = match open::file(dir, name, OFlags::RDONLY, Mode::empty())? {
        Found::File(file, stat) => (file, stat),
        Found::Nothing => return Ok(Comparison::Absent),
        Found::Other(_) => return Ok(Comparison::Different),
    };
    if u64::try_from(stat.st_size) != Ok(wanted.size) {
        return Ok(Comparison::Different);
    }
    let is_same = match wanted.md5() {
        Some(wanted) => md5_sum(&mut file).map(|found| found == wanted),
        None => fingerprint(&mut file).map(|found| found == *wanted),
    };
    let is_same = is_same.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(if is_same { Comparison::Same } else { Comparison::Different })
}

/// Measures what is left to be read.
pub(in crate::store) fn fingerprint(file: &mut impl Read) -> std::io::Result<Fingerprint> {
    let mut running = Fingerprinter::default();
    read_all(file, |bytes| running.update(bytes))?;
    Ok(running.finish())
}

/// The same, as `.md5` files have it.
pub(in crate::store) fn md5_sum(file: &mut impl Read) -> std::io::Result<Md5Sum> {
    let mut running = Md5Hasher::default();
    read_all(file, |bytes| running.update(bytes))?;
    Ok(running.finish())
}

fn read_all(file: &mut impl Read, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => take(&buffer[..count]),
        }
    }
}
