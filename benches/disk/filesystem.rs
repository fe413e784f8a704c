//! Filesystems to measure on.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, syncfs};

use crate::support::Result;

/// A directory on a filesystem; a mounted one is gone with this.
pub(crate) struct Filesystem {
    name: &'static str,
    dir: PathBuf,
    /// Unmounted when dropped.
    _mount: Option<Mount>,
}

impl Filesystem {
    /// The filesystem that `dir` is on.
    pub(crate) fn here(dir: &Path) -> Self {
        Self { name: "the build directory's filesystem", dir: dir.to_owned(), _mount: None }
    }

    /// A journalled ext4 in a file of `bytes` in `dir`.
    pub(crate) fn ext4(dir: &Path, bytes: u64) -> Result<Self> {
        Self::in_image("ext4, loop image", &["mkfs.ext4", "-q", "-F"], dir, bytes)
    }

    /// An XFS in a file of `bytes` in `dir`.
    pub(crate) fn xfs(dir: &Path, bytes: u64) -> Result<Self> {
        Self::in_image("XFS, loop image", &["mkfs.xfs", "-q", "-f"], dir, bytes)
    }

    fn in_image(name: &'static str, make: &[&str], dir: &Path, bytes: u64) -> Result<Self> {
        let mount = Mount::new(make, dir, bytes)?;
        Ok(Self { name, dir: mount.point.clone(), _mount: Some(mount) })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes out whatever anyone has written here.
    pub(crate) fn sync(&self) -> Result<()> {
        Ok(syncfs(File::open(&self.dir)?)?)
    }
}

/// A filesystem in a file.
struct Mount {
    point: PathBuf,
    /// Detached when dropped, after it was unmounted.
    _device: LoopDevice,
}

impl Mount {
    fn new(make: &[&str], dir: &Path, bytes: u64) -> Result<Self> {
        let image = dir.join("image");
        // All of it is there from the start: what is measured is not the filesystem below.
        fallocate(File::create(&image)?, FallocateFlags::empty(), 0, bytes)?;
        said(Command::new(make[0]).args(&make[1..]).arg(&image))?;
        let device = LoopDevice::of(image)?;
        let point = dir.join("mounted");
        fs::create_dir_all(&point)?;
        said(Command::new("mount").arg(&device.path).arg(&point))?;
        Ok(Self { point, _device: device })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A mount that cannot be unmounted is left for the directory's clean-up.
        let _ = said(Command::new("umount").arg(&self.point));
    }
}

struct LoopDevice {
    path: String,
    image: PathBuf,
}

impl LoopDevice {
    /// Without a page cache of its own, which would take a flush for done that has not reached the disk.
    fn of(image: PathBuf) -> Result<Self> {
        let device = said(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(&image))?;
        Ok(Self { path: device.trim_end().to_owned(), image })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // As above.
        let _ = said(Command::new("losetup").args(["--detach", &self.path]));
        let _ = fs::remove_file(&self.image);
    }
}

/// Has a program run to its end; what it printed.
fn said(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", OsStr::to_string_lossy(&program)))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", OsStr::to_string_lossy(&program), reason.trim_end()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
