//! An agent's side of a connection: as stock's client, one command at a time.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::StreamOwned;

use crate::tls::Connector;

/// The longest wait for a server.
const TIMEOUT: Duration = Duration::from_secs(60);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// An agent that is connected to a Tentacle server.
pub struct Agent(BufReader<Box<dyn Stream>>);

impl Agent {
    /// Connects, and shakes hands by `tls` where there is one.
    pub fn connect(server: SocketAddr, tls: Option<&Connector>) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&server, TIMEOUT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(connector) => {
                let session = connector.connect(&server.ip().to_string(), false).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(session, socket))
            }
        };
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a file, and waits until the server has it.
    ///
    /// # Errors
    /// It could not be sent, or the server has refused it.
    pub fn send(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(format!("SEND <{name}> SIZE {}\n", bytes.len()).as_bytes())?;
        self.expect_ok()?;
        self.write(bytes)?;
        self.expect_ok()
    }

    /// Leaves in good order.
    pub fn quit(mut self) -> io::Result<()> {
        self.write(b"QUIT\n")
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    fn expect_ok(&mut self) -> io::Result<()> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.as_str() {
            "SEND OK\n" => Ok(()),
            other => Err(io::Error::other(format!("expected SEND OK, but the server said {other:?}"))),
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}
