use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::proto::{FileName, ListArg, Verb};

/// What the socket brings next.
#[derive(Clone, Debug)]
enum Incoming {
    Bytes(Vec<u8>),
    Blocked,
    Eof,
    Reset,
}

/// A connection that goes by a script, and is silent after it.
#[derive(Default)]
struct Scripted {
    input: VecDeque<Incoming>,
    /// How much each write takes; after them, all.
    writes: VecDeque<usize>,
    /// What each flush comes to; after them, that nothing is left.
    flushes: VecDeque<bool>,
    output: Vec<u8>,
}

impl Scripted {
    fn bringing(pieces: &[&str]) -> Self {
        let input = pieces.iter().map(|piece| Incoming::Bytes(piece.as_bytes().to_vec())).collect();
        Self { input, ..Self::default() }
    }

    /// And then this.
    fn then(mut self, incoming: Incoming) -> Self {
        self.input.push_back(incoming);
        self
    }

    fn written(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap()
    }
}

impl ByteStream for Scripted {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        match self.input.pop_front() {
            None | Some(Incoming::Blocked) => Ok(Read::Blocked),
            Some(Incoming::Eof) => Ok(Read::Eof { orderly: true }),
            Some(Incoming::Reset) => Err(reset()),
            Some(Incoming::Bytes(mut bytes)) => {
                let most = usize::try_from(most).unwrap().min(bytes.len());
                let taken = take(&bytes[..most]);
                bytes.drain(..taken);
                if !bytes.is_empty() {
                    self.input.push_front(Incoming::Bytes(bytes));
                }
                Ok(Read::Bytes(taken))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let count = self.writes.pop_front().unwrap_or(usize::MAX).min(bytes.len());
        self.output.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(self.flushes.pop_front().unwrap_or(true))
    }
}

fn reset() -> Failure {
    Failure::Io(io::ErrorKind::ConnectionReset.into())
}

fn name() -> FileName {
    "a.1.data".parse().unwrap()
}

/// What a session with a site comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Exchange {
    events: Vec<Event>,
    body: Vec<u8>,
    /// How the session ended, if it did.
    end: Option<String>,
}

/// Lets a session go on until nothing more comes. Bodies are accepted and read in pieces of so many bytes; where the
/// session wants a command, what may come is read.
fn run(driver: &mut ClientDriver, io: &mut Scripted, most: u64) -> Exchange {
    let mut exchange = Exchange::default();
    loop {
        assert!(driver.transmit(io).unwrap());
        let read = match driver.want() {
            Want::Body(_) => driver.read_body(io, most, |bytes| exchange.body.extend_from_slice(bytes)),
            Want::Decision => driver.accept().map(|()| Read::Bytes(0)).map_err(DriverError::from),
            Want::Command | Want::Line | Want::Supply(_) | Want::Closed => driver.read_line(io),
        };
        exchange.events.extend(std::iter::from_fn(|| driver.poll_event()));
        match read {
            Ok(Read::Bytes(_)) => {}
            Ok(Read::Blocked) if !io.input.is_empty() => {}
            Ok(Read::Blocked) => return exchange,
            Ok(Read::Eof { .. }) => {
                exchange.end = Some("in good order".to_owned());
                return exchange;
            }
            Err(error) => {
                exchange.end = Some(format!("{error:?}"));
                return exchange;
            }
        }
    }
}

/// A session that has just been given `command`.
fn asked(command: &Command) -> ClientDriver {
    let mut driver = ClientDriver::new();
    driver.command(command).unwrap();
    driver
}

fn receive() -> ClientDriver {
    asked(&Command::Receive(name()))
}

/// A session whose peer waits for a body of so many bytes.
fn supplying(size: u64) -> ClientDriver {
    let mut driver = asked(&Command::Send { name: name(), size });
    let go = run(&mut driver, &mut Scripted::bringing(&["SEND OK\n"]), u64::MAX).events;
    assert_eq!((go, driver.want()), (vec![Event::Go { verb: Verb::Send }], Want::Supply(size)));
    driver
}

#[test]
fn a_command_goes_out_in_whatever_pieces_the_socket_takes() {
    let mut driver = asked(&Command::List(ListArg::root()));
    let mut io = Scripted { writes: [1, 0, 2, 0].into(), flushes: [false].into(), ..Scripted::default() };
    for (written, is_out) in [("L", false), ("LS ", false), ("LS <>\n", false), ("LS <>\n", true)] {
        assert_eq!(driver.transmit(&mut io).unwrap(), is_out);
        assert_eq!(io.written(), written);
        assert_eq!(driver.wants_write(), written.len() < 6);
    }
}

#[test]
fn the_connections_failure_is_kept_apart_from_the_peers_error() {
    let mut io = Scripted::default().then(Incoming::Reset);
    assert!(matches!(receive().read_line(&mut io), Err(DriverError::Net(Failure::Io(_)))));
    let mut driver = receive();
    driver.transmit(&mut io).unwrap();
    let read = driver.read_line(&mut Scripted::bringing(&["220 mail\n"]));
    assert!(matches!(read, Err(DriverError::Protocol(Error::Garbage { verb: Verb::Recv, .. }))), "{read:?}");
}

#[test]
fn an_end_is_only_right_where_nothing_is_due() {
    let end = |pieces: &[&str]| {
        let exchange = run(&mut receive(), &mut Scripted::bringing(pieces).then(Incoming::Eof), u64::MAX);
        exchange.end.unwrap()
    };
    assert!(end(&[]).starts_with("Protocol(ClosedAfter"), "{}", end(&[]));
    assert!(end(&["RECV SI"]).starts_with("Protocol(ReplyCut"), "{}", end(&["RECV SI"]));
    let cut = "Protocol(Truncated { verb: Recv, remaining: 2 })";
    assert_eq!(end(&["RECV SIZE 5\n", "123"]), cut);
    assert_eq!(end(&["RECV SIZE 5\n", "12345"]), "in good order");
}

#[test]
fn what_follows_the_end_of_a_body_in_the_same_read_keeps_it_from_being_complete() {
    let mut driver = receive();
    let exchange = run(&mut driver, &mut Scripted::bringing(&["RECV SIZE 5\n", "123", "45RECV"]), u64::MAX);
    assert_eq!(exchange.events, [Event::Announced { verb: Verb::Recv, size: 5 }]);
    assert_eq!(exchange.body, b"12345RECV", "what came beyond is shown as well");
    assert!(exchange.end.unwrap().starts_with("Surplus(Unsolicited { after: Some(Recv)"));
    assert_eq!(driver.want(), Want::Closed);
}

#[test]
fn what_follows_a_body_later_was_not_asked_for() {
    let exchange = run(&mut receive(), &mut Scripted::bringing(&["RECV SIZE 2\n", "12", "3"]), u64::MAX);
    assert_eq!(exchange.events.last(), Some(&Event::BodyComplete { verb: Verb::Recv }));
    assert_eq!(exchange.body, b"12");
    assert!(exchange.end.unwrap().starts_with("Protocol(Unsolicited { after: Some(Recv)"));
}

#[test]
fn what_comes_beyond_a_body_is_read_to_its_end_and_fails_the_session() {
    let mut driver = receive();
    let mut io = Scripted::bringing(&["RECV SIZE 2\n", "12", "34", "56"]).then(Incoming::Eof);
    while driver.want() != Want::Command || driver.wants_write() {
        assert!(driver.transmit(&mut io).unwrap());
        match driver.want() {
            Want::Line => drop(driver.read_line(&mut io).unwrap()),
            Want::Decision => driver.accept().unwrap(),
            _ => drop(driver.read_body(&mut io, u64::MAX, |_| {}).unwrap()),
        }
    }
    let mut beyond = Vec::new();
    let mut read = || driver.read_surplus(&mut io, |bytes| beyond.extend_from_slice(bytes)).unwrap();
    assert_eq!([read(), read(), read()], [Read::Bytes(2), Read::Bytes(2), Read::Eof { orderly: true }]);
    assert_eq!(beyond, b"3456");
    assert!(matches!(driver.handle_eof(), Err(Error::Unsolicited { after: Some(Verb::Recv), .. })));
}

#[test]
fn a_body_goes_on_where_the_socket_had_blocked() {
    let mut driver = supplying(6);
    let mut body = Cursor::new(*b"abcdef");
    let mut io = Scripted { writes: [2, 0, 0, 3].into(), ..Scripted::bringing(&["SEND OK\n"]) };
    let mut sent = Vec::new();
    while let Want::Supply(left) = driver.want() {
        assert_eq!(body.position(), 6 - left);
        sent.push(driver.send_body(&mut io, &mut body).unwrap());
    }
    assert_eq!((sent, io.written()), (vec![2, 0, 0, 3, 1], "abcdef"));
    assert_eq!(run(&mut driver, &mut io, u64::MAX).events, [Event::Stored { verb: Verb::Send }]);
}

#[test]
fn no_more_of_a_body_is_sent_than_was_offered() {
    let (mut driver, mut io) = (supplying(4), Scripted::default());
    assert_eq!(driver.send_body(&mut io, &mut Cursor::new(b"abcdef")).unwrap(), 4);
    assert_eq!((io.written(), driver.want()), ("abcd", Want::Line));
}

#[test]
fn a_body_that_is_shorter_than_offered_is_a_misuse() {
    let (mut driver, mut io, mut body) = (supplying(4), Scripted::default(), Cursor::new(b"abc"));
    assert_eq!(driver.send_body(&mut io, &mut body).unwrap(), 3);
    let sent = driver.send_body(&mut io, &mut body);
    assert!(matches!(sent, Err(DriverError::Protocol(Error::Misuse { .. }))), "{sent:?}");
    assert_eq!((io.written(), driver.want()), ("abc", Want::Supply(1)));
}

/// `text`, cut at these places into what the socket brings, which blocks in between.
fn cut(text: &[u8], mut places: Vec<usize>) -> VecDeque<Incoming> {
    places.extend([0, text.len()]);
    places.sort_unstable();
    let pieces = places.windows(2).map(|ends| Range { start: ends[0], end: ends[1] }).filter(|piece| !piece.is_empty());
    pieces.flat_map(|piece| [Incoming::Bytes(text[piece].to_vec()), Incoming::Blocked]).collect()
}

proptest! {
    #[test]
    fn a_body_comes_the_same_in_any_pieces(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        most in 1_u64..300,
    ) {
        let text = [format!("RECV SIZE {}\n", body.len()).as_bytes(), &body].concat();
        let places = places.iter().map(|place| place.index(text.len())).collect();
        let mut io = Scripted { input: cut(&text, places), ..Scripted::default() }.then(Incoming::Eof);
        let exchange = run(&mut receive(), &mut io, most);
        let announced = Event::Announced { verb: Verb::Recv, size: body.len() as u64 };
        let events = vec![announced, Event::BodyComplete { verb: Verb::Recv }];
        prop_assert_eq!(exchange, Exchange { events, body, end: Some("in good order".to_owned()) });
        prop_assert_eq!(io.written(), "RECV <a.1.data>\nRECV OK\n");
    }

    #[test]
    fn a_surplus_never_goes_unseen(
        body in proptest::collection::vec(any::<u8>(), 1..100),
        surplus in proptest::collection::vec(any::<u8>(), 1..100),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        most in 1_u64..300,
    ) {
        let text = [format!("RECV SIZE {}\n", body.len()).as_bytes(), &body, &surplus].concat();
        let places: Vec<_> = places.iter().map(|place| place.index(text.len())).collect();
        let is_cut_off = places.contains(&(text.len() - surplus.len()));
        let mut io = Scripted { input: cut(&text, places), ..Scripted::default() };
        let exchange = run(&mut receive(), &mut io, most);
        let is_complete = exchange.events.contains(&Event::BodyComplete { verb: Verb::Recv });
        prop_assert_eq!(is_complete, is_cut_off);
        let end = exchange.end.unwrap();
        prop_assert!(end.starts_with(if is_complete { "Protocol(Unsolicited" } else { "Surplus(Unsolicited" }), "{}", end);
    }
}
