//! Asking for a passphrase: at the terminal of the session, whatever standard input is, and unseen. By hand, as the crates
//! for it leave the terminal without its echo when a signal ends the program.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::proto::Secret;

const TERMINAL: &str = "/dev/tty";

/// What ends or stops a program at a terminal.
const UNWELCOME: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// The longest line that a terminal gives, in bytes.
const LINE: usize = 4096;

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassphraseError {
    /// Nobody to ask.
    #[error("-w asks for the passphrase of {0} at the terminal, and there is none")]
    NoTerminal(String),
    /// Asking has failed.
    #[error("cannot read the passphrase of {path}: {error}")]
    Unreadable {
        /// The key's file.
        path: String,
        /// The system's error.
        error: io::Error,
    },
}

/// Asks for the passphrase of the key in `path`. To be called before there are threads: they would take the signals that
/// wait here until the terminal is as it was.
pub(crate) fn ask(path: &str) -> Result<Secret, PassphraseError> {
    let terminal = File::options().read(true).write(true).open(TERMINAL);
    let terminal = terminal.map_err(|_| PassphraseError::NoTerminal(path.to_owned()))?;
    let prompt = format!("Passphrase of {path}: ");
    loop {
        let answer = ask_once(&terminal, &prompt);
        if let Some(typed) = answer.map_err(|error| PassphraseError::Unreadable { path: path.to_owned(), error })? {
            return Ok(typed);
        }
    }
}

/// `None` if a signal came in between that has not ended the program: for example, it was stopped, and goes on.
fn ask_once(mut terminal: &File, prompt: &str) -> io::Result<Option<Secret>> {
    // Dropped last.
    let signals = Held::back()?;
    let _unseen = Unseen::new(terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    read_line(terminal, &signals)
}

fn read_line(mut terminal: &File, signals: &Held) -> io::Result<Option<Secret>> {
    // As long as a line can be: a buffer that grows leaves copies behind.
    let mut line = Zeroizing::new([0; LINE]);
    let mut length = 0;
    while signals.none_until_readable(terminal)? {
        let count = terminal.read(&mut line[length..])?;
        length += count;
        match &line[..length] {
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            [typed @ .., b'\n'] => return Ok(Some(Secret::new(typed.to_vec()))),
            typed if count == 0 => return Ok(Some(Secret::new(typed.to_vec()))),
            _ => {}
        }
    }
    Ok(None)
}

/// A terminal that does not show what is typed; dropped, it is as before.
struct Unseen<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Unseen<'a> {
    /// What was typed until now was seen, and is forgotten.
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
        // The end of the line was not seen either.
        let _ = self.terminal.write_all(b"\n");
    }
}

/// Signals that wait; dropped, they do what they would have done.
struct Held {
    waiting: SignalFd,
    before: SigSet,
}

impl Held {
    fn back() -> io::Result<Self> {
        let before = SigSet::thread_get_mask()?;
        // One that somebody else holds back would wait for ever.
        let ours: SigSet = UNWELCOME.into_iter().filter(|&signal| !before.contains(signal)).collect();
        let waiting = SignalFd::with_flags(&ours, SfdFlags::SFD_CLOEXEC)?;
        ours.thread_block()?;
        Ok(Self { waiting, before })
    }

    /// Waits for something to read; `false` if one of the signals comes.
    fn none_until_readable(&self, terminal: &File) -> io::Result<bool> {
        let [signal, line] = [self.waiting.as_fd(), terminal.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut sources = [signal, line];
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) => Ok(false),
            outcome => Ok(outcome.map(|_| sources[0].any() != Some(true))?),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}
