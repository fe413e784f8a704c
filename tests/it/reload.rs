//! Our server's configuration, read again while it serves.

use std::fs;
use std::thread;

use rustix::process::Signal;

use crate::server_process::{Options, ServerProcess};
use crate::support::{Certificates, Client, SETTLE, scratch};

#[test]
fn a_name_that_nobody_vouched_for_is_none_after_a_reload_either() {
    let (mut certificates, mut strangers) = (Certificates::new(), Certificates::new());
    std::mem::swap(&mut certificates.client, &mut strangers.client);
    let (storage, place) = (scratch(), scratch());
    let file = place.path().join("tentacle_server.conf");
    fs::write(&file, format!("insecure 1\nidle_timeout 1m\nallow all from any pin {}\n", "00".repeat(32))).unwrap();
    let options = Options::default().tls(&certificates).arg("-F").arg(&file);
    let server = ServerProcess::ours(&options, storage.path());

    // It has come in by the old rules, and says who it is by the new ones.
    let shaking = Client::connect(server.address());
    thread::sleep(SETTLE);
    let ca = certificates.path("ca.pem");
    fs::write(&file, format!("insecure 1\nssl_ca {}\nallow all from any cert collector\n", ca.display())).unwrap();
    server.signal(Signal::HUP);
    thread::sleep(SETTLE);
    let mut client = shaking.secure(certificates.client_config(true)).unwrap();
    client.ask("LS <>", "LS ERR");
}
