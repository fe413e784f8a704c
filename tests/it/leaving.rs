//! Clients of our server that will not leave.

use std::fs;
use std::thread;

use crate::server_process::{Options, ServerProcess};
use crate::support::{Client, SETTLE, scratch};

const CLIENTS: usize = 1_500;

/// Connections that wait for a place and that linger at once, and whatever else a server has open.
const MOST_OPEN: usize = 1024 + 64 + 10 + 40;

#[test]
fn clients_who_quit_and_do_not_close_take_no_more_and_more_sockets() {
    let storage = scratch();
    let server = ServerProcess::ours(&Options::usual().arg("-c").arg("10"), storage.path());
    let open = || fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    let mut most = 0;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(server.address());
        client.send("QUIT\n");
        clients.push(client);
        most = most.max(open());
    }
    for _ in 0..10 {
        thread::sleep(SETTLE);
        most = most.max(open());
    }
    assert!(most <= MOST_OPEN, "{most} files were open");
}
