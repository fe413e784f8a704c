//! A real stock server, where `STOCK_TENTACLE_SERVER` names one.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use tentacle_sync::double::Fleet;

use crate::support::{Certificates, Client, LOOPBACK, PATIENCE, fill, scratch};

const VARIABLE: &str = "STOCK_TENTACLE_SERVER";

/// The user a stock server runs as when the tests run as root, which it refuses.
const NOBODY: u32 = 65_534;

/// A stock server's command line, after address, port and storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(Vec<OsString>);

impl Options {
    /// As the buffer of an isolated network is started: `-I -o` and the usual filters.
    pub(crate) fn usual() -> Self {
        Self::default().arg("-I").arg("-o").arg("-i").arg(r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections")
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.push(argument.as_ref().to_owned());
        self
    }

    /// TLS with the server's certificate (`-e -k`).
    pub(crate) fn tls(self, certificates: &Certificates) -> Self {
        self.arg("-e").arg(certificates.path("server.pem")).arg("-k").arg(certificates.path("server.key"))
    }

    /// Demands a client certificate of the authority (`-f`).
    pub(crate) fn client_certificate(self, certificates: &Certificates) -> Self {
        self.arg("-f").arg(certificates.path("ca.pem"))
    }

    pub(crate) fn password(self, password: &str) -> Self {
        self.arg("-x").arg(password)
    }
}

/// A running stock server; dropping it kills it and its children.
pub(crate) struct StockServer {
    process: Child,
    address: SocketAddr,
    storage: PathBuf,
}

impl StockServer {
    /// Starts one on `storage`; `None`, after saying so, where no stock server is named.
    pub(crate) fn start(options: &Options, storage: &Path) -> Option<Self> {
        let program = stock_program()?;
        if rustix::process::getuid().is_root() {
            hand_over(storage).unwrap();
        }
        // Another process may take the port before the server does.
        let attempts = (0..5).map(|_| Self::launch(&program, options, storage));
        Some(attempts.flatten().next().expect("the stock server starts: its own words are above"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn storage(&self) -> &Path {
        &self.storage
    }

    fn launch(program: &OsStr, options: &Options, storage: &Path) -> Option<Self> {
        let address = free_address();
        let mut command = Command::new(program);
        command.arg("-a").arg(address.ip().to_string()).arg("-p").arg(address.port().to_string());
        command.arg("-s").arg(storage).args(&options.0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        if rustix::process::getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = command.spawn().unwrap_or_else(|error| panic!("{VARIABLE}={}: {error}", program.display()));
        let mut server = Self { process, address, storage: storage.to_owned() };
        server.is_accepting().then_some(server)
    }

    fn is_accepting(&mut self) -> bool {
        let pause = Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                let mut words = String::new();
                self.process.stderr.take().unwrap().read_to_string(&mut words).unwrap();
                println!("the stock server gave up: {words}");
                return false;
            }
            thread::sleep(pause);
        }
        println!("the stock server does not accept connections");
        false
    }
}

impl Drop for StockServer {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        drop(self.process.wait());
    }
}

/// Whether there is a stock server to test with; says so where there is none.
pub(crate) fn stock_program() -> Option<OsString> {
    let program = env::var_os(VARIABLE);
    if program.is_none() {
        // Not `eprintln!`, which is shown only when a test fails.
        let test = thread::current();
        let name = test.name().unwrap_or("a test");
        writeln!(io::stderr(), "{name} SKIPPED: {VARIABLE} names no stock server").unwrap();
    }
    program
}

/// An address to listen on that no other test is given. Not one of the kernel's choice: it may choose the same again,
/// for another server or for a client, before ours is there.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    let candidates = (0..1_000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000);
    let mut addresses = candidates.map(|port| SocketAddr::new(LOOPBACK, port));
    addresses.find(|address| TcpListener::bind(address).is_ok()).expect("a port in a thousand is free")
}

/// Gives a directory and all below it to the user that the server runs as.
fn hand_over(path: &Path) -> io::Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path())?;
        }
    }
    Ok(())
}

#[track_caller]
fn assert_lists(client: &mut Client, files: usize) {
    client.send("LS <>\n");
    let (answer, _) = client.receive(b"LS SIZE ".len(), PATIENCE);
    assert_eq!(answer, b"LS SIZE ");
    let mut size = Vec::new();
    while size.last() != Some(&b'\n') {
        size.extend(client.receive(1, PATIENCE).0);
    }
    let size: usize = std::str::from_utf8(&size).unwrap().trim_end().parse().unwrap();
    client.send("LS OK\n");
    let (listing, _) = client.receive(size, PATIENCE);
    assert_eq!(listing.split(|&byte| byte == b'\n').filter(|name| name.ends_with(b".data")).count(), files);
}

#[test]
fn a_plain_stock_server_serves_what_its_storage_holds() {
    let storage = scratch();
    let fleet = Fleet { prefix: "plain".into(), agents: 3, seed: 1 };
    let files = fill(storage.path(), &fleet, 10);
    let Some(server) = StockServer::start(&Options::usual().password("s3cret"), storage.path()) else { return };
    let mut client = Client::connect(server.address());
    client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
    assert_lists(&mut client, files.len());
}

#[test]
fn a_stock_server_with_tls_takes_clients_without_a_certificate() {
    let storage = scratch();
    let certificates = Certificates::new();
    let Some(server) = StockServer::start(&Options::usual().tls(&certificates), storage.path()) else { return };
    let mut client = Client::connect_tls(server.address(), certificates.client_config(false)).unwrap();
    assert_lists(&mut client, 0);
}

#[test]
fn a_stock_server_with_an_authority_demands_a_certificate() {
    let storage = scratch();
    let certificates = Certificates::new();
    let options = Options::usual().tls(&certificates).client_certificate(&certificates);
    let Some(server) = StockServer::start(&options, storage.path()) else { return };
    let mut client = Client::connect_tls(server.address(), certificates.client_config(true)).unwrap();
    assert_lists(&mut client, 0);
    // Under TLS 1.3 a client learns of the refusal only when it reads.
    if let Ok(mut client) = Client::connect_tls(server.address(), certificates.client_config(false)) {
        client.expect_closed();
    }
}
