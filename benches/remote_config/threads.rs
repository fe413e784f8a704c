//! What a process's threads take of the processors.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::usage::cpu_time_of;
use crate::support::Result;

/// By the threads' names.
pub(crate) fn cpu_times(process: u32) -> Result<BTreeMap<String, Duration>> {
    let mut times = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.path();
        let name = fs::read_to_string(thread.join("comm"))?.trim_end().to_owned();
        *times.entry(name).or_default() += cpu_time_of(&thread)?;
    }
    Ok(times)
}
