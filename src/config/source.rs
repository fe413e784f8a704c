//! What a configuration file is read with: where it lies, and the surroundings it may refer to.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::file;
use crate::proto::{Secret, quoted};

/// No password is longer; a file that is was named by mistake.
const LONGEST_SECRET: usize = 4096;

/// What files and rules may refer to outside of the configuration, so that tests need not touch the process.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// An environment variable.
    pub var: fn(&str) -> Option<OsString>,
    /// A password or passphrase file.
    pub read_secret: fn(&Path) -> io::Result<SecretFile>,
    /// Whether this user can keep state in a directory, creating it if need be.
    pub can_keep_state_in: fn(&Path) -> bool,
}

impl Env {
    /// This process's own.
    pub fn of_process() -> Self {
        Self { var: |name| std::env::var_os(name), read_secret: SecretFile::read, can_keep_state_in }
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::of_process()
    }
}

/// A configuration is text written by people.
const LARGEST_FILE: usize = 16 * 1024 * 1024;

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

/// The contents of a password or passphrase file.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// As they stand in the file.
    pub bytes: Vec<u8>,
    /// Whether every user of the machine can read it.
    pub world_readable: bool,
}

impl SecretFile {
    /// Reads a file of sane length.
    pub fn read(path: &Path) -> io::Result<Self> {
        let too_large = format!("longer than {LONGEST_SECRET} bytes, which no password is");
        // Allocated once, whatever size the file has, so that no copy stays behind in memory.
        let mut bytes = Vec::with_capacity(LONGEST_SECRET + 1);
        let file = file::read(path, LONGEST_SECRET, &mut bytes).map_err(|error| error.into_io(too_large))?;
        Ok(Self { bytes, world_readable: is_world_readable(&file) })
    }
}

/// What a password or passphrase is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPurpose {
    /// The site.
    Password,
    /// Our own private key.
    Passphrase,
    /// Who asks on the status port.
    Token,
    /// The proxy, with our name there, `user`.
    Proxy {
        /// That name.
        user: String,
    },
}

/// A file with a password or passphrase that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} ({}:{line}): {problem}", quoted(&**file))]
pub struct UnreadSecret {
    /// What it is for.
    pub purpose: SecretPurpose,
    /// The key that names the file.
    pub key: &'static str,
    /// The file of the configuration in which that stands.
    pub file: Box<Path>,
    /// Its line there.
    pub line: usize,
    /// The file that it names.
    pub path: PathBuf,
    /// What is wrong with that.
    pub problem: String,
}

impl UnreadSecret {
    /// Reads the file with `read`: the secret, or what is wrong now.
    pub(super) fn read(&self, read: impl FnOnce(&Path) -> io::Result<SecretFile>) -> Result<Secret, Self> {
        let failed = |problem| Self { problem, ..self.clone() };
        let path = quoted(&self.path);
        let file = read(&self.path).map_err(|error| failed(format!("cannot read {path}: {}", io_message(&error))))?;
        secret_line(file.bytes).ok_or_else(|| failed(format!("{path} is empty")))
    }
}

/// Whether every user of the machine can read `file`.
pub(super) fn is_world_readable(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

fn can_keep_state_in(directory: &Path) -> bool {
    use rustix::fs::{Access, access};
    rustix::process::geteuid().is_root() || (directory.is_dir() && access(directory, Access::WRITE_OK).is_ok())
}

/// One configuration file.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    /// As the user named it: for messages.
    pub(super) path: &'a Path,
    /// What stands in it.
    pub(super) text: &'a FileText,
    /// Absolute; relative paths in the file start here.
    pub(super) directory: PathBuf,
    /// What it may refer to.
    pub(super) environment: Env,
}

impl<'a> Source<'a> {
    /// The file at `path`.
    pub(super) fn new(path: &'a Path, text: &'a FileText, environment: Env) -> Self {
        Self { path, text, directory: directory_of(path), environment }
    }

    /// What a path in the file means.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }
}

/// The directory of the file at `path`, absolute.
pub(super) fn directory_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The secret in a file or a variable: without the line end that editors and `echo` leave; `None` if nothing is left.
pub(super) fn secret_line(mut bytes: Vec<u8>) -> Option<Secret> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    (!bytes.is_empty()).then(|| Secret::new(bytes))
}

/// An I/O error in words, without the number.
pub(super) fn io_message(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "a directory, not a file".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_file() {
        let text = FileText { bytes: Vec::new(), world_readable: false };
        let source = Source::new(Path::new("/etc/x/a.toml"), &text, Env::of_process());
        assert_eq!(source.resolve("certs/ca.pem"), Path::new("/etc/x/certs/ca.pem"));
        assert_eq!(source.resolve("/ca.pem"), Path::new("/ca.pem"));
    }

    #[test]
    fn endless_files_are_no_password_files() {
        assert!(
            SecretFile::read(Path::new("/dev/zero")).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData)
        );
    }
}
