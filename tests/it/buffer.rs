//! Our server as the buffer of an isolated network.

use rustix::process::Signal;

use crate::server_process::{Options, ServerProcess, stored_in};
use crate::support::{Client, scratch};

#[test]
fn told_to_stop_it_lets_a_body_come_to_its_end_and_exits_well() {
    let storage = scratch();
    let mut server = ServerProcess::ours(&Options::usual(), storage.path());
    let mut client = Client::connect(server.address());
    client.ask("SEND <a.1.data> SIZE 6", "SEND OK");
    client.send("abc");
    server.signal(Signal::TERM);
    client.expect_silence();
    client.send("def");
    client.expect("SEND OK\n");
    client.expect_closed();
    assert_eq!(server.wait(), Some(0));
    assert_eq!(stored_in(storage.path())["a.1.data".as_ref() as &std::path::Path], b"abcdef");
}
