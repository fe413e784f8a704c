//! Programs on a terminal: what they ask there, and what they show.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::{mem, thread};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;

use crate::client_process::{Desk, Outcome, Say, Scripted, Turn, at};
use crate::server_process::{NOBODY, Options, ServerProcess, free_address, hand_over_to_server, stored_in};
use crate::support::{Certificates, PATIENCE, scratch};

const CLIENT: &str = env!("CARGO_BIN_EXE_tentacle_client");
const SERVER: &str = env!("CARGO_BIN_EXE_tentacle_server");

const PROMPT: &str = "Passphrase of own.key: ";
const PASSPHRASE: &str = "site-passphrase";

const CONTROL_C: &str = "\x03";
const CONTROL_D: &str = "\x04";
const CONTROL_U: &str = "\x15";
const BACKSPACE: &str = "\x7f";

/// A terminal that a program runs on.
struct Terminal {
    /// Where the person sits.
    person: File,
    /// The program's end.
    screen: File,
    pieces: Receiver<Vec<u8>>,
    /// What has been shown and not looked at.
    shown: Vec<u8>,
    program: Child,
}

impl Terminal {
    fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>, directory: &Path) -> Self {
        Self::wide(80, program, args, directory)
    }

    /// On one where this has been typed before.
    fn run_after<A: AsRef<OsStr>>(
        typed: &str,
        program: &str,
        args: impl IntoIterator<Item = A>,
        directory: &Path,
    ) -> Self {
        let (mut person, screen) = pseudo_terminal(80);
        person.write_all(typed.as_bytes()).unwrap();
        Self::on(person, screen, program, args, directory)
    }

    fn wide<A: AsRef<OsStr>>(columns: u16, program: &str, args: impl IntoIterator<Item = A>, directory: &Path) -> Self {
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
        let program = command.spawn().expect("util-linux has setsid");
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
    fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(start) = self.shown.windows(text.len()).position(|window| window == text.as_bytes()) {
                let rest = self.shown.split_off(start + text.len());
                let mut seen = mem::replace(&mut self.shown, rest);
                seen.truncate(start);
                return String::from_utf8(seen).unwrap();
            }
            let Ok(piece) = self.pieces.recv_timeout(PATIENCE) else {
                panic!("{text:?} is not shown, but {:?}", self.shown.escape_ascii().to_string());
            };
            self.shown.extend(piece);
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.program.id().cast_signed()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether what is typed is seen and can be edited, and ^C and ^Z do what they do.
    fn is_usual(&self) -> bool {
        let usual = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcgetattr(&self.screen).unwrap().local_modes.contains(usual)
    }

    /// Waits for the program's end; what it has shown since the last look.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        let status = self.program.wait().unwrap();
        assert!(self.is_usual(), "the terminal is as it was");
        drop(self.screen);
        loop {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown.extend(piece),
                Err(RecvTimeoutError::Disconnected) => return (status, String::from_utf8(self.shown).unwrap()),
                Err(RecvTimeoutError::Timeout) => panic!("somebody else has the terminal"),
            }
        }
    }
}

/// What runs a program in a session of its own: as the user that a server may be, if it is one.
fn setsid(program: &str) -> Command {
    let mut command = Command::new("setsid");
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

/// A place with a self-signed certificate `own.pem` and its key `own.key`, which has a passphrase.
fn with_locked_key() -> Desk {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata");
    let desk = Desk::with(&[("a.data", b"abc")]);
    for (name, original) in [("own.pem", "ca.openssl.pem"), ("own.key", "rsa.encrypted.pem")] {
        fs::copy(testdata.join(original), desk.path(name)).unwrap();
    }
    desk
}

/// A server that wants that certificate, and who asks for it.
struct Site {
    desk: Desk,
    certificates: Certificates,
    storage: TempDir,
    server: ServerProcess,
}

impl Site {
    fn new() -> Self {
        let (desk, certificates, storage) = (with_locked_key(), Certificates::new(), scratch());
        let options = Options::usual().tls(&certificates).arg("-f").arg(desk.path("own.pem"));
        let server = ServerProcess::ours(&options, storage.path());
        Self { desk, certificates, storage, server }
    }

    /// The client that asks, before its other arguments.
    fn args(&self) -> Vec<String> {
        let ca = self.certificates.path("ca.pem").to_str().unwrap().to_owned();
        at(self.server.address(), ["-w", "-e", "own.pem", "-k", "own.key", "-f", &ca, "a.data"])
    }

    /// Starts it.
    fn ask(&self) -> Terminal {
        let mut terminal = Terminal::run(CLIENT, self.args(), &self.desk.path(""));
        assert_eq!(terminal.expect(PROMPT), "");
        assert!(!terminal.is_usual(), "what is typed is not seen");
        terminal
    }

    fn assert_nothing_stored(&self) {
        assert!(stored_in(self.storage.path()).is_empty());
    }
}

#[test]
fn the_passphrase_is_asked_for_and_not_shown() {
    let site = Site::new();
    let mut terminal = site.ask();
    terminal.type_in(&format!("{PASSPHRASE}\r"));
    let (status, shown) = terminal.end();
    assert_eq!((status.code(), shown.as_str()), (Some(0), "\r\n"));
    assert_eq!(stored_in(site.storage.path()).into_values().collect::<Vec<_>>(), [b"abc"]);
}

#[test]
fn the_passphrase_can_be_corrected_while_it_is_typed() {
    let site = Site::new();
    let mut terminal = site.ask();
    terminal.type_in(&format!("something else{CONTROL_U}{PASSPHRASE}x{BACKSPACE}\r"));
    let (status, shown) = terminal.end();
    assert_eq!((status.code(), shown.as_str()), (Some(0), "\r\n"));
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let site = Site::new();
    let mut terminal = Terminal::run_after("wrong\r", CLIENT, site.args(), &site.desk.path(""));
    terminal.expect(PROMPT);
    terminal.type_in(&format!("{PASSPHRASE}\r"));
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn a_wrong_passphrase_is_an_error() {
    let site = Site::new();
    for typed in ["wrong\r", "\r"] {
        let mut terminal = site.ask();
        terminal.type_in(typed);
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(1));
        let error = "\r\n[err] own.key: holds an encrypted key that the given passphrase does not open\r\n";
        assert!(shown.starts_with(error), "{shown}");
        assert!(!shown.contains("wrong"), "{shown}");
    }
    site.assert_nothing_stored();
}

#[test]
fn a_terminal_that_ends_is_an_error() {
    let site = Site::new();
    let mut terminal = site.ask();
    terminal.type_in(CONTROL_D);
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(shown, "\r\n[err] cannot read the passphrase of own.key: unexpected end of file\r\n");
}

#[test]
fn whatever_ends_the_question_leaves_the_terminal_as_it_was() {
    let site = Site::new();
    let mut terminal = site.ask();
    terminal.type_in(CONTROL_C);
    let (status, shown) = terminal.end();
    assert_eq!((status.signal(), shown.as_str()), (Some(Signal::INT.as_raw()), "\r\n"));
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let terminal = site.ask();
        terminal.signal(signal);
        let (status, shown) = terminal.end();
        assert_eq!((status.signal(), shown.as_str()), (Some(signal.as_raw()), "\r\n"));
    }
    site.assert_nothing_stored();
}

/// Nobody could wake a session's first process, so the system does not stop it: it goes on at once.
#[test]
fn a_client_that_goes_on_after_a_stop_asks_again() {
    let site = Site::new();
    let mut terminal = site.ask();
    terminal.type_in("half of the passphra");
    terminal.signal(Signal::TSTP);
    assert_eq!(terminal.expect(PROMPT), "\r\n");
    assert!(!terminal.is_usual(), "what is typed is not seen");
    terminal.type_in(&format!("{PASSPHRASE}\r"));
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let site = Site::new();
    let without = |program: &str, args: Vec<String>| {
        let mut command = setsid(program);
        command.arg(program).args(args).current_dir(site.desk.path("")).stdin(Stdio::null());
        Outcome::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    without(CLIENT, site.args())
        .assert_fails("-w asks for the passphrase of own.key at the terminal, and there is none");
    let server = without(SERVER, serving(free_address(), &site.desk));
    assert_eq!(server.code, Some(1));
    let key = site.desk.path("own.key");
    let error = format!(
        "tentacle_server: -w asks for the passphrase of {} at the terminal, and there is none: ssl_password_file names \
         a file with it\n",
        key.display()
    );
    assert_eq!(server.stderr, error);
}

/// A server whose own key has the passphrase.
fn serving(address: SocketAddr, desk: &Desk) -> Vec<String> {
    let storage = desk.path("storage");
    fs::create_dir_all(&storage).unwrap();
    hand_over_to_server(&desk.path(""));
    at(address, ["-s", storage.to_str().unwrap(), "-e", "own.pem", "-k", "own.key", "-w"])
}

#[test]
fn the_server_asks_in_the_same_way() {
    let (desk, address) = (with_locked_key(), free_address());
    let ask = || {
        let mut terminal = Terminal::run(SERVER, serving(address, &desk), &desk.path(""));
        terminal.expect("own.key: ");
        assert!(!terminal.is_usual());
        terminal
    };
    let mut right = ask();
    right.type_in(&format!("{PASSPHRASE}\r"));
    right.expect("\r\n");
    while TcpStream::connect(address).is_err() {
        assert_eq!(right.program.try_wait().unwrap(), None, "it serves");
        thread::yield_now();
    }
    desk.run_at(address, ["-c", "a.data"]).assert_done();
    right.type_in(CONTROL_C);
    let (status, shown) = right.end();
    assert_eq!(status.code(), Some(0));
    assert!(!shown.contains(PASSPHRASE), "{shown}");

    let mut wrong = ask();
    wrong.type_in("wrong\r");
    let (status, shown) = wrong.end();
    assert_eq!(status.code(), Some(2));
    assert!(shown.starts_with("\r\ntentacle_server: "), "{shown}");
    assert!(shown.ends_with("own.key: holds an encrypted key that the given passphrase does not open\r\n"), "{shown}");

    let mut interrupted = ask();
    interrupted.type_in(CONTROL_C);
    let (status, shown) = interrupted.end();
    assert_eq!((status.signal(), shown.as_str()), (Some(Signal::INT.as_raw()), "\r\n"));
}

/// What is left of lines that were drawn over themselves: to the beginning, and erase to the end.
fn left_on_screen(shown: &str) -> String {
    let lines = shown.split_inclusive("\r\n").map(|line| line.rsplit_once("\x1b[K").map_or(line, |(_, rest)| rest));
    lines.collect()
}

/// A file that is worth watching, at a server and elsewhere.
fn with_large_file() -> (Desk, TempDir, ServerProcess) {
    let (mut bytes, storage) = (vec![0; 16 << 20], scratch());
    // An archive does not make them fewer.
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    let desk = Desk::with(&[("large.data", &bytes)]);
    // It takes a while to make an archive of it.
    let options = Options::usual().arg("-m").arg("99999999").arg("-t").arg("60");
    let server = ServerProcess::ours(&options, storage.path());
    (desk, storage, server)
}

#[test]
fn a_large_file_shows_how_far_it_is_and_nothing_stays() {
    let (desk, storage, server) = with_large_file();
    for args in
        [&["large.data"][..], &["-g", "large.data"], &["-z", "large.data", "large.data"], &["-zg", "large.data"]]
    {
        let args = [&["-t", "60"], args].concat();
        let terminal = Terminal::run(CLIENT, at(server.address(), args), &desk.path(""));
        let (status, shown) = terminal.end();
        assert_eq!((status.code(), left_on_screen(&shown).as_str()), (Some(0), ""), "{shown:?}");
        assert!(shown.contains("\rlarge.data  100 %  16.0 MiB of 16.0 MiB"), "{shown:?}");
    }
    assert_eq!(stored_in(storage.path()), desk.files());
}

#[test]
fn progress_fits_on_a_narrow_terminal() {
    let (desk, _storage, server) = with_large_file();
    for columns in [3, 24, 40] {
        let terminal = Terminal::wide(columns, CLIENT, at(server.address(), ["large.data"]), &desk.path(""));
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(0));
        for drawn in shown.split('\r').map(|line| line.trim_end_matches("\x1b[K")) {
            assert!(drawn.len() < usize::from(columns), "{drawn:?}");
        }
    }
}

#[test]
fn an_error_stands_alone_behind_progress() {
    let turn = |says: &[u8]| Turn { awaits: None, says: Say::Bytes(says.to_vec()) };
    let script = vec![turn(b"RECV SIZE 20000000\n"), turn(&[7; 100_000])];
    let (server, desk) = (Scripted::start(script), Desk::new());
    let mut terminal = Terminal::run(CLIENT, at(server.address(), ["-t", "60", "-g", "large.data"]), &desk.path(""));
    terminal.expect("of 19.0 MiB");
    terminal.type_in(CONTROL_C);
    let (status, shown) = terminal.end();
    assert_eq!((status.code(), left_on_screen(&shown).as_str()), (Some(1), "[err] Interrupted.\r\n"), "{shown:?}");
    assert!(desk.files().is_empty());
}

#[test]
fn where_nobody_reads_it_there_is_no_progress() {
    let (desk, _storage, server) = with_large_file();
    for args in [&["large.data"][..], &["-g", "large.data"]] {
        let outcome = desk.run_at(server.address(), args);
        outcome.assert_done();
        assert_eq!(outcome.stdout, "");
    }
    let quiet = Terminal::run(CLIENT, at(server.address(), ["-q", "-g", "large.data"]), &desk.path(""));
    let (status, shown) = quiet.end();
    assert_eq!((status.code(), shown.as_str()), (Some(0), ""));
}
