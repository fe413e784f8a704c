//! Filesystems of a test's own: small ones, full ones, read-only ones.
//!
//! They are mounted in a namespace of the test's thread and of what it starts. A test that is killed leaves none behind.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{FallocateFlags, syncfs};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::daemon::wait_until;
use crate::server_process::hand_over_to_server;
use crate::support::scratch;

/// The filesystems that tests must not be skipped for, as `tmpfs ext4 xfs`.
const REQUIRED: &str = "MOUNT_TESTS_REQUIRED";

/// A mounted filesystem; unmounted when dropped.
pub(crate) struct Mount {
    path: PathBuf,
    /// Where the image of the filesystem is, if it has one, and where it is mounted.
    home: Option<TempDir>,
    /// The process that answers for it, if it is one of ours.
    server: Option<Child>,
}

/// What a filesystem is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filesystem {
    Ext4,
    /// With so few inodes that they are used up before the bytes.
    Ext4WithFewInodes,
    Xfs,
}

impl Filesystem {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext4WithFewInodes => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn make(self, image: &Path) -> Result<(), String> {
        let (size, command, options): (u64, _, &[&str]) = match self {
            Self::Ext4 => (300 << 20, "mkfs.ext4", &["-q", "-m", "0"]),
            Self::Ext4WithFewInodes => (300 << 20, "mkfs.ext4", &["-q", "-m", "0", "-N", "600"]),
            // The smallest that mkfs.xfs makes.
            Self::Xfs => (300 << 20, "mkfs.xfs", &["-q"]),
        };
        File::create(image).and_then(|file| file.set_len(size)).map_err(|error| error.to_string())?;
        run(Command::new(command).args(options).arg(image))
    }
}

impl Mount {
    /// A filesystem in memory, mounted at `path`; `None`, after printing so, where we may not.
    pub(crate) fn tmpfs(path: &Path, options: &str) -> Option<Self> {
        let mount = || {
            isolate()?;
            fs::create_dir_all(path).map_err(|error| error.to_string())?;
            run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path))?;
            Ok(Self { path: path.to_owned(), home: None, server: None })
        };
        skip_or_fail("tmpfs", mount())
    }

    /// A FAT, by FUSE: without links, exclusive renames, rights and lasting inodes; `None`, after printing so, where we
    /// may not, or where it is missing.
    pub(crate) fn fat() -> Option<Self> {
        let mount = || {
            isolate()?;
            let home = scratch();
            let (image, path) = (home.path().join("image"), home.path().join("mnt"));
            fs::create_dir(&path).map_err(|error| error.to_string())?;
            File::create(&image).and_then(|file| file.set_len(40 << 20)).map_err(|error| error.to_string())?;
            run(Command::new("mkfs.vfat").arg(&image))?;
            run_daemon(Command::new("fusefat").args(["-o", "rw+,allow_other"]).arg(&image).arg(&path))?;
            Ok(Self { path, home: Some(home), server: None })
        };
        skip_or_fail("fusefat", mount())
    }

    /// A directory whose files keep the rights that they are created with; `None` as above.
    pub(crate) fn without_chmod() -> Option<Self> {
        Self::of_bindfs(&["--chmod-deny"])
    }

    /// A directory whose files all belong to `owner` and have all rights, whoever makes them; `None` as above.
    pub(crate) fn with_forced_owner(owner: u32) -> Option<Self> {
        Self::of_bindfs(&[&format!("--force-user={owner}"), "--perms=a+rwX", "--chmod-ignore"])
    }

    fn of_bindfs(options: &[&str]) -> Option<Self> {
        let mount = || {
            let (home, real, path) = two_directories()?;
            run_daemon(Command::new("bindfs").args(options).arg(&real).arg(&path))?;
            Ok(Self { path, home: Some(home), server: None })
        };
        skip_or_fail("bindfs", mount())
    }

    /// A directory whose filesystem can be kept from answering; `None` as above.
    pub(crate) fn that_stalls() -> Option<Self> {
        let mount = || {
            let (home, real, path) = two_directories()?;
            let mut command = Command::new("bindfs");
            // In the foreground: it is to be stopped by its number.
            command.arg("-f").arg(&real).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let server = command.spawn().map_err(|error| format!("bindfs: {error}"))?;
            let mut mount = Self { path, home: Some(home), server: Some(server) };
            let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
            let is_mounted = |mount: &Self| device(&mount.path) != device(mount.path.parent().unwrap());
            for _ in 0..500 {
                if is_mounted(&mount) {
                    return Ok(mount);
                }
                if let Some(Ok(Some(status))) = mount.server.as_mut().map(Child::try_wait) {
                    return Err(format!("bindfs: {status}"));
                }
                thread::sleep(Duration::from_millis(10));
            }
            Err("bindfs: is not there in time".into())
        };
        skip_or_fail("bindfs", mount())
    }

    /// Lets the filesystem answer nobody: who asks waits until it does again.
    pub(crate) fn stall(&self) -> Stalled {
        let pid = Pid::from_child(self.server.as_ref().expect("it has a process"));
        kill_process(pid, Signal::STOP).unwrap();
        Stalled(pid)
    }

    /// A filesystem in a file, with all its own machinery; `None`, after printing so, where we may not.
    pub(crate) fn of(filesystem: Filesystem) -> Option<Self> {
        Self::checked(filesystem, || Ok(()))
    }

    /// The same, where its power can be cut.
    pub(crate) fn with_power(filesystem: Filesystem) -> Option<Self> {
        Self::checked(filesystem, || run(Command::new("xfs_io").arg("-V")))
    }

    fn checked(filesystem: Filesystem, check: impl FnOnce() -> Result<(), String>) -> Option<Self> {
        let mount = || {
            check()?;
            isolate()?;
            let home = scratch();
            let path = home.path().join("mounted");
            fs::create_dir(&path).map_err(|error| error.to_string())?;
            filesystem.make(&home.path().join("image"))?;
            let mount = Self { path, home: Some(home), server: None };
            mount.mount()?;
            Ok(mount)
        };
        skip_or_fail(filesystem.name(), mount())
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.path
    }

    /// A directory on it that servers may use, and that is there after a loss of power, too.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let directory = self.path.join(name);
        fs::create_dir(&directory).unwrap();
        hand_over_to_server(&directory);
        syncfs(File::open(&directory).unwrap()).unwrap();
        directory
    }

    /// Keeps the directory of this path from now on, empty at first, and leaves a link in its place; where it is now.
    pub(crate) fn host(&self, path: &Path) -> PathBuf {
        let directory = self.directory(path.file_name().unwrap().to_str().unwrap());
        if path.exists() {
            fs::remove_dir_all(path).unwrap();
        }
        symlink(&directory, path).unwrap();
        directory
    }

    /// Lets nothing be changed there: who tries waits until it is thawed.
    pub(crate) fn freeze(&self) -> FrozenFs<'_> {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.path)).unwrap();
        FrozenFs { mount: self }
    }

    /// Mounts it over another directory as well.
    pub(crate) fn cover<'a>(&self, directory: &'a Path) -> Overmount<'a> {
        run(Command::new("mount").arg("--bind").arg(&self.path).arg(directory)).unwrap();
        Overmount(directory)
    }

    /// Changes how it is mounted, as soon as nobody has a file open that stands in the way.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        wait_until("the remount", || run(Command::new("mount").args(["-o", &options]).arg(&self.path)).ok());
    }

    /// Cuts the power: what was not flushed is forgotten, and everything fails from now on.
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.path))
    }

    /// Once nobody uses it any more: mounts it anew, as after the power came back.
    pub(crate) fn come_back(&self) {
        wait_until("the filesystem to be let go", || run(Command::new("umount").arg(&self.path)).ok());
        self.mount().unwrap();
    }

    fn mount(&self) -> Result<(), String> {
        let home = self.home.as_ref().expect("it has an image");
        run(Command::new("mount").args(["-o", "loop"]).arg(home.path().join("image")).arg(&self.path))
    }

    /// Bytes and inodes that are free for anybody.
    fn free(&self) -> (u64, u64) {
        let stat = rustix::fs::statvfs(&self.path).unwrap();
        (stat.f_bavail * stat.f_frsize, stat.f_favail)
    }

    /// Fills it until about so many bytes and inodes are left.
    pub(crate) fn fill(&self, bytes: u64, inodes: u64) -> Filler<'_> {
        let ballast = Filler { mount: self };
        fs::create_dir(ballast.path()).unwrap();
        for number in 0..self.free().1.saturating_sub(inodes).min(1_000) {
            File::create(ballast.path().join(number.to_string())).unwrap();
        }
        let file = File::create(ballast.path().join("bytes")).unwrap();
        rustix::fs::fallocate(file, FallocateFlags::empty(), 0, self.free().0.saturating_sub(bytes)).unwrap();
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It goes with the namespace in any case.
        drop(run(Command::new("umount").arg("-l").arg(&self.path)));
        if let Some(server) = &mut self.server {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// Dropping it lets the filesystem answer again.
pub(crate) struct Stalled(Pid);

impl Drop for Stalled {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

/// Dropping it uncovers the directory.
pub(crate) struct Overmount<'a>(&'a Path);

impl Drop for Overmount<'_> {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(self.0)).unwrap();
    }
}

/// Dropping it lets the filesystem go on.
pub(crate) struct FrozenFs<'a> {
    mount: &'a Mount,
}

impl Drop for FrozenFs<'_> {
    fn drop(&mut self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.mount.path)).unwrap();
    }
}

/// What takes up the room.
pub(crate) struct Filler<'a> {
    mount: &'a Mount,
}

impl Filler<'_> {
    fn path(&self) -> PathBuf {
        self.mount.path.join("ballast")
    }

    /// Makes room.
    pub(crate) fn remove(self) {
        fs::remove_dir_all(self.path()).unwrap();
    }
}

/// Lets this thread, and what it starts, mount what nobody else sees.
fn isolate() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| format!("no mount namespace: {errno}"))?;
    run(Command::new("mount").args(["--make-rprivate", "/"]))
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// What goes to the background keeps a pipe open.
fn run_daemon(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = quiet.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

/// In a mount namespace of the test's own, a directory to be mounted at another, and that one; both in the first.
fn two_directories() -> Result<(TempDir, PathBuf, PathBuf), String> {
    isolate()?;
    let home = scratch();
    let (real, path) = (home.path().join("real"), home.path().join("mnt"));
    [&real, &path].into_iter().try_for_each(fs::create_dir).map_err(|error| error.to_string())?;
    Ok((home, real, path))
}

/// The mount, or `None`, after printing why.
fn skip_or_fail(kind: &str, mount: Result<Mount, String>) -> Option<Mount> {
    let required = env::var(REQUIRED).is_ok_and(|kinds| kinds.split(' ').any(|required| required == kind));
    mount
        .inspect_err(|reason| {
            assert!(!required, "{REQUIRED} has {kind}, but {reason}");
            let test = thread::current();
            let name = test.name().unwrap_or("a test");
            // Not `eprintln!`, which is shown only when a test fails.
            writeln!(io::stderr(), "{name} SKIPPED: no {kind} can be mounted: {reason}").unwrap();
        })
        .ok()
}
