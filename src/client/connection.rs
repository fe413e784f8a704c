//! A connection to the server whose methods wait: the loop turns in here.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::console::Console;
use super::reason::{Reason, plain};
use super::route::Route;
use crate::config::client::ClientSettings;
use crate::deadline::BodyPace;
use crate::net::{ClientDriver, ConnId, DriverError, Event, Failure, FileSent, Net, Phase, ProxyError, Read};
use crate::proto::{self, Command, Request, Want};
use crate::tls::StreamError;

/// The slowest a body may pass, in bytes per second on average, as at our server by default.
const MIN_RATE: u64 = crate::config::server::defaults::BODY_MIN_RATE;

/// A connection to the server.
pub(super) struct Connection<'n> {
    net: &'n mut Net,
    id: ConnId,
    driver: ClientDriver,
    /// Who is at the other end of TCP: the server, or the proxy.
    peer: IpAddr,
    /// How long it may stay silent.
    timeout: Duration,
}

/// Which way bytes go: stock has different words.
#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl<'n> Connection<'n> {
    /// Connects, TLS and all.
    pub(super) fn open(
        net: &'n mut Net,
        route: &Route,
        settings: &ClientSettings,
        console: Console,
    ) -> Result<Self, Reason> {
        let id = net.open(route.target(), route.offers_certificate());
        let (mut peer, timeout) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), settings.timeout);
        loop {
            for event in net.poll_once(None)? {
                match event {
                    Event::Connected(_, address) => {
                        peer = address.ip();
                        if let Some(proxy) = &settings.proxy {
                            console.log(format_args!("Connected to proxy server {} port {}", proxy.host, proxy.port));
                        }
                    }
                    Event::Opened(_) => {
                        let server = &settings.server;
                        console.log(format_args!("Connected to {} port {}", server.host, server.port));
                        return Ok(Self { net, id, driver: ClientDriver::new(), peer, timeout });
                    }
                    Event::Failed(_, failure) => return Err(not_connected(failure, peer, settings)),
                    Event::Signal(_) => return Err(Reason::Interrupted),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn command(&mut self, command: &Command) -> Result<(), Reason> {
        self.driver.command(command).map_err(|error| Reason::protocol(error, self.peer))
    }

    pub(super) fn request(&mut self, request: &Request) -> Result<(), Reason> {
        self.driver.request(request).map_err(|error| Reason::protocol(error, self.peer))
    }

    /// What the server says to what was asked.
    pub(super) fn reply(&mut self) -> Result<proto::Event, Reason> {
        self.flush()?;
        loop {
            if let Some(event) = self.driver.poll_event() {
                self.expect_by(None);
                return Ok(event);
            }
            let Some(mut io) = self.net.io(self.id) else { return Err(self.gone()) };
            let read = self.driver.read_line(&mut io);
            self.after_read(read)?;
        }
    }

    /// What the server says, unless it refuses.
    pub(super) fn answer(&mut self) -> Result<proto::Event, Reason> {
        match self.reply()? {
            proto::Event::Refused { verb, refusal } => Err(Reason::refused(verb, refusal)),
            event => Ok(event),
        }
    }

    /// The size of the body that the server has for us.
    pub(super) fn announcement(&mut self) -> Result<u64, Reason> {
        match self.answer()? {
            proto::Event::Announced { size, .. } => Ok(size),
            _ => Err(Reason::Internal(proto::Error::Misuse { call: "announcement()", want: self.driver.want() })),
        }
    }

    /// Takes the body that was announced.
    pub(super) fn take_body(
        &mut self,
        mut sink: impl FnMut(&[u8], Instant) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        self.driver.accept().map_err(|error| Reason::protocol(error, self.peer))?;
        self.flush()?;
        let pace = self.body_pace();
        while let Want::Body(left) = self.driver.want() {
            let Some(mut io) = self.net.io(self.id) else { return Err(self.gone()) };
            let (now, mut outcome) = (io.now(), Ok(()));
            let read = self.driver.read_body(&mut io, u64::MAX, |bytes| {
                // Without what comes beyond it.
                let body = usize::try_from(left).ok().and_then(|left| bytes.get(..left)).unwrap_or(bytes);
                outcome = sink(body, now);
            });
            outcome?;
            let count = self.after_read(read)?;
            self.moved(count, pace, left.saturating_sub(count));
        }
        self.reply().map(drop)
    }

    /// Sends the body that the server waits for, from the beginning of `file`; `Ok(false)` if the file is too short.
    pub(super) fn supply(&mut self, file: &File, mut passed: impl FnMut(u64, Instant)) -> Result<bool, Reason> {
        let mut offset = 0;
        self.expect_by(Some(self.timeout));
        let pace = self.body_pace();
        while let Want::Supply(left) = self.driver.want() {
            let Some(mut io) = self.net.io(self.id) else { return Err(self.gone()) };
            let now = io.now();
            match self.driver.send_file(&mut io, file, offset) {
                Ok(FileSent::Bytes(count)) => {
                    offset += count;
                    passed(count, now);
                    self.moved(count, pace, left.saturating_sub(count));
                }
                Ok(FileSent::Blocked) => self.wait(Direction::Out)?,
                Ok(FileSent::Short) => return Ok(false),
                Err(error) => return Err(self.ended(error, Direction::Out)),
            }
        }
        Ok(true)
    }

    /// Says goodbye as far as the connection still takes it, and sees it out.
    pub(super) fn quit(mut self) {
        let said = self.flush().and_then(|()| {
            // One that what the server said last has failed takes no command.
            self.driver = ClientDriver::new();
            self.command(&Command::Quit)?;
            self.transmit()
        });
        if said.is_ok() {
            self.net.close(self.id);
            while self.net.connections() > 0 {
                match self.net.poll_once(None) {
                    Ok(events) if !events.iter().any(|event| matches!(event, Event::Signal(_))) => {}
                    _ => return,
                }
            }
        }
    }

    /// Writes what there is to say, to the last byte, in its time.
    fn flush(&mut self) -> Result<(), Reason> {
        if self.driver.wants_write() {
            self.expect_by(Some(self.timeout));
        }
        self.transmit()
    }

    /// Waits until all of the protocol's bytes are out.
    fn transmit(&mut self) -> Result<(), Reason> {
        loop {
            let Some(mut io) = self.net.io(self.id) else { return Err(self.gone()) };
            match self.driver.transmit(&mut io) {
                Ok(true) => return Ok(()),
                Ok(false) => self.wait(Direction::Out)?,
                Err(failure) => return Err(self.failed(failure, Direction::Out)),
            }
        }
    }

    /// What a read came to: how many bytes, and a wait where it has to be.
    fn after_read(&mut self, read: Result<Read, DriverError>) -> Result<u64, Reason> {
        match read {
            Ok(Read::Bytes(count)) => Ok(count as u64),
            Ok(Read::Blocked) => self.wait(Direction::In).map(|()| 0),
            Ok(Read::Eof { .. }) => Err(self.gone()),
            Err(error) => Err(self.ended(error, Direction::In)),
        }
    }

    /// Of the body that the machine wants, in or out.
    fn body_pace(&self) -> BodyPace {
        let size = match self.driver.want() {
            Want::Body(size) | Want::Supply(size) => size,
            _ => 0,
        };
        BodyPace::new(self.net.now(), size, self.timeout, MIN_RATE)
    }

    /// So many bytes of a body have moved, and `left` have not yet.
    fn moved(&mut self, count: u64, pace: BodyPace, left: u64) {
        if count > 0 {
            let wait = pace.wait(left, self.timeout, self.net.now());
            if let Some(mut io) = self.net.io(self.id) {
                io.drain_by(wait, pace.due(left));
            }
        }
    }

    /// Turns the loop until the connection can go on.
    fn wait(&mut self, moving: Direction) -> Result<(), Reason> {
        loop {
            let mut is_ready = false;
            for event in self.net.poll_once(None)? {
                match event {
                    Event::Ready(id) if id == self.id => is_ready = true,
                    Event::Failed(id, failure) if id == self.id => return Err(self.failed(failure, moving)),
                    Event::Signal(_) => return Err(Reason::Interrupted),
                    _ => {}
                }
            }
            if is_ready {
                return Ok(());
            }
        }
    }

    fn expect_by(&mut self, wait: Option<Duration>) {
        if let Some(mut io) = self.net.io(self.id) {
            io.set_deadline(wait);
        }
    }

    /// The session cannot go on.
    fn ended(&self, error: DriverError, moving: Direction) -> Reason {
        match error {
            DriverError::Net(failure) => self.failed(failure, moving),
            DriverError::Protocol(error) | DriverError::Surplus(error) => Reason::protocol(error, self.peer),
        }
    }

    fn failed(&self, failure: Failure, moving: Direction) -> Reason {
        let why = match failure {
            Failure::Timeout(_) | Failure::ClientTimeout(_) => return Reason::TimedOut { peer: self.peer },
            Failure::Stream(StreamError::Tls(failure)) => return Reason::Tls { failure, reached: self.peer },
            Failure::Io(error) => plain(&error),
            Failure::Stream(StreamError::Io { message, .. }) => message,
            other => other.to_string(),
        };
        match moving {
            Direction::In => Reason::Read { peer: self.peer, why },
            Direction::Out => Reason::Write { peer: self.peer, why },
        }
    }

    /// The connection is no more, though nothing was under way.
    fn gone(&self) -> Reason {
        Reason::Read { peer: self.peer, why: "the connection is gone".to_owned() }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.net.abort(self.id);
    }
}

fn not_connected(failure: Failure, peer: IpAddr, settings: &ClientSettings) -> Reason {
    let is_of_name = matches!(failure, Failure::Resolve { .. });
    let why = match failure {
        Failure::Proxy(ProxyError::Closed) => return Reason::ClosedByProxy { peer },
        Failure::Proxy(error) => return Reason::Proxy(error),
        Failure::Tls(error) => return Reason::TlsName(error),
        Failure::Stream(StreamError::Tls(failure)) => return Reason::Tls { failure, reached: peer },
        Failure::Timeout(Phase::Proxy | Phase::Handshake) => return Reason::TimedOut { peer },
        Failure::Timeout(_) => "Connection timed out".to_owned(),
        Failure::Resolve { error, .. } | Failure::Connect { error, .. } | Failure::Io(error) => plain(&error),
        Failure::Stream(StreamError::Io { message, .. }) => message,
        other => other.to_string(),
    };
    if let Some(proxy) = &settings.proxy {
        return Reason::ConnectToProxy { host: proxy.host.clone(), port: proxy.port, why };
    }
    let (host, port) = (settings.server.host.clone(), settings.server.port);
    if is_of_name { Reason::Resolve { host, port, why } } else { Reason::Connect { host, port, why } }
}
