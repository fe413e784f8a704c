//! Clients that ask for much and are gone, or do not take it.

use std::fs::{self, File};
use std::time::Duration;

use crate::daemon::wait_until;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::support::{Certificates, Client, TIMEOUT, peak_memory};

/// A body that takes its time to be packed.
fn body(size: u32) -> Vec<u8> {
    (0..size / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes().map(|byte| byte % 17)).collect()
}

/// Puts a file there that takes longer to be packed than any test waits.
fn put_large(buffer: &Buffer) {
    buffer.put("large.1.data", "");
    let file = File::options().write(true).open(buffer.storage().join("large.1.data")).unwrap();
    file.set_len(4_000_000_000).unwrap();
}

/// With so many names of 250 bytes in its storage directory.
fn crowded(options: Options, keys: &str, names: usize) -> Buffer {
    Buffer::prepared(options, keys, |storage| {
        for number in 0..names {
            fs::write(storage.join(format!("{number:0250}")), "").unwrap();
        }
    })
}

/// The archives that are made and not dropped: files without a name that the server has open.
fn archives(buffer: &mut Buffer) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", buffer.process().id())).unwrap();
    let paths = open.flatten().flat_map(|entry| fs::read_link(entry.path()));
    paths.filter(|path| path.to_string_lossy().contains(".tentacle-server/")).count()
}

#[test]
fn archives_for_clients_that_are_gone_are_not_made_and_keep_nobody_waiting() {
    let mut buffer = Buffer::with(Options::usual().arg("-c").arg("3"), "idle_timeout 60s\n");
    put_large(&buffer);
    for ends in [Client::reset, Client::close] {
        for _ in 0..3 {
            let mut client = buffer.connect();
            client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
            client.send("ZRECV <large.1.data>\n");
            client.expect_silence();
            ends(client);
        }
        let mut good = buffer.connect();
        good.store("a.1.data", "body");
        good.ask("ZRECV <nothing>", "ZRECV ERR (file does not exist)");
        drop(good);
        wait_until("the archives to be given up", || (archives(&mut buffer) == 0).then_some(()));
    }
}

#[test]
fn a_client_that_ends_over_tls_while_its_archive_is_made_is_gone_too() {
    let certificates = Certificates::new();
    let options = Options::usual().arg("-c").arg("1").tls(&certificates);
    let buffer = Buffer::with(options, "idle_timeout 60s\n");
    put_large(&buffer);
    let connect = || Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    for ends in [Client::reset, Client::close] {
        let mut client = connect();
        client.send("ZRECV <large.1.data>\n");
        client.expect_silence();
        ends(client);
        connect().store("a.conf", "body");
    }
}

#[test]
fn one_clients_archives_do_not_keep_anothers_waiting() {
    let buffer = Buffer::start("max_connections 100\nidle_timeout 60s\n");
    buffer.put("slow.1.data", body(1 << 21));
    buffer.put("a.1.data", "body");
    let mut greedy: Vec<Client> = (0..8).map(|_| buffer.connect()).collect();
    for client in &mut greedy {
        client.send("ZRECV <slow.1.data>\n");
    }
    let mut other = crate::guesses::from(std::net::Ipv4Addr::new(127, 0, 0, 9), buffer.address());
    other.take("ZRECV", "a.1.data");
    let last = greedy.last_mut().unwrap();
    last.expect_silence();
    let (answer, _) = last.receive(11, TIMEOUT);
    assert_eq!(answer, b"ZRECV SIZE ");
}

#[test]
fn listings_for_clients_that_are_gone_keep_nobody_waiting() {
    let buffer = crowded(Options::usual().arg("-c").arg("5"), "idle_timeout 60s\n", 20_000);
    for _ in 0..100 {
        let mut client = buffer.connect();
        client.send("LS <>\n");
        client.reset();
    }
    buffer.connect().store("a.1.data", "body");
    assert_eq!(buffer.connect().names("").len(), 20_001);
}

#[test]
fn listings_that_are_not_taken_cost_no_memory_each_and_keep_nobody_out() {
    // A listing is of 7.5 MB, and three of them are more than there is room for.
    let mut buffer = crowded(Options::usual(), "max_connections 100\nidle_timeout 60s\n", 30_000);
    let mut readers = Vec::new();
    for number in 0..10 {
        buffer.put(&format!("new{number}"), "");
        let mut reader = buffer.connect();
        reader.send("LS <>\n");
        // One that is announced does not take it; the others wait.
        if number < 4 {
            reader.receive(1, Duration::from_secs(3));
        }
        readers.push(reader);
    }
    let mut good = buffer.connect();
    assert_eq!(good.names("").len(), 30_010);
    buffer.wait_for_line(&["client=127.0.0.1 reason=slow", "for the memory of a listing"]);
    let memory = peak_memory(buffer.process().id());
    assert!(memory < 64 * 1024, "{memory} KiB");
}

#[test]
fn who_asks_at_once_is_given_one_listing() {
    let mut buffer = crowded(Options::usual(), "max_connections 100\nidle_timeout 60s\n", 20_000);
    let mut readers: Vec<Client> = (0..60).map(|_| buffer.connect()).collect();
    for reader in &mut readers {
        reader.send("LS <>\n");
    }
    for reader in &mut readers {
        let size: usize = reader.line().strip_prefix("LS SIZE ").unwrap().parse().unwrap();
        reader.send("LS OK\n");
        assert!(size > 20_000 * 251);
        let (body, _) = reader.receive(size, TIMEOUT);
        assert_eq!(body.len(), size);
    }
    let memory = peak_memory(buffer.process().id());
    assert!(memory < 64 * 1024, "{memory} KiB");
}

#[test]
fn a_listing_larger_than_all_memory_for_listings_is_given_all_the_same() {
    let buffer = crowded(Options::usual(), "idle_timeout 60s\n", 80_000);
    for _ in 0..2 {
        assert_eq!(buffer.connect().names("").len(), 80_000);
    }
}
