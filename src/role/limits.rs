//! What the system lets this process have.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;

/// From now on, writing beyond the largest size a file may have (`ulimit -f`) fails, and does not kill the process.
///
/// # Errors
/// The system takes no handler for the signal.
pub(super) fn outlive_file_size_limit() -> io::Result<()> {
    // Any handler will do, as what the write answers says it all.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}
