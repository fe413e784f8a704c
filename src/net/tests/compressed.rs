use std::fmt::Write as _;
use std::io::Write as _;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::exchange::{file, send, transferred};
use super::{Server, read_aside};
use crate::net::{Compressible, ConnId, Failure, FileSent, Read};
use crate::proto::extension::InflateError;

/// A connection of a loop with itself, of which both ends are compressed: its opened and its accepted end.
fn compressed() -> (Server, ConnId, ConnId) {
    let (mut server, client, accepted) = super::encrypted::encrypted();
    for id in [client, accepted] {
        compress(&mut server, id);
    }
    (server, client, accepted)
}

fn compress(server: &mut Server, id: ConnId) {
    let mut io = server.io(id);
    let place = io.compression_place().unwrap();
    io.compress(place);
}

/// Text of so many lines, none like another.
fn text(lines: usize) -> String {
    (0..lines).fold(String::new(), |mut text, line| {
        writeln!(text, "<data>{line}</data>").unwrap();
        text
    })
}

/// What a peer sends that compresses it.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(bytes.len() + 1_000);
    Compress::new(Compression::best(), false).compress_vec(bytes, &mut stream, FlushCompress::Sync).unwrap();
    stream
}

fn write(server: &mut Server, id: ConnId, bytes: &[u8]) {
    let mut rest = bytes;
    server.until(|net, _| {
        let mut io = net.io(id).unwrap();
        while !rest.is_empty() {
            match io.write(rest).unwrap() {
                0 => return None,
                written => rest = &rest[written..],
            }
        }
        io.flush().unwrap().then_some(())
    });
}

/// So many bytes.
fn read_exactly(server: &mut Server, id: ConnId, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        bytes.extend(server.read(id).unwrap());
    }
    bytes
}

#[test]
fn both_directions_come_out_as_they_went_in_under_tls() {
    let (mut server, client, accepted) = compressed();
    for lines in [1, 10, 500] {
        for (from, to) in [(client, accepted), (accepted, client)] {
            let text = text(lines).into_bytes();
            write(&mut server, from, &text);
            assert!(read_exactly(&mut server, to, text.len()) == text);
        }
    }
    let (file, bytes) = file(300_000);
    let received = transferred(&mut server, accepted, client, &file, bytes.len());
    assert!(received == bytes, "altered on the way");
    assert_eq!(server.io(accepted).send_file(&file, 300_000, 1).unwrap(), FileSent::Short);
}

#[test]
fn what_is_written_stays_here_until_it_is_flushed() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    compress(&mut server, id);
    assert_eq!(server.io(id).write(b"an answer\n").unwrap(), 10);
    assert!(!server.io(id).is_flushed());
    client.set_nonblocking(true).unwrap();
    assert_eq!(std::io::Read::read(&mut client, &mut [0; 100]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(server.io(id).flush().unwrap() && server.io(id).is_flushed());
    client.set_nonblocking(false).unwrap();
    let mut stream = [0; 100];
    let count = std::io::Read::read(&mut client, &mut stream).unwrap();
    let mut text = Vec::with_capacity(100);
    Decompress::new(false).decompress_vec(&stream[..count], &mut text, FlushDecompress::Sync).unwrap();
    assert_eq!(text, b"an answer\n");
}

#[test]
fn a_file_goes_out_whole_however_often_the_socket_is_full() {
    let mut server = Server::plain();
    let reader = read_aside(server.client());
    let id = server.opened();
    compress(&mut server, id);
    let (file, bytes) = file(3_000_000);
    send(&mut server, id, &file, 0, 3_000_000);
    server.net.close(id);
    server.until(|net, _| (net.connections() == 0).then_some(()));
    let mut came = Vec::with_capacity(bytes.len() + 1);
    Decompress::new(false).decompress_vec(&reader.join().unwrap(), &mut came, FlushDecompress::Sync).unwrap();
    assert!(came == bytes, "altered on the way");
}

#[test]
fn what_unfolds_into_much_takes_no_more_than_a_turn_s_share_at_a_time() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    compress(&mut server, id);
    client.write_all(&deflated(&vec![7; 4_000_000])).unwrap();
    let (mut came, mut turns) = (0, 0);
    server.until(|net, _| {
        let (mut of_turn, mut io) = (0, net.io(id).unwrap());
        loop {
            let read = io.read(u64::MAX, |bytes| {
                assert!(bytes.iter().all(|&byte| byte == 7));
                bytes.len()
            });
            match read.unwrap() {
                Read::Bytes(count) => of_turn += count,
                _ => break,
            }
        }
        assert!(of_turn <= 300_000, "{of_turn} bytes in one turn");
        came += of_turn;
        turns += 1;
        (came == 4_000_000).then_some(())
    });
    assert!(turns > 10);
    assert!(!server.io(id).has_input());
}

#[test]
fn what_came_ahead_of_the_switch_is_the_stream_s() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    client.write_all(&[b"DEFLATE\n".as_slice(), &deflated(b"GET <a>\n")].concat()).unwrap();
    server.until(|net, _| matches!(net.io(id).unwrap().read(4096, |_| 8).unwrap(), Read::Bytes(8)).then_some(()));
    compress(&mut server, id);
    assert_eq!(server.read(id), Ok(b"GET <a>\n".to_vec()));
}

#[test]
fn bytes_that_bring_nothing_are_no_end_and_no_input_that_somebody_could_take() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    compress(&mut server, id);
    client.write_all(&b"\x00\x00\x00\xff\xff".repeat(10_000)).unwrap();
    let mut taken = 0;
    server.until(|net, _| {
        let mut io = net.io(id).unwrap();
        while let Read::Bytes(count) = io.read(u64::MAX, <[u8]>::len).unwrap() {
            assert_eq!(count, 0);
            taken += 1;
        }
        (taken > 3 && !io.has_input()).then_some(())
    });
    client.write_all(&deflated(b"at last")).unwrap();
    assert_eq!(server.read(id), Ok(b"at last".to_vec()));
    drop(client);
    assert_eq!(server.read(id), Err(Read::Eof { orderly: true }));
}

#[test]
fn what_is_no_stream_is_an_error_after_what_came_before_it() {
    let mut server = Server::plain();
    for (bytes, fault) in [(&b"GET <a>\n"[..], InflateError::Damaged), (b"\x03\x00", InflateError::Ended)] {
        let mut client = server.client();
        let id = server.opened();
        compress(&mut server, id);
        client.write_all(&[&deflated(b"sound"), bytes].concat()).unwrap();
        assert_eq!(read_exactly(&mut server, id, 5), b"sound");
        let failure = server.until(|net, _| net.io(id).unwrap().read(u64::MAX, <[u8]>::len).err());
        assert!(matches!(failure, Failure::Inflate(found) if found == fault), "{failure}");
        assert_eq!(failure.reason(), "compression");
    }
}

#[test]
fn as_many_connections_are_compressed_as_there_is_memory_for() {
    let mut server = Server::plain();
    let _client = server.client();
    let id = server.opened();
    let mut places: Vec<_> = std::iter::from_fn(|| server.io(id).compression_place()).collect();
    assert!((100..200).contains(&places.len()), "{}", places.len());
    places.pop();
    assert!(server.io(id).compression_place().is_some(), "what is given back is there for the next");
}
