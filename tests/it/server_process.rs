//! Tentacle servers as programs: the stock one and ours take the same options.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tentacle_sync::testing::fake_server::{Files, files_below};

use crate::support::{Certificates, LOOPBACK, TIMEOUT};

/// The user a server runs as when the tests run as root, which it refuses.
pub(crate) const NOBODY: u32 = 65_534;

/// Our server's staging area, in its storage and in directories below.
const STAGING: &str = ".tentacle-server";

/// What a server's storage holds, but for what ours keeps there for itself.
pub(crate) fn stored_in(storage: &Path) -> Files {
    let mut files = files_below(storage).unwrap();
    files.retain(|path, _| !path.iter().any(|part| part == STAGING));
    files
}

/// Whether no agent's data is left there, also while it is being removed.
pub(crate) fn is_emptied(storage: &Path) -> bool {
    !fs::read_dir(storage).unwrap().any(|entry| entry.unwrap().path().extension().is_some_and(|end| end == "data"))
}

/// A server's command line, after address, port and storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

impl Options {
    /// As the buffer of an isolated network is started: `-I -o` and the usual filters.
    pub(crate) fn usual() -> Self {
        Self::default().arg("-I").arg("-o").arg("-i").arg(r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections")
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// A variable of the environment.
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), value.as_ref().to_owned()));
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

/// A running server; dropping it kills it and its children.
pub(crate) struct ServerProcess {
    process: Child,
    address: SocketAddr,
    storage: PathBuf,
}

impl ServerProcess {
    /// Starts `program` on `storage`.
    pub(crate) fn start(program: &OsStr, options: &Options, storage: &Path) -> Self {
        hand_over_to_server(storage);
        // Another process may take the port before the server does.
        let attempts = (0..5).map(|_| Self::launch(program, options, storage, free_address()));
        attempts.flatten().next().expect("the server starts: its own words are above")
    }

    /// Starts ours.
    pub(crate) fn ours(options: &Options, storage: &Path) -> Self {
        Self::start(env!("CARGO_BIN_EXE_tentacle_server").as_ref(), options, storage)
    }

    /// Starts ours anew, once this one has ended, on the same address and storage.
    pub(crate) fn restart(&mut self, options: &Options) {
        self.restart_as(env!("CARGO_BIN_EXE_tentacle_server").as_ref(), options);
    }

    /// Starts `program` in its place, once this one has ended, on the same address and storage.
    pub(crate) fn restart_as(&mut self, program: &OsStr, options: &Options) {
        let again = Self::launch(program, options, &self.storage, self.address);
        *self = again.expect("the server starts again: its own words are above");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end; its exit code, if it was not killed.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed()).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn storage(&self) -> &Path {
        &self.storage
    }

    fn launch(program: &OsStr, options: &Options, storage: &Path, address: SocketAddr) -> Option<Self> {
        let mut command = Command::new(program);
        command.arg("-a").arg(address.ip().to_string()).arg("-p").arg(address.port().to_string());
        command.arg("-s").arg(storage).args(&options.arguments);
        command.env_remove("RUNTIME_DIRECTORY").envs(options.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        if rustix::process::getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.to_string_lossy()));
        let mut server = Self { process, address, storage: storage.to_owned() };
        server.is_accepting().then_some(server)
    }

    fn is_accepting(&mut self) -> bool {
        let pause = Duration::from_millis(20);
        for _ in 0..TIMEOUT.as_millis() / pause.as_millis() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                let mut words = String::new();
                self.process.stderr.take().unwrap().read_to_string(&mut words).unwrap();
                println!("the server gave up: {words}");
                return false;
            }
            thread::sleep(pause);
        }
        println!("the server does not accept connections");
        false
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        drop(self.process.wait());
    }
}

/// An address to listen on that no other test is given. Not one of the kernel's choice: it may choose the same again,
/// for another server or for a client, before ours is there. All are below those that the kernel chooses from.
pub(crate) fn free_address() -> SocketAddr {
    /// For all tests of a run.
    const PORTS: u16 = 3_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 4).unwrap() * PORTS;
    let candidates = (0..PORTS).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS);
    let mut addresses = candidates.map(|port| SocketAddr::new(LOOPBACK, port));
    addresses.find(|address| TcpListener::bind(address).is_ok()).expect("one of three thousand ports is free")
}

/// Gives a directory and all below it, or a file, to the user that servers run as where the tests run as root.
pub(crate) fn hand_over_to_server(path: &Path) {
    if rustix::process::getuid().is_root() {
        hand_over(path).unwrap();
    }
}

fn hand_over(path: &Path) -> io::Result<()> {
    lchown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path())?;
        }
    }
    Ok(())
}
