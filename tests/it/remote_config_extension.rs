//! Agents' configuration over the extension, and what is left of that where a server stops to speak it.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::remote_config::{Directories, SERVERS, Start};
use crate::server_process::{Options, ServerProcess, hand_over_to_server};
use crate::site::site_config;
use crate::stock::stock_program;
use crate::support::{LOOPBACK, scratch};

/// Configurations at the site.
const AGENTS: usize = 40;

const OFTEN: &str = "interval = 1\nremote_config = true\nremote_config_interval = 1";

/// A line to a server, which keeps what its clients send.
struct Line {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Line {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let (address, sent) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let record = Arc::clone(&sent);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(server) else { continue };
                let (near_out, far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let record = Arc::clone(&record);
                thread::spawn(move || carry(near, far_out, &record));
                thread::spawn(move || carry(far, near_out, &Mutex::default()));
            }
        });
        Self { address, sent }
    }

    /// How many commands with this verb clients have sent about configuration. A body ends without a line's end, so that they
    /// need not begin a line.
    fn count(&self, verb: &str) -> usize {
        let sent = String::from_utf8_lossy(&self.sent.lock().unwrap()).into_owned();
        let command = format!("{verb} <");
        let words = sent.split(&command).skip(1).filter_map(|rest| rest.split_once('>'));
        words.filter(|(word, _)| matches!(word.rsplit('.').next(), Some("md5" | "conf"))).count()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, record: &Mutex<Vec<u8>>) {
    let mut block = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut block) {
        record.lock().unwrap().extend_from_slice(&block[..read]);
        if to.write_all(&block[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A centre, and a site with some agents.
struct Scene {
    centre: Directories,
    site: Directories,
    ks: Vec<String>,
    storage: TempDir,
}

impl Scene {
    fn new(sandbox: &Sandbox) -> Self {
        let storage = scratch();
        let (centre, site) = (Directories::make(&sandbox.incoming()), Directories::make(storage.path()));
        let ks = (0..AGENTS).map(|number| format!("{number:032x}")).collect();
        let scene = Self { centre, site, ks, storage };
        for k in &scene.ks {
            scene.upload(k, k);
        }
        scene
    }

    fn upload(&self, k: &str, bytes: &str) {
        self.site.save(&self.site.conf(k), bytes);
        hand_over_to_server(&self.site.0);
    }

    /// All of it comes up.
    fn take_up(&self) {
        let is_up = |k: &String| self.centre.has_pair(&self.centre.conf(k), k);
        wait_until("the uploads", || self.ks.iter().all(is_up).then_some(()));
    }

    /// All of it goes down once it was edited.
    fn edit(&self, what: &str) {
        let edited = |k: &str| format!("{what} {k}");
        for k in &self.ks {
            self.centre.save(&self.centre.conf(k), edited(k));
        }
        let is_down = |k: &String| self.site.has_pair(&self.site.conf(k), edited(k));
        wait_until("the edits", || self.ks.iter().all(is_down).then_some(()));
    }

    /// One is deleted.
    fn delete(&mut self) {
        let k = self.ks.pop().unwrap();
        self.centre.delete(&k);
        wait_until("the deletion", || self.site.lacks(&k).then_some(()));
    }
}

/// Verbs of the extension, and of stock.
const VERBS: [[&str; 4]; 2] = [["LIST", "GET", "PUT", "DROP"], ["LS", "RECV", "SEND", "MV"]];

/// Has a configuration go up, down and away, and looks by which commands.
fn lives_by(start: Start, options: &Options, [spoken, unspoken]: [[&str; 4]; 2]) {
    let sandbox = Sandbox::new();
    let mut scene = Scene::new(&sandbox);
    let Some(server) = start(options, scene.storage.path()) else { return };
    let line = Line::to(server.address());
    sandbox.configure("", [site_config("site", line.address, OFTEN)]);
    let daemon = sandbox.start();
    scene.take_up();
    scene.edit("edited");
    scene.delete();
    daemon.stop().assert_code(0);
    let [listed, fetched, stored, deleted] = spoken.map(|verb| line.count(verb));
    assert!(
        listed > 0 && fetched >= 2 * AGENTS && stored >= 2 * AGENTS && deleted == 2,
        "{spoken:?}: {listed} {fetched} {stored} {deleted}"
    );
    assert_eq!(unspoken.map(|verb| line.count(verb)), [0; 4], "{unspoken:?}");
}

#[test]
fn our_server_is_spoken_to_in_the_extension_alone() {
    lives_by(SERVERS[0], &Options::usual(), VERBS);
}

#[test]
fn a_server_without_it_is_not() {
    let [extension, stock] = VERBS;
    lives_by(SERVERS[0], &Options::usual().arg("--no-extension"), [stock, extension]);
    lives_by(SERVERS[1], &Options::usual(), [stock, extension]);
}

/// Ours, then `other`, then ours.
fn switch(other: &OsStr, options: &Options) {
    let sandbox = Sandbox::new();
    let mut scene = Scene::new(&sandbox);
    let mut server = ServerProcess::ours(&Options::usual(), scene.storage.path());
    sandbox.configure("", [site_config("site", server.address(), OFTEN)]);
    let daemon: Daemon = sandbox.start();
    scene.take_up();
    scene.edit("over the extension");
    let ours = OsString::from(env!("CARGO_BIN_EXE_tentacle_server"));
    for (program, options, what) in
        [(other, options, "without it"), (ours.as_os_str(), &Options::usual(), "with it again")]
    {
        server.signal(Signal::KILL);
        server.wait();
        server.restart_as(program, options);
        scene.edit(what);
        scene.delete();
        let k = format!("{:032x}", 0xa000 + scene.ks.len());
        scene.upload(&k, &k);
        wait_until("an upload", || scene.centre.has_pair(&scene.centre.conf(&k), &k).then_some(()));
        assert!(scene.ks.iter().all(|k| scene.centre.has_pair(&scene.centre.conf(k), format!("{what} {k}"))));
    }
    let log = daemon.log();
    daemon.stop().assert_code(0);
    assert!(!log.contains("reason=remote-config"), "{log}");
}

#[test]
fn a_server_of_ours_that_stops_to_speak_it_costs_no_configuration() {
    switch(env!("CARGO_BIN_EXE_tentacle_server").as_ref(), &Options::usual().arg("--no-extension"));
}

#[test]
fn nor_does_one_that_becomes_stock_and_ours_again() {
    let Some(stock) = stock_program() else { return };
    switch(&stock, &Options::usual());
}
