//! The end of the process in its time, whatever hangs: a directory whose filesystem does not answer keeps the thread that
//! works there from everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{io, process, thread};

use log::{Level, error};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::iterator::Signals;

use super::FAILURE;
use crate::config::defaults::SHUTDOWN_TIMEOUT;
use crate::obs::complain;
use crate::panics::catch;

/// For what has come whole to be committed, once the time to end is over: five seconds with the last word.
const GRACE: Duration = Duration::from_secs(4);

/// Time for the log to write the last lines.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Watches for signals that end the process, beside the loop.
#[derive(Clone, Debug)]
pub(super) struct ForcedEnd {
    /// In milliseconds.
    shutdown_timeout: Arc<AtomicU64>,
}

impl ForcedEnd {
    /// From now on each of `signals` ends the process some time later, unless that has ended by itself: the first after
    /// the shutdown timeout, another at once, and some seconds more.
    pub(super) fn after(signals: &[i32]) -> io::Result<Self> {
        let watch = Self { shutdown_timeout: Arc::default() };
        watch.set(SHUTDOWN_TIMEOUT);
        let (mut source, timeout) = (Signals::new(signals)?, Arc::clone(&watch.shutdown_timeout));
        // A thread that waits for a filesystem may be the one that the kernel chooses for a signal, and such a thread
        // does not take it. So a thread that waits for nothing else takes the signals, and passes them on to the loop.
        let numbers = signals.iter().map(|&signal| Signal::try_from(signal));
        let taken: SigSet = numbers.collect::<Result<_, Errno>>()?;
        taken.thread_block()?;
        thread::Builder::new().name("forced-end".into()).spawn(move || {
            if let Err(error) = taken.thread_unblock() {
                error!("signals are not taken: {error}");
            }
            if catch(|| watch_signals(&mut source, &timeout)).is_err() {
                complain(Level::Error, "the thread that takes signals has panicked: the program ends");
                process::exit(FAILURE.into());
            }
        })?;
        Ok(watch)
    }

    /// The time that is configured.
    pub(super) fn set(&self, shutdown_timeout: Duration) {
        let millis = u64::try_from(shutdown_timeout.as_millis()).unwrap_or(u64::MAX);
        self.shutdown_timeout.store(millis, Ordering::Relaxed);
    }
}

fn watch_signals(source: &mut Signals, timeout: &AtomicU64) {
    for (count, _) in source.forever().enumerate() {
        let millis = if count == 0 { timeout.load(Ordering::Relaxed) } else { 0 };
        let wait = Duration::from_millis(millis).saturating_add(GRACE);
        // Without a thread, this one waits: it is late for another signal then.
        if thread::Builder::new().spawn(move || end_after(wait)).is_err() {
            end_after(wait);
        }
    }
}

fn end_after(wait: Duration) {
    thread::sleep(wait);
    // On a thread of its own: the log may hang as well.
    let said = thread::Builder::new().spawn(|| {
        error!(
            "reason=hangs stopping has not come to its end in time, and is cut off: does the filesystem of an incoming \
             directory, of the state directory or of the log not answer? What was collected is safe here or still at its site"
        );
    });
    if said.is_ok() {
        thread::sleep(LAST_WORD);
    }
    process::exit(FAILURE.into());
}
