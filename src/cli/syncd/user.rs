//! Whose process this is, and whose it should be: what root makes in the state directory or in an incoming directory, the
//! service's user may not be able to use.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::super::user::become_user;
use crate::config::{Settings, incoming_dirs};
use crate::in_time::in_time;
use crate::proto::quoted;

/// Why this user cannot do what is asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    /// Root, in what is another user's.
    #[error(
        "refusing to run as root: {} belongs to {owner}, who could not use what root makes there; run `{command}`, or give \
         --allow-root",
        quoted(directory)
    )]
    Root {
        /// The directory.
        directory: PathBuf,
        /// Whose it is: a name, or `#` and a number.
        owner: String,
        /// What to run instead.
        command: String,
    },
    /// There is nobody of that name.
    #[error("--user {0}: there is no such user")]
    Unknown(String),
    /// Only root can become somebody else.
    #[error("--user {user}: cannot become that user: {error}; only root can")]
    Become {
        /// Whom.
        user: String,
        /// The system's error.
        error: nix::Error,
    },
}

/// Refuses root where the state directory or an incoming directory is another user's. Where all is root's, as in a
/// container, nobody else is expected.
pub(super) fn refuse_root(settings: &Settings) -> Result<(), UserError> {
    let Some((uid, directory)) = Uid::effective().is_root().then(|| other_owner(settings)).flatten() else {
        return Ok(());
    };
    let name = user_of(uid).map(|user| user.name);
    let command = command_as(name.as_deref(), uid, std::env::args_os());
    let owner = name.unwrap_or_else(|| format!("#{uid}"));
    Err(UserError::Root { directory: directory.to_owned(), owner, command })
}

/// The owner of the first directory of the settings that is there and not root's.
fn other_owner(settings: &Settings) -> Option<(Uid, &Path)> {
    let enabled = settings.sites.iter().filter(|site| site.enabled);
    let mut directories = [settings.state_dir()].into_iter().chain(incoming_dirs(enabled));
    directories.find_map(|directory| {
        let path = directory.to_owned();
        // A directory whose filesystem does not answer is reported where it is opened.
        let metadata = in_time(directory, move || fs::metadata(path)).ok()?.ok()?;
        let owner = Uid::from_raw(metadata.uid());
        (!owner.is_root()).then_some((owner, directory))
    })
}

fn user_of(uid: Uid) -> Option<User> {
    User::from_uid(uid).ok().flatten()
}

/// With what every Linux has, which `sudo` is not part of. A user without a `name` has no groups to be looked up.
fn command_as(name: Option<&str>, uid: Uid, arguments: impl Iterator<Item = OsString>) -> String {
    let become_user = match name {
        Some(name) => format!("runuser -u {} --", shell_quoted(name)),
        None => format!("setpriv --reuid={uid} --regid={uid} --clear-groups"),
    };
    let arguments = arguments.map(|argument| shell_quoted(&argument.to_string_lossy()));
    std::iter::once(become_user).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// As a shell takes it.
fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:,@%+=-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Becomes the user that collecting is to be tested as: the one that is named; else, as root, the owner of the
/// directories that it would work in. Prints which user that is.
pub(super) fn become_tester(settings: &Settings, name: Option<&str>) -> Result<String, UserError> {
    let (user, why) = match name {
        Some(name) => {
            let user = User::from_name(name).ok().flatten().ok_or_else(|| UserError::Unknown(name.to_owned()))?;
            (user, "as given by --user".to_owned())
        }
        None if Uid::effective().is_root() => match other_owner(settings) {
            Some((uid, directory)) => match user_of(uid) {
                Some(user) => (user, format!("who owns {}; --user tests as another", quoted(directory))),
                None => return Ok(format!("tested as root: the owner of {}, {uid}, has no name", quoted(directory))),
            },
            None => return Ok("tested as root, who owns the directories; --user tests as another".to_owned()),
        },
        None => {
            let user = user_of(Uid::effective()).map_or_else(|| Uid::effective().to_string(), |user| user.name);
            return Ok(format!("tested as {user}; --user, as root, tests as another"));
        }
    };
    become_user(&user).map_err(|error| UserError::Become { user: user.name.clone(), error })?;
    Ok(format!("tested as {}, {why}", user.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_run_instead_can_be_pasted() {
        let arguments =
            || ["tentacle-syncd", "once", "--config", "/etc/my conf", "it's", ""].map(OsString::from).into_iter();
        assert_eq!(
            command_as(Some("pandora"), Uid::from_raw(7), arguments()),
            r"runuser -u pandora -- tentacle-syncd once --config '/etc/my conf' 'it'\''s' ''"
        );
        assert_eq!(
            command_as(None, Uid::from_raw(1234), arguments().take(2)),
            "setpriv --reuid=1234 --regid=1234 --clear-groups tentacle-syncd once"
        );
    }
}
