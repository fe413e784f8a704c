//! Instructions and system calls for each piece of work, which do not depend on what else the machine does: what two
//! commits are compared by, as `benches/compare-instructions` does.
//!
//! `cargo bench --bench instructions [-- DIRECTORY]` needs valgrind, and strace for the system calls. Each work is done by a
//! process of its own under callgrind, once and twice as often: the difference is what the work itself takes, without
//! the process's start. Servers run beside it, and are not counted. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! Collecting is one thread for the loop and others for the disk, and how many files share a commit varies: its figures do by
//! a few per cent. The others are the same in each run.
#![expect(clippy::print_stdout, reason = "the table is the point")]

#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "support/settings.rs"]
mod settings;
#[expect(dead_code, reason = "part of what benches share")]
mod support;
#[expect(dead_code, reason = "part of what benches share")]
#[path = "support/tentacle_server.rs"]
mod tentacle_server;
#[path = "instructions/work.rs"]
mod work;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::Result;
use tempfile::TempDir;
use tentacle_server::{BenchDir, Server, hand_over};
use tentacle_sync::testing::fake_server::AgentFiles;
use work::Work;

/// Agents that take turns.
const AGENTS: usize = 100;

fn main() -> Result<()> {
    if let Some((role, args)) = support::role() {
        return work::run(&role, &args);
    }
    let dir = BenchDir::new("instructions-bench-", &support::place()?)?;
    let counted = Counted::find();
    println!("{:<28} {:>10} {:>18} {:>14}", "work", "of", "instructions each", "system calls");
    for work in Work::all() {
        let count = if support::is_smoke() { 20 } else { work.count() };
        let [instructions, calls] = counted.each(work, count, &dir)?;
        println!("{:<28} {count:>10} {:>18} {:>14}", work.name(), shown(instructions, 0), shown(calls, 2));
    }
    Ok(())
}

fn shown(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.decimals$}"))
}

/// What can be counted here.
#[derive(Clone, Copy)]
struct Counted {
    instructions: bool,
    calls: bool,
}

impl Counted {
    /// Prints what cannot be.
    fn find() -> Self {
        let is_installed = |program: &str| {
            let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
            let is_there = found.is_ok_and(|status| status.success());
            if !is_there {
                println!("{program} is not installed: what it counts is left out");
            }
            is_there
        };
        Self { instructions: is_installed("valgrind"), calls: is_installed("strace") }
    }

    /// Instructions and system calls for each of `count` pieces of the work.
    fn each(self, work: Work, count: usize, dir: &BenchDir) -> Result<[Option<f64>; 2]> {
        let instructions = self.instructions.then(|| difference(work, count, dir, instructions)).transpose()?;
        let calls = self.calls.then(|| difference(work, count, dir, system_calls)).transpose()?;
        if !(self.instructions || self.calls) {
            difference(work, count, dir, uncounted)?;
        }
        Ok([instructions, calls])
    }
}

/// A way to count what a command does.
type Count = fn(command: &Command, dir: &Path) -> Result<u64>;

fn difference(work: Work, count: usize, dir: &BenchDir, way: Count) -> Result<f64> {
    let once = done(work, count, dir, way)?;
    let twice = done(work, 2 * count, dir, way)?;
    #[expect(clippy::cast_precision_loss, reason = "read to a few digits")]
    Ok((twice as f64 - once as f64) / count as f64)
}

/// Has the work done so many times, and counts that.
fn done(work: Work, count: usize, dir: &BenchDir, way: Count) -> Result<u64> {
    let (own, _) = fresh_dir::fresh_dir(dir.path())?;
    let mut command = support::again(work.role())?;
    command.arg(count.to_string()).arg(&own);
    let _server = match work {
        Work::Collecting { make, tls } => {
            let storage = filled(count, dir)?;
            let server = Server::start(make, tls, &storage, dir, &[])?;
            let address = server.address();
            command.arg(address.tcp.to_string()).args(&address.ca);
            Some(server)
        }
        Work::Listing | Work::Sessions | Work::Tls | Work::Staging => None,
    };
    way(&command, dir.path())
}

/// A storage directory with so many files.
fn filled(count: usize, dir: &BenchDir) -> Result<std::path::PathBuf> {
    let storage = dir.storage()?;
    let agents = AgentFiles { prefix: "agent-".to_owned(), agents: AGENTS, seed: 1 };
    for (name, bytes) in agents.files(count) {
        let path = storage.join(name);
        fs::write(&path, bytes)?;
        hand_over(&path)?;
    }
    Ok(storage)
}

/// The same command under another program.
fn under(program: &str, args: &[&OsStr], command: &Command) -> Result<()> {
    let output = Command::new(program).args(args).arg(command.get_program()).args(command.get_args()).output()?;
    if !output.status.success() {
        return Err(format!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

fn instructions(command: &Command, dir: &Path) -> Result<u64> {
    let place = TempDir::new_in(dir)?;
    let path = place.path().join("callgrind");
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(&path);
    under("valgrind", &["--tool=callgrind".as_ref(), &out], command)?;
    let text = fs::read_to_string(path)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}

fn system_calls(command: &Command, dir: &Path) -> Result<u64> {
    let place = TempDir::new_in(dir)?;
    let path = place.path().join("strace");
    under("strace", &["-f".as_ref(), "-c".as_ref(), "-o".as_ref(), path.as_os_str()], command)?;
    let text = fs::read_to_string(path)?;
    // strace(1): percent, seconds, usecs/call, calls, perhaps errors, `total`.
    let total = text.lines().find(|line| line.ends_with(" total")).ok_or("strace wrote no total")?;
    Ok(total.split_whitespace().nth(3).ok_or("a total has calls")?.parse()?)
}

/// Has it done all the same, to see that it works.
fn uncounted(command: &Command, _: &Path) -> Result<u64> {
    under("env", &[], command).map(|()| 0)
}
