//! Files measured, and compared with what they should be.

use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::open::{self, Found};
use crate::proto::{Fingerprint, Fingerprinter};

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
    let found = fingerprint(&mut file).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(if found == *wanted { Comparison::Same } else { Comparison::Different })
}

/// Measures what is left to be read.
pub(in crate::store) fn fingerprint(file: &mut impl Read) -> std::io::Result<Fingerprint> {
    let mut running = Fingerprinter::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(running.finish()),
            count => running.update(&buffer[..count]),
        }
    }
}
