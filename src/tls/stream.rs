//! A connection, encrypted or not: the only place where the two differ.
//!
//! Everything is non-blocking. Bytes are handed out where they lie, in rustls's buffer of decrypted data or in the
//! caller's scratch buffer, so that between the record layer and a file's `write` there is no copy of ours.

use std::fs::File;
use std::io;
use std::net::Shutdown;

use mio::net::TcpStream;
use rustls::pki_types::CertificateDer;

use super::failure::StreamError;
use super::socket::Socket;
use super::tls_stream::TlsStream;

/// A TCP connection with or without TLS on it.
///
/// To be dropped after an error: it stays failed.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(Socket),
    /// TLS, from the first byte.
    Tls(Box<TlsStream>),
}

/// How far a TLS handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Done: data may flow. Plain pipes are born so.
    Done,
    /// The peer's turn, or the socket is full; see [`Stream::wants_write`].
    WantMore,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes were taken; there may be more. 0 when the caller took none, or when there were only TLS records
    /// without data: it counts against a connection's turn like any other.
    Bytes(usize),
    /// Nothing is there: wait for the socket to be readable.
    WouldBlock,
    /// The peer sends no more; we still may. Stock never sends close_notify, so whether this is too early shows only in
    /// the lengths that were announced.
    Eof {
        /// Whether the peer ended its direction: by close_notify in TLS, by its FIN in plain TCP.
        orderly: bool,
    },
}

/// What a write achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken; under TLS perhaps not all the way to the socket, see [`Stream::wants_write`].
    Bytes(usize),
    /// None were: wait for the socket to be writable.
    WouldBlock,
}

/// What sending a piece of a file achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSent {
    /// So many bytes were taken; under TLS perhaps not all the way to the socket, see [`Stream::wants_write`].
    Bytes(u64),
    /// None were: wait for the socket to be writable.
    Blocked,
    /// The file has no byte there: it was shortened.
    Short,
}

impl From<Sent> for FileSent {
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Bytes(count) => Self::Bytes(count as u64),
            Sent::WouldBlock => Self::Blocked,
        }
    }
}

impl Stream {
    /// A plain connection. With `quick_ack`, what is received is acknowledged at once (`TCP_QUICKACK`).
    pub fn plain(stream: TcpStream, quick_ack: bool) -> Self {
        Self::Plain(Socket::new(stream, quick_ack))
    }

    /// A connection that starts with a TLS handshake as `session` begins it.
    pub fn tls(stream: TcpStream, session: impl Into<rustls::Connection>, quick_ack: bool) -> Self {
        Self::Tls(Box::new(TlsStream::new(Socket::new(stream, quick_ack), session.into())))
    }

    /// Goes on with the TLS handshake until it is done or has to wait.
    pub fn handshake(&mut self) -> Result<Handshake, StreamError> {
        match self {
            Self::Plain(_) => Ok(Handshake::Done),
            Self::Tls(tls) => tls.handshake(),
        }
    }

    /// Shows the next bytes, `max` at the most, to `take`, which returns how many of them it took; the rest comes again.
    ///
    /// Plain bytes pass through `scratch`; no more than `max` are taken from the socket.
    ///
    /// # Panics
    /// If `scratch` is empty.
    pub fn read(
        &mut self,
        max: usize,
        scratch: &mut [u8],
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Received, StreamError> {
        assert!(!scratch.is_empty(), "a read needs a buffer");
        if max == 0 {
            return Ok(Received::Bytes(0));
        }
        match self {
            Self::Plain(socket) => socket.receive(max, scratch, take),
            Self::Tls(tls) => tls.receive(max, take),
        }
    }

    /// Whether bytes wait in here: such a connection is ready to be read though its socket is silent.
    pub fn has_buffered(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.has_leftovers(),
            Self::Tls(tls) => tls.has_buffered(),
        }
    }

    /// Sends `bytes` or the first of them. Under TLS each call makes one record (16 KiB at the most) that is passed on
    /// at once, and nothing more is taken until it has left.
    pub fn write(&mut self, bytes: &[u8]) -> Result<Sent, StreamError> {
        match self {
            Self::Plain(socket) => socket.send(bytes),
            Self::Tls(tls) => tls.send(bytes),
        }
    }

    /// Sends bytes of `file` from `offset` on, at most `count`. Plain connections take them from the kernel's cache of
    /// the file; under TLS they pass through `scratch`, one record at a time.
    ///
    /// # Panics
    /// If `scratch` is empty.
    pub fn send_file(
        &mut self,
        file: &File,
        offset: u64,
        count: u64,
        scratch: &mut [u8],
    ) -> Result<FileSent, StreamError> {
        assert!(!scratch.is_empty(), "a read needs a buffer");
        if count == 0 {
            return Ok(FileSent::Bytes(0));
        }
        match self {
            Self::Plain(socket) => socket.send_file(file, offset, count, scratch),
            Self::Tls(tls) => tls.send_file(file, offset, count, scratch),
        }
    }

    /// Whether there are bytes to read, in here or in the socket; the peer's end alone is none.
    pub fn has_input(&self) -> bool {
        self.has_buffered() || matches!(self.tcp().peek(&mut [0]), Ok(1..))
    }

    /// Passes on what was taken before; whether nothing is left.
    pub fn flush(&mut self) -> Result<bool, StreamError> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// The peer's certificates, its own first, where an earlier session of TLS went on.
    pub fn resumed_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.resumed_certificates(),
        }
    }

    /// Whether bytes wait in here to be written: [`Stream::flush`] is due once the socket is writable.
    pub fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.wants_write(),
        }
    }

    /// Sends close_notify in TLS; [`Stream::flush`] until nothing is left, then [`Stream::shutdown_write`].
    pub fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }

    /// Ends our direction of the TCP connection. One that the peer has ended already is fine.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self.tcp().shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }

    /// Whom we speak TLS with, once the handshake is done.
    pub fn peer(&self) -> Option<super::PeerDescription> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.peer(),
        }
    }

    /// The socket, for its addresses and options; not to be read or written.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket.tcp(),
            Self::Tls(tls) => tls.socket().tcp(),
        }
    }
}
