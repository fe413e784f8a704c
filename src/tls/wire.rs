//! The socket under a pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use mio::net::TcpStream;
use rustix::fs::sendfile;
use rustix::io::Errno;

use super::failure::PipeError;
use super::pipe::{FileSent, Received, Sent};

/// A non-blocking TCP socket that acknowledges at once where that is wanted.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    quick_ack: bool,
    /// What was read but not taken; almost always empty.
    leftovers: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, quick_ack: bool) -> Self {
        Self { stream, quick_ack, leftovers: Vec::new() }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers.is_empty()
    }

    pub(super) fn receive(
        &mut self,
        max: usize,
        scratch: &mut [u8],
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Received, PipeError> {
        if self.has_leftovers() {
            let shown = &self.leftovers[..max.min(self.leftovers.len())];
            let taken = take(shown).min(shown.len());
            self.leftovers.drain(..taken);
            return Ok(Received::Bytes(taken));
        }
        let wanted = max.min(scratch.len());
        match self.read(&mut scratch[..wanted]) {
            Ok(0) => Ok(Received::Eof { orderly: true }),
            Ok(count) => {
                let taken = take(&scratch[..count]).min(count);
                self.leftovers.extend_from_slice(&scratch[taken..count]);
                Ok(Received::Bytes(taken))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.leftovers = Vec::new();
                Ok(Received::WouldBlock)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<Sent, PipeError> {
        match self.write(bytes) {
            Ok(count) => Ok(Sent::Bytes(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::WouldBlock),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn send_file(
        &mut self,
        file: &File,
        mut offset: u64,
        count: u64,
        scratch: &mut [u8],
    ) -> Result<FileSent, PipeError> {
        let most = usize::try_from(count).unwrap_or(usize::MAX);
        match rustix::io::retry_on_intr(|| sendfile(&self.stream, file, Some(&mut offset), most)) {
            Ok(0) => Ok(FileSent::Short),
            Ok(sent) => Ok(FileSent::Some(sent as u64)),
            Err(Errno::AGAIN) => Ok(FileSent::Blocked),
            // Not every filesystem lends its cache.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.send_copy(file, offset, most, scratch),
            Err(error @ Errno::IO) => Err(PipeError::file(&error.into())),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn send_copy(&mut self, file: &File, offset: u64, most: usize, scratch: &mut [u8]) -> Result<FileSent, PipeError> {
        match read_piece(file, offset, most, scratch)? {
            [] => Ok(FileSent::Short),
            piece => self.send(piece).map(FileSent::from),
        }
    }

    /// The kernel falls back to delayed acknowledgements by itself, so the wish is renewed before each read. Failing
    /// costs speed only.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        if self.quick_ack {
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.stream, true);
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.acknowledge_at_once();
        retry(|| self.stream.read(buffer))
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| self.stream.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        retry(|| self.stream.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of `file` from `offset` on, as many as `most` and the buffer allow; none at its end.
pub(super) fn read_piece<'b>(
    file: &File,
    offset: u64,
    most: usize,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], PipeError> {
    let wanted = most.min(buffer.len());
    let count = retry(|| file.read_at(&mut buffer[..wanted], offset)).map_err(|error| PipeError::file(&error))?;
    Ok(&buffer[..count])
}

/// Signals interrupt system calls without meaning anything for the connection.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
