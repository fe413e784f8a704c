//! Sites to collect from: our own server, a fake server where faults or counts are needed, or a stock server where
//! there is one; and what its storage holds.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tentacle_sync::config::server::{Filters, Mode, ServerConfig};
use tentacle_sync::proto::Secret;
use tentacle_sync::testing::InProcessServer;
use tentacle_sync::testing::fake_server::{AgentFiles, FakeServer, Files, Setup, StockClients, Storage, stock_tls};

use crate::daemon::{Sandbox, assert_same, wait_until};
use crate::server_process::{Options, ServerProcess, stored_in};
use crate::stock::start_stock;
use crate::support::{Certificates, LOOPBACK, scratch};

/// What a buffer holds that is none of a collector's business.
const OTHERS: [(&str, &str); 5] = [
    ("conf/0123456789abcdef0123456789abcdef.conf", "server_ip 192.0.2.1\n"),
    ("md5/0123456789abcdef0123456789abcdef.md5", "d41d8cd98f00b204e9800998ecf8427e"),
    ("collections/fc_1.zip", "PK\x05\x06"),
    ("web01.lock", "1"),
    ("notes.txt", "not collected\n"),
];

/// How a site lets clients in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Plain TCP.
    Plain,
    /// Plain TCP and a password (`-x`).
    Password(&'static str),
    /// TLS, clients as they come (`-e -k`).
    Tls,
    /// TLS, clients with a certificate of the authority (`-e -k -f`).
    TlsWithClientCertificate,
}

impl Access {
    /// A site's configuration.
    pub(crate) fn lines(self, certificates: &Certificates) -> String {
        let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
        match self {
            Self::Plain => String::new(),
            Self::Password(password) => format!("password = {password:?}"),
            Self::Tls => format!("tls = {{ ca = {ca:?} }}"),
            Self::TlsWithClientCertificate => format!("tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}"),
        }
    }

    fn setup(self, certificates: &Certificates) -> Setup {
        let tls = |clients| Some(stock_tls(&certificates.server, clients).unwrap());
        match self {
            Self::Plain => Setup::default(),
            Self::Password(password) => Setup { password: Some(Secret::new(password.into())), ..Setup::default() },
            Self::Tls => Setup { tls: tls(StockClients::AnyoneOrWellKnown), ..Setup::default() },
            Self::TlsWithClientCertificate => {
                Setup { tls: tls(StockClients::SignedBy(&certificates.authority)), ..Setup::default() }
            }
        }
    }

    fn options(self, certificates: &Certificates) -> Options {
        let usual = Options::usual();
        match self {
            Self::Plain => usual,
            Self::Password(password) => usual.password(password),
            Self::Tls => usual.tls(certificates),
            Self::TlsWithClientCertificate => usual.tls(certificates).client_certificate(certificates),
        }
    }
}

/// Who serves a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    FakeServer,
    Ours,
    Stock,
}

enum Peer {
    Hosted(InProcessServer),
    FakeServer(FakeServer),
    Process(ServerProcess),
}

/// A site, and what it held at first.
pub(crate) struct Site {
    name: String,
    storage: TempDir,
    peer: Peer,
    /// To be collected.
    pub(crate) files: Files,
    /// To be left alone.
    others: Files,
}

/// Our server on a thread of this process, set up as [`Options::usual`] has it.
pub(crate) fn hosted(storage: &Path) -> InProcessServer {
    let mut config = ServerConfig::storing(storage.to_owned(), LOOPBACK, 0);
    let Mode::Store(settings) = &mut config.mode else { unreachable!("it stores") };
    (settings.insecure, settings.overwrite) = (true, true);
    (settings.filters, _) = Filters::parse(br".*\.conf:conf;.*\.md5:md5;.*\.zip:collections").unwrap();
    InProcessServer::start(config).unwrap()
}

impl Site {
    /// Our server with `count` files of its own.
    pub(crate) fn ours(name: &str, count: usize) -> Self {
        let (storage, files) = stocked(name, count);
        let peer = Peer::Hosted(hosted(storage.path()));
        Self { name: name.into(), storage, peer, files, others: others() }
    }

    /// A fake server with `count` files of its own.
    pub(crate) fn fake(name: &str, count: usize, setup: Setup) -> Self {
        let (storage, files) = stocked(name, count);
        let storage_there = Storage::Directory(storage.path().to_owned());
        let peer = Peer::FakeServer(FakeServer::start(Setup { storage: storage_there, ..setup }).unwrap());
        Self { name: name.into(), storage, peer, files, others: others() }
    }

    /// A fake server, our server or a stock one, without faults; `None`, after printing so, where there is no stock
    /// server.
    pub(crate) fn behind(access: Access, kind: Kind, count: usize, certificates: &Certificates) -> Option<Self> {
        match kind {
            Kind::FakeServer => Some(Self::fake("site", count, access.setup(certificates))),
            Kind::Ours | Kind::Stock => {
                let (storage, files) = stocked("site", count);
                let options = access.options(certificates);
                let peer = Peer::Process(match kind {
                    Kind::Stock => start_stock(&options, storage.path())?,
                    _ => ServerProcess::ours(&options, storage.path()),
                });
                Some(Self { name: "site".into(), storage, peer, files, others: others() })
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.peer {
            Peer::Hosted(server) => server.address().unwrap(),
            Peer::FakeServer(fake) => fake.address(),
            Peer::Process(server) => server.address(),
        }
    }

    /// The fake server behind it.
    #[track_caller]
    pub(crate) fn peer(&self) -> &FakeServer {
        match &self.peer {
            Peer::FakeServer(fake) => fake,
            Peer::Hosted(_) | Peer::Process(_) => panic!("only the fake server counts"),
        }
    }

    /// Adds a file to be collected.
    pub(crate) fn add(&mut self, name: impl AsRef<[u8]>, bytes: impl Into<Vec<u8>>) {
        let (path, bytes) = (path_of(name.as_ref()), bytes.into());
        fs::write(self.storage.path().join(&path), &bytes).unwrap();
        self.files.insert(path, bytes);
    }

    /// Adds a file to be collected by a rename, while somebody collects.
    pub(crate) fn put(&mut self, name: impl AsRef<[u8]>, bytes: impl Into<Vec<u8>>) {
        let (beside, path, bytes) = (scratch(), path_of(name.as_ref()), bytes.into());
        fs::write(beside.path().join("file"), &bytes).unwrap();
        fs::rename(beside.path().join("file"), self.storage.path().join(&path)).unwrap();
        self.files.insert(path, bytes);
    }

    /// Adds a file to be left alone.
    pub(crate) fn add_other(&mut self, name: impl AsRef<[u8]>, bytes: impl Into<Vec<u8>>) {
        let (path, bytes) = (path_of(name.as_ref()), bytes.into());
        fs::write(self.storage.path().join(&path), &bytes).unwrap();
        self.others.insert(path, bytes);
    }

    /// Takes a file away behind everybody's back.
    pub(crate) fn remove(&self, path: &Path) {
        fs::remove_file(self.storage.path().join(path)).unwrap();
    }

    /// Its `[[site]]`, with `lines` added.
    pub(crate) fn config(&self, lines: &str) -> String {
        site_config(&self.name, self.address(), lines)
    }

    /// What it holds now.
    pub(crate) fn storage(&self) -> Files {
        stored_in(self.storage.path())
    }

    /// What it holds of the files to be collected, also while they are being moved away.
    pub(crate) fn left(&self) -> Files {
        let read = |path: &PathBuf| Some((path.clone(), fs::read(self.storage.path().join(path)).ok()?));
        self.files.keys().filter_map(read).collect()
    }

    /// Fails unless all that was to be collected is gone, and nothing else is.
    #[track_caller]
    pub(crate) fn assert_emptied(&self) {
        // The removal of an empty file is not reported.
        wait_until("the site to be empty", || self.left().is_empty().then_some(()));
        assert_same(&self.storage(), &self.others);
    }

    /// Fails unless each file is still here or in the spool, as it was.
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self, sandbox: &Sandbox) {
        // In this order: a file is committed here before it is gone there, and staged before it is published.
        let (left, staged, spool) = (self.left(), sandbox.staged_bytes(), sandbox.spool());
        for (path, bytes) in &self.files {
            let file = format!("{} of {}", path.to_string_lossy(), self.name);
            let is_somewhere = left.contains_key(path) || staged.contains(bytes) || spool.contains_key(path);
            assert!(is_somewhere, "{file} is lost");
            assert!(spool.get(path).is_none_or(|found| found == bytes), "{file} has other bytes in the spool");
        }
    }

    /// Fails unless it holds all it held at first.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let all = self.files.iter().chain(&self.others).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        assert_same(&self.storage(), &all);
    }
}

fn path_of(name: &[u8]) -> PathBuf {
    Path::new(std::ffi::OsStr::from_bytes(name)).to_owned()
}

/// A `[[site]]` of the configuration, with `lines` added.
pub(crate) fn site_config(name: &str, address: SocketAddr, lines: &str) -> String {
    let (host, port) = (address.ip(), address.port());
    format!("\n[[site]]\nname = {name:?}\naddress = \"{host}\"\nport = {port}\n{lines}\n")
}

/// The files of all these sites together.
pub(crate) fn all_files<'a>(sites: impl IntoIterator<Item = &'a Site>) -> Files {
    sites.into_iter().flat_map(|site| site.files.clone()).collect()
}

fn others() -> Files {
    OTHERS.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect()
}

/// A storage with `count` files of agents whose names begin with `prefix`, and the others.
fn stocked(prefix: &str, count: usize) -> (TempDir, Files) {
    let storage = scratch();
    for directory in ["conf", "md5", "collections"] {
        fs::create_dir(storage.path().join(directory)).unwrap();
    }
    for (path, text) in OTHERS {
        fs::write(storage.path().join(path), text).unwrap();
    }
    let fleet = AgentFiles { prefix: prefix.into(), agents: 20, seed: prefix.len() as u64 };
    let files = crate::support::fill(storage.path(), &fleet, count);
    (storage, files)
}
