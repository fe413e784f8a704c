//! What another process takes of the processors.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::Result;

/// What `/proc` counts processors' time in (`USER_HZ`): a hundredth of a second on what this runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used of the processors, in all its threads.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    cpu_time_of(Path::new(&format!("/proc/{process}")))
}

/// The same, of a process or a thread by its directory in `/proc`.
pub(crate) fn cpu_time_of(task: &Path) -> Result<Duration> {
    let stat = fs::read_to_string(task.join("stat"))?;
    // The program's name may hold blanks.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<std::result::Result<u32, _>>()?)
}
