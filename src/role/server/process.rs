//! The process around the server: whose it is, whether it is in the background, and what its supervisor hears of it.

use std::ffi::CString;
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, User, daemon, initgroups, setgid, setuid};
use sd_notify::NotifyState;

use crate::config::server::ProcessSettings;
use crate::role::passphrase::PassphraseError;

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
    if (Uid::effective(), Gid::effective()) == (user.uid, user.gid) {
        return Ok(());
    }
    let c_name = CString::new(name).map_err(|_| ProcessError::NoSuchUser(name.to_owned()))?;
    // The groups first: afterwards nobody may change them.
    initgroups(&c_name, user.gid).and_then(|()| setgid(user.gid)).and_then(|()| setuid(user.uid)).map_err(failed)
}

/// Leaves the terminal. No thread may have been started yet: they do not come along.
pub(super) fn go_to_background() -> Result<(), ProcessError> {
    daemon(false, false).map_err(ProcessError::Daemon)
}

/// Tells the service manager, where there is one, how far we are; one that does not listen misses nothing.
pub(super) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        log::debug!("the service manager cannot be told: {error}");
    }
}

/// The service manager's watchdog, fed as the loop turns: a loop that hangs is found out.
#[derive(Debug, Default)]
pub struct Watchdog(Option<Fed>);

#[derive(Debug)]
struct Fed {
    every: Duration,
    /// `None` before the first time.
    next: Option<Instant>,
}

impl Watchdog {
    /// As the service manager asks for it.
    pub(super) fn from_environment() -> Self {
        let mut microseconds = 0;
        let is_wanted = sd_notify::watchdog_enabled(false, &mut microseconds);
        // sd_watchdog_enabled(3) recommends half of what is allowed.
        Self(is_wanted.then(|| Fed { every: Duration::from_micros(microseconds) / 2, next: None }))
    }

    /// When to feed it next.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.0.as_ref().map(|fed| fed.next.unwrap_or(now))
    }

    /// Feeds it if it is time.
    pub(super) fn feed(&mut self, now: Instant) {
        if let Some(fed) = &mut self.0
            && fed.next.is_none_or(|next| now >= next)
        {
            tell(&[NotifyState::Watchdog]);
            fed.next = Some(now + fed.every);
        }
    }
}
