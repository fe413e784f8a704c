//! How a staged file's bytes get into it.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};

use super::map::Mapping;

/// Opens what files are written through.
pub trait OpenSink: fmt::Debug + Send + Sync {
    /// For the empty `file`, which is expected to have so many bytes once it is whole.
    ///
    /// # Errors
    /// There is no room, as far as that shows before anything is written.
    fn open(&self, file: File, size_hint: u64) -> io::Result<Box<dyn Sink>>;
}

/// An open file that takes bytes at its end.
pub trait Sink: fmt::Debug + Send {
    /// Takes the next bytes. After an error it is of no use.
    ///
    /// # Errors
    /// Whatever keeps them from being written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Closes the file, which then has the length of what was written.
    ///
    /// # Errors
    /// Whatever keeps it from that.
    fn close(self: Box<Self>) -> io::Result<()>;
}

/// The ways bytes are written. The [module `store`](crate::store) has what the bench measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkKind {
    /// One `write` for each piece.
    #[default]
    Append,
    /// Copied into a memory mapping of room that was reserved before.
    Mapped,
}

impl OpenSink for SinkKind {
    /// Where room cannot be reserved, a mapping is not safe: then the file is appended to.
    fn open(&self, file: File, size_hint: u64) -> io::Result<Box<dyn Sink>> {
        match self {
            Self::Append => Ok(Box::new(file)),
            Self::Mapped => match Mapping::new(file, size_hint) {
                Ok(mapping) => Ok(Box::new(mapping)),
                Err((file, error)) if error.kind() == io::ErrorKind::Unsupported => Ok(Box::new(file)),
                Err((_, error)) => Err(error),
            },
        }
    }
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Mapping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes)
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        Mapping::close(*self)
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
        let mut sink = SinkKind::Append.open(full, 0).unwrap();
        let error = StoreError::std("write", Path::new("/dev/full"))(sink.write(b"x").unwrap_err());
        assert!(error.is_full(), "{error}");
    }
}
