//! The client's side of a session of the [extension](crate::proto::extension) on a connection: moves the bytes that
//! [`PipelinedClient`] asks for, and never waits.

use std::io::Cursor;

use super::client_driver::{read_line, rest_of};
use super::{ByteStream, Compressible, CompressionPlace, DriverError, Failure, Read};
use crate::proto::extension::{ExtensionCommand, PipelinedClient, PipelinedEvent};
use crate::proto::{Error, PasswordDigest, Want};

/// Bytes that are read at once where a line is due: behind it come small files and further lines.
const ANSWERS: u64 = 32 * 1024;

/// A client's session in which commands are sent ahead, and the moving of its bytes.
///
/// In a loop, the caller gives commands, has them [transmitted](Self::transmit) as far as they go, reads what is
/// [wanted](Self::want), and takes every [event](Self::poll_event), until nothing more comes. It reads whether or not all is
/// transmitted: the peer may take no command before it has answered the ones before. Before it waits, it has the connection
/// [flushed](ByteStream::flush). Deadlines are the caller's.
#[derive(Debug, Default)]
pub struct PipelinedDriver {
    client: PipelinedClient,
    /// While compression is asked for.
    compression: Option<CompressionPlace>,
}

impl PipelinedDriver {
    /// A session on a connection on which nothing is under way, and whose peer speaks the extension, or did.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is awaited: [`PipelinedClient::want`].
    pub fn want(&self) -> Want {
        self.client.want()
    }

    /// How many commands are not answered yet.
    pub fn due(&self) -> usize {
        self.client.due()
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<PipelinedEvent> {
        self.client.poll_event()
    }

    /// Gives the password: [`PipelinedClient::login`].
    pub fn login(&mut self, password: PasswordDigest) -> Result<(), Error> {
        self.client.login(password)
    }

    /// Gives a command, whatever is due: [`PipelinedClient::command`].
    pub fn command(&mut self, command: &ExtensionCommand) -> Result<(), Error> {
        self.client.command(command)
    }

    /// Asks for compression, where nothing is due: from the peer's consent on, the connection is. Whether there is room for
    /// that, and it was asked for.
    ///
    /// # Errors
    /// As those of [`command`](Self::command).
    pub fn ask_for_compression(&mut self, io: &mut dyn Compressible) -> Result<bool, Error> {
        let Some(place) = io.compression_place() else { return Ok(false) };
        self.client.command(&ExtensionCommand::Deflate)?;
        self.compression = Some(place);
        Ok(true)
    }

    /// How many bytes of the body given with the last `PUT` are to be sent: [`PipelinedClient::supply`].
    pub fn supply(&self) -> u64 {
        self.client.supply()
    }

    /// Writes as much as goes of that body, once all before it is [transmitted](Self::transmit), from the position of `body` on,
    /// which moves with it; returns how many bytes went.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`Error::Misuse`], and nothing is written, where `body` ends before what was announced.
    pub fn send_body(
        &mut self,
        io: &mut dyn ByteStream,
        body: &mut Cursor<impl AsRef<[u8]>>,
    ) -> Result<usize, DriverError> {
        let left = self.client.supply();
        if left == 0 || !self.client.transmit().is_empty() {
            return Ok(0);
        }
        let next = rest_of(body, left);
        if next.is_empty() {
            return Err(Error::Misuse { call: "send_body() of a body that is too short", want: self.want() }.into());
        }
        let written = io.write(next)?;
        body.set_position(body.position() + written as u64);
        self.client.body_supplied(written as u64)?;
        Ok(written)
    }

    /// Ends the session once all that is due is answered: [`PipelinedClient::quit`].
    pub fn quit(&mut self) -> Result<(), Error> {
        self.client.quit()
    }

    /// Writes the protocol's bytes, as far as they go. They may be held back until the connection is
    /// [flushed](ByteStream::flush).
    pub fn transmit(&mut self, io: &mut dyn ByteStream) -> Result<(), Failure> {
        while !self.client.transmit().is_empty() {
            match io.write(self.client.transmit())? {
                0 => break,
                written => self.client.transmitted(written),
            }
        }
        Ok(())
    }

    /// Reads towards the end of a line, or, where none is due, to see whether the peer sends something unasked or has closed,
    /// which [`Read::Eof`] reports where nothing was due.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`DriverError::Protocol`] as by [`PipelinedClient::handle_input`] and
    /// [`PipelinedClient::handle_eof`].
    pub fn read_line(&mut self, io: &mut dyn Compressible) -> Result<Read, DriverError> {
        let read = read_line(io, ANSWERS, |bytes| self.client.handle_input(bytes))?;
        // It takes no more than the line, so that what stands behind it is decompressed.
        if self.client.is_to_be_compressed()
            && let Some(place) = self.compression.take()
        {
            io.compress(place);
            self.client.compressed()?;
        }
        if self.client.due() == 0 {
            self.compression = None;
        }
        self.check_end(read)
    }

    /// Moves bytes of the body that is [wanted](Want::Body) to `take`, at most `most` of them; none beyond its end, where the
    /// next answer begins.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`DriverError::Protocol`] at the connection's end.
    pub fn read_body(
        &mut self,
        io: &mut dyn ByteStream,
        most: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Read, DriverError> {
        let Want::Body(left) = self.want() else {
            return Err(Error::Misuse { call: "read_body()", want: self.want() }.into());
        };
        let read = io.read(most.min(left), &mut |bytes| {
            take(bytes);
            bytes.len()
        })?;
        if let Read::Bytes(count) = read {
            self.client.body_transferred(count as u64)?;
        }
        self.check_end(read)
    }

    /// An end is only right where nothing is due.
    fn check_end(&mut self, read: Read) -> Result<Read, DriverError> {
        if let Read::Eof { .. } = read {
            self.client.handle_eof()?;
        }
        Ok(read)
    }
}
