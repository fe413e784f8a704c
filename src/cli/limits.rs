//! What the system lets this process have.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, getrlimit};
use signal_hook::consts::SIGXFSZ;

use crate::net::OPEN_MORE_FILES;
use crate::proto::Count;

/// Files that are open whoever is connected: log, journal, directories, the loop.
const OPEN_ANYWAY: u64 = 50;

/// Files of a connection: its socket, and what goes over it.
const OPEN_EACH: u64 = 2;

/// From now on, writing beyond the largest size a file may have (`ulimit -f`) fails, and does not kill the process.
///
/// # Errors
/// The system takes no handler for the signal.
pub(super) fn outlive_file_size_limit() -> io::Result<()> {
    // Any handler will do: the error of the write is enough.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Warns where so many connections at a time may need more open files than this process may have: after [`Net::new`],
/// which raises that limit as far as it goes.
///
/// [`Net::new`]: crate::net::Net::new
pub(super) fn check_open_files(connections: usize) {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if let Some(warning) = shortage(connections as u64, limit) {
        log::warn!("{warning}");
    }
}

fn shortage(connections: u64, limit: u64) -> Option<String> {
    let needed = connections.saturating_mul(OPEN_EACH).saturating_add(OPEN_ANYWAY);
    (needed > limit).then(|| {
        format!(
            "{} at a time may need {needed} open files, and this process may have {limit}: \
             {OPEN_MORE_FILES}",
            Count(connections, "connection")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_connections_may_reach_is_a_shortage() {
        assert_eq!(shortage(1024, 65_536), None);
        assert_eq!(shortage(10, 70), None);
        let text = shortage(11, 70).unwrap();
        assert!(text.starts_with("11 connections at a time may need 72 open files, and this process may have 70"));
    }
}
