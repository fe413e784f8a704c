//! A connection, encrypted or not, that keeps what one read brings as stock sees it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ServerConnection;

use super::session::Closed;
use crate::tls::Acceptor;

/// Bytes of a TLS record before its payload: type, version, length.
const RECORD_HEADER: usize = 5;

#[derive(Debug)]
pub(super) enum Stream<'a> {
    Plain(&'a TcpStream),
    Tls(&'a TcpStream, Box<ServerConnection>),
}

impl<'a> Stream<'a> {
    pub(super) fn plain(socket: &'a TcpStream) -> Self {
        Self::Plain(socket)
    }

    /// Makes the handshake; returns whether the client showed a certificate.
    pub(super) fn accept_tls(socket: &'a TcpStream, acceptor: &Acceptor) -> io::Result<(Self, bool)> {
        let mut tls = new_connection(acceptor)?;
        while tls.is_handshaking() {
            take_record(socket, &mut tls)?;
        }
        let certificate = tls.peer_certificates().is_some();
        Ok((Self::Tls(socket, Box::new(tls)), certificate))
    }

    /// One read: what the kernel has of a plain stream, at most one record of an encrypted one.
    pub(super) fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(block),
            Self::Tls(socket, tls) => loop {
                match tls.reader().read(block) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => take_record(socket, tls)?,
                    other => return other,
                }
            },
        }
    }

    /// One write, and at least one record of its own.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(socket, tls) => {
                tls.writer().write_all(bytes)?;
                flush(socket, tls)
            }
        }
    }

    pub(super) fn socket(&self) -> &'a TcpStream {
        match self {
            Self::Plain(socket) | Self::Tls(socket, _) => socket,
        }
    }
}

/// Reads without an answer until the client goes away, or the server is stopped.
pub(super) fn drain(mut socket: &TcpStream) -> Closed {
    let mut block = [0; 512];
    if socket.set_read_timeout(None).is_ok() {
        while socket.read(&mut block).is_ok_and(|count| count > 0) {}
    }
    Closed
}

/// Takes the client's hello, sends half of the answer, and falls silent.
pub(super) fn hang_in_tls(socket: &TcpStream, acceptor: &Acceptor) -> Closed {
    if send_half_an_answer(socket, acceptor).is_err() { Closed } else { drain(socket) }
}

fn send_half_an_answer(mut socket: &TcpStream, acceptor: &Acceptor) -> io::Result<()> {
    let mut tls = new_connection(acceptor)?;
    let mut answer = Vec::new();
    feed(&mut tls, &read_record(socket)?)?;
    while tls.wants_write() {
        tls.write_tls(&mut answer)?;
    }
    socket.write_all(&answer[..answer.len() / 2])
}

/// Has the connection reset, not closed, when it is dropped.
pub(super) fn reset(socket: &TcpStream) -> Closed {
    // Where that fails it is closed: the client is rid of us in any case.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
    Closed
}

fn new_connection(acceptor: &Acceptor) -> io::Result<ServerConnection> {
    let mut tls = acceptor.accept().map_err(io::Error::other)?;
    tls.set_buffer_limit(None);
    Ok(tls)
}

fn take_record(socket: &TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    let fed = feed(tls, &read_record(socket)?);
    // Also after a failure: the alert with the reason.
    flush(socket, tls)?;
    fed
}

fn read_record(mut socket: &TcpStream) -> io::Result<Vec<u8>> {
    let mut record = vec![0; RECORD_HEADER];
    socket.read_exact(&mut record)?;
    let length = u16::from_be_bytes([record[3], record[4]]);
    record.resize(RECORD_HEADER + usize::from(length), 0);
    socket.read_exact(&mut record[RECORD_HEADER..])?;
    Ok(record)
}

fn feed(tls: &mut ServerConnection, mut record: &[u8]) -> io::Result<()> {
    while !record.is_empty() {
        tls.read_tls(&mut record)?;
    }
    tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok(())
}

fn flush(mut socket: &TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut socket)?;
    }
    Ok(())
}
