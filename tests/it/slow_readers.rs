//! Readers on slow links: served as long as they take what is sent, and no longer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, socket};

use crate::client_process::{Outcome, WorkDir, at};
use crate::daemon::wait_until;
use crate::server_ops::Buffer;
use crate::support::{Certificates, Client, LOOPBACK, TIMEOUT};

/// Less than the readers need for the whole, by far.
const IDLE: &str = "idle_timeout 500ms\n";

/// Enough that the kernel takes all of it from the server long before the reader has it.
pub(crate) const SIZE: usize = 150_000;

const PIECE: usize = 5_000;
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn body(size: usize) -> Vec<u8> {
    (0..size).map(|number| (number ^ (number >> 8)).to_le_bytes()[0]).collect()
}

/// Connects with a small receive buffer: what is not read stays with the sender.
pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    // Before the first window is advertised.
    set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    rustix::net::connect(&socket, &server).unwrap();
    socket.into()
}

/// Reads steadily and slowly, so many bytes or to the end.
pub(crate) fn read_slowly(mut socket: &TcpStream, size: usize) -> Vec<u8> {
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; PIECE]);
    while bytes.len() < size {
        let most = PIECE.min(size - bytes.len());
        match socket.read(&mut piece[..most]) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
        thread::sleep(PAUSE);
    }
    bytes
}

#[test]
fn a_slow_and_steady_reader_gets_its_file_and_goes_on() {
    let buffer = Buffer::start(IDLE);
    buffer.put("a.1.data", body(SIZE));
    let mut client = Client::Plain(connect(buffer.address()));
    for verb in ["RECV", "MV"] {
        assert_eq!(client.announced(verb, "a.1.data"), SIZE);
        client.send(format!("{verb} OK\n"));
        assert!(read_slowly(client.socket(), SIZE) == body(SIZE), "{verb}: {}", buffer.log());
        client.send("RECV <nothing>\n");
        assert_eq!(client.line(), "RECV ERR (file does not exist)", "{verb}: {}", buffer.log());
    }
    wait_until("the moved file to go", || (!buffer.holds("a.1.data")).then_some(()));
}

#[test]
fn a_slow_reader_that_says_no_more_gets_its_file() {
    let buffer = Buffer::start(IDLE);
    buffer.put("a.1.data", body(SIZE));
    for ends in [false, true] {
        let mut client = Client::Plain(connect(buffer.address()));
        assert_eq!(client.announced("RECV", "a.1.data"), SIZE);
        client.send("RECV OK\nQUIT\n");
        if ends {
            client.socket().shutdown(Shutdown::Write).unwrap();
        }
        assert!(read_slowly(client.socket(), usize::MAX) == body(SIZE), "{}", buffer.log());
    }
}

#[test]
fn a_file_of_more_than_all_buffers_goes_to_a_slow_reader() {
    let buffer = Buffer::start("idle_timeout 300ms\n");
    buffer.put("a.1.data", body(1_500_000));
    let mut client = buffer.connect();
    assert_eq!(client.announced("RECV", "a.1.data"), 1_500_000);
    client.send("RECV OK\n");
    let mut socket = client.socket();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 15_000]);
    while bytes.len() < 1_500_000 {
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "after {} bytes: {}", bytes.len(), buffer.log());
        bytes.extend_from_slice(&piece[..count]);
        thread::sleep(Duration::from_millis(30));
    }
    assert!(bytes == body(1_500_000));
}

#[test]
fn a_reader_that_stops_is_cut() {
    let buffer = Buffer::start(IDLE);
    buffer.put("a.1.data", body(SIZE));
    let mut client = Client::Plain(connect(buffer.address()));
    assert_eq!(client.announced("RECV", "a.1.data"), SIZE);
    client.send("RECV OK\n");
    assert_eq!(read_slowly(client.socket(), SIZE / 3).len(), SIZE / 3);
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout"]);
}

#[test]
fn a_reader_below_the_least_rate_is_cut() {
    let buffer = Buffer::start("idle_timeout 500ms\nbody_min_rate 150000\n");
    buffer.put("a.1.data", body(SIZE));
    let mut client = Client::Plain(connect(buffer.address()));
    assert_eq!(client.announced("RECV", "a.1.data"), SIZE);
    client.send("RECV OK\n");
    // The kernel may go on sending what it has when the server has given up.
    read_slowly(client.socket(), SIZE);
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout"]);
}

/// Takes a file as a server does, with small buffers and slowly; stops after so many bytes.
fn take_slowly(listener: &TcpListener, most: usize) -> Vec<u8> {
    let (mut client, _) = listener.accept().unwrap();
    let mut command = [0; 1_024];
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    let _ = client.read(&mut command).unwrap();
    client.write_all(b"SEND OK\n").unwrap();
    let bytes = read_slowly(&client, most);
    if bytes.len() == SIZE {
        client.write_all(b"SEND OK\n").unwrap();
    }
    let _ = client.read(&mut command);
    bytes
}

#[test]
fn a_client_waits_for_a_slow_server_that_takes_the_file_and_for_no_other() {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    // Inherited by the connections.
    set_socket_recv_buffer_size(&listener, 4_096).unwrap();
    let work_dir = WorkDir::with(&[("a.1.data", &body(SIZE))]);
    for (most, is_sent) in [(SIZE, true), (SIZE / 3, false)] {
        let client = work_dir.start(at(listener.local_addr().unwrap(), ["-t", "1", "-r", "1", "a.1.data"]));
        assert!(take_slowly(&listener, most) == body(SIZE)[..most]);
        let outcome = Outcome::of(client);
        assert_eq!(outcome.code, Some(i32::from(!is_sent)), "{outcome}");
    }
}

#[test]
fn a_slow_reader_is_served_over_tls_too() {
    let certificates = Certificates::new();
    let buffer = Buffer::with(crate::server_process::Options::usual().tls(&certificates), IDLE);
    buffer.put("a.1.data", body(SIZE));
    let work_dir = WorkDir::new();
    // The proxy of a slow link: little at a time, from a small buffer.
    let relay = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let (address, server) = (relay.local_addr().unwrap(), buffer.address());
    let relay = thread::spawn(move || {
        let (client, _) = relay.accept().unwrap();
        let server = connect(server);
        let (mut up, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || drop(std::io::copy(&mut up, &mut to)));
        let (mut server, mut client, mut piece) = (server, client, [0; PIECE]);
        while let Ok(count @ 1..) = server.read(&mut piece) {
            if client.write_all(&piece[..count]).is_err() {
                break;
            }
            if count == PIECE {
                thread::sleep(PAUSE);
            }
        }
    });
    work_dir.run_at(address, ["-c", "-t", "20", "-g", "a.1.data"]).assert_done();
    relay.join().unwrap();
    assert!(work_dir.read("a.1.data") == body(SIZE));
}
