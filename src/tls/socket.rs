//! The socket under a pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use mio::net::TcpStream;
use rustix::fs::sendfile;
use rustix::io::Errno;

use super::failure::StreamError;
use super::stream::{FileSent, Received, Sent};
use super::tls_stream::Transport;

/// A non-blocking TCP socket that acknowledges at once where that is wanted.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    acks: Acks,
    leftovers: Leftovers,
}

/// What was read but not taken: what follows a line, as small files do.
#[derive(Debug, Default)]
struct Leftovers {
    bytes: Vec<u8>,
    /// So many of them were taken since.
    taken: usize,
}

impl Leftovers {
    fn pending(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn advance(&mut self, taken: usize) {
        self.taken += taken;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
    }
}

/// When the peer's bytes are acknowledged.
#[derive(Debug)]
enum Acks {
    /// As the kernel thinks best: with our next bytes, or some 40 ms later.
    Delayed,
    /// Before we wait for more. A peer whose kernel holds small pieces back until then (Nagle) must not wait for us
    /// while we wait for it. What has been answered was acknowledged with the answer.
    BeforeWaiting { unanswered: bool },
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, quick_ack: bool) -> Self {
        let acks = if quick_ack { Acks::BeforeWaiting { unanswered: false } } else { Acks::Delayed };
        Self { tcp, acks, leftovers: Leftovers::default() }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers.pending().is_empty()
    }

    pub(super) fn receive(
        &mut self,
        max: usize,
        scratch: &mut [u8],
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Received, StreamError> {
        if self.has_leftovers() {
            let pending = self.leftovers.pending();
            let shown = &pending[..max.min(pending.len())];
            let taken = take(shown).min(shown.len());
            self.leftovers.advance(taken);
            return Ok(Received::Bytes(taken));
        }
        let wanted = max.min(scratch.len());
        match self.read(&mut scratch[..wanted]) {
            Ok(0) => Ok(Received::Eof { orderly: true }),
            Ok(count) => {
                let taken = take(&scratch[..count]).min(count);
                self.leftovers.bytes.extend_from_slice(&scratch[taken..count]);
                Ok(Received::Bytes(taken))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.leftovers = Leftovers::default();
                Ok(Received::WouldBlock)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<Sent, StreamError> {
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
    ) -> Result<FileSent, StreamError> {
        let most = usize::try_from(count).unwrap_or(usize::MAX);
        match rustix::io::retry_on_intr(|| sendfile(&self.tcp, file, Some(&mut offset), most)) {
            Ok(0) => Ok(FileSent::Short),
            Ok(sent) => {
                self.answered();
                Ok(FileSent::Bytes(sent as u64))
            }
            Err(Errno::AGAIN) => Ok(FileSent::Blocked),
            // Not every filesystem supports sendfile.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.send_copy(file, offset, most, scratch),
            Err(error @ Errno::IO) => Err(StreamError::file(&error.into())),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn send_copy(
        &mut self,
        file: &File,
        offset: u64,
        most: usize,
        scratch: &mut [u8],
    ) -> Result<FileSent, StreamError> {
        match read_piece(file, offset, most, scratch)? {
            [] => Ok(FileSent::Short),
            piece => self.send(piece).map(FileSent::from),
        }
    }

    /// Bytes of ours have left, and with them an acknowledgement.
    fn answered(&mut self) {
        if let Acks::BeforeWaiting { unanswered } = &mut self.acks {
            *unanswered = false;
        }
    }

    /// Has what came since our last bytes acknowledged now. The kernel falls back to delayed acknowledgements by
    /// itself, so this is set again each time. A failure costs speed only.
    fn acknowledge(&mut self) {
        if let Acks::BeforeWaiting { unanswered: unanswered @ true } = &mut self.acks {
            *unanswered = false;
            #[cfg(target_os = "linux")]
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.tcp, true);
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = retry(|| self.tcp.read(buffer));
        match (&read, &mut self.acks) {
            (Ok(_), Acks::BeforeWaiting { unanswered }) => *unanswered = true,
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => self.acknowledge(),
            _ => {}
        }
        read
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = retry(|| self.tcp.write(bytes))?;
        self.answered();
        Ok(written)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let written = retry(|| self.tcp.write_vectored(slices))?;
        self.answered();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.tcp.peek(bytes)
    }
}

/// The bytes of `file` from `offset` on, as many as `most` and the buffer allow; none at its end.
pub(crate) fn read_piece<'b>(
    file: &File,
    offset: u64,
    most: usize,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], StreamError> {
    let wanted = most.min(buffer.len());
    let count = retry(|| file.read_at(&mut buffer[..wanted], offset)).map_err(|error| StreamError::file(&error))?;
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use rustix::net::sockopt::{set_tcp_quickack, tcp_quickack};

    use super::*;

    /// A wire, and its peer: what the peer writes is there to be read at once.
    fn pair() -> (Socket, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (Socket::new(TcpStream::from_std(stream), true), peer)
    }

    fn receive(socket: &mut Socket) -> io::Result<usize> {
        socket.read(&mut [0; 16])
    }

    fn would_block(socket: &mut Socket) {
        assert_eq!(receive(socket).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_unanswered_when_nothing_more_is_there_is_acknowledged_at_once() {
        let (mut socket, mut peer) = pair();
        peer.write_all(b"half a").unwrap();
        assert_eq!(receive(&mut socket).unwrap(), 6);
        set_tcp_quickack(&socket.tcp, false).unwrap();
        would_block(&mut socket);
        assert!(tcp_quickack(&socket.tcp).unwrap());
    }

    #[test]
    fn what_has_been_answered_needs_no_acknowledgement_of_its_own() {
        let (mut socket, mut peer) = pair();
        peer.write_all(b"a question\n").unwrap();
        assert_eq!(receive(&mut socket).unwrap(), 11);
        socket.write_all(b"an answer\n").unwrap();
        set_tcp_quickack(&socket.tcp, false).unwrap();
        would_block(&mut socket);
        assert!(!tcp_quickack(&socket.tcp).unwrap());
    }
}
