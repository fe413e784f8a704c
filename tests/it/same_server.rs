//! Two sites of the configuration that lead to one server.

use std::fs;
use std::path::{Path, PathBuf};

use tentacle_sync::testing::fake_server::Files;

use crate::consumer::Consumer;
use crate::daemon::{Sandbox, wait_until};
use crate::server_process::{Options, ServerProcess, hand_over_to_server, is_emptied};
use crate::site::site_config;
use crate::support::scratch;

const FILES: usize = 300;

/// Files that agents have sent at once.
fn send(storage: &Path, wave: usize) -> Files {
    let mut files = Files::new();
    for number in 0..FILES {
        let (name, body) = (format!("agent{number}.{}.data", 1_700_000_000 + wave), format!("{wave} {number}\n"));
        let (temp, path) = (storage.join(format!("draft{number}")), storage.join(&name));
        fs::write(&temp, &body).unwrap();
        hand_over_to_server(&temp);
        fs::rename(temp, path).unwrap();
        files.insert(PathBuf::from(name), body.into_bytes());
    }
    files
}

#[test]
fn one_server_under_two_names_is_told_of_and_each_file_comes_once_from_then_on() {
    let storage = scratch();
    let server = ServerProcess::ours(&Options::usual(), storage.path());
    let sandbox =
        Sandbox::with_sites(["by-name", "by-address"].map(|name| site_config(name, server.address(), "interval = 1")));
    let consumer = Consumer::start(sandbox.incoming());
    let daemon = sandbox.start();
    let mut wave = 0;
    wait_until("a word of it", || {
        wave += 1;
        send(storage.path(), wave);
        wait_until("the site to be empty", || is_emptied(storage.path()).then_some(()));
        daemon.log().contains("reason=same-server").then_some(())
    });
    daemon.wait_for_line(&["[WARN]", "by-name", "by-address", "leave one of the two out of the configuration"]);
    let first = wave + 1;
    for wave in first..first + 5 {
        send(storage.path(), wave);
        wait_until("the site to be empty", || is_emptied(storage.path()).then_some(()));
    }
    daemon.stop().assert_code(0);
    let taken = consumer.end();
    let is_later = |path: &&PathBuf| {
        let name = path.to_string_lossy();
        (first..first + 5).any(|wave| name.contains(&format!(".{}", 1_700_000_000 + wave)))
    };
    assert_eq!(taken.keys().filter(is_later).count(), 5 * FILES, "names");
    assert_eq!(
        taken.iter().filter(|(path, _)| is_later(path)).map(|(_, bodies)| bodies.len()).sum::<usize>(),
        5 * FILES
    );
}
