//! What the tests share: scratch directories, throwaway certificates, a blocking client.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use rustix::net::sockopt::set_socket_linger;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use tentacle_sync::testing::fake_server::{AgentFiles, Authority, Files, Identity};

/// How long an answer may take before a test gives up on it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// How long to listen for what should not come.
pub(crate) const SETTLE: Duration = Duration::from_millis(50);

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A directory of the test's own that other users can enter: a stock server refuses to run as root.
pub(crate) fn scratch() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// Fills a directory with the fleet's first `count` files; returns them.
pub(crate) fn fill(directory: &Path, fleet: &AgentFiles, count: usize) -> Files {
    let files: Files = fleet.files(count).map(|(name, body)| (name.into(), body)).collect();
    for (name, body) in &files {
        fs::write(directory.join(name), body).unwrap();
    }
    files
}

/// Kibibytes of memory a process has at the most used so far.
pub(crate) fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A throwaway authority and what it issued, also as PEM files.
pub(crate) struct Certificates {
    directory: TempDir,
    pub(crate) authority: Authority,
    pub(crate) server: Identity,
    pub(crate) client: Identity,
}

impl Certificates {
    /// A certificate for a server on loopback and one for a client.
    pub(crate) fn new() -> Self {
        let authority = Authority::new("Test authority").unwrap();
        let server = authority.server(LOOPBACK).unwrap();
        let client = authority.client("collector").unwrap();
        let directory = scratch();
        for (name, pem) in [
            ("ca.pem", &authority.certificate_pem()),
            ("server.pem", &server.certificate_pem),
            ("server.key", &server.key_pem),
            ("client.pem", &client.certificate_pem),
            ("client.key", &client.key_pem),
        ] {
            fs::write(directory.path().join(name), pem).unwrap();
        }
        Self { directory, authority, server, client }
    }

    /// The PEM file `ca.pem`, `server.pem`, `server.key`, `client.pem` or `client.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A client that trusts the authority, with or without a certificate of its own.
    pub(crate) fn client_config(&self, with_certificate: bool) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(if with_certificate {
            let certificate = CertificateDer::from_pem_slice(self.client.certificate_pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(self.client.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        } else {
            builder.with_no_client_auth()
        })
    }
}

/// A blocking client without manners: it sends what it is given.
pub(crate) enum Client {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::Plain(connect(address))
    }

    /// Connects and shakes hands.
    pub(crate) fn connect_tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::connect(address).secure(config)
    }

    /// Shakes hands on a connection that is plain so far.
    pub(crate) fn secure(self, config: Arc<ClientConfig>) -> io::Result<Self> {
        let Self::Plain(socket) = self else { panic!("it is secure already") };
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Sends in one write; under TLS, in one record. A peer that is gone shows when it is listened to.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(match self {
            Self::Plain(socket) => socket.write_all(bytes.as_ref()),
            Self::Tls(stream) => stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()),
        });
    }

    /// Reads until there are `wanted` bytes, the peer closes, or nothing comes for `timeout`. Returns what came, and
    /// whether the peer has closed.
    pub(crate) fn receive(&mut self, wanted: usize, timeout: Duration) -> (Vec<u8>, bool) {
        self.socket().set_read_timeout(Some(timeout)).unwrap();
        let mut received = Vec::new();
        let mut block = vec![0; 65_536];
        while received.len() < wanted {
            let most = block.len().min(wanted - received.len());
            match self.read(&mut block[..most]) {
                Ok(0) => return (received, true),
                Ok(count) => received.extend_from_slice(&block[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(_) => return (received, true),
            }
        }
        (received, false)
    }

    /// Fails unless exactly this comes next.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let (received, _) = self.receive(expected.len(), TIMEOUT);
        assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Sends a line and fails unless `answer` comes back.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, answer: &str) {
        self.send(format!("{line}\n"));
        self.expect(format!("{answer}\n"));
    }

    /// Fails unless the peer closes without another byte.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let (received, closed) = self.receive(usize::MAX, TIMEOUT);
        assert_eq!((received.escape_ascii().to_string().as_str(), closed), ("", true));
    }

    /// Fails unless the peer stays, and sends nothing.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        let (received, closed) = self.receive(1, SETTLE);
        assert_eq!((received.escape_ascii().to_string().as_str(), closed), ("", false));
    }

    /// Breaks the connection off.
    pub(crate) fn reset(self) {
        set_socket_linger(self.socket(), Some(Duration::ZERO)).unwrap();
    }

    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(block),
            Self::Tls(stream) => stream.read(block),
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.sock,
        }
    }

    /// Closes in good order: under TLS, after close_notify.
    pub(crate) fn close(mut self) {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            drop(stream.flush());
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

/// An HTTP proxy that takes CONNECT from clients with its password. Its threads end with the test's process.
pub(crate) struct Proxy {
    address: SocketAddr,
    opened: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Proxy {
    pub(crate) fn start(user: &str, password: &str) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let opened = Arc::new(Mutex::new(Vec::new()));
        let authorization = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")));
        let record = Arc::clone(&opened);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (authorization, record) = (authorization.clone(), Arc::clone(&record));
                // A client that breaks off ends its own thread.
                thread::spawn(move || drop(serve_connect(client, &authorization, &record)));
            }
        });
        Self { address, opened }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has led somewhere.
    pub(crate) fn tunnels(&self) -> u64 {
        self.opened.lock().unwrap().len() as u64
    }

    pub(crate) fn asked_for(&self, target: SocketAddr) -> bool {
        self.opened.lock().unwrap().contains(&target)
    }
}

fn serve_connect(mut client: TcpStream, authorization: &str, opened: &Mutex<Vec<SocketAddr>>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    if !request.contains(authorization) {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    let Some((target, site)) = target.and_then(|target| Some((target, TcpStream::connect(target).ok()?))) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    };
    opened.lock().unwrap().push(target);
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    client.set_nodelay(true)?;
    site.set_nodelay(true)?;
    let (from_client, to_site) = (client.try_clone()?, site.try_clone()?);
    thread::spawn(move || relay(from_client, to_site));
    relay(site, client);
    Ok(())
}

fn relay(mut from: TcpStream, mut to: TcpStream) {
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}
