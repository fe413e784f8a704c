//! What this process takes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::support::Result;

/// What it has used of the processors, in all its threads.
pub(crate) fn cpu_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}
