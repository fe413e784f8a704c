//! Clients that send in lock-step, each on a connection that it keeps: all of them on one thread, as little of which as
//! possible is their own.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::blocking_client::BlockingClient;
use super::connection::{Connection, Connector};
use super::tentacle_server::ServerAddress;
use crate::support::{Result, clock};

/// A file's name and its bytes.
pub(crate) type File = (String, Vec<u8>);

/// The server's answer to each command and each body.
const GO_ON: &[u8] = b"SEND OK\n";

/// Sends all files, shared among so many clients; how long it took. Each client has sent another file before, so that
/// the server has done what a connection costs it once; then `ready` is called.
pub(crate) fn send(
    address: &ServerAddress,
    clients: usize,
    files: &[File],
    ready: impl FnOnce() -> Result<()>,
) -> Result<Duration> {
    let connector = Connector::to(address)?;
    let mut poll = Poll::new()?;
    let mut crowd = Vec::with_capacity(clients);
    for number in 0..clients {
        let mut client = BlockingClient::new(connector.open()?);
        client.send(&(format!("warm-up-{number}"), vec![b'x'; 1024]))?;
        let mut client = Client::new(client.into_connection(), files.iter().skip(number).step_by(clients));
        client.connection.stop_blocking()?;
        poll.registry().register(&mut client.connection, Token(number), Interest::READABLE)?;
        crowd.push(client);
    }
    ready()?;
    let start = clock();
    for client in &mut crowd {
        client.go_on()?;
    }
    let mut events = Events::with_capacity(clients);
    while crowd.iter().any(|client| !matches!(client.step, Step::Done)) {
        poll.poll(&mut events, None)?;
        for event in &events {
            crowd[event.token().0].take_answers()?;
        }
    }
    Ok(start.elapsed())
}

/// One of them, with its share of the files.
struct Client<'a, I> {
    connection: Connection,
    rest: I,
    step: Step<'a>,
    /// What has come of an answer.
    answer: Vec<u8>,
}

/// What comes next.
enum Step<'a> {
    Name,
    Body(&'a [u8]),
    Done,
}

impl<'a, I: Iterator<Item = &'a File>> Client<'a, I> {
    fn new(connection: Connection, rest: I) -> Self {
        Self { connection, rest, step: Step::Name, answer: Vec::new() }
    }

    /// Writes the next command. It always fits: there is never more than one file on its way.
    fn go_on(&mut self) -> Result<()> {
        self.step = match self.step {
            Step::Name => match self.rest.next() {
                Some((name, body)) => {
                    self.connection.write_all(format!("SEND <{name}> SIZE {}\n", body.len()).as_bytes())?;
                    Step::Body(body)
                }
                None => Step::Done,
            },
            Step::Body(body) => {
                self.connection.write_all(body)?;
                Step::Name
            }
            Step::Done => return Err("the server says more than it was asked".into()),
        };
        Ok(())
    }

    fn take_answers(&mut self) -> Result<()> {
        let mut buffer = [0; 256];
        match self.connection.read(&mut buffer) {
            Ok(0) => return Err("the server has closed the connection".into()),
            Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if self.answer.ends_with(b"\n") {
            if self.answer != GO_ON {
                return Err(format!("the server answers {}", self.answer.escape_ascii()).into());
            }
            self.answer.clear();
            self.go_on()?;
        }
        Ok(())
    }
}
