//! Filesystems and containers that lack a call: it is reported, with its cause, and done without where it can be.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;
use tentacle_sync::testing::fake_server::{FakeServer, Setup};

use crate::client_process::WorkDir;
use crate::daemon::{self, wait_until};
use crate::mount::Mount;
use crate::program::{Running, Sandbox, as_nobody};
use crate::refused_calls::{Refused, exclusive_rename, refused, without};
use crate::server_process::{free_address, hand_over_to_server};
use crate::site::site_config;
use crate::support::Client;

/// The warnings of a start and of a check.
const RIGHTS: &str = "does not set the rights of files (chmod: Operation not permitted";
const FLUSH: &str = "does not flush directories (fsync: Invalid argument";
const NAMES: &str = "neither exclusive renames nor links";
const LOCKS: &str = "has no locks (flock: Function not implemented";

/// A filesystem that lacks whatever it may.
fn everything() -> [Refused; 5] {
    [
        refused(libc::SYS_fchmod, Errno::PERM),
        refused(libc::SYS_fsync, Errno::INVAL),
        exclusive_rename(Errno::INVAL),
        refused(libc::SYS_linkat, Errno::PERM),
        refused(libc::SYS_flock, Errno::NOSYS),
    ]
}

/// The command line of a server in its place.
fn arguments(storage: &Path, address: SocketAddr) -> Vec<String> {
    let (storage, port) = (storage.to_str().unwrap(), address.port().to_string());
    ["-s", storage, "-a", "127.0.0.1", "-p", &port, "-I"].map(str::to_owned).to_vec()
}

/// Starts a server on `storage` that cannot use these calls.
fn start(sandbox: &Sandbox, storage: &Path, calls: &[Refused]) -> (Running, SocketAddr) {
    let address = free_address();
    let arguments = arguments(storage, address);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = without(calls, || sandbox.launch(as_nobody(&mut sandbox.command(&arguments))));
    wait_until("the server", || TcpStream::connect(address).ok());
    (server, address)
}

/// Runs a server that cannot use these calls to its end.
fn run(sandbox: &Sandbox, storage: &Path, calls: &[Refused], options: &[&str]) -> (Option<i32>, String) {
    let arguments = arguments(storage, free_address());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(options.iter().copied()).collect();
    without(calls, || sandbox.run(&arguments))
}

/// Stores, refuses to overwrite, lists, and lets a file be moved.
#[track_caller]
fn assert_stores(address: SocketAddr, storage: &Path) {
    let mut client = Client::connect(address);
    client.store("a.1.data", "body");
    client.store("b.1.data", "other");
    client.ask("SEND <a.1.data> SIZE 3", "SEND ERR (file already exists)");
    assert_eq!(fs::read(storage.join("a.1.data")).unwrap(), b"body");
    assert_eq!(client.take("MV", "a.1.data"), b"body");
    client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
    wait_until("the removal", || (!storage.join("a.1.data").exists()).then_some(()));
    assert!(storage.join("b.1.data").exists());
}

#[track_caller]
fn assert_each_once(log: &str, parts: &[&str]) {
    for part in parts {
        assert_eq!(log.matches(part).count(), 1, "{part}: {log}");
    }
}

#[test]
fn a_server_stores_without_rights_flushed_directories_exclusive_names_and_locks_and_warns_once() {
    let sandbox = Sandbox::new();
    let storage = sandbox.path("storage");
    let (_server, address) = start(&sandbox, &storage, &everything());
    assert_stores(address, &storage);
    assert_each_once(&fs::read_to_string(sandbox.path("stderr")).unwrap(), &[RIGHTS, FLUSH, NAMES, LOCKS]);
}

#[test]
fn a_check_of_the_server_says_what_the_filesystem_lacks_and_leaves_nothing_there() {
    let sandbox = Sandbox::new();
    let storage = sandbox.path("storage");
    let (code, said) = run(&sandbox, &storage, &everything(), &["--check"]);
    assert_eq!(code, Some(0), "{said}");
    assert_each_once(&said, &[RIGHTS, FLUSH, NAMES, LOCKS]);
    assert_eq!(fs::read_dir(storage).unwrap().count(), 0);
}

#[test]
fn a_lock_that_another_try_may_get_is_status_3_with_advice() {
    let sandbox = Sandbox::new();
    for options in [&[][..], &["--check"]] {
        let calls = [refused(libc::SYS_flock, Errno::NOLCK)];
        let (code, said) = run(&sandbox, &sandbox.path("storage"), &calls, options);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("cannot lock: No locks available") && said.contains("rpc.statd"), "{said}");
    }
}

#[test]
fn a_container_that_forbids_threads_is_not_taken_for_a_directory_without_rights() {
    let sandbox = Sandbox::new();
    for options in [&[][..], &["--check"]] {
        let calls = [refused(libc::SYS_clone3, Errno::PERM)];
        let (code, said) = run(&sandbox, &sandbox.path("storage"), &calls, options);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("cannot start a thread") && said.contains("clone3"), "{said}");
        assert!(!said.contains("right to write"), "{said}");
    }
}

/// A directory of a collector, whose state and spool are in these.
fn collector(site: &FakeServer, state: &Path, incoming: &Path) -> daemon::Sandbox {
    let sandbox = daemon::Sandbox::new();
    let sync = format!("[sync]\nstate_dir = {state:?}\nincoming_dir = {incoming:?}\npublish = \"at-once\"\n");
    let keys = sync + "[defaults]\nretries = 0\n";
    sandbox.write("tentacle-syncd.toml", keys + &site_config("site", site.address(), ""));
    sandbox
}

#[track_caller]
fn assert_collects(site: &FakeServer, sandbox: &daemon::Sandbox, incoming: &Path, calls: &[Refused]) -> String {
    let mut log = String::new();
    for (name, body) in [("a.1.data", "body"), ("b.1.data", "other")] {
        site.put(name, body.as_bytes()).unwrap();
        let outcome = without(calls, || sandbox.once());
        outcome.assert_code(0);
        assert_eq!(fs::read(incoming.join(name)).unwrap(), body.as_bytes());
        log = outcome.stderr;
    }
    assert!(site.files().unwrap().is_empty());
    // Another file of that name in the spool is never overwritten.
    fs::write(incoming.join("c.1.data"), "there").unwrap();
    site.put("c.1.data", b"new").unwrap();
    without(calls, || sandbox.once()).assert_code(0);
    assert_eq!(fs::read(incoming.join("c.1.data")).unwrap(), b"there");
    let data = |name: &str| Path::new(name).extension().is_some_and(|end| end == "data");
    let names = fs::read_dir(incoming).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| data(name)).count(), 4);
    log
}

#[test]
fn a_collector_collects_without_all_that_and_warns() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let home = crate::support::scratch();
    let [state, incoming] = ["state", "incoming"].map(|name| home.path().join(name));
    fs::create_dir(&incoming).unwrap();
    let sandbox = collector(&site, &state, &incoming);
    let log = assert_collects(&site, &sandbox, &incoming, &everything());
    assert_each_once(&log, &[RIGHTS, NAMES]);
    // Of the spool and of the state directory.
    assert_eq!((log.matches(FLUSH).count(), log.matches(LOCKS).count()), (2, 2), "{log}");
    let outcome = without(&everything(), || sandbox.run("check", &[]));
    outcome.assert_code(0);
    for part in [RIGHTS, FLUSH, NAMES, LOCKS] {
        assert!(outcome.stdout.contains(part), "{}", outcome.stdout);
    }
}

#[test]
fn a_client_replaces_a_file_where_rights_cannot_be_changed() {
    let site = FakeServer::start(Setup::default()).unwrap();
    site.put("a.data", b"new").unwrap();
    let work_dir = WorkDir::with(&[("a.data", b"old")]);
    fs::set_permissions(work_dir.path("a.data"), fs::Permissions::from_mode(0o600)).unwrap();
    let got = without(&[refused(libc::SYS_fchmod, Errno::PERM)], || work_dir.run_at(site.address(), ["-g", "a.data"]));
    got.assert_done();
    assert_eq!(work_dir.read("a.data"), b"new");
    assert_eq!(work_dir.path("a.data").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn both_programs_work_on_a_fat() {
    let Some(mount) = Mount::fat() else { return };
    let [state, incoming, storage] = ["state", "incoming", "storage"].map(|name| mount.root().join(name));
    fs::create_dir(&incoming).unwrap();
    fs::create_dir(&storage).unwrap();
    let sandbox = Sandbox::new();
    let (_server, address) = start(&sandbox, &storage, &[]);
    assert_stores(address, &storage);
    let log = fs::read_to_string(sandbox.path("stderr")).unwrap();
    assert_each_once(&log, &["does not set the rights of files", NAMES]);
    let site = FakeServer::start(Setup::default()).unwrap();
    assert_collects(&site, &collector(&site, &state, &incoming), &incoming, &[]);
}

#[test]
fn both_programs_work_where_rights_cannot_be_changed() {
    let Some(mount) = Mount::without_chmod() else { return };
    let [state, incoming, storage] = ["state", "incoming", "storage"].map(|name| mount.root().join(name));
    fs::create_dir(&incoming).unwrap();
    fs::create_dir(&storage).unwrap();
    hand_over_to_server(&storage);
    let sandbox = Sandbox::new();
    let (_server, address) = start(&sandbox, &storage, &[]);
    assert_stores(address, &storage);
    assert_each_once(&fs::read_to_string(sandbox.path("stderr")).unwrap(), &[RIGHTS]);
    let site = FakeServer::start(Setup::default()).unwrap();
    assert_collects(&site, &collector(&site, &state, &incoming), &incoming, &[]);
}

#[test]
fn both_programs_work_where_all_files_belong_to_one_other_user() {
    let Some(mount) = Mount::with_forced_owner(4321) else { return };
    let storage = mount.root().join("storage");
    fs::create_dir(&storage).unwrap();
    let sandbox = Sandbox::new();
    for _ in 0..2 {
        let (server, address) = start(&sandbox, &storage, &[]);
        assert_stores(address, &storage);
        fs::remove_file(storage.join("b.1.data")).unwrap();
        drop(server);
    }
    let staging = storage.join(".tentacle-server").metadata().unwrap();
    assert_eq!((staging.uid(), staging.mode() & 0o777), (4321, 0o777));
    let [state, incoming] = ["state", "incoming"].map(|name| mount.root().join(name));
    fs::create_dir(&incoming).unwrap();
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = collector(&site, &state, &incoming);
    hand_over_to_server(&sandbox.path(""));
    for name in ["a.1.data", "a.2.data"] {
        site.put(name, b"body").unwrap();
        let config = sandbox.config();
        let all = ["once".as_ref(), "--config".as_ref(), config.as_os_str()];
        let outcome = sandbox.launch_as(env!("CARGO_BIN_EXE_tentacle-syncd").as_ref(), all, |command| {
            as_nobody(command);
        });
        outcome.wait().assert_code(0);
        assert_eq!(fs::read(incoming.join(name)).unwrap(), b"body");
    }
}
