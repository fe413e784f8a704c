//! What the figures were measured on.

use std::fs;

use crate::support::Result;

/// Processors, their model, and the kernel.
pub(crate) fn machine() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("processors of an unknown model", |(_, model)| model);
    let count = std::thread::available_parallelism()?;
    Ok(format!("{count} x {model}, Linux {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()))
}
