//! Becoming another user.

use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, initgroups, setgid, setuid};

/// Gives root's rights up, for good, and has those of `user` from now on. For that user nothing changes.
pub(super) fn become_user(user: &User) -> nix::Result<()> {
    if (Uid::effective(), Gid::effective()) == (user.uid, user.gid) {
        return Ok(());
    }
    let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    // The groups first: afterwards nobody may change them.
    initgroups(&name, user.gid).and_then(|()| setgid(user.gid)).and_then(|()| setuid(user.uid))
}
