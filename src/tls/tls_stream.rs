//! TLS on a socket.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};

use rustls::pki_types::CertificateDer;
use rustls::{Connection, HandshakeKind};

use super::client_failure::ClientFailure;
use super::failure::{Phase, StreamError, TlsFailure};
use super::hello;
use super::socket::{Socket, read_piece};
use super::stream::{FileSent, Handshake, Received, Sent};
use super::summary::CertificateSummary;

/// The most plaintext one write takes, in bytes: what fits into one record.
const MAX_RECORD: usize = 16 * 1024;

/// The most reads from the socket in one turn that may bring no data: records of 16 KiB arrive in pieces of 4 KiB.
const MAX_BARREN_READS: usize = 8;

/// What TLS can be spoken over, without blocking.
pub trait Transport: io::Read + io::Write {
    /// The next bytes, which stay there to be read.
    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize>;
}

/// A TLS connection and its socket.
#[derive(Debug)]
pub struct TlsStream<W = Socket> {
    socket: W,
    session: Connection,
    /// The length of the next piece of decrypted bytes; 0 when there is none.
    buffered: usize,
    /// Set once nothing more will come.
    end: Option<End>,
}

/// How a peer's bytes end.
#[derive(Debug)]
enum End {
    /// By close_notify.
    Notified,
    /// The socket ended, without close_notify.
    Cut,
    /// In a failure, to be reported once what came before it is taken.
    Failed(StreamError),
}

/// What one read from the socket came to.
enum Progress {
    Some,
    WouldBlock,
}

impl<W: Transport> TlsStream<W> {
    pub(crate) fn new(socket: W, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(2 * MAX_RECORD));
        Self { socket, session, buffered: 0, end: None }
    }

    pub(crate) fn socket(&self) -> &W {
        &self.socket
    }

    #[cfg(test)]
    pub(crate) fn wire_mut(&mut self) -> &mut W {
        &mut self.socket
    }

    pub(crate) fn has_buffered(&self) -> bool {
        self.buffered > 0
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    pub(crate) fn handshake(&mut self) -> Result<Handshake, StreamError> {
        match self.advance_handshake() {
            // A peer that hangs up without having read all we sent resets the connection.
            Err(StreamError::Io { kind: io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, .. }) => {
                Err(self.closed_in_handshake())
            }
            other => other,
        }
    }

    fn advance_handshake(&mut self) -> Result<Handshake, StreamError> {
        while self.session.is_handshaking() {
            let flushed = self.flush()?;
            if !flushed && !self.session.wants_read() {
                return Ok(Handshake::WantMore);
            }
            if let Progress::WouldBlock = self.read_record()? {
                return Ok(Handshake::WantMore);
            }
            match &self.end {
                Some(End::Failed(failure)) => return Err(failure.clone()),
                Some(End::Notified | End::Cut) if self.session.is_handshaking() => {
                    return Err(self.closed_in_handshake());
                }
                Some(End::Notified | End::Cut) | None => {}
            }
        }
        self.flush()?;
        Ok(Handshake::Done)
    }

    pub(crate) fn receive(&mut self, max: usize, take: impl FnOnce(&[u8]) -> usize) -> Result<Received, StreamError> {
        for _ in 0..MAX_BARREN_READS {
            if self.has_buffered() {
                return self.show(max, take);
            }
            match &self.end {
                Some(End::Notified) => return Ok(Received::Eof { orderly: true }),
                Some(End::Cut) => return Ok(Received::Eof { orderly: false }),
                Some(End::Failed(failure)) => return Err(failure.clone()),
                None => {}
            }
            match self.read_record()? {
                Progress::Some => {}
                Progress::WouldBlock => return Ok(Received::WouldBlock),
            }
        }
        Ok(Received::Bytes(0))
    }

    fn show(&mut self, max: usize, take: impl FnOnce(&[u8]) -> usize) -> Result<Received, StreamError> {
        let mut reader = self.session.reader();
        let chunk = reader.fill_buf()?;
        let shown = &chunk[..max.min(chunk.len())];
        let taken = take(shown).min(shown.len());
        reader.consume(taken);
        self.buffered = self.next_piece();
        Ok(Received::Bytes(taken))
    }

    /// Reads once from the socket and decrypts what is whole. Called only when nothing decrypted is left, so rustls's
    /// buffers never grow past one record.
    fn read_record(&mut self) -> Result<Progress, StreamError> {
        let phase = self.phase();
        let first = self.first_bytes(phase);
        let count = match self.session.read_tls(&mut self.socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::WouldBlock),
            Err(error) => return Err(error.into()),
        };
        match self.session.process_new_packets() {
            Ok(state) if state.peer_has_closed() => self.end = Some(End::Notified),
            Ok(_) if count == 0 => self.end = Some(End::Cut),
            Ok(_) => {}
            Err(error) => self.fail(&error, phase, &first),
        }
        self.buffered = self.next_piece();
        // Key updates and the like are answered by rustls itself.
        if self.end.is_none() && !self.session.is_handshaking() {
            self.flush()?;
        }
        Ok(Progress::Some)
    }

    fn fail(&mut self, error: &rustls::Error, phase: Phase, first: &[u8]) {
        self.end = Some(End::Failed(self.failure(error, phase, first)));
        // The alert with the reason, behind what is still to be sent; we have failed whether it leaves or not.
        while self.session.wants_write() && self.session.write_tls(&mut self.socket).is_ok_and(|count| count > 0) {}
    }

    /// What rustls's `error` means, by the side we are on. `first` is what the peer began with.
    fn failure(&self, error: &rustls::Error, phase: Phase, first: &[u8]) -> StreamError {
        match self.session {
            Connection::Client(_) => TlsFailure::from_rustls(error, phase, first).into(),
            Connection::Server(_) => ClientFailure::from_rustls(error, phase, first).into(),
        }
    }

    fn closed_in_handshake(&self) -> StreamError {
        match self.session {
            Connection::Client(_) => TlsFailure::ClosedInHandshake.into(),
            Connection::Server(_) => ClientFailure::ClosedInHandshake.into(),
        }
    }

    /// What the peer begins with: rustls does not report what it took for no TLS, or for none that it has.
    fn first_bytes(&self, phase: Phase) -> Vec<u8> {
        if phase != Phase::Hello {
            return Vec::new();
        }
        let mut first = vec![0; hello::LENGTH];
        let count = self.socket.peek(&mut first).unwrap_or(0);
        first.truncate(count);
        first
    }

    fn next_piece(&mut self) -> usize {
        self.session.reader().fill_buf().map_or(0, <[u8]>::len)
    }

    fn phase(&self) -> Phase {
        if !self.session.is_handshaking() {
            Phase::Established
        } else if self.session.negotiated_cipher_suite().is_some() {
            Phase::Handshake
        } else {
            Phase::Hello
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<Sent, StreamError> {
        if !self.flush()? {
            return Ok(Sent::WouldBlock);
        }
        let taken = self.session.writer().write(&bytes[..bytes.len().min(MAX_RECORD)])?;
        self.flush()?;
        Ok(Sent::Bytes(taken))
    }

    /// Reads the file only once there is room for what it has.
    pub(crate) fn send_file(
        &mut self,
        file: &File,
        offset: u64,
        count: u64,
        scratch: &mut [u8],
    ) -> Result<FileSent, StreamError> {
        if !self.flush()? {
            return Ok(FileSent::Blocked);
        }
        let most = usize::try_from(count).map_or(MAX_RECORD, |count| count.min(MAX_RECORD));
        match read_piece(file, offset, most, scratch)? {
            [] => Ok(FileSent::Short),
            piece => self.send(piece).map(FileSent::from),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<bool, StreamError> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(self.pending_alert().unwrap_or_else(|| error.into())),
            }
        }
        Ok(true)
    }

    /// A peer that resets the connection may have sent the reason just before: its alert is worth more than the reset.
    fn pending_alert(&mut self) -> Option<StreamError> {
        let phase = self.phase();
        self.session.read_tls(&mut self.socket).ok()?;
        let error = self.session.process_new_packets().err()?;
        Some(self.failure(&error, phase, &[]))
    }

    pub(crate) fn close(&mut self) {
        self.session.send_close_notify();
    }

    /// The peer's certificates, its own first, where an earlier session went on.
    pub(crate) fn resumed_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        if self.session.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.session.peer_certificates()
        } else {
            None
        }
    }

    pub(crate) fn peer(&self) -> Option<PeerDescription> {
        let version = self.session.protocol_version().filter(|_| !self.session.is_handshaking())?;
        let suite = self.session.negotiated_cipher_suite()?.suite();
        let leaf = self.session.peer_certificates().and_then(<[_]>::first);
        Some(PeerDescription {
            version: match version {
                rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2",
                _ => "TLS 1.3",
            },
            cipher_suite: suite.as_str().map_or_else(|| format!("{suite:?}"), str::to_owned),
            resumed: self.session.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: leaf.and_then(|leaf| CertificateSummary::of(leaf)),
        })
    }
}

/// Whom we speak TLS with, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDescription {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// Its IANA name.
    pub cipher_suite: String,
    /// Whether an earlier session went on.
    pub resumed: bool,
    /// The peer's own certificate, if it showed one that can be read.
    pub certificate: Option<CertificateSummary>,
}
