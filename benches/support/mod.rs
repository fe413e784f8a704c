//! What the benches share: where they work, and what they measure with.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// `statfs` calls tmpfs this.
const TMPFS: u64 = 0x0102_1994;

/// Stands before what a re-executed bench is to be instead.
const ROLE: &str = "--role";

/// What a re-executed bench is to be instead, with its arguments.
pub(crate) fn role() -> Option<(OsString, Vec<OsString>)> {
    let mut args = std::env::args_os().skip_while(|arg| arg != ROLE).skip(1);
    args.next().map(|role| (role, args.collect()))
}

/// This program again, for another role.
pub(crate) fn again(role: &str) -> Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args([ROLE, role]);
    Ok(command)
}

/// `BENCH_SMOKE=1`: a little of everything, to see that it works.
pub(crate) fn is_smoke() -> bool {
    std::env::var_os("BENCH_SMOKE").is_some_and(|value| value == "1")
}

/// The directory to work in: the first argument, or the build directory's place for such things.
pub(crate) fn place() -> Result<PathBuf> {
    let given = std::env::args_os().nth(1).filter(|arg| !arg.as_encoded_bytes().starts_with(b"-"));
    let place = given.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    fs::create_dir_all(&place)?;
    Ok(place)
}

/// Whether nothing that is stored in `dir` ever becomes durable.
pub(crate) fn is_in_memory(dir: &Path) -> Result<bool> {
    Ok(u64::try_from(rustix::fs::statfs(dir)?.f_type) == Ok(TMPFS))
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// The middle one, or the mean of the two that are; NaN where there is none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count => f64::midpoint(figures[(count - 1) / 2], figures[count / 2]),
    }
}

/// Prints how a figure compares with the aim.
#[expect(clippy::print_stdout, reason = "a bench's output")]
pub(crate) fn verdict(target: &str, figure: &str, met: bool) {
    let verdict = match met {
        _ if is_smoke() => "(too little was done to judge)",
        true => "met",
        false => "MISSED",
    };
    println!("target  {target}: {figure}  {verdict}");
}
