//! A Tentacle server in a process of its own: ours or the stock one, with the same options.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use tempfile::TempDir;
use tentacle_sync::store::Durability;
use tentacle_sync::testing::fake_server::Authority;

use crate::fresh_dir::fresh_dir;
use crate::support::Result;

/// The user a server runs as when the bench runs as root, which it refuses.
const NOBODY: u32 = 65_534;

/// How long a server may take until it accepts connections.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Names the stock server.
const STOCK: &str = "STOCK_TENTACLE_SERVER";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Ours(Durability),
    Stock,
}

impl Make {
    /// Those that can be measured here: without the stock server, ours alone.
    pub(crate) fn all() -> Vec<Self> {
        let stock = std::env::var_os(STOCK).map(|_| Self::Stock);
        [Self::Ours(Durability::Fsync), Self::Ours(Durability::None)].into_iter().chain(stock).collect()
    }

    /// Those, but ours only as it is by default.
    pub(crate) fn by_default() -> Vec<Self> {
        Self::all().into_iter().filter(|make| *make != Self::Ours(Durability::None)).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours(Durability::Fsync) => "ours",
            Self::Ours(Durability::None) => "ours, not durable",
            Self::Stock => "stock",
        }
    }

    fn program(self) -> Result<OsString> {
        match self {
            Self::Ours(_) => Ok(env!("CARGO_BIN_EXE_tentacle_server").into()),
            Self::Stock => Ok(std::env::var_os(STOCK).ok_or("the stock server has no name any more")?),
        }
    }
}

/// Where servers work: a directory that their user can enter, with a certificate for all of them.
pub(crate) struct BenchDir(TempDir);

impl BenchDir {
    pub(crate) fn new(prefix: &str, parent: &Path) -> Result<Self> {
        let permissions = fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix(prefix).permissions(permissions).tempdir_in(parent)?;
        let authority = Authority::new("Bench CA")?;
        let identity = authority.server(Ipv4Addr::LOCALHOST.into())?;
        fs::write(dir.path().join("ca.pem"), authority.certificate_pem())?;
        fs::write(dir.path().join("server.pem"), identity.certificate_pem + &identity.key_pem)?;
        fs::write(dir.path().join("undurable.conf"), "durability none\n")?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// An empty storage directory, on a disk that has nothing left to write.
    pub(crate) fn storage(&self) -> Result<PathBuf> {
        let (dir, storage) = fresh_dir(self.path())?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        hand_over(&storage)?;
        Ok(storage)
    }
}

/// Gives a file or a directory to the user that servers run as.
pub(crate) fn hand_over(path: &Path) -> Result<()> {
    if getuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

/// Where a server is, and whom to trust there if it speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct ServerAddress {
    pub(crate) tcp: SocketAddr,
    pub(crate) ca: Option<PathBuf>,
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    process: Child,
    address: ServerAddress,
    /// The servers' output so far.
    log: PathBuf,
}

impl Server {
    /// Starts one on `storage`, with `-I -o -c 2000`, a patience that is longer than any case takes, and these options.
    pub(crate) fn start(make: Make, tls: bool, storage: &Path, dir: &BenchDir, options: &[&str]) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(make.program()?);
        command.args(["-a", &address.ip().to_string(), "-p", &address.port().to_string()]);
        command.args(["-I", "-o", "-c", "2000", "-t", "300", "-m", "2000000000"]).args(options);
        command.arg("-s").arg(storage);
        let file = |name: &str| dir.path().join(name);
        if make == Make::Ours(Durability::None) {
            command.args([OsStr::new("-F"), file("undurable.conf").as_os_str()]);
        }
        let ca = tls.then(|| file("ca.pem"));
        if tls {
            let certificate = file("server.pem");
            command.arg("-e").arg(&certificate).arg("-k").arg(&certificate);
        }
        let log = File::options().append(true).create(true).open(file("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        if getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut server =
            Self { process: command.spawn()?, address: ServerAddress { tcp: address, ca }, log: file("log") };
        server.wait_until_accepting()?;
        Ok(server)
    }

    fn wait_until_accepting(&mut self) -> Result<()> {
        let pause = Duration::from_millis(20);
        for _ in 0..TIMEOUT.as_millis() / pause.as_millis() {
            if TcpStream::connect(self.address.tcp).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(
                    format!("the server has given up: {status}, after {}", fs::read_to_string(&self.log)?).into()
                );
            }
            thread::sleep(pause);
        }
        Err("the server does not accept connections".into())
    }

    /// Where to find it.
    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to lose, and no error can be reported from here.
        if let Some(group) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}
