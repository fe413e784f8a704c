//! Nothing outside the storage directory is read, written, listed or removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use crate::server_ops::Buffer;
use crate::server_process::{Options, hand_over_to_server};
use crate::support::{Client, scratch};

const SECRET: &str = "what nobody is to see";

/// A directory beside the storage, with a file in it, and a server whose storage leads there by links.
struct Fixture {
    outside: TempDir,
    buffer: Buffer,
}

impl Fixture {
    fn new() -> Self {
        let outside = scratch();
        fs::write(outside.path().join("secret"), SECRET).unwrap();
        hand_over_to_server(outside.path());
        let link = |storage: &Path| {
            symlink(outside.path().join("secret"), storage.join("link.data")).unwrap();
            symlink(outside.path().join("none"), storage.join("dangling.data")).unwrap();
            symlink(outside.path(), storage.join("directory.data")).unwrap();
            mkfifoat(CWD, storage.join("fifo.data"), Mode::from_raw_mode(0o666)).unwrap();
        };
        let buffer = Buffer::prepared(Options::usual(), "idle_timeout 5s\n", link);
        Self { outside, buffer }
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside.path().join("secret")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(self.outside.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_is_no_file_is_not_read_and_not_moved() {
    let fixture = Fixture::new();
    let mut client = fixture.buffer.connect();
    for name in ["link.data", "dangling.data", "directory.data", "fifo.data", "conf"] {
        client.ask(&format!("RECV <{name}>"), "RECV ERR (file does not exist)");
        client.ask(&format!("ZRECV <{name}>"), "ZRECV ERR (file does not exist)");
        client.ask(&format!("MV <{name}>"), "MV ERR");
        assert!(fixture.buffer.holds(name), "{name}");
    }
    fixture.assert_untouched();
}

#[test]
fn a_file_that_is_sent_replaces_a_link_and_goes_nowhere_else() {
    let fixture = Fixture::new();
    let mut client = fixture.buffer.connect();
    for name in ["link.data", "dangling.data", "fifo.data"] {
        client.store(name, "sent");
        let path = fixture.buffer.storage().join(name);
        assert!(path.symlink_metadata().unwrap().is_file(), "{name}");
        assert_eq!(fs::read_to_string(path).unwrap(), "sent");
    }
    fixture.assert_untouched();
}

#[test]
fn without_leave_to_overwrite_a_link_is_in_the_way() {
    let outside = scratch();
    let link = |storage: &Path| symlink(outside.path().join("none"), storage.join("dangling.data")).unwrap();
    let buffer = Buffer::prepared(Options::default(), "", link);
    buffer.connect().ask("SEND <dangling.data> SIZE 4", "SEND ERR (file already exists)");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// What becomes of a body under this name: refused, or the connection ends after it.
fn send_as(client: &mut Client, name: &[u8]) -> String {
    client.send([b"SEND <", name, b"> SIZE 4\n"].concat());
    let answer = client.line();
    if answer == "SEND OK" {
        client.send("sent");
        return client.line();
    }
    answer
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let fixture = Fixture::new();
    let before = fixture.buffer.connect().names("");
    for name in ["../escaped", "/tmp/escaped", "conf/escaped", "a/../../escaped", "\\escaped", "~root"] {
        let mut client = fixture.buffer.connect();
        assert_eq!(send_as(&mut client, name.as_bytes()), "SEND ERR (invalid file name)", "{name}");
        client.ask(&format!("RECV <{name}>"), "RECV ERR (file has an invalid file name)");
        client.ask(&format!("MV <{name}>"), "MV ERR");
        client.ask(&format!("LS <{name}>"), "LS ERR");
    }
    for name in [&b".."[..], b".", b"", b"a\0b", b"\0", b".tentacle-server", b"conf"] {
        let answer = send_as(&mut fixture.buffer.connect(), name);
        assert!(answer.is_empty() || answer.contains("ERR"), "{}: {answer}", name.escape_ascii());
    }
    assert_eq!(fixture.buffer.connect().names(""), before);
    assert!(!fixture.buffer.storage().parent().unwrap().join("escaped").exists());
    fixture.assert_untouched();
}

#[test]
fn a_name_as_long_as_a_line_can_be_is_refused_or_stored() {
    let buffer = Buffer::start("");
    let mut client = buffer.connect();
    client.store(&"n".repeat(255), "as long as names can be");
    for length in [256, 900] {
        let answer = send_as(&mut buffer.connect(), &vec![b'n'; length]);
        assert!(answer.is_empty() || answer.contains("ERR"), "{length}: {answer}");
    }
    assert_eq!(buffer.files().len(), 1);
}

#[test]
fn a_filter_directory_that_is_a_link_out_is_never_entered() {
    let outside = scratch();
    fs::write(outside.path().join("a.conf"), SECRET).unwrap();
    hand_over_to_server(outside.path());
    let link = |storage: &Path| {
        fs::remove_dir(storage.join("conf")).unwrap();
        symlink(outside.path(), storage.join("conf")).unwrap();
    };
    let buffer = Buffer::prepared(Options::usual(), "idle_timeout 5s\n", link);
    for line in ["RECV <a.conf>", "MV <a.conf>", "LS <.conf>", "ZRECV <a.conf>"] {
        let mut client = buffer.connect();
        client.send(format!("{line}\n"));
        let answer = client.line();
        assert!(answer.is_empty() || answer.contains("ERR"), "{line}: {answer}");
    }
    let answer = send_as(&mut buffer.connect(), b"b.conf");
    assert!(answer.is_empty() || answer.contains("ERR"), "{answer}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "not even a staging area");
    assert_eq!(fs::read_to_string(outside.path().join("a.conf")).unwrap(), SECRET);
}

#[test]
fn a_filter_directory_may_be_a_link_that_stays_inside() {
    let link = |storage: &Path| {
        fs::create_dir(storage.join("real")).unwrap();
        fs::remove_dir(storage.join("conf")).unwrap();
        symlink("real", storage.join("conf")).unwrap();
    };
    let buffer = Buffer::prepared(Options::usual(), "", link);
    let mut client = buffer.connect();
    client.store("a.conf", "inside");
    assert_eq!(client.take("RECV", "a.conf"), b"inside");
    assert_eq!(fs::read(buffer.storage().join("real/a.conf")).unwrap(), b"inside");
}

#[test]
fn a_fifo_keeps_nobody_waiting() {
    let fixture = Fixture::new();
    let mut client = fixture.buffer.connect();
    client.send("RECV <fifo.data>\nMV <fifo.data>\nLS <>\n");
    let (answer, _) = client.receive(60, Duration::from_secs(5));
    assert!(answer.starts_with(b"RECV ERR (file does not exist)\nMV ERR\nLS SIZE "), "{}", answer.escape_ascii());
}

#[test]
fn a_directory_that_is_moved_away_or_removed_gets_no_more_files() {
    let buffer = Buffer::start("idle_timeout 10s\n");
    let path = |name| buffer.storage().join(name);
    let make = |name| {
        fs::create_dir(path(name)).unwrap();
        hand_over_to_server(&path(name));
    };
    buffer.connect().store("a.conf", "1");
    fs::rename(path("conf"), path("moved")).unwrap();
    buffer.connect().ask("RECV <a.conf>", "RECV ERR (file does not exist)");
    assert_eq!(send_as(&mut buffer.connect(), b"b.conf"), "", "stock closes, too");
    make("conf");
    buffer.connect().store("b.conf", "2");
    assert_eq!(buffer.connect().names(".conf"), ["b.conf".to_owned()].into());
    assert!(path("conf/b.conf").exists() && !path("moved/b.conf").exists());
    fs::remove_dir_all(path("conf")).unwrap();
    make("conf");
    buffer.connect().store("c.conf", "3");
    assert!(path("conf/c.conf").exists());
}

#[test]
fn a_staging_area_or_storage_directory_that_is_removed_is_made_again() {
    let buffer = Buffer::start("idle_timeout 10s\nmax_spool_files 3\n");
    let storage = buffer.storage();
    let mut client = buffer.connect();
    for name in ["a.1.data", "a.conf"] {
        client.store(name, "1");
        fs::remove_dir_all(storage.join(".tentacle-server")).unwrap();
        fs::remove_dir_all(storage.join("conf/.tentacle-server")).unwrap_or_default();
        client.store(name, "2");
    }
    let moved = storage.with_extension("moved");
    fs::rename(&storage, &moved).unwrap();
    client.ask("SEND <b.1.data> SIZE 1", "SEND OK");
    client.send("1");
    assert_eq!(client.line(), "", "there is no directory for it");
    fs::create_dir(&storage).unwrap();
    hand_over_to_server(&storage);
    buffer.connect().store("c.1.data", "3");
    assert!(storage.join("c.1.data").exists() && !moved.join("c.1.data").exists());
}

#[test]
fn the_staging_area_is_in_no_listing() {
    let buffer = Buffer::start("");
    let mut client = buffer.connect();
    client.store("a.conf", "1");
    for word in ["", "..", ".conf"] {
        assert!(!client.names(word).iter().any(|name| name.contains("tentacle")), "{word}");
    }
}
