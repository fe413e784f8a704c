//! Our server's configuration, read again while it serves.

use std::fs;
use std::thread;

use rustix::process::Signal;

use crate::ours::Buffer;
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

#[test]
fn stocks_examples_of_a_version_and_a_cipher_together_start_with_a_warning() {
    let certificates = Certificates::new();
    let keys = "insecure 1\nidle_timeout 20s\nssl_version TLSv1_3\nssl_cipher AES256-SHA\n";
    let buffer = Buffer::with(Options::default().tls(&certificates), keys);
    buffer.wait_for_line(&["WARN", "ssl_cipher", "AES256-SHA has no effect on TLS 1.3"]);
    let mut client = Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    client.store("a.1.data", "body");
    // Without the version the cipher would leave nothing of TLS 1.2.
    buffer.reload("ssl_cipher AES256-SHA\n");
    buffer.wait_for_line(&["ERROR", "not reloaded", "AES256-SHA"]);
}
