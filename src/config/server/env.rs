//! What the command line and the file may refer to.

use std::io;
use std::path::{Path, PathBuf};

use super::super::source::{FileText, SecretFile};

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
