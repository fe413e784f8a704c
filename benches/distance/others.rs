//! Other programs that get files from afar and remove them there.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use super::child_process::ChildProcess;
use crate::support::{Result, again};

/// OpenSSH's, which speaks SFTP on its standard input and output.
pub(crate) const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// The role of a process that serves SFTP without encryption.
pub(crate) const SFTP_ROLE: &str = "sftp";

/// The role of what lftp starts instead of `ssh`.
const PIPE_ROLE: &str = "pipe";

/// How long a daemon may take until it listens.
const TIMEOUT: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(20);

/// Whether these programs are there; which one is not.
pub(crate) fn find(programs: &[&str]) -> std::result::Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| {
        std::env::split_paths(&path).chain([PathBuf::from("/")]).any(|directory| directory.join(program).is_file())
    };
    match programs.iter().find(|program| !is_there(program)) {
        Some(lacking) => Err(format!("there is no {lacking}")),
        None => Ok(()),
    }
}

/// Runs it to its end; the processors' time that it took, in seconds.
fn run(command: &mut Command) -> Result<f64> {
    let before = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let status = command.stdin(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    let after = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs()).as_secs_f64();
    Ok(seconds(after.user_time() - before.user_time()) + seconds(after.system_time() - before.system_time()))
}

/// A running rsync daemon; dropping it kills it.
pub(crate) struct Rsync {
    process: Child,
    address: SocketAddr,
}

impl Rsync {
    /// Serves `storage`; what it needs to leave behind goes to `dir`.
    pub(crate) fn start(storage: &Path, dir: &Path) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let [config, log] = ["rsyncd.conf", "rsyncd.log"].map(|name| dir.join(name));
        let user = if rustix::process::getuid().is_root() { "uid = 0\ngid = 0\n" } else { "" };
        let (path, log) = (storage.to_string_lossy(), log.to_string_lossy());
        fs::write(
            &config,
            format!("use chroot = no\nlog file = {log}\n{user}[site]\npath = {path}\nread only = no\n"),
        )?;
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach", "--address", "127.0.0.1", "--port", &address.port().to_string()]);
        command.arg("--config").arg(config).stdin(Stdio::null());
        let mut daemon = Self { process: command.spawn()?, address };
        for _ in 0..TIMEOUT.as_millis() / PAUSE.as_millis() {
            if TcpStream::connect(address).is_ok() {
                return Ok(daemon);
            }
            if let Some(status) = daemon.process.try_wait()? {
                return Err(format!("the rsync daemon has given up: {status}").into());
            }
            thread::sleep(PAUSE);
        }
        Err("the rsync daemon does not accept connections".into())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has a client get all there is, and remove it there. In seconds.
    pub(crate) fn get(address: SocketAddr, fsync: bool, spool: &Path) -> Result<f64> {
        let mut command = Command::new("rsync");
        command.args(["--recursive", "--times", "--whole-file", "--remove-source-files"]);
        command.args(fsync.then_some("--fsync"));
        run(command.arg(format!("rsync://{address}/site/")).arg(spool))
    }
}

impl Drop for Rsync {
    fn drop(&mut self) {
        // It has nothing to lose, and no error can be reported from here.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// An SFTP server for lftp, until this is dropped.
pub(crate) struct Lftp {
    _process: ChildProcess,
    address: SocketAddr,
}

impl Lftp {
    pub(crate) fn start() -> Result<Self> {
        let mut process = ChildProcess::start(&mut again(SFTP_ROLE)?)?;
        let address = process.answer()?.parse()?;
        Ok(Self { _process: process, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has lftp get all that is in `storage`.
    pub(crate) fn mirror(address: SocketAddr, storage: &Path, spool: &Path) -> Result<f64> {
        let mut pipe = again(PIPE_ROLE)?;
        pipe.arg(address.to_string());
        let words: Vec<_> =
            [pipe.get_program()].into_iter().chain(pipe.get_args()).map(|word| word.to_string_lossy()).collect();
        let script = format!(
            "set cmd:fail-exit yes; set net:max-retries 1; set sftp:connect-program '{}'; open sftp://user:none@far; \
             mirror --Remove-source-files --parallel=8 {} {}",
            words.join(" "),
            storage.to_string_lossy(),
            spool.to_string_lossy()
        );
        run(Command::new("lftp").args(["--norc", "-c", &script]))
    }
}

/// The SFTP server's process: prints where it listens, and starts a server for each connection.
#[expect(clippy::print_stdout, reason = "it goes to the process that has started this one")]
pub(crate) fn serve_sftp(_args: &[OsString]) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    for socket in listener.incoming() {
        let socket = socket?;
        socket.set_nodelay(true)?;
        let input = OwnedFd::from(socket.try_clone()?);
        let mut server = Command::new(SFTP_SERVER).stdin(input).stdout(OwnedFd::from(socket)).spawn()?;
        thread::spawn(move || server.wait());
    }
    Ok(())
}

/// What lftp takes for `ssh`: carries its standard input and output over a plain connection. lftp adds arguments.
pub(crate) fn pipe(args: &[OsString]) -> Result<()> {
    let address: SocketAddr = args.first().ok_or("an address is expected")?.to_string_lossy().parse()?;
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut up = socket.try_clone()?;
    thread::spawn(move || {
        copy(&mut io::stdin().lock(), &mut up)?;
        up.shutdown(Shutdown::Write)
    });
    Ok(copy(&mut &socket, &mut io::stdout().lock())?)
}

/// Each piece at once.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut block = vec![0; 64 * 1024];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            count => {
                to.write_all(&block[..count])?;
                to.flush()?;
            }
        }
    }
}
