//! How a staged file's bytes get into it.

use std::fs::File;
use std::io::{self, Write};

use super::map::Mapping;

/// The way bytes are written. The [module `store`](crate::store) has what the bench measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkKind {
    /// One `write` for each piece.
    #[default]
    Append,
    /// Copied into a memory mapping of room that was reserved before.
    Mapped,
}

/// An open file that takes bytes at its end.
#[derive(Debug)]
pub(in crate::store) enum Sink {
    Append(File),
    Mapped(Mapping),
}

impl Sink {
    /// A sink for the empty `file`. Where room cannot be reserved, a mapping is not safe: then it is appended to.
    pub(in crate::store) fn new(kind: SinkKind, file: File, size_hint: u64) -> io::Result<Self> {
        match kind {
            SinkKind::Append => Ok(Self::Append(file)),
            SinkKind::Mapped => match Mapping::new(file, size_hint) {
                Ok(mapping) => Ok(Self::Mapped(mapping)),
                Err((file, error)) if error.kind() == io::ErrorKind::Unsupported => Ok(Self::Append(file)),
                Err((_, error)) => Err(error),
            },
        }
    }

    pub(in crate::store) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Append(file) => file.write_all(bytes),
            Self::Mapped(mapping) => mapping.append(bytes),
        }
    }

    /// Closes the file, which then has the length of what was written.
    pub(in crate::store) fn close(self) -> io::Result<()> {
        match self {
            Self::Append(_) => Ok(()),
            Self::Mapped(mapping) => mapping.close(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::error::StoreError;
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::new(SinkKind::Append, full, 0).unwrap();
        let error = StoreError::std("write", Path::new("/dev/full"))(sink.write(b"x").unwrap_err());
        assert!(error.is_full(), "{error}");
    }
}
