use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use super::{Server, read_all, read_aside};
use crate::net::{ConnId, Event, FileSent, Read};

/// A file of so many bytes, none like its neighbours.
pub(super) fn file(length: u32) -> (File, Vec<u8>) {
    let bytes: Vec<u8> = (0..length).map(|number| (number ^ (number >> 8)).to_le_bytes()[0]).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (file, bytes)
}

/// What comes to `to` of all of a file of so many bytes, which `from` sends and flushes as far as it goes.
pub(super) fn transferred(server: &mut Server, from: ConnId, to: ConnId, file: &File, size: usize) -> Vec<u8> {
    let (mut received, mut offset) = (Vec::new(), 0);
    server.until(|net, _| {
        let mut io = net.io(from).unwrap();
        while let FileSent::Bytes(sent @ 1..) = io.send_file(file, offset, size as u64 - offset).unwrap() {
            offset += sent;
        }
        io.flush().unwrap();
        let take = |shown: &[u8]| {
            received.extend_from_slice(shown);
            shown.len()
        };
        net.io(to).unwrap().read(u64::MAX, take).unwrap();
        (received.len() == size).then_some(())
    });
    received
}

/// Sends the file from `offset` on, `count` bytes.
pub(super) fn send(server: &mut Server, id: ConnId, file: &File, mut offset: u64, count: u64) {
    let end = offset + count;
    server.until(|net, _| {
        let mut io = net.io(id).unwrap();
        while offset < end {
            match io.send_file(file, offset, end - offset).unwrap() {
                FileSent::Bytes(sent) => offset += sent,
                FileSent::Blocked => return None,
                FileSent::Short => panic!("the file ended at {offset}"),
            }
        }
        io.flush().unwrap().then_some(())
    });
}

#[test]
fn a_file_goes_out_whole_however_often_the_socket_is_full() {
    let mut server = Server::plain();
    let reader = read_aside(server.client());
    let id = server.opened();
    let (file, bytes) = file(6_000_000);
    send(&mut server, id, &file, 1_000, 5_999_000);
    server.net.close(id);
    server.until(|net, _| (net.connections() == 0).then_some(()));
    assert!(reader.join().unwrap() == bytes[1_000..], "altered on the way");
}

#[test]
fn a_file_that_was_shortened_shows() {
    let mut server = Server::plain();
    let _client = server.client();
    let id = server.opened();
    let (file, _) = file(100);
    file.set_len(60).unwrap();
    let mut io = server.io(id);
    assert_eq!(io.send_file(&file, 0, 100).unwrap(), FileSent::Bytes(60));
    assert_eq!(io.send_file(&file, 60, 40).unwrap(), FileSent::Short);
    assert_eq!(io.send_file(&file, 60, 0).unwrap(), FileSent::Bytes(0));
}

#[test]
fn nobody_gets_more_of_a_file_in_one_helping_than_his_share() {
    let mut server = Server::plain();
    let reader = read_aside(server.client());
    let id = server.opened();
    let (file, _) = file(2_000_000);
    let mut io = server.io(id);
    let mut sent = 0;
    while let FileSent::Bytes(count) = io.send_file(&file, sent, 2_000_000 - sent).unwrap() {
        sent += count;
    }
    assert!(sent <= 256 * 1024, "{sent}");
    server.event(|event| matches!(event, Event::Ready(ready) if *ready == id).then_some(()));
    server.net.abort(id);
    drop(reader.join());
}

#[test]
fn nobody_writes_more_in_one_helping_than_his_share() {
    let mut server = Server::plain();
    let reader = read_aside(server.client());
    let id = server.opened();
    let mut io = server.io(id);
    let mut sent = 0;
    for _ in 0..1_000 {
        sent += io.write(&[0; 4096]).unwrap();
    }
    assert!(sent <= 256 * 1024, "{sent}");
    server.event(|event| matches!(event, Event::Ready(ready) if *ready == id).then_some(()));
    server.net.abort(id);
    drop(reader.join());
}

#[test]
fn after_a_clients_half_close_we_still_write() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(id), Ok(b"question".to_vec()));
    assert_eq!(server.read(id), Err(Read::Eof { orderly: true }));
    assert_eq!(server.io(id).write(b"answer").unwrap(), 6);
    server.net.close(id);
    server.until(|net, _| (net.connections() == 0).then_some(()));
    assert_eq!(read_all(client), b"answer");
}

#[test]
fn after_our_half_close_we_still_read() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    assert_eq!(server.io(id).write(b"last words").unwrap(), 10);
    server.net.shutdown_write(id);
    assert_eq!(server.io(id).write(b"no more").unwrap(), 0);
    server.event(|event| matches!(event, Event::Ready(_)).then_some(()));
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"last words");
    client.write_all(b"an answer").unwrap();
    drop(client);
    assert_eq!(server.read(id), Ok(b"an answer".to_vec()));
    assert_eq!(server.read(id), Err(Read::Eof { orderly: true }));
}

#[test]
fn while_the_other_end_is_awaited_the_loop_rests() {
    let mut server = Server::plain();
    let _client = server.client();
    let id = server.opened();
    server.net.close(id);
    let mut rested = false;
    for _ in 0..10 {
        let until = server.net.now() + Duration::from_millis(2);
        assert!(server.net.poll_once(Some(until)).unwrap().is_empty());
        rested |= server.net.now() >= until;
    }
    assert!(rested, "the loop turned without a reason");
    assert_eq!(server.net.connections(), 1);
}

#[test]
fn waiting_input_shows_and_the_end_is_none() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    assert!(!server.io(id).has_input());
    client.write_all(b"ab").unwrap();
    server.until(|net, _| net.io(id).unwrap().has_input().then_some(()));
    assert_eq!(server.io(id).read(64, |_| 1).unwrap(), Read::Bytes(1));
    assert!(server.io(id).has_input(), "one was taken, one is left");
    assert_eq!(server.read(id), Ok(b"b".to_vec()));
    assert!(!server.io(id).has_input());
    drop(client);
    assert_eq!(server.read(id), Err(Read::Eof { orderly: true }));
    assert!(!server.io(id).has_input());
}

#[test]
fn a_reset_is_no_end_though_its_error_was_seen_before() {
    let mut server = Server::plain();
    let client = server.client();
    let id = server.opened();
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    let failure = server.until(|net, _| {
        let mut io = net.io(id).unwrap();
        assert!(!io.has_input(), "this look takes the error");
        io.read(64, <[u8]>::len).err()
    });
    assert_eq!(failure.reason(), "broken");
}

#[test]
fn an_end_and_then_a_reset_are_a_reset() {
    let mut server = Server::plain();
    let client = server.client();
    let id = server.opened();
    assert_eq!(server.io(id).write(b"never read").unwrap(), 10);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(id), Err(Read::Eof { orderly: true }));
    drop(client);
    let failure = server.until(|net, _| net.io(id).unwrap().read(64, <[u8]>::len).err());
    assert_eq!(failure.reason(), "broken");
}

#[test]
fn what_the_peers_kernel_has_not_taken_is_unacknowledged() {
    let mut server = Server::plain();
    let client = server.client();
    let id = server.opened();
    assert_eq!(server.io(id).unacknowledged().unwrap(), 0);
    let block = vec![0; 65_536];
    let mut written = 0;
    while let count @ 1.. = server.io(id).write(&block).unwrap() {
        written += count;
    }
    let unacknowledged = server.io(id).unacknowledged().unwrap();
    assert!((1..=written).contains(&unacknowledged), "{unacknowledged} of {written}");
    let reader = read_aside(client);
    server.until(|net, _| (net.io(id).unwrap().unacknowledged().unwrap() == 0).then_some(()));
    server.net.abort(id);
    assert_eq!(reader.join().unwrap().len(), written);
}
