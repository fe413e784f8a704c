//! The process around the server: whose it is, and whether it is in the background.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, daemon};
use rustix::fs::{Access, access};

use super::super::user;
use crate::config::server::ProcessSettings;
use crate::file::{self, Missing, Owner};
use crate::passphrase::PassphraseError;
use crate::proto::quoted;
use crate::store::MOUNT_WRITABLE;

/// Why the process cannot become what it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// Root, without leave to be root.
    #[error(
        "refusing to run as root: start as another user, name one to become with --user, or give --allow-root where root \
         is all there is, as in a container"
    )]
    Root,
    /// `--user` names nobody.
    #[error("--user {0}: there is no such user")]
    NoSuchUser(String),
    /// Only root can become somebody else.
    #[error("cannot become user {user}: {error}; only root can")]
    Become {
        /// Whom.
        user: String,
        /// The system's error.
        error: nix::Error,
    },
    /// No log.
    #[error("cannot start the log: {0}")]
    Log(io::Error),
    /// The log's file.
    #[error("log_file (-l): cannot write to {}: {error}{}", quoted(path), log_advice(path, error))]
    LogFile {
        /// As configured.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// No background.
    #[error("cannot go to the background: {0}")]
    Daemon(nix::Error),
    /// No passphrase.
    #[error("{}{}", .0, instead_of_asking(.0))]
    Passphrase(#[from] PassphraseError),
}

fn instead_of_asking(error: &PassphraseError) -> &'static str {
    match error {
        PassphraseError::NoTerminal(_) => " (ssl_password 1 asks as -w does): ssl_password_file names a file with it",
        PassphraseError::Unreadable { .. } => "",
    }
}

/// The path given to `-l` where standard error is meant: a file to be opened anew, which another user's pipe or
/// terminal is not.
const STREAMS: [&str; 3] = ["/dev/stdout", "/dev/stderr", "/dev/fd"];

fn log_advice(path: &Path, error: &io::Error) -> String {
    if STREAMS.iter().any(|stream| path.starts_with(stream)) {
        return "; leave -l and log_file out: the log then goes to standard error".to_owned();
    }
    let directory = quoted(path.parent().unwrap_or(path));
    match error.kind() {
        ErrorKind::NotFound => format!("; create the directory {directory}"),
        ErrorKind::NotADirectory => format!("; {directory} is to be a directory"),
        ErrorKind::IsADirectory => "; name a file in it".to_owned(),
        ErrorKind::NotConnected => "; start what reads it first, or name a file".to_owned(),
        ErrorKind::PermissionDenied => "; give the user this runs as the right to write there".to_owned(),
        ErrorKind::ReadOnlyFilesystem => MOUNT_WRITABLE.to_owned(),
        _ => String::new(),
    }
}

/// Whether the log can be written to its file, as far as can be seen without making it.
pub(super) fn check_log(path: &Path) -> Result<(), ProcessError> {
    let directory = path.parent().unwrap_or(path);
    let checked = match file::append_to(path, Missing::Fail) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        }
        opened => opened.map(drop),
    };
    checked.map_err(|error| ProcessError::of_log(Some(path), error))
}

impl ProcessError {
    /// Why there is no log, in this file if it has one.
    pub(super) fn of_log(path: Option<&Path>, error: io::Error) -> Self {
        match path {
            Some(path) => Self::LogFile { path: path.to_owned(), error },
            None => Self::Log(error),
        }
    }

    /// Whether the command line asks for what it cannot have, however often it is tried.
    pub(super) fn is_of_usage(&self) -> bool {
        matches!(self, Self::Root | Self::Become { .. } | Self::Passphrase(_))
    }

    /// Whether a value is to blame.
    pub(super) fn is_of_configuration(&self) -> bool {
        match self {
            Self::NoSuchUser(_) => true,
            Self::LogFile { error, .. } => matches!(
                error.kind(),
                ErrorKind::NotFound
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::PermissionDenied
                    | ErrorKind::InvalidInput
            ),
            _ => false,
        }
    }
}

/// Refuses what stock refuses, unless configured otherwise.
pub(super) fn check_root(settings: &ProcessSettings) -> Result<(), ProcessError> {
    let is_allowed = settings.user.is_some() || settings.allow_root || !is_root();
    if is_allowed { Ok(()) } else { Err(ProcessError::Root) }
}

/// Whether this is root.
pub(super) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Gives root's rights up, for good.
pub(super) fn become_user(name: &str) -> Result<(), ProcessError> {
    user::become_user(&find_user(name)?).map_err(|error| ProcessError::Become { user: name.to_owned(), error })
}

fn find_user(name: &str) -> Result<User, ProcessError> {
    let failed = |error| ProcessError::Become { user: name.to_owned(), error };
    User::from_name(name).map_err(failed)?.ok_or_else(|| ProcessError::NoSuchUser(name.to_owned()))
}

/// Whose files are to be that root creates for the time after it has become another user.
pub(super) fn later_owner(settings: &ProcessSettings) -> Result<Option<Owner>, ProcessError> {
    let name = settings.user.as_ref().filter(|_| is_root());
    let user = name.map(|name| find_user(name)).transpose()?;
    Ok(user.map(|user| Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

/// Leaves the terminal. No thread may have been started yet: they do not come along.
pub(super) fn go_to_background() -> Result<(), ProcessError> {
    daemon(false, false).map_err(ProcessError::Daemon)
}
