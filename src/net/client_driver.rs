//! The client's side of a session on a connection: moves the bytes that [`Client`] asks for, and never waits.

use std::fs::File;
use std::io::Cursor;

use super::{ByteStream, Failure, FileSent, Io, Read};
use crate::proto::{Client, Command, Error, Event, Request, Want};

/// More than any reply has, in bytes.
pub(super) const LINE: u64 = 4096;

/// A client's session, and the moving of its bytes.
///
/// In a loop, the caller has what is to be said [transmitted](Self::transmit), does what is [wanted](Self::want), and takes
/// every [event](Self::poll_event), until the connection blocks. Deadlines are the caller's.
#[derive(Debug, Default)]
pub struct ClientDriver {
    client: Client,
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The connection failed.
    #[error(transparent)]
    Net(#[from] Failure),
    /// The peer did not keep to the protocol, or closed in the middle of it.
    #[error(transparent)]
    Protocol(#[from] Error),
    /// More came with the end of a body than was announced. The body never counts as complete.
    #[error(transparent)]
    Surplus(Error),
}

impl ClientDriver {
    /// A session on a fresh connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the session waits for.
    pub fn want(&self) -> Want {
        self.client.want()
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.client.poll_event()
    }

    /// Gives the next command: [`Client::command`].
    pub fn command(&mut self, command: &Command) -> Result<(), Error> {
        self.client.command(command)
    }

    /// Asks for a transfer under a name that only the server judges: [`Client::request`].
    pub fn request(&mut self, request: &Request) -> Result<(), Error> {
        self.client.request(request)
    }

    /// Asks whether the peer speaks the extension: [`Client::ask_capabilities`].
    pub fn ask_capabilities(&mut self) -> Result<(), Error> {
        self.client.ask_capabilities()
    }

    /// Takes the announced body: [`Client::accept`].
    pub fn accept(&mut self) -> Result<(), Error> {
        self.client.accept()
    }

    /// Leaves the announced body with the peer: [`Client::decline`].
    pub fn decline(&mut self) -> Result<(), Error> {
        self.client.decline()
    }

    /// The connection has ended, or is not read to its end: [`Client::handle_eof`].
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        self.client.handle_eof()
    }

    /// Whether there are bytes of the protocol to [transmit](Self::transmit).
    pub fn wants_write(&self) -> bool {
        !self.client.transmit().is_empty()
    }

    /// Writes the protocol's bytes; whether all of them are out. If not, it is called again once the socket can go on.
    pub fn transmit(&mut self, io: &mut dyn ByteStream) -> Result<bool, Failure> {
        while self.wants_write() {
            match io.write(self.client.transmit())? {
                0 => return Ok(false),
                written => self.client.transmitted(written),
            }
        }
        io.flush()
    }

    /// Reads towards the end of a reply, or, where none is due, to see whether the peer sends something unasked or has
    /// closed, which [`Read::Eof`] reports where nothing was under way.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`DriverError::Protocol`] as by [`Client::handle_input`] and [`Client::handle_eof`].
    pub fn read_line(&mut self, io: &mut dyn ByteStream) -> Result<Read, DriverError> {
        let read = read_line(io, LINE, |bytes| self.client.handle_input(bytes))?;
        self.check_end(read)
    }

    /// Moves bytes of the body that is [wanted](Want::Body) to `take`. `most` is the piece that is let pass before the
    /// caller looks again, in bytes. The read of the last piece looks beyond the body, or something longer would count as
    /// whole: `take` sees what comes there as well, and then this fails.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`DriverError::Protocol`] at the connection's end; [`DriverError::Surplus`].
    pub fn read_body(
        &mut self,
        io: &mut dyn ByteStream,
        most: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Read, DriverError> {
        let Want::Body(left) = self.want() else { return Err(self.misuse("read_body()")) };
        let most = if most < left { most } else { left.saturating_add(LINE) };
        let (client, mut refused) = (&mut self.client, None);
        let read = io.read(most, &mut |bytes| {
            if let Some(surplus) = usize::try_from(left).ok().and_then(|left| bytes.get(left..))
                && !surplus.is_empty()
            {
                refused = client.body_transferred(left).and_then(|()| client.handle_input(surplus)).err();
                // The body is not complete, whatever its size was said to be.
                while client.poll_event().is_some() {}
            }
            take(bytes);
            bytes.len()
        })?;
        if let Some(error) = refused {
            return Err(DriverError::Surplus(error));
        }
        if let Read::Bytes(count) = read {
            self.client.body_transferred(count as u64)?;
        }
        self.check_end(read)
    }

    /// Moves what comes where nothing is due, after a body, to `take`. That it came fails the session, which
    /// [`handle_eof`](Self::handle_eof) reports; it is the caller's to call.
    pub fn read_surplus(&mut self, io: &mut dyn ByteStream, mut take: impl FnMut(&[u8])) -> Result<Read, Failure> {
        let client = &mut self.client;
        io.read(LINE, &mut |bytes| {
            take(bytes);
            // The error stays with the session.
            let _ = client.handle_input(bytes);
            bytes.len()
        })
    }

    /// Writes as much as goes of the body that is [wanted](Want::Supply), from the position of `body` on, which moves with
    /// it; returns how many bytes went, 0 where the socket blocks.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`Error::Misuse`], and nothing is written, where `body` ends before what was offered.
    pub fn send_body(
        &mut self,
        io: &mut dyn ByteStream,
        body: &mut Cursor<impl AsRef<[u8]>>,
    ) -> Result<usize, DriverError> {
        let Want::Supply(left) = self.want() else { return Err(self.misuse("send_body()")) };
        let next = rest_of(body, left);
        if next.is_empty() {
            return Err(self.misuse("send_body() of a body that is shorter than offered"));
        }
        let written = io.write(next)?;
        body.set_position(body.position() + written as u64);
        self.client.body_transferred(written as u64)?;
        Ok(written)
    }

    /// Sends bytes of the body that is [wanted](Want::Supply), from `offset` of `file` on: [`Io::send_file`].
    ///
    /// # Errors
    /// [`DriverError::Net`].
    pub fn send_file(&mut self, io: &mut Io<'_>, file: &File, offset: u64) -> Result<FileSent, DriverError> {
        let Want::Supply(left) = self.want() else { return Err(self.misuse("send_file()")) };
        let sent = io.send_file(file, offset, left)?;
        if let FileSent::Bytes(count) = sent {
            self.client.body_transferred(count)?;
        }
        Ok(sent)
    }

    /// An end is only right where nothing is due.
    fn check_end(&mut self, read: Read) -> Result<Read, DriverError> {
        if let Read::Eof { .. } = read {
            self.client.handle_eof()?;
        }
        Ok(read)
    }

    fn misuse(&self, call: &'static str) -> DriverError {
        Error::Misuse { call, want: self.want() }.into()
    }
}

/// What follows the position of `body`, at most `left` bytes.
pub(super) fn rest_of(body: &Cursor<impl AsRef<[u8]>>, left: u64) -> &[u8] {
    let position = usize::try_from(body.position()).unwrap_or(usize::MAX);
    let rest = body.get_ref().as_ref().get(position..).unwrap_or_default();
    usize::try_from(left).ok().and_then(|left| rest.get(..left)).unwrap_or(rest)
}

/// Reads one piece towards the end of a line, at most `most` bytes, which `handle` takes as [`Client::handle_input`] does.
pub(super) fn read_line(
    io: &mut dyn ByteStream,
    most: u64,
    mut handle: impl FnMut(&[u8]) -> Result<usize, Error>,
) -> Result<Read, DriverError> {
    let mut refused = None;
    let read = io.read(most, &mut |bytes| {
        handle(bytes).unwrap_or_else(|error| {
            refused = Some(error);
            bytes.len()
        })
    })?;
    refused.map_or(Ok(read), |error| Err(error.into()))
}

#[cfg(test)]
mod tests;
