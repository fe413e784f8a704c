//! What a case needs of the system, in a mount namespace that nobody else sees: a name server that does not answer, and a
//! filesystem that stops answering.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Pid, Signal, kill_process};

use super::kind::Kind;
use crate::support::Result;

/// Where the name server would be.
const NAME_SERVER: &str = "127.53.53.53";

/// What sites' names end in.
pub(crate) const DOMAIN: &str = "bench.test";

/// What a case has, until this is dropped.
pub(crate) enum Environment {
    Usual,
    SilentNames { _server: UdpSocket, _files: Vec<Bound> },
    Freezing(Bindfs),
}

impl Environment {
    /// What `kind` needs, with its files in `dir`; names of good sites are resolved.
    pub(crate) fn of(kind: Kind, good: &[String], dir: &Path) -> Result<Self> {
        match kind {
            Kind::Names => {
                let server = UdpSocket::bind((NAME_SERVER, 53)).map_err(|error| format!("{NAME_SERVER}: {error}"))?;
                Ok(Self::SilentNames { _server: server, _files: with_names(good, dir)? })
            }
            Kind::Frozen => Ok(Self::Freezing(Bindfs::mount(dir)?)),
            _ => Ok(Self::Usual),
        }
    }

    /// The incoming directory of a site that has one of its own.
    pub(crate) fn incoming(&self) -> Option<&Path> {
        match self {
            Self::Freezing(bindfs) => Some(&bindfs.path),
            Self::Usual | Self::SilentNames { .. } => None,
        }
    }

    /// Lets what is to stop answering do so.
    pub(crate) fn freeze(&self) -> Result<()> {
        match self {
            Self::Freezing(bindfs) => bindfs.freeze(),
            Self::Usual | Self::SilentNames { .. } => Ok(()),
        }
    }
}

/// Lets this process, and what it starts, mount what nobody else sees.
pub(crate) fn isolate() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| format!("no mount namespace: {errno}"))?;
    run(Command::new("mount").args(["--make-rprivate", "/"]))
}

/// Has the system's resolver find these names on loopback, and ask a name server that does not answer for all others.
fn with_names(good: &[String], dir: &Path) -> Result<Vec<Bound>> {
    let hosts = good.iter().fold(String::new(), |hosts, name| format!("{hosts}127.0.0.1 {name}\n"));
    let files = [
        ("/etc/hosts", hosts),
        ("/etc/resolv.conf", format!("nameserver {NAME_SERVER}\n")),
        ("/etc/nsswitch.conf", "hosts: files dns\n".to_owned()),
    ];
    let mut bound = Vec::new();
    for (target, text) in files {
        let source = dir.join(target.replace('/', "-"));
        fs::write(&source, text)?;
        bound.push(Bound::mount(&source, target)?);
    }
    Ok(bound)
}

/// A file in another's place, until this is dropped.
pub(crate) struct Bound(&'static str);

impl Bound {
    fn mount(source: &Path, target: &'static str) -> Result<Self> {
        run(Command::new("mount").arg("--bind").arg(source).arg(target))?;
        Ok(Self(target))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // It goes with the namespace in any case.
        let _ = run(Command::new("umount").arg("-l").arg(self.0));
    }
}

/// A filesystem by FUSE. When this is dropped it ends, and so does every call that waits for it.
pub(crate) struct Bindfs {
    process: Child,
    path: PathBuf,
}

impl Bindfs {
    fn mount(dir: &Path) -> Result<Self> {
        let [real, path] = ["real", "freezing"].map(|name| dir.join(name));
        [&real, &path].into_iter().try_for_each(fs::create_dir)?;
        let mut command = Command::new("bindfs");
        command.arg("-f").arg(&real).arg(&path).stdin(Stdio::null()).stderr(Stdio::null());
        let mut bindfs = Self { process: command.spawn().map_err(|error| format!("bindfs: {error}"))?, path };
        let outside = fs::metadata(dir)?.dev();
        for _ in 0..200 {
            if let Some(status) = bindfs.process.try_wait()? {
                return Err(format!("bindfs: {status}").into());
            }
            if fs::metadata(&bindfs.path)?.dev() != outside {
                return Ok(bindfs);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("bindfs does not mount".into())
    }

    fn freeze(&self) -> Result<()> {
        let id = Pid::from_raw(self.process.id().cast_signed()).ok_or("a child has an id")?;
        Ok(kill_process(id, Signal::STOP)?)
    }
}

impl Drop for Bindfs {
    fn drop(&mut self) {
        // It ends where it is stopped, too, and the kernel answers what it has not.
        let _ = self.process.kill().and_then(|()| self.process.wait());
        let _ = run(Command::new("umount").arg("-l").arg(&self.path));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
