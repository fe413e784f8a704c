//! What the command line and the file may refer to.

use std::io;
use std::path::{Path, PathBuf};

use super::super::load::LARGEST_FILE;
use super::super::source::{SecretFile, is_world_readable};
use crate::file;

/// The machine as far as a configuration may refer to it, so that tests need not touch it.
#[derive(Clone, Debug)]
pub struct Env {
    /// Where relative paths start: the directory the program was started in, also for a later reload.
    pub working_directory: PathBuf,
    /// Usually `/etc/hosts.allow`; may be absent.
    pub hosts_allow: PathBuf,
    /// Usually `/etc/hosts.deny`; may be absent.
    pub hosts_deny: PathBuf,
    /// Whether a service manager waits for word from this very process: systemd with `Type=notify`.
    pub is_notified: bool,
    /// A configuration file.
    pub read: fn(&Path) -> io::Result<FileText>,
    /// A passphrase file.
    pub read_secret: fn(&Path) -> io::Result<SecretFile>,
}

impl Env {
    /// This machine, seen from `working_directory`.
    pub fn of_system(working_directory: PathBuf) -> Self {
        Self {
            working_directory,
            hosts_allow: "/etc/hosts.allow".into(),
            hosts_deny: "/etc/hosts.deny".into(),
            is_notified: std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty()),
            read: FileText::read,
            read_secret: SecretFile::read,
        }
    }

    /// What a path means.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.working_directory.join(path)
    }
}

/// The contents of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// As they stand in the file.
    pub bytes: Vec<u8>,
    /// Whether every user of the machine can read it.
    pub world_readable: bool,
}

impl FileText {
    /// Reads a file of sane length.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let file = file::read(path, LARGEST_FILE, &mut bytes)
            .map_err(|error| error.into_io("larger than 16 MiB, which no configuration is"))?;
        Ok(Self { bytes, world_readable: is_world_readable(&file) })
    }
}
