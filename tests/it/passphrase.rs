//! Passphrases, asked for on a terminal.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::{fs, thread};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client_process::{Outcome, WorkDir, at};
use crate::server_process::{Options, ServerProcess, free_address, hand_over_to_server, stored_in};
use crate::support::{Certificates, scratch};
use crate::terminal::{CLIENT, CONTROL_C, SERVER, Terminal, setsid};

const PROMPT: &str = "Passphrase of own.key: ";
const PASSPHRASE: &str = "site-passphrase";

const CONTROL_D: &str = "\x04";
const CONTROL_U: &str = "\x15";
const BACKSPACE: &str = "\x7f";

/// A place with a self-signed certificate `own.pem` and its key `own.key`, which has a passphrase.
fn with_locked_key() -> WorkDir {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata");
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    for (name, original) in [("own.pem", "ca.openssl.pem"), ("own.key", "rsa.encrypted.pem")] {
        fs::copy(testdata.join(original), work_dir.path(name)).unwrap();
    }
    work_dir
}

/// A server that needs that certificate, and the client.
struct Site {
    work_dir: WorkDir,
    certificates: Certificates,
    storage: TempDir,
    server: ServerProcess,
}

impl Site {
    fn new() -> Self {
        let (work_dir, certificates, storage) = (with_locked_key(), Certificates::new(), scratch());
        let options = Options::usual().tls(&certificates).arg("-f").arg(work_dir.path("own.pem"));
        let server = ServerProcess::ours(&options, storage.path());
        Self { work_dir, certificates, storage, server }
    }

    /// The client that asks, before its other arguments.
    fn args(&self) -> Vec<String> {
        let ca = self.certificates.path("ca.pem").to_str().unwrap().to_owned();
        at(self.server.address(), ["-w", "-e", "own.pem", "-k", "own.key", "-f", &ca, "a.data"])
    }

    /// Starts it.
    fn ask(&self) -> Terminal {
        let mut terminal = Terminal::run(CLIENT, self.args(), &self.work_dir.path(""));
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
    let mut terminal = Terminal::run_after("wrong\r", CLIENT, site.args(), &site.work_dir.path(""));
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
        command.arg(program).args(args).current_dir(site.work_dir.path("")).stdin(Stdio::null());
        Outcome::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    without(CLIENT, site.args())
        .assert_fails("-w asks for the passphrase of own.key at the terminal, and there is none");
    let server = without(SERVER, serving(free_address(), &site.work_dir));
    assert_eq!(server.code, Some(1));
    let key = site.work_dir.path("own.key");
    let error = format!(
        "tentacle_server: -w asks for the passphrase of {} at the terminal, and there is none (ssl_password 1 asks as -w \
         does): ssl_password_file names a file with it\n",
        key.to_string_lossy()
    );
    assert_eq!(server.stderr, error);
    // A check asks nobody, and does not take what will be asked for as an error.
    let checked = without(SERVER, [serving(free_address(), &site.work_dir), vec!["--check".to_owned()]].concat());
    assert_eq!(checked.code, Some(0), "{checked}");
    assert!(checked.stdout.contains("its passphrase is asked for at the start"), "{checked}");
}

/// A server whose own key has the passphrase.
fn serving(address: SocketAddr, work_dir: &WorkDir) -> Vec<String> {
    let storage = work_dir.path("storage");
    fs::create_dir_all(&storage).unwrap();
    hand_over_to_server(&work_dir.path(""));
    at(address, ["-s", storage.to_str().unwrap(), "-e", "own.pem", "-k", "own.key", "-w"])
}

#[test]
fn the_server_asks_in_the_same_way() {
    let (work_dir, address) = (with_locked_key(), free_address());
    let ask = || {
        let mut terminal = Terminal::run(SERVER, serving(address, &work_dir), &work_dir.path(""));
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
    work_dir.run_at(address, ["-c", "a.data"]).assert_done();
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
