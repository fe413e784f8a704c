//! The directories that filters lead to.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::daemon::wait_until;
use crate::program::{Sandbox, as_nobody};
use crate::server_process::{free_address, hand_over_to_server};
use crate::support::Client;

#[test]
fn filters_that_lead_out_are_refused() {
    let sandbox = Sandbox::new();
    for directory in ["..", "../elsewhere", "/etc", "conf/../../elsewhere"] {
        let filter = format!(r".*\.conf:{directory}");
        sandbox.assert_refused(&["-s", "storage", "-i", &filter], 2, &["-i", directory]);
    }
}

#[test]
fn directories_of_filters_that_cannot_be_used_are_told() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("storage/locked")).unwrap();
    fs::set_permissions(sandbox.path("storage/locked"), Permissions::from_mode(0o500)).unwrap();
    symlink("/tmp", sandbox.path("storage/link")).unwrap();
    let address = free_address();
    let port = address.port().to_string();
    let filters = "conf$:conf;md5$:absent;zip$:absent;a:locked;b:link;c:.";
    fs::create_dir(sandbox.path("storage/conf")).unwrap();
    hand_over_to_server(&sandbox.path("storage/conf"));
    let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-i", filters];
    let assert_told = |said: &str| {
        let warnings = said.lines().filter(|line| line.contains("change the filters (-i); until then"));
        assert_eq!(warnings.count(), 3, "{said}");
        for part in
            ["absent: cannot open the directory: No such", "locked: cannot ", "Permission denied", "lies outside"]
        {
            assert!(said.contains(part), "{said}");
        }
    };
    let (code, said) = sandbox.run(&[&arguments[..], &["--check"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_told(&said);
    let running = sandbox.launch(as_nobody(&mut sandbox.command(&arguments)));
    let mut client = wait_until("the server", || TcpStream::connect(address).ok().map(|_| Client::connect(address)));
    client.send("SEND <x.md5> SIZE 1\n");
    client.expect("SEND OK\n");
    client.send("x");
    client.expect_closed();
    assert_eq!(running.stop(), Some(0));
    assert_told(&sandbox.said());
}
