//! The collector, in a process of its own, as `tentacle-syncd` runs it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::thread;
use std::time::Duration;

use log::LevelFilter;
use rustix::process::{Pid, Signal, kill_process};
use tentacle_sync::collector::{Collector, Mode};
use tentacle_sync::config::defaults::SHUTDOWN_TIMEOUT;
use tentacle_sync::config::{LoadOptions, load};
use tentacle_sync::net::Net;
use tentacle_sync::obs::{LogFormat, start_log};

use crate::support::{self, Result};

/// The role of a process that collects until it is asked to end.
pub(crate) const ROLE: &str = "collect";

/// From one look at whether it has ended to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The collector's process, which is killed unless it is stopped.
pub(crate) struct Collecting {
    process: Child,
    log: PathBuf,
}

impl Collecting {
    /// Starts it with this configuration; its files are in `dir`.
    pub(crate) fn start(dir: &Path, configuration: &str) -> Result<Self> {
        let [path, log] = ["tentacle-syncd.toml", "log"].map(|name| dir.join(name));
        fs::write(&path, configuration)?;
        let mut command = support::again(ROLE)?;
        command.arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        Ok(Self { process: command.spawn()?, log })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Asks it to end. Returns the longest that anything ready had to wait for its loop until then, in seconds; `None`
    /// where it does not end within [`forced_end`] and `timeout`. Then it is asked once more, and is not waited for
    /// while it may wait for something of ours.
    pub(crate) fn stop(&mut self, timeout: Duration) -> Result<Option<f64>> {
        let id = Pid::from_raw(self.process.id().cast_signed()).ok_or("a child has an id")?;
        kill_process(id, Signal::TERM)?;
        let mut pipe = self.process.stdout.take().ok_or("the collector's pipe is missing")?;
        for _ in 0..(forced_end(SHUTDOWN_TIMEOUT) + timeout).as_millis() / PAUSE.as_millis() {
            let has_ended = self.process.try_wait()?.is_some() || self.is_exiting()?;
            if has_ended {
                // Not to the pipe's end, which a thread that is left may hold open.
                let mut figure = String::new();
                BufReader::new(&mut pipe).read_line(&mut figure)?;
                return Ok(Some(figure.trim().parse().map_err(|_| "the collector has failed")?));
            }
            thread::sleep(PAUSE);
        }
        self.process.kill()?;
        Ok(None)
    }
}

impl Collecting {
    /// Whether it has ended but for a thread that the kernel does not end: one whose request the stopped filesystem has
    /// taken, and not answered.
    fn is_exiting(&self) -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // `proc(5)`: the state comes after the name, which stands in parentheses.
        Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// What the collector's process does.
#[expect(clippy::print_stdout, reason = "the figure goes to the process that waits for it")]
pub(crate) fn collect(args: &[OsString]) -> Result<()> {
    let [path] = args else { return Err("a collector needs its configuration".into()) };
    start_log(LevelFilter::Info, LevelFilter::Info, LogFormat::Text)?.write_in_background(1);
    let mut net = Net::new()?;
    net.take_signals(&[Signal::TERM.as_raw()])?;
    let settings = load(Path::new(path), &LoadOptions::default())?;
    let collector = Collector::new(net, &settings, Mode::Forever, Box::new(|_| {}))?;
    collector.run(settings.shutdown_timeout, |collector, _| {
        println!("{}", collector.max_loop_latency().as_secs_f64());
        let end = forced_end(settings.shutdown_timeout);
        thread::spawn(move || {
            thread::sleep(end);
            process::exit(0);
        });
        false
    })?;
    Ok(())
}

/// When a process ends that was asked to, whatever hangs: as `tentacle-syncd` does.
fn forced_end(shutdown_timeout: Duration) -> Duration {
    shutdown_timeout + Duration::from_secs(5)
}
