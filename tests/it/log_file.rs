//! The log's file where root starts the server and another user goes on. Needs root.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

use rustix::process::{Signal, kill_process};

use crate::daemon::wait_until;
use crate::program::{Running, Sandbox};
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
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("logs")).unwrap();
    fs::set_permissions(sandbox.path("logs"), Permissions::from_mode(0o755)).unwrap();
    sandbox
}

/// Starts it as root, who becomes nobody, and waits until it is there.
fn start(sandbox: &Sandbox) -> Running {
    let address = free_address();
    let port = address.port().to_string();
    let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "logs/log", "-v", "--user", "nobody"];
    let running = sandbox.launch(&mut sandbox.command(&arguments));
    wait_until("the server", || TcpStream::connect(address).ok());
    running
}

/// Has the log opened anew; what is then in the file it was.
fn hang_up(sandbox: &Sandbox, running: &Running, log: &str) -> String {
    kill_process(running.pid(), Signal::HUP).unwrap();
    wait_until("the reload", || fs::read_to_string(sandbox.path(log)).ok().filter(|log| log.contains("reloaded")))
}

#[test]
fn a_log_that_root_creates_is_the_users_who_opens_it_anew() {
    if !is_root() {
        return;
    }
    let sandbox = sandbox();
    let running = start(&sandbox);
    let metadata = sandbox.path("logs/log").metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY));
    let log = hang_up(&sandbox, &running, "logs/log");
    assert!(!log.contains("cannot be opened anew"), "{log}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn where_a_rotated_log_cannot_be_created_it_is_said_who_has_to() {
    if !is_root() {
        return;
    }
    let sandbox = sandbox();
    let running = start(&sandbox);
    fs::rename(sandbox.path("logs/log"), sandbox.path("logs/log.1")).unwrap();
    let log = hang_up(&sandbox, &running, "logs/log.1");
    let line = log.lines().find(|line| line.contains("cannot be opened anew")).unwrap();
    assert!(line.contains("Permission denied") && line.contains("create 0660 nobody nogroup"), "{line}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_log_that_is_there_stays_its_owners() {
    if !is_root() {
        return;
    }
    let sandbox = sandbox();
    fs::write(sandbox.path("logs/log"), "before\n").unwrap();
    assert_eq!(start(&sandbox).stop(), Some(0));
    assert_eq!(sandbox.path("logs/log").metadata().unwrap().uid(), 0);
    assert!(fs::read_to_string(sandbox.path("logs/log")).unwrap().starts_with("before\n"));
}

#[test]
fn root_follows_no_link_of_the_users_to_a_file_of_its_own() {
    if !is_root() {
        return;
    }
    let sandbox = sandbox();
    lchown(sandbox.path("logs"), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::write(sandbox.path("secret"), "root's").unwrap();
    for (target, check) in [("secret", ""), ("secret", "--check"), ("new", "")] {
        fs::remove_file(sandbox.path("logs/log")).ok();
        symlink(sandbox.path(target), sandbox.path("logs/log")).unwrap();
        lchown(sandbox.path("logs/log"), Some(NOBODY), Some(NOBODY)).unwrap();
        let port = free_address().port().to_string();
        let usual = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "logs/log", "--user", "nobody"];
        let more = Some(check).filter(|check| !check.is_empty());
        let arguments: Vec<&str> = usual.into_iter().chain(more).collect();
        let (code, said) = sandbox.end_of(&mut sandbox.command(&arguments));
        assert_eq!(code, Some(2), "{said}");
        for part in ["log_file (-l)", "logs/log", &format!("a link of user {NOBODY}"), "name the file itself"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(fs::read_to_string(sandbox.path("secret")).unwrap(), "root's");
        assert!(!sandbox.path("new").exists());
    }
}

#[test]
fn roots_links_are_followed_and_the_file_they_lead_to_is_created() {
    if !is_root() {
        return;
    }
    let sandbox = sandbox();
    symlink("../logs/other", sandbox.path("logs/log")).unwrap();
    symlink(sandbox.path("logs/file"), sandbox.path("logs/other")).unwrap();
    assert_eq!(start(&sandbox).stop(), Some(0));
    assert_eq!(sandbox.path("logs/file").symlink_metadata().unwrap().uid(), NOBODY);
}
