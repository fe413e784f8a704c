//! System calls that no crate offers without `unsafe`.
#![expect(unsafe_code, reason = "ioctl is untyped; see each call for why it is sound")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How many bytes written to a TCP socket its peer's kernel has not acknowledged yet (`SIOCOUTQ`). Once our direction
/// is shut down, its end counts as one.
pub(crate) fn unacknowledged(socket: &impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and so open throughout; TIOCOUTQ, Linux's SIOCOUTQ, writes one int, to memory
    // that is ours and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}
