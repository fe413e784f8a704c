//! What the system lets a process have: files of a size, and a number of them open.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tentacle_sync::double::{Setup, Verb};

use crate::client_process::{Desk, Outcome, at};
use crate::daemon::{Place, assert_complains_once, has_line, staged_in, wait_until};
use crate::program;
use crate::server_process::{free_address, stored_in};
use crate::site::Site;
use crate::support::{Client, LOOPBACK, PATIENCE};

/// The largest file a limited process may write, in bytes.
const LARGEST: u64 = 20_000;

/// A body beyond that.
static LARGE: [u8; 50_000] = [b'x'; 50_000];

/// Lets a process have so much of something from now on, or as much as this one.
fn limit(process: u32, resource: Resource, most: Option<u64>) {
    let maximum = getrlimit(resource).maximum;
    prlimit(Pid::from_raw(process.cast_signed()), resource, Rlimit { current: most.or(maximum), maximum }).unwrap();
}

#[test]
fn a_server_refuses_what_it_may_not_write_and_goes_on() {
    let (place, address) = (program::Place::new(), free_address());
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    // Of another user's process, only root may change the limits. A block is 512 bytes, or 1024.
    let limited = "ulimit -f 40; exec \"$0\" \"$@\"";
    let arguments = ["-c", limited, env!("CARGO_BIN_EXE_tentacle_server"), "-s", "storage", "-a", &ip, "-p", &port];
    let server = place.launch(program::as_nobody(&mut place.command_of("sh".as_ref(), &arguments)));
    wait_until("the server", || TcpStream::connect(address).ok());
    let mut client = Client::connect(address);
    for number in 0..3 {
        client.ask(&format!("SEND <large{number}.data> SIZE {}", LARGE.len()), "SEND OK");
        client.send(LARGE);
        let answer = client.line();
        assert!(answer.starts_with("SEND ERR"), "{answer}");
    }
    client.store("small.data", "body");
    drop(server);
    let storage = place.path("storage");
    let log = fs::read_to_string(place.path("stderr")).unwrap();
    let parts = ["WARN", storage.to_str().unwrap(), "cannot write: File too large", "LimitFSIZE", "ulimit -f"];
    assert!(has_line(&log, &parts), "{log}");
    assert_complains_once(&log, &["File too large"]);
    assert_eq!(stored_in(&storage).len(), 1);
    let staging = fs::read_dir(storage.join(".tentacle-server")).unwrap();
    assert!(staging.count() <= 1, "halves of files stay");
}

#[test]
fn a_collector_leaves_what_it_may_not_write_at_the_site_and_collects_the_rest() {
    let site = Site::double("site", 0, Setup::default());
    let place = Place::with_sites([site.config("interval = 1")]);
    let daemon = place.start();
    assert!(site.peer().wait_for(PATIENCE, |tally| tally.count(Verb::Ls) >= 1));
    limit(daemon.id(), Resource::Fsize, Some(LARGEST));
    site.peer().put("large.1700000000.data", &LARGE).unwrap();
    let spool = place.incoming();
    daemon.wait_for_line(&["WARN", "site=site reason=store", spool.to_str().unwrap(), "File too large", "LimitFSIZE"]);
    site.peer().put("small.1700000000.data", b"body").unwrap();
    wait_until("the small file", || (place.spool().len() == 1).then_some(()));
    assert!(site.peer().files().unwrap().contains_key(Path::new("large.1700000000.data")));
    assert_complains_once(&daemon.log(), &["File too large"]);
    assert_eq!(staged_in(&spool), [] as [&str; 0]);
    limit(daemon.id(), Resource::Fsize, None);
    wait_until("the large file", || (place.spool().len() == 2).then_some(()));
    daemon.wait_for_line(&["site=site works again"]);
    daemon.stop().assert_code(0);
}

/// Gets the large file from a server that answers only once the client may not write it.
fn get_beyond_the_limit(desk: &Desk, options: &[&str]) -> Outcome {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let arguments = at(listener.local_addr().unwrap(), [options, &["-g", "large"]].concat());
    let client = desk.start(arguments);
    limit(client.id(), Resource::Fsize, Some(LARGEST));
    let (mut connection, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
    let verb = if options.contains(&"-z") { "ZRECV" } else { "RECV" };
    assert_eq!(lines.next().unwrap().unwrap(), format!("{verb} <large>"));
    connection.write_all(format!("{verb} SIZE {}\n", LARGE.len()).as_bytes()).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), format!("{verb} OK"));
    connection.write_all(&LARGE).unwrap();
    Outcome::of(client)
}

#[test]
fn a_client_says_what_it_may_not_write_and_leaves_no_half_of_it() {
    let desk = Desk::new();
    let outcome = get_beyond_the_limit(&desk, &["-v"]);
    outcome.assert_fails_saying(&["Cannot write file 'large': File too large.", "ulimit -f"]);
    let outcome = get_beyond_the_limit(&desk, &["-v", "-z"]);
    outcome.assert_fails_saying(&["Cannot use a temporary file in", "File too large.", "ulimit -f"]);
    assert_eq!(desk.files().len(), 0);
}
