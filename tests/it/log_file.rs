//! The log's file where root starts the server and another user goes on. Needs root.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

use rustix::process::{Signal, kill_process};

use crate::daemon::wait_until;
use crate::program::{Place, Running};
use crate::server_process::{NOBODY, free_address};

/// Whether this is root; prints it where it is not.
fn is_root() -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        println!("SKIPPED: not root");
    }
    is_root
}

/// A place with a directory for logs that is root's.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("logs")).unwrap();
    fs::set_permissions(place.path("logs"), Permissions::from_mode(0o755)).unwrap();
    place
}

/// Starts it as root, who becomes nobody, and waits until it is there.
fn start(place: &Place) -> Running {
    let address = free_address();
    let port = address.port().to_string();
    let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "logs/log", "-v", "--user", "nobody"];
    let running = place.launch(&mut place.command(&arguments));
    wait_until("the server", || TcpStream::connect(address).ok());
    running
}

/// Has the log opened anew; what is then in the file it was.
fn hang_up(place: &Place, running: &Running, log: &str) -> String {
    kill_process(running.pid(), Signal::HUP).unwrap();
    wait_until("the reload", || fs::read_to_string(place.path(log)).ok().filter(|log| log.contains("reloaded")))
}

#[test]
fn a_log_that_root_creates_is_the_users_who_opens_it_anew() {
    if !is_root() {
        return;
    }
    let place = place();
    let running = start(&place);
    let metadata = place.path("logs/log").metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY));
    let log = hang_up(&place, &running, "logs/log");
    assert!(!log.contains("cannot be opened anew"), "{log}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn where_a_rotated_log_cannot_be_created_it_is_said_who_has_to() {
    if !is_root() {
        return;
    }
    let place = place();
    let running = start(&place);
    fs::rename(place.path("logs/log"), place.path("logs/log.1")).unwrap();
    let log = hang_up(&place, &running, "logs/log.1");
    let line = log.lines().find(|line| line.contains("cannot be opened anew")).unwrap();
    assert!(line.contains("Permission denied") && line.contains("create 0660 nobody nogroup"), "{line}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_log_that_is_there_stays_its_owners() {
    if !is_root() {
        return;
    }
    let place = place();
    fs::write(place.path("logs/log"), "before\n").unwrap();
    assert_eq!(start(&place).stop(), Some(0));
    assert_eq!(place.path("logs/log").metadata().unwrap().uid(), 0);
    assert!(fs::read_to_string(place.path("logs/log")).unwrap().starts_with("before\n"));
}

#[test]
fn root_follows_no_link_of_the_users_to_a_file_of_its_own() {
    if !is_root() {
        return;
    }
    let place = place();
    lchown(place.path("logs"), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::write(place.path("secret"), "root's").unwrap();
    for (target, check) in [("secret", ""), ("secret", "--check"), ("new", "")] {
        fs::remove_file(place.path("logs/log")).ok();
        symlink(place.path(target), place.path("logs/log")).unwrap();
        lchown(place.path("logs/log"), Some(NOBODY), Some(NOBODY)).unwrap();
        let port = free_address().port().to_string();
        let usual = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "logs/log", "--user", "nobody"];
        let more = Some(check).filter(|check| !check.is_empty());
        let arguments: Vec<&str> = usual.into_iter().chain(more).collect();
        let (code, said) = place.end_of(&mut place.command(&arguments));
        assert_eq!(code, Some(2), "{said}");
        for part in ["log_file (-l)", "logs/log", &format!("a link of user {NOBODY}"), "name the file itself"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(fs::read_to_string(place.path("secret")).unwrap(), "root's");
        assert!(!place.path("new").exists());
    }
}

#[test]
fn roots_links_are_followed_and_the_file_they_lead_to_is_created() {
    if !is_root() {
        return;
    }
    let place = place();
    symlink("../logs/other", place.path("logs/log")).unwrap();
    symlink(place.path("logs/file"), place.path("logs/other")).unwrap();
    assert_eq!(start(&place).stop(), Some(0));
    assert_eq!(place.path("logs/file").symlink_metadata().unwrap().uid(), NOBODY);
}
