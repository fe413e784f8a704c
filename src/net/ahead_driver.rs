//! The client's side of a session with stock in which commands are sent ahead, on a connection: moves the bytes that
//! [`AheadClient`] asks for, and never waits.

use super::client_driver::{LINE, read_line};
use super::{ByteStream, DriverError, Failure, Read};
use crate::proto::{AheadClient, Command, Error, Event, Want};

/// A client's session in which commands are sent ahead to stock, and the moving of its bytes.
///
/// In a loop, the caller gives commands, has their messages [transmitted](Self::transmit_message), at a distance where they
/// could meet, reads what is [wanted](Self::want), and takes every [event](Self::poll_event), until nothing more comes.
/// Deadlines are the caller's.
#[derive(Debug, Default)]
pub struct AheadDriver {
    client: AheadClient,
}

impl AheadDriver {
    /// A session on a connection on which nothing is under way.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is awaited: [`AheadClient::want`].
    pub fn want(&self) -> Want {
        self.client.want()
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.client.poll_event()
    }

    /// Asks for a file and takes it, whatever is due: [`AheadClient::command`].
    pub fn command(&mut self, command: &Command) -> Result<(), Error> {
        self.client.command(command)
    }

    /// Whether there is a message to transmit, or the rest of one.
    pub fn wants_write(&self) -> bool {
        !self.client.transmit().is_empty()
    }

    /// Writes the next message, or what is left of one; whether it is out to its end. Under TLS each write is a record, and
    /// none has a piece of two messages.
    pub fn transmit_message(&mut self, io: &mut dyn ByteStream) -> Result<bool, Failure> {
        while let left @ 1.. = self.client.transmit().len() {
            let written = io.write(self.client.transmit())?;
            self.client.transmitted(written);
            if written == left {
                return Ok(true);
            }
            if written == 0 {
                return Ok(false);
            }
        }
        io.flush()
    }

    /// Reads towards the end of an answer, or, where none is due, to see whether the peer sends something unasked or has
    /// closed, which [`Read::Eof`] reports where nothing was due.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`DriverError::Protocol`] as by [`AheadClient::handle_input`] and [`AheadClient::handle_eof`].
    pub fn read_line(&mut self, io: &mut dyn ByteStream) -> Result<Read, DriverError> {
        let read = read_line(io, LINE, |bytes| self.client.handle_input(bytes))?;
        self.check_end(read)
    }

    /// Moves bytes of the body that is [wanted](Want::Body) to `take`, `piece` of them at most, and none beyond its end. Where no
    /// answer is to follow, that nothing does shows that it is whole, as far as it can.
    ///
    /// # Errors
    /// [`DriverError::Net`]; [`DriverError::Protocol`] where what comes is no body, or not the announced one, and at the
    /// connection's end.
    pub fn read_body(
        &mut self,
        io: &mut dyn ByteStream,
        piece: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Read, DriverError> {
        let Want::Body(left) = self.want() else {
            return Err(Error::Misuse { call: "read_body()", want: self.want() }.into());
        };
        let most = match self.client.due() {
            _ if piece < left => piece,
            0 => left.saturating_add(LINE),
            _ => left,
        };
        let (client, mut refused) = (&mut self.client, None);
        let read = io.read(most, &mut |bytes| {
            let end = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (body, surplus) = bytes.split_at(end);
            take(body);
            refused = client.body_received(body).and_then(|()| client.handle_input(surplus)).err();
            bytes.len()
        })?;
        match refused {
            Some(error) => Err(error.into()),
            None => self.check_end(read),
        }
    }

    /// An end is only right where nothing is due.
    fn check_end(&mut self, read: Read) -> Result<Read, DriverError> {
        if let Read::Eof { .. } = read {
            self.client.handle_eof()?;
        }
        Ok(read)
    }
}
