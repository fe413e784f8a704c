//! Slow clients, many clients, and more files than there is room for.

use std::io::Write;
use std::time::Duration;
use std::{fs, thread};

use crate::daemon::wait_until;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::support::{Client, SETTLE, TIMEOUT};

/// Sends a byte at a time until the server has had enough.
fn drip(client: &mut Client, bytes: &[u8], pause: Duration) {
    for &byte in bytes.iter().cycle() {
        client.send([byte]);
        let (received, closed) = client.receive(1, pause);
        assert_eq!(received, b"");
        if closed {
            return;
        }
    }
}

#[test]
fn who_finds_no_room_waits_and_is_served_when_another_leaves() {
    let buffer = Buffer::with(Options::usual().arg("-c").arg("2"), "idle_timeout 20s\n");
    let mut inside = [buffer.connect(), buffer.connect()];
    for client in &mut inside {
        client.ask("RECV <x>", "RECV ERR (file does not exist)");
    }
    let mut waiting = buffer.connect();
    waiting.send("RECV <x>\n");
    waiting.expect_silence();
    inside[0].send("QUIT\n");
    waiting.expect("RECV ERR (file does not exist)\n");
    waiting.ask("RECV <x>", "RECV ERR (file does not exist)");
}

#[test]
fn one_client_gets_no_more_connections_than_it_may() {
    let buffer = Buffer::start("max_connections_per_client 2\nidle_timeout 20s\n");
    // The connection that showed that the server is there may still count.
    let enter = || {
        wait_until("to be let in", || {
            let mut client = buffer.connect();
            client.send("RECV <x>\n");
            (client.line() == "RECV ERR (file does not exist)").then_some(client)
        })
    };
    let mut inside = [enter(), enter()];
    buffer.connect().expect_closed();
    buffer.wait_for_line(&["client=127.0.0.1", "reason=turned-away", "max_connections_per_client"]);
    inside[1].send("QUIT\n");
    inside[1].expect_closed();
    enter();
}

#[test]
fn a_silent_client_is_dropped() {
    let buffer = Buffer::start("idle_timeout 300ms\n");
    let mut client = buffer.connect();
    client.expect_closed();
    let mut client = buffer.connect();
    client.ask("SEND <a.1.data> SIZE 10", "SEND OK");
    client.send("12345");
    client.expect_closed();
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout", "the last 5 bytes of a.1.data"]);
    let mut client = buffer.connect();
    client.ask("RECV <x>", "RECV ERR (file does not exist)");
    client.expect_closed();
    assert_eq!(buffer.files().len(), 0);
}

#[test]
fn stocks_options_say_how_long_a_client_may_be_silent() {
    let buffer = Buffer::with(Options::usual().arg("-t").arg("1").arg("-r").arg("1"), "");
    buffer.connect().expect_closed();
    buffer.wait_for_line(&["reason=timeout"]);
}

#[test]
fn a_line_that_drips_has_no_longer_than_one_that_does_not_come() {
    let buffer = Buffer::start("idle_timeout 600ms\n");
    drip(&mut buffer.connect(), b"RECV ", Duration::from_millis(100));
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout"]);
}

#[test]
fn a_client_that_takes_no_replies_is_dropped() {
    let buffer = Buffer::start("idle_timeout 500ms\n");
    let mut client = buffer.connect();
    client.socket().set_write_timeout(Some(TIMEOUT)).unwrap();
    let commands = "RECV <no such file in this directory>\n".repeat(1_000);
    let mut sent = 0;
    while let Client::Plain(socket) = &mut client
        && socket.write_all(commands.as_bytes()).is_ok()
    {
        sent += commands.len();
        assert!(sent < 1 << 30, "the server takes whatever comes");
    }
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout"]);
}

#[test]
fn a_client_that_takes_no_body_is_dropped_and_the_file_stays() {
    let buffer = Buffer::start("idle_timeout 500ms\n");
    buffer.put("large.1.data", vec![b'x'; 20 << 20]);
    let mut client = buffer.connect();
    client.announced("MV", "large.1.data");
    client.send("MV OK\n");
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout", "bytes it asked for"]);
    assert!(buffer.holds("large.1.data"));
}

#[test]
fn a_body_that_comes_too_slowly_is_not_waited_for() {
    let buffer = Buffer::start("idle_timeout 500ms\nbody_min_rate 1000\n");
    let mut client = buffer.connect();
    client.ask("SEND <a.1.data> SIZE 1000", "SEND OK");
    drip(&mut client, b"x", Duration::from_millis(100));
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout", "body_min_rate"]);
    let buffer = Buffer::start("idle_timeout 500ms\nbody_min_rate 0\n");
    let mut client = buffer.connect();
    client.ask("SEND <a.1.data> SIZE 20", "SEND OK");
    for _ in 0..20 {
        thread::sleep(SETTLE);
        client.send("x");
    }
    client.expect("SEND OK\n");
}

#[test]
fn a_hundred_dripping_clients_keep_nobody_waiting() {
    let buffer = Buffer::start("max_connections 200\nidle_timeout 20s\n");
    let mut slow: Vec<Client> = (0..100).map(|_| buffer.connect()).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        if number % 2 == 0 {
            client.ask(&format!("SEND <slow{number}.1.data> SIZE 1000"), "SEND OK");
        }
    }
    let mut quick = buffer.connect();
    for number in 0..50 {
        for client in &mut slow {
            client.send("x");
        }
        quick.store(&format!("quick{number}.1.data"), "body");
    }
    assert_eq!(buffer.files().len(), 50);
}

#[test]
fn a_full_spool_refuses_until_something_is_moved_away() {
    for (keys, fits) in [("max_spool_files 3\n", 3), ("max_spool_bytes 35\n", 3), ("max_spool_bytes 10\n", 1)] {
        let buffer = Buffer::start(&format!("idle_timeout 10s\n{keys}"));
        let mut client = buffer.connect();
        for number in 0..fits {
            client.store(&format!("a{number}.1.data"), "0123456789");
        }
        client.ask("SEND <b.1.data> SIZE 10", "SEND ERR (no room for the file)");
        client.ask("ZSEND <b.1.data> SIZE 10", "ZSEND ERR (no room for the file)");
        buffer.wait_for_line(&["WARN", keys.split(' ').next().unwrap()]);
        client.take("MV", "a0.1.data");
        client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
        wait_until("the room to come back", || {
            client.send("SEND <b.1.data> SIZE 10\n");
            (client.line() == "SEND OK").then_some(())
        });
        client.send("0123456789");
        client.expect("SEND OK\n");
        for size in 11..31 {
            client.ask(&format!("SEND <c.1.data> SIZE {size}"), "SEND ERR (no room for the file)");
        }
        let log = buffer.log();
        let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("max_spool")).count();
        assert_eq!(warnings, 1, "{log}");
    }
}

#[test]
fn room_that_another_program_makes_is_found_before_long() {
    for keys in ["max_spool_files 1\n", "max_spool_bytes 4\n"] {
        let buffer = Buffer::start(keys);
        let mut client = buffer.connect();
        client.store("a.1.data", "body");
        client.ask("SEND <b.1.data> SIZE 4", "SEND ERR (no room for the file)");
        fs::remove_file(buffer.storage().join("a.1.data")).unwrap();
        wait_until("room", || {
            client.send("SEND <b.1.data> SIZE 4\n");
            (client.line() == "SEND OK").then_some(())
        });
    }
}

#[test]
fn a_file_may_take_the_room_of_the_one_it_replaces() {
    let buffer = Buffer::start("max_spool_files 2\nmax_spool_bytes 25\n");
    let mut client = buffer.connect();
    for version in 0..5 {
        client.store("a.conf", format!("version {version}"));
    }
    client.store("b.conf", "1");
    client.ask("SEND <c.conf> SIZE 1", "SEND ERR (no room for the file)");
    // Full, it grows by what the new one is larger.
    client.store("a.conf", [b'x'; 24]);
    client.ask("SEND <a.conf> SIZE 26", "SEND ERR (no room for the file)");
    client.ask("SEND <b.conf> SIZE 2", "SEND ERR (no room for the file)");
    client.store("b.conf", "2");
    client.store("a.conf", "small");
    client.store("b.conf", [b'x'; 20]);
    assert_eq!(buffer.files().len(), 2);
}

#[test]
fn room_is_taken_by_what_has_come_and_comes_back_when_its_client_leaves() {
    let buffer = Buffer::start("max_spool_bytes 100\nidle_timeout 10s\n");
    let mut first = buffer.connect();
    first.ask("SEND <a.1.data> SIZE 60", "SEND OK");
    first.send([b'x'; 50]);
    let mut second = buffer.connect();
    wait_until("the room to be taken", || {
        second.send("SEND <b.1.data> SIZE 60\n");
        let answer = second.line();
        if answer == "SEND OK" {
            second.send([b'x'; 60]);
            assert_eq!(second.line(), "SEND ERR (no room for the file)");
        }
        (answer == "SEND ERR (no room for the file)").then_some(())
    });
    first.reset();
    wait_until("the room to come back", || {
        second.send("SEND <b.1.data> SIZE 60\n");
        (second.line() == "SEND OK").then_some(())
    });
}

#[test]
fn large_sizes_that_are_announced_and_do_not_come_keep_nobody_out() {
    for key in ["max_spool_bytes 1000\n", "max_spool_files 2\n"] {
        let buffer = Buffer::start(&format!("{key}idle_timeout 10s\n"));
        let mut dripping: Vec<Client> = (0..4).map(|_| buffer.connect()).collect();
        for (number, client) in dripping.iter_mut().enumerate() {
            client.ask(&format!("SEND <slow{number}.1.data> SIZE 900"), "SEND OK");
            client.send("x");
        }
        buffer.connect().store("a.1.data", [b'x'; 600]);
        let mut last = dripping.pop().unwrap();
        last.send([b'x'; 899]);
        let expected = if key.contains("bytes") { "SEND ERR (no room for the file)\n" } else { "SEND OK\n" };
        last.expect(expected);
        last.ask("RECV <nothing>", "RECV ERR (file does not exist)");
        buffer.connect().ask("SEND <b.1.data> SIZE 900", "SEND ERR (no room for the file)");
    }
}

#[test]
fn bytes_that_must_stay_free_stay_free() {
    let buffer = Buffer::start("min_free 1000000GiB\n");
    buffer.connect().ask("SEND <a.1.data> SIZE 1", "SEND ERR (no room for the file)");
    buffer.wait_for_line(&["min_free"]);
}

#[test]
fn a_body_is_as_large_as_it_may_be_and_no_larger() {
    let buffer = Buffer::with(Options::usual().arg("-m").arg("1000"), "");
    let mut client = buffer.connect();
    client.store("a.1.data", [b'x'; 1000]);
    for size in ["1001", "0", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"] {
        client.ask(&format!("SEND <b.1.data> SIZE {size}"), "SEND ERR (file is too big)");
    }
    assert_eq!(buffer.files().len(), 1);
}

#[test]
fn staging_directories_are_no_files_to_clients() {
    let buffer = Buffer::start("");
    let mut client = buffer.connect();
    for name in [".tentacle-sync", ".tentacle-server", ".Tentacle-Sync"] {
        client.ask(&format!("SEND <{name}> SIZE 1"), "SEND ERR (invalid file name)");
        client.ask(&format!("RECV <{name}>"), "RECV ERR (file has an invalid file name)");
        client.ask(&format!("MV <{name}>"), "MV ERR");
    }
    buffer.put(".tentacle-sync", "an agent's");
    assert!(client.names("").is_empty());
}

#[test]
fn the_largest_sizes_and_slowest_rates_are_served_like_others() {
    const LARGEST: i64 = i64::MAX;
    let buffer = Buffer::start(&format!("max_size {LARGEST}\nbody_min_rate 1\nidle_timeout 30d\n"));
    let mut large = [buffer.connect(), buffer.connect(), buffer.connect()];
    for (number, client) in large.iter_mut().enumerate() {
        client.ask(&format!("SEND <large{number}.1.data> SIZE {LARGEST}"), "SEND OK");
        client.send("the beginning");
    }
    buffer.connect().store("a.1.data", "body");
    large.into_iter().for_each(Client::reset);
    buffer.connect().store("b.1.data", "body");
    assert_eq!(buffer.files().len(), 2);
}

/// An archive of one entry, which is so many zeros.
fn archive_of_zeros(length: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("a.1.data", zip::write::SimpleFileOptions::default()).unwrap();
    let block = vec![0; 1 << 20];
    for begin in (0..length).step_by(block.len()) {
        zip.write_all(&block[..block.len().min(length - begin)]).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn an_archive_that_unfolds_to_too_much_is_refused_and_leaves_nothing() {
    let buffer = Buffer::start("unzip_max 100KiB\nunzip_ratio 50\nidle_timeout 10s\n");
    let mut client = buffer.connect();
    for length in [64 << 20, 101 << 10, 90 << 10] {
        let bomb = archive_of_zeros(length);
        client.ask(&format!("ZSEND <a.1.data> SIZE {}", bomb.len()), "ZSEND OK");
        client.send(&bomb);
        let answer = client.line();
        assert!(answer.starts_with("ZSEND ERR"), "{length}: {answer}");
    }
    let honest = archive_of_zeros(1_000);
    client.ask(&format!("ZSEND <a.1.data> SIZE {}", honest.len()), "ZSEND OK");
    client.send(&honest);
    client.expect("ZSEND OK\n");
    assert_eq!(buffer.files().into_values().collect::<Vec<_>>(), [vec![0; 1_000]]);
    let staging = fs::read_dir(buffer.storage().join(".tentacle-server")).unwrap();
    assert!(staging.count() <= 1, "leftovers of the archives");
}

#[test]
fn hundreds_of_connections_are_served() {
    let buffer = Buffer::start("max_connections 5000\nidle_timeout 30s\n");
    let mut clients: Vec<Client> = (0..400).map(|_| buffer.connect()).collect();
    for client in clients.iter_mut().rev() {
        client.ask("RECV <x>", "RECV ERR (file does not exist)");
    }
    drop(clients);
    buffer.connect().store("a.1.data", "body");
}

#[test]
fn a_client_with_much_to_complain_of_fills_no_log() {
    let buffer = Buffer::start("");
    for number in 0..50 {
        let mut client = buffer.connect();
        client.send(format!("NONSENSE {number}\n"));
        client.expect_closed();
    }
    assert_eq!(buffer.log().lines().filter(|line| line.contains("WARN")).count(), 1, "{}", buffer.log());
}
