//! What a process takes of the memory.

use std::fs;

use crate::support::Result;

/// A figure of a process's `/proc/PID/status`, in KiB; `self` is this one.
pub(crate) fn memory(process: &str, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let figure = line.and_then(|line| line.split_whitespace().next()).ok_or("no such figure in /proc/PID/status")?;
    Ok(figure.parse()?)
}
