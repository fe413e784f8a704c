//! `tentacle_client` as a program, and servers that follow a script.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::{fmt, fs};

use tempfile::TempDir;
use tentacle_sync::testing::fake_server::{Files, files_below};

use crate::support::{LOOPBACK, TIMEOUT, scratch};

/// Where a client works: its current directory.
pub(crate) struct WorkDir(TempDir);

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl WorkDir {
    pub(crate) fn new() -> Self {
        Self(scratch())
    }

    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        let work_dir = Self::new();
        for (name, bytes) in files {
            work_dir.write(name, bytes);
        }
        work_dir
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn files(&self) -> Files {
        files_below(self.0.path()).unwrap()
    }

    /// Starts the client with these arguments.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tentacle_client"));
        command.args(args).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the client with these arguments.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Outcome {
        Outcome::of(self.start(args))
    }

    /// Runs it against the server at `address`.
    pub(crate) fn run_at<A: AsRef<OsStr>>(&self, address: SocketAddr, args: impl IntoIterator<Item = A>) -> Outcome {
        self.run(at(address, args))
    }
}

/// The arguments that lead to a server, before others.
pub(crate) fn at<A: AsRef<OsStr>>(address: SocketAddr, args: impl IntoIterator<Item = A>) -> Vec<String> {
    let text = |argument: A| argument.as_ref().to_str().unwrap().to_owned();
    let server = ["-a".to_owned(), address.ip().to_string(), "-p".to_owned(), address.port().to_string()];
    server.into_iter().chain(args.into_iter().map(text)).collect()
}

impl Outcome {
    pub(crate) fn of(process: Child) -> Self {
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails unless it ended well and silently.
    #[track_caller]
    pub(crate) fn assert_done(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self}");
    }

    /// Fails unless it ended with 1 and this line of error.
    #[track_caller]
    pub(crate) fn assert_fails(&self, line: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(1), format!("[err] {line}\n").as_str()), "{self}");
    }

    /// Fails unless it ended with 1, and standard error and output have all of these.
    #[track_caller]
    pub(crate) fn assert_fails_saying(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(1), "{self}");
        let said = self.to_string();
        for part in parts {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// One step of a script: so many bytes are awaited, then this is sent.
#[derive(Clone, Debug)]
pub(crate) struct ScriptStep {
    /// `None` for whatever one read brings, or the end.
    pub(crate) awaits: Option<usize>,
    pub(crate) says: ScriptReply,
}

#[derive(Clone, Debug)]
pub(crate) enum ScriptReply {
    Bytes(Vec<u8>),
    /// Sends these and closes.
    Last(Vec<u8>),
}

/// A server of one connection that follows a script.
pub(crate) struct Scripted {
    address: SocketAddr,
    thread: JoinHandle<Received>,
}

/// What a scripted server received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) from: IpAddr,
    /// One for each turn, then what came after the last.
    pub(crate) pieces: Vec<Vec<u8>>,
}

impl Scripted {
    pub(crate) fn start(script: Vec<ScriptStep>) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, thread: thread::spawn(move || follow(&listener, &script)) }
    }

    /// Sends these, each after one more line of the client's, and closes after the last one.
    pub(crate) fn sending(lines: &[&[u8]]) -> Self {
        let turn = |says| ScriptStep { awaits: None, says };
        let mut lines = lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
        let last = turn(ScriptReply::Last(lines.pop().unwrap_or_default()));
        Self::start(lines.into_iter().map(|line| turn(ScriptReply::Bytes(line))).chain([last]).collect())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn received(self) -> Received {
        self.thread.join().unwrap()
    }
}

fn follow(listener: &TcpListener, script: &[ScriptStep]) -> Received {
    let (mut client, from) = listener.accept().unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut pieces = Vec::new();
    let mut block = vec![0; 65_536];
    for turn in script {
        let mut piece = Vec::new();
        while turn.awaits.is_none_or(|wanted| piece.len() < wanted) {
            match client.read(&mut block) {
                Ok(0) | Err(_) => break,
                Ok(count) => piece.extend_from_slice(&block[..count]),
            }
            if turn.awaits.is_none() {
                break;
            }
        }
        pieces.push(piece);
        match &turn.says {
            ScriptReply::Bytes(bytes) => drop(client.write_all(bytes)),
            ScriptReply::Last(bytes) => {
                drop(client.write_all(bytes));
                return Received { from: from.ip(), pieces };
            }
        }
    }
    let mut rest = Vec::new();
    drop(client.read_to_end(&mut rest));
    pieces.push(rest);
    Received { from: from.ip(), pieces }
}
