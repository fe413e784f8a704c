//! Clients of the control socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use crate::control::LARGEST_REQUEST;
use crate::net::{Event, LocalEvent, LocalId, Net};

/// A loop that serves a control socket.
struct Served {
    net: Net,
    directory: TempDir,
}

impl Served {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut net = Net::new().unwrap();
        net.listen_locally(UnixListener::bind(directory.path().join("s")).unwrap()).unwrap();
        Self { net, directory }
    }

    fn connect(&self) -> UnixStream {
        connect(&self.directory.path().join("s"))
    }

    /// One call, in which there is something to do, or nothing is.
    fn poll_once(&mut self) -> Vec<LocalEvent> {
        let until = self.net.now() + Duration::from_millis(200);
        let events = self.net.poll_once(Some(until)).unwrap();
        let local = |event| if let Event::Local(event) = event { Some(event) } else { None };
        events.into_iter().filter_map(local).collect()
    }

    fn until_asked(&mut self) -> (LocalId, Vec<u8>) {
        for _ in 0..100 {
            for event in self.poll_once() {
                if let LocalEvent::Asked(client, line) = event {
                    return (client, line);
                }
            }
        }
        panic!("nobody asks");
    }

    /// Answers with these pieces, the next one once the client has the one before it.
    fn answer(&mut self, client: LocalId, pieces: &[Vec<u8>]) {
        let mut pieces = pieces.iter();
        self.net.answer(client, pieces.next().unwrap());
        for _ in 0..10_000 {
            for event in self.poll_once() {
                match event {
                    LocalEvent::Drained(drained) => {
                        assert_eq!(drained, client);
                        match pieces.next() {
                            Some(piece) => self.net.answer(client, piece),
                            None => return self.net.finish_answer(client),
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        panic!("the client does not take it");
    }

    /// Lets the loop turn until the thread has ended.
    fn turn_until<T>(&mut self, thread: JoinHandle<T>) -> T {
        while !thread.is_finished() {
            self.poll_once();
        }
        thread.join().unwrap()
    }
}

fn connect(path: &Path) -> UnixStream {
    let client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client
}

fn read_all(mut client: UnixStream) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

#[test]
fn a_client_is_asked_for_a_line_and_gets_its_answer_in_pieces() {
    let mut served = Served::new();
    let mut client = served.connect();
    client.write_all(b"how ").unwrap();
    served.poll_once();
    client.write_all(b"are you?\nand more").unwrap();
    let (id, line) = served.until_asked();
    assert_eq!(line, b"how are you?");
    let pieces: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; 60_000]).collect();
    let reader = read_all(client);
    served.answer(id, &pieces);
    assert!(served.turn_until(reader) == pieces.concat());
}

#[test]
fn a_line_without_an_end_is_handed_over_to_be_refused_and_the_refusal_arrives() {
    let mut served = Served::new();
    let client = served.connect();
    let mut writer = client.try_clone().unwrap();
    // It goes on while it is answered: what it says is read, so that it gets the answer.
    let writer = thread::spawn(move || drop(writer.write_all(&vec![b'x'; 4 * LARGEST_REQUEST])));
    let (id, line) = served.until_asked();
    assert_eq!(line.len(), LARGEST_REQUEST + 1);
    let reader = read_all(client);
    served.answer(id, &[b"too long\n".to_vec()]);
    assert_eq!(served.turn_until(reader), b"too long\n");
    served.turn_until(writer);
}

#[test]
fn of_too_many_clients_the_one_that_has_done_nothing_for_the_longest_makes_room() {
    let mut served = Served::new();
    let mut clients: Vec<UnixStream> = (0..16).map(|_| served.connect()).collect();
    served.poll_once();
    served.poll_once();
    // The first one has said something since, and the second one is the oldest now.
    clients[0].write_all(b"some").unwrap();
    served.poll_once();
    let mut newest = served.connect();
    newest.write_all(b"?\n").unwrap();
    let (id, _) = served.until_asked();
    let mut byte = [0];
    assert_eq!(clients[1].read(&mut byte).unwrap(), 0, "it is closed");
    for (number, client) in clients.iter_mut().enumerate().filter(|(number, _)| *number != 1) {
        client.set_nonblocking(true).unwrap();
        assert!(client.read(&mut byte).is_err(), "{number} stays");
    }
    served.net.answer(id, b"!\n");
    served.net.finish_answer(id);
    let reader = read_all(newest);
    assert_eq!(served.turn_until(reader), b"!\n");
}

#[test]
fn a_client_that_leaves_before_it_has_its_answer_is_reported() {
    let mut served = Served::new();
    let mut client = served.connect();
    client.write_all(b"?\n").unwrap();
    let (id, _) = served.until_asked();
    drop(client);
    served.net.answer(id, b"!\n");
    let left =
        (0..10).flat_map(|_| served.poll_once()).any(|event| matches!(event, LocalEvent::Left(left) if left == id));
    assert!(left);
    // Nobody is there, and nothing comes of it.
    served.net.answer(id, b"!\n");
    served.net.finish_answer(id);
    assert!(served.poll_once().is_empty());
    assert_eq!(served.net.connections(), 0);
}
