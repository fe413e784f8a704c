//! A terminal for a program to run on, and a person who reads and types there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::{mem, thread};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::daemon::wait_until;
use crate::server_process::NOBODY;
use crate::support::TIMEOUT;

pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_tentacle_client");
pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_tentacle_server");

pub(crate) const CONTROL_C: &str = "\x03";

/// A terminal that a program runs on.
pub(crate) struct Terminal {
    /// Where the person sits.
    person: File,
    /// The program's end.
    screen: File,
    pieces: Receiver<Vec<u8>>,
    /// What has been shown and not looked at.
    shown: Vec<u8>,
    pub(crate) program: Child,
}

impl Terminal {
    pub(crate) fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>, directory: &Path) -> Self {
        Self::wide(80, program, args, directory)
    }

    /// On one where this has been typed before.
    pub(crate) fn run_after<A: AsRef<OsStr>>(
        typed: &str,
        program: &str,
        args: impl IntoIterator<Item = A>,
        directory: &Path,
    ) -> Self {
        let (mut person, screen) = pseudo_terminal(80);
        person.write_all(typed.as_bytes()).unwrap();
        Self::on(person, screen, program, args, directory)
    }

    pub(crate) fn wide<A: AsRef<OsStr>>(
        columns: u16,
        program: &str,
        args: impl IntoIterator<Item = A>,
        directory: &Path,
    ) -> Self {
        let (person, screen) = pseudo_terminal(columns);
        Self::on(person, screen, program, args, directory)
    }

    fn on<A: AsRef<OsStr>>(
        person: File,
        screen: File,
        program: &str,
        args: impl IntoIterator<Item = A>,
        directory: &Path,
    ) -> Self {
        // For its own process to make it the session's terminal takes unsafe code here, or this program.
        let mut command = setsid(program);
        command.args(["-c", program]).args(args).current_dir(directory);
        let stdio = || Stdio::from(screen.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let program = command.spawn().expect("coreutils has env");
        let (sender, pieces) = channel();
        let mut eyes = person.try_clone().unwrap();
        thread::spawn(move || {
            let mut block = vec![0; 65_536];
            // Once nobody has the other end, this is an error.
            while let Ok(count) = eyes.read(&mut block) {
                drop(sender.send(block[..count].to_vec()));
            }
        });
        Self { person, screen, pieces, shown: Vec::new(), program }
    }

    /// Waits until this is shown; what came before it.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(start) = self.shown.windows(text.len()).position(|window| window == text.as_bytes()) {
                let rest = self.shown.split_off(start + text.len());
                let mut seen = mem::replace(&mut self.shown, rest);
                seen.truncate(start);
                return String::from_utf8(seen).unwrap();
            }
            let Ok(piece) = self.pieces.recv_timeout(TIMEOUT) else {
                panic!("{text:?} is not shown, but {:?}", self.shown.escape_ascii().to_string());
            };
            self.shown.extend(piece);
        }
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        tcsetwinsize(&self.person, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.program.id().cast_signed()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether what is typed is seen and can be edited, and ^C and ^Z do what they do.
    pub(crate) fn is_usual(&self) -> bool {
        let usual = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcgetattr(&self.screen).unwrap().local_modes.contains(usual)
    }

    /// Waits for the program's end; what it has shown since the last look.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = wait_until("the program's end", || self.program.try_wait().unwrap());
        assert!(self.is_usual(), "the terminal is as it was");
        drop(self.screen);
        loop {
            match self.pieces.recv_timeout(TIMEOUT) {
                Ok(piece) => self.shown.extend(piece),
                Err(RecvTimeoutError::Disconnected) => return (status, String::from_utf8(self.shown).unwrap()),
                Err(RecvTimeoutError::Timeout) => panic!("somebody else has the terminal"),
            }
        }
    }
}

/// What runs a program in a session of its own: as the user that a server may be, if it is one. Its signals do what they usually
/// do, also where these tests ignore one, as below nohup.
pub(crate) fn setsid(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal", "setsid"]);
    if program == SERVER && rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Both ends of a new one.
fn pseudo_terminal(columns: u16) -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    tcsetwinsize(&person, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
    // It must not become this process's terminal.
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let screen = File::options().read(true).write(true).custom_flags(flags).open(&name).unwrap();
    (person.into(), screen)
}
