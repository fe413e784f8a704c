//! Asking for a passphrase.

use std::io::{self, IsTerminal};

use crate::proto::Secret;

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassphraseError {
    /// Nobody to ask.
    #[error("-w asks for the passphrase of {0} at the terminal, and there is none")]
    NoTerminal(String),
    /// Asking has failed.
    #[error("cannot read the passphrase: {0}")]
    Unreadable(io::Error),
}

/// Asks for the passphrase of the key in `path`, unseen.
pub(super) fn ask(path: &str) -> Result<Secret, PassphraseError> {
    if !io::stdin().is_terminal() {
        return Err(PassphraseError::NoTerminal(path.to_owned()));
    }
    let typed = rpassword::prompt_password(format!("Passphrase of {path}: ")).map_err(PassphraseError::Unreadable)?;
    Ok(Secret::new(typed.into_bytes()))
}
