//! The chain while its programs are killed: agents that send until they are answered, our server, our daemon, all real
//! processes, over TLS. Nothing that was answered is ever missing, and in the end everything is in the spool once.
//!
//! `KILLS=500 CUTS=100 cargo test --test it killed:: -- --nocapture` goes on for longer.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use rustls::ClientConfig;
use tentacle_sync::double::Files;

use crate::consumer::seed;
use crate::daemon::{Daemon, Place, spool_of};
use crate::mount::{Filesystem, Mount};
use crate::server_process::{Options, ServerProcess, is_emptied, stored_in};
use crate::site::site_config;
use crate::support::{Certificates, Client, PATIENCE, scratch};

/// Of either program, unless `KILLS` says otherwise.
const KILLS: usize = 50;

/// How often the power is cut, unless `CUTS` says otherwise.
const CUTS: usize = 6;

const AGENTS: usize = 6;

/// From one kill to the next, at most.
const PAUSE: Duration = Duration::from_millis(600);

/// From one of an agent's files to its next, at most.
const REST: Duration = Duration::from_millis(20);

/// What the agents have sent.
#[derive(Default)]
struct Ledger {
    /// Whether the server has said that it has the file, by name.
    sent: BTreeMap<String, bool>,
    /// Files that were sent once more, since no answer came.
    resent: usize,
}

/// Agents that send their files one by one, each until it is answered.
struct Agents {
    enough: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    threads: Vec<JoinHandle<()>>,
}

impl Agents {
    fn start(server: SocketAddr, tls: &Arc<ClientConfig>, rng: &mut Rng) -> Self {
        let (enough, ledger) = (Arc::default(), Arc::default());
        let start = |agent| {
            let (enough, ledger, tls) = (Arc::clone(&enough), Arc::clone(&ledger), Arc::clone(tls));
            let agent = Agent { name: format!("agent{agent}"), server, tls, ledger, connection: None };
            let rng = rng.fork();
            thread::spawn(move || agent.work(rng, &enough))
        };
        let threads = (0..AGENTS).map(start).collect();
        Self { enough, ledger, threads }
    }

    /// What they have sent so far.
    fn sent(&self) -> BTreeMap<String, bool> {
        self.ledger.lock().unwrap().sent.clone()
    }

    /// Has them bring the files they are at to their end.
    fn end(self) -> Ledger {
        self.enough.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.ledger.lock().unwrap())
    }
}

struct Agent {
    name: String,
    server: SocketAddr,
    tls: Arc<ClientConfig>,
    ledger: Arc<Mutex<Ledger>>,
    connection: Option<Client>,
}

impl Agent {
    fn work(mut self, mut rng: Rng, enough: &AtomicBool) {
        for number in 0.. {
            if enough.load(Ordering::Acquire) {
                return;
            }
            let name = format!("{}.{}.data", self.name, 1_700_000_000 + number);
            self.ledger.lock().unwrap().sent.insert(name.clone(), false);
            while !self.send(&name) {
                self.connection = None;
                self.ledger.lock().unwrap().resent += 1;
                thread::sleep(REST);
            }
            *self.ledger.lock().unwrap().sent.get_mut(&name).unwrap() = true;
            thread::sleep(REST.mul_f64(rng.f64()));
        }
    }

    /// Whether the server has said that it has the file.
    fn send(&mut self, name: &str) -> bool {
        let body = body_of(name);
        let Some(connection) = self.connect() else { return false };
        connection.send(format!("SEND <{name}> SIZE {}\n", body.len()));
        if connection.line() != "SEND OK" {
            return false;
        }
        connection.send(body);
        connection.line() == "SEND OK"
    }

    fn connect(&mut self) -> Option<&mut Client> {
        if self.connection.is_none() {
            let socket = TcpStream::connect_timeout(&self.server, PATIENCE).ok()?;
            socket.set_nodelay(true).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            self.connection = Client::Plain(socket).secure(Arc::clone(&self.tls)).ok();
        }
        self.connection.as_mut()
    }
}

/// Bytes that no other file has, up to 16 KiB.
fn body_of(name: &str) -> Vec<u8> {
    let size = 1 + name.bytes().fold(7, |sum: usize, byte| (sum * 31 + usize::from(byte)) % 16_384);
    (0..).flat_map(|line: u32| format!("{name}:{line}\n").into_bytes()).take(size.max(name.len())).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Daemon,
    Server,
}

/// Both programs, and what they work on.
struct Chain {
    place: Place,
    storage: PathBuf,
    options: Options,
    server: ServerProcess,
    daemon: Daemon,
    certificates: Certificates,
    /// What is in the spool and was looked at.
    known: BTreeSet<PathBuf>,
}

impl Chain {
    fn start(place: Place, storage: &Path) -> Self {
        let certificates = Certificates::new();
        let options = Options::usual().tls(&certificates);
        let server = ServerProcess::ours(&options, storage);
        let tls = format!("tls = {{ ca = {:?} }}", certificates.path("ca.pem"));
        let lines = format!("interval = 1\nretries = 1000\n{tls}");
        place.configure("", [site_config("site", server.address(), &lines)]);
        let daemon = place.start();
        let storage = storage.to_owned();
        Self { place, storage, options, server, daemon, certificates, known: BTreeSet::new() }
    }

    fn agents(&self, rng: &mut Rng) -> Agents {
        Agents::start(self.server.address(), &self.certificates.client_config(false), rng)
    }

    fn kill(&mut self, program: Program) {
        match program {
            Program::Daemon => self.daemon.kill(),
            Program::Server => {
                self.server.signal(Signal::KILL);
                self.server.wait();
            }
        }
    }

    fn restart(&mut self, program: Program) {
        match program {
            Program::Daemon => self.daemon = self.place.start(),
            Program::Server => self.server.restart(&self.options),
        }
    }

    /// With both programs dead: fails unless each answered file is in one place at the least, and every file everywhere
    /// is whole and was sent.
    #[track_caller]
    fn assert_conserved(&mut self, sent: &BTreeMap<String, bool>) {
        let stored = stored_in(&self.storage);
        assert_as_sent(&stored, sent);
        let published = self.newly_published();
        assert_as_sent(&published, sent);
        self.known.extend(published.into_keys());
        for (name, _) in sent.iter().filter(|(_, answered)| **answered) {
            let path: &Path = name.as_ref();
            assert!(stored.contains_key(path) || self.known.contains(path), "{name} was answered, and is lost");
        }
    }

    /// Lets the daemon collect what is left; fails unless all is in the spool then, once.
    #[track_caller]
    fn assert_all_arrive(self, sent: &BTreeMap<String, bool>) {
        for _ in 0..200 {
            if is_emptied(&self.storage) {
                break;
            }
            thread::sleep(PAUSE / 2);
        }
        assert!(is_emptied(&self.storage), "files are left at the site; the daemon's log:\n{}", self.daemon.log());
        let all = sent.keys().map(|name| (name.into(), body_of(name))).collect();
        let Self { place, daemon, .. } = self;
        daemon.stop().assert_code(0);
        place.assert_holds(&all);
    }

    fn newly_published(&self) -> Files {
        let mut spool = spool_of(&self.place.incoming());
        spool.retain(|path, _| !self.known.contains(path));
        spool
    }
}

#[track_caller]
fn assert_as_sent(files: &Files, sent: &BTreeMap<String, bool>) {
    for (path, bytes) in files {
        let name = path.to_str().unwrap();
        assert!(sent.contains_key(name), "{name} was never sent under that name");
        assert!(*bytes == body_of(name), "{name} has other bytes, {} of them", bytes.len());
    }
}

/// Which of both, at random.
fn victims(rng: &mut Rng) -> &'static [Program] {
    [&[Program::Daemon][..], &[Program::Server], &[Program::Daemon, Program::Server]][rng.usize(..3)]
}

fn times(variable: &str, usually: usize) -> usize {
    env::var(variable).map_or(usually, |times| times.parse().unwrap())
}

#[test]
fn killed_again_and_again_the_chain_loses_nothing_and_doubles_nothing() {
    let (mut rng, kills, storage) = (Rng::with_seed(seed()), times("KILLS", KILLS), scratch());
    let mut chain = Chain::start(Place::new(), storage.path());
    let agents = chain.agents(&mut rng);
    let mut killed = 0;
    while killed < kills {
        thread::sleep(PAUSE.mul_f64(rng.f64()));
        let victims = victims(&mut rng);
        for program in victims {
            chain.kill(*program);
        }
        killed += victims.len();
        if victims.len() == 2 {
            chain.assert_conserved(&agents.sent());
        }
        for program in victims {
            chain.restart(*program);
        }
    }
    let Ledger { sent, resent } = agents.end();
    println!("{killed} kills; {} files sent, {resent} times more for want of an answer", sent.len());
    assert!(sent.len() > kills, "it was never let come that far");
    chain.assert_all_arrive(&sent);
}

/// The power of either side is cut: its disk forgets what was not flushed, its program is gone.
fn cut_again_and_again(filesystem: Filesystem) {
    let Some(central) = Mount::with_power(filesystem) else { return };
    let Some(remote) = Mount::with_power(filesystem) else { return };
    let (mut rng, cuts) = (Rng::with_seed(seed()), times("CUTS", CUTS));
    let mut chain = Chain::start(place_on(&central), &remote.directory("storage"));
    let agents = chain.agents(&mut rng);
    for _ in 0..cuts {
        thread::sleep(PAUSE.mul_f64(rng.f64()));
        let victims = victims(&mut rng);
        for program in victims {
            let disk = if *program == Program::Daemon { &central } else { &remote };
            // The program outlives its disk for a moment, in which it must not believe that anything is flushed.
            disk.cut_power().unwrap();
            chain.kill(*program);
            disk.come_back();
        }
        if victims.len() == 2 {
            chain.known.clear();
            chain.assert_conserved(&agents.sent());
        }
        for program in victims {
            chain.restart(*program);
        }
    }
    let Ledger { sent, resent } = agents.end();
    println!("{cuts} cuts; {} files sent, {resent} times more for want of an answer", sent.len());
    assert!(sent.len() > cuts, "it was never let come that far");
    chain.assert_all_arrive(&sent);
}

/// With its spool and its state there.
fn place_on(disk: &Mount) -> Place {
    let place = Place::new();
    disk.host(&place.incoming());
    disk.host(&place.state());
    place
}

#[test]
fn with_its_power_cut_again_and_again_the_chain_loses_nothing_on_ext4() {
    cut_again_and_again(Filesystem::Ext4);
}

#[test]
fn nor_on_xfs() {
    cut_again_and_again(Filesystem::Xfs);
}
