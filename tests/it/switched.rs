//! A site whose server becomes another one under a running daemon.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{AgentFiles, Files};

use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::server_process::{Options, ServerProcess, is_emptied};
use crate::site::site_config;
use crate::stock::stock_program;
use crate::support::{fill, scratch};

const FILES: usize = 300;

/// What is logged of a change.
const SPEAKS: &str = " speaks the extension";
const SPEAKS_NO_MORE: &str = " does not speak the extension any more";

/// Puts files into `storage`, each by a rename.
fn put(storage: &Path, beside: &Path, prefix: &str) -> Files {
    let files = fill(beside, &AgentFiles { prefix: prefix.into(), agents: 10, seed: 1 }, FILES);
    for name in files.keys() {
        fs::rename(beside.join(name), storage.join(name)).unwrap();
    }
    files
}

fn count(daemon: &Daemon, what: &str) -> usize {
    daemon.log().matches(what).count()
}

/// Ours, then `other`, then ours; each is killed while it is being collected from.
fn switch(other: &OsStr, options: &Options) {
    let (storage, beside) = (scratch(), scratch());
    let mut server = ServerProcess::ours(&Options::usual(), storage.path());
    let address = server.address();
    let sandbox = Sandbox::with_sites([site_config("plant", address, "interval = 1")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["site=plant", SPEAKS]);
    let mut all = Files::new();
    let ours = OsString::from(env!("CARGO_BIN_EXE_tentacle_server"));
    for (program, options, prefix) in
        [(other, options, "first"), (ours.as_os_str(), &Options::usual(), "second"), (other, options, "third")]
    {
        let before = sandbox.spool().len();
        all.extend(put(storage.path(), beside.path(), prefix));
        wait_until("the first files", || (sandbox.spool().len() > before).then_some(()));
        server.signal(Signal::KILL);
        server.wait();
        server.restart_as(program, options);
        wait_until("all files", || is_emptied(storage.path()).then_some(()));
        wait_until("all files to be published", || (sandbox.spool().len() == all.len()).then_some(()));
    }
    sandbox.assert_holds(&all);
    // It is stock now, and has been since the first time: nobody has asked since.
    assert_eq!((count(&daemon, SPEAKS), count(&daemon, SPEAKS_NO_MORE)), (1, 1), "{}", daemon.log());
}

#[test]
fn a_server_of_ours_that_stops_to_speak_the_extension_costs_nothing() {
    switch(env!("CARGO_BIN_EXE_tentacle_server").as_ref(), &Options::usual().arg("--no-extension"));
}

#[test]
fn nor_does_one_that_becomes_stock_and_ours_again() {
    let Some(stock) = stock_program() else { return };
    switch(&stock, &Options::usual());
}
