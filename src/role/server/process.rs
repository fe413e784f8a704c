//! The process around the server: whose it is, and whether it is in the background.

use nix::unistd::{Uid, User, daemon};

use crate::config::server::ProcessSettings;
use crate::role::passphrase::PassphraseError;
use crate::role::user;

/// Why the process cannot become what it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// Root, and nothing said that it may be.
    #[error(
        "refusing to run as root: start as another user, name one to become with --user, or say --allow-root where root \
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
        /// What the system says.
        error: nix::Error,
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
        PassphraseError::NoTerminal(_) => ": ssl_password_file names a file with it",
        PassphraseError::Unreadable { .. } => "",
    }
}

impl ProcessError {
    /// Whether the command line asks for what it cannot have, however often it is tried.
    pub(super) fn is_of_usage(&self) -> bool {
        matches!(self, Self::Root | Self::Become { .. } | Self::Passphrase(_))
    }

    /// Whether a value is to blame.
    pub(super) fn is_of_configuration(&self) -> bool {
        matches!(self, Self::NoSuchUser(_))
    }
}

/// Refuses what stock refuses, unless told otherwise.
pub(super) fn check_root(settings: &ProcessSettings) -> Result<(), ProcessError> {
    let is_allowed = settings.user.is_some() || settings.allow_root || !Uid::effective().is_root();
    if is_allowed { Ok(()) } else { Err(ProcessError::Root) }
}

/// Gives root's rights up, for good.
pub(super) fn become_user(name: &str) -> Result<(), ProcessError> {
    let failed = |error| ProcessError::Become { user: name.to_owned(), error };
    let user = User::from_name(name).map_err(failed)?.ok_or_else(|| ProcessError::NoSuchUser(name.to_owned()))?;
    user::become_user(&user).map_err(failed)
}

/// Leaves the terminal. No thread may have been started yet: they do not come along.
pub(super) fn go_to_background() -> Result<(), ProcessError> {
    daemon(false, false).map_err(ProcessError::Daemon)
}
