//! A client on its own, one command at a time, on a connection that blocks.

use std::io::{BufRead, BufReader, Read, Write};

use super::concurrent_clients::File;
use super::connection::Connection;
use crate::support::Result;

/// How much stock's client writes at a time.
const STOCK_PIECE: usize = 1024;

/// How much of a large body is read at a time.
const PIECE: usize = 256 * 1024;

/// A client in lock-step with its server.
pub(crate) struct BlockingClient(BufReader<Connection>);

impl BlockingClient {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(BufReader::with_capacity(PIECE, connection))
    }

    /// The connection, at rest.
    pub(crate) fn into_connection(self) -> Connection {
        self.0.into_inner()
    }

    /// Sends a file, its body in one write.
    pub(crate) fn send(&mut self, file: &File) -> Result<()> {
        self.send_in_pieces(file, file.1.len())
    }

    /// Sends a file as stock's client does.
    pub(crate) fn send_as_stock(&mut self, file: &File) -> Result<()> {
        self.send_in_pieces(file, STOCK_PIECE)
    }

    fn send_in_pieces(&mut self, (name, body): &File, piece: usize) -> Result<()> {
        self.send_line(&format!("SEND <{name}> SIZE {}\n", body.len()))?;
        self.expect("SEND OK\n")?;
        for piece in body.chunks(piece) {
            self.0.get_mut().write_all(piece)?;
        }
        self.expect("SEND OK\n")
    }

    /// Begins to send a file, and writes nothing of its body.
    pub(crate) fn begin(&mut self, name: &str, size: u64) -> Result<()> {
        self.send_line(&format!("SEND <{name}> SIZE {size}\n"))?;
        self.expect("SEND OK\n")
    }

    /// The next byte of a body.
    pub(crate) fn drip(&mut self) -> Result<()> {
        Ok(self.0.get_mut().write_all(b"x")?)
    }

    /// Lists the storage and moves every agent's file out of it; how many there were.
    pub(crate) fn move_all(&mut self) -> Result<u64> {
        let mut list = Vec::new();
        self.get("LS", "", |bytes| list.extend_from_slice(bytes))?;
        let list = String::from_utf8(list)?;
        let names = list.lines().filter(|name| name.contains(".data"));
        let mut count = 0;
        for name in names {
            self.get("MV", name, |_| ())?;
            count += 1;
        }
        self.quit()?;
        Ok(count)
    }

    /// Sends `QUIT`.
    pub(crate) fn quit(&mut self) -> Result<()> {
        self.send_line("QUIT\n")
    }

    /// Receives a file, to no end; its size.
    pub(crate) fn receive(&mut self, name: &str) -> Result<u64> {
        self.get("RECV", name, |_| ())
    }

    fn get(&mut self, verb: &str, name: &str, mut take: impl FnMut(&[u8])) -> Result<u64> {
        self.send_line(&format!("{verb} <{name}>\n"))?;
        let line = self.read_reply()?;
        let size = line.trim_end().strip_prefix(verb).and_then(|rest| rest.strip_prefix(" SIZE "));
        let size: u64 = size.ok_or_else(|| format!("{verb} <{name}> is answered {line:?}"))?.parse()?;
        self.send_line(&format!("{verb} OK\n"))?;
        let mut body = (&mut self.0).take(size);
        loop {
            let bytes = body.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            take(bytes);
            body.consume(count);
        }
        if body.limit() > 0 { Err("the connection ended within a body".into()) } else { Ok(size) }
    }

    fn send_line(&mut self, line: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(line.as_bytes())?)
    }

    fn read_reply(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line)
    }

    fn expect(&mut self, expected: &str) -> Result<()> {
        let line = self.read_reply()?;
        if line == expected { Ok(()) } else { Err(format!("{expected:?} was expected, not {line:?}").into()) }
    }
}
