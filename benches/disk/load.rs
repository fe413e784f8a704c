//! Another program that writes to the same filesystem and flushes nothing, in a process of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::child_process::ChildProcess;
use crate::support::{Result, again};

/// The role that the other process is started with.
pub(crate) const ROLE: &str = "load";

/// How much it writes at a time.
const PIECE: usize = 1 << 20;

/// From one piece to the next, once its file is full: 125 MiB/s.
const PAUSE: Duration = Duration::from_millis(8);

/// The other program, with its file, until this is dropped.
pub(crate) struct Load {
    process: ChildProcess,
    file: PathBuf,
}

impl Load {
    /// Starts it on a file in `dir`, which it goes on rewriting.
    pub(crate) fn start(dir: &Path, bytes: u64) -> Result<Self> {
        let file = dir.join("other.dat");
        let process = ChildProcess::start(again(ROLE)?.arg(&file).arg((bytes / PIECE as u64).to_string()))?;
        Ok(Self { process, file })
    }

    /// Has it write all of its file, as fast as it can.
    pub(crate) fn fill(&mut self) -> Result<()> {
        self.process.request("fill").map(drop)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Its bytes go with the process, which has it open.
        let _ = fs::remove_file(&self.file);
    }
}

/// What the other process does, until there are no more orders.
#[expect(clippy::print_stdout, reason = "the answer goes to the process that asked")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let [file, pieces] = args else { return Err("a load needs its file and its pieces".into()) };
    let pieces: u64 = pieces.to_string_lossy().parse()?;
    let file = File::create(file)?;
    let bytes = vec![b'o'; PIECE];
    let write = |number: u64| file.write_all_at(&bytes, number % pieces * PIECE as u64);
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || io::stdin().lines().map_while(io::Result::ok).try_for_each(|_| sender.send(())));
    let mut next = 0;
    loop {
        match orders.recv_timeout(PAUSE) {
            Ok(()) => {
                (0..pieces).try_for_each(write)?;
                println!("filled");
            }
            Err(RecvTimeoutError::Timeout) => {
                write(next)?;
                next += 1;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
