//! A client of the control socket: blocking, with a timeout.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::super::{FAILURE, TRANSIENT, UNUSABLE};
use super::args::ControlArgs;
use crate::cli::control_socket::{SocketEnv, places, reach};
use crate::config::{Env, default_state_dir};
use crate::control::{Answer, Command, ErrorReason};
use crate::proto::quoted;

/// How long the daemon may say nothing: a reload waits for files that are being written.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long others may keep us from being taken in line.
const LONGEST_QUEUE: Duration = Duration::from_secs(10);

/// From one try to get into the line to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli::syncd) enum ControlError {
    /// Nobody serves any of these.
    #[error(
        "tentacle-syncd is not running, or serves its control socket elsewhere: nobody answers at {}{hint}",
        list(places)
    )]
    NotRunning {
        /// Where it was looked for.
        places: Vec<PathBuf>,
        /// What kept the configuration from being looked at.
        hint: String,
    },
    /// The socket is not for this user.
    #[error(
        "{}: permission denied: run this as the user of tentacle-syncd, as root, or as a member of control_group",
        quoted(.0)
    )]
    Denied(PathBuf),
    /// The connection.
    #[error("{}: {error}", quoted(path))]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Nothing comes.
    #[error("{}: tentacle-syncd has not answered for {} s: does it hang? its log may say", quoted(.0), PATIENCE.as_secs())]
    Silent(PathBuf),
    /// The last line is missing.
    #[error("{}: tentacle-syncd closed the connection before its answer was whole: has it ended, or had it too many clients?", quoted(.0))]
    Cut(PathBuf),
    /// Another program serves the socket.
    #[error("{}: expected an answer of tentacle-syncd, and found other text: {error}", quoted(path))]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It answers that it was not done.
    #[error("{}{}", refusal(*.reason), problems.join("\n"))]
    Refused {
        /// In one word.
        reason: ErrorReason,
        /// In words.
        problems: Vec<String>,
    },
}

fn list(places: &[PathBuf]) -> String {
    places.iter().map(|path| quoted(path).to_string()).collect::<Vec<_>>().join(", ")
}

fn refusal(reason: ErrorReason) -> &'static str {
    if reason == ErrorReason::Configuration { "nothing is changed, tentacle-syncd goes on as before:\n" } else { "" }
}

impl ControlError {
    pub(in crate::cli::syncd) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { reason: ErrorReason::Request | ErrorReason::Name, .. } | Self::Denied(_) => UNUSABLE,
            Self::Refused { reason: ErrorReason::Configuration | ErrorReason::Unknown, .. } => FAILURE,
            _ => TRANSIENT,
        }
    }
}

/// Where a daemon may be reached.
pub(super) struct DaemonClient {
    places: Vec<PathBuf>,
    hint: String,
    /// The daemon's, where it is known.
    state_dir: Option<PathBuf>,
}

impl DaemonClient {
    /// Looks where the daemon would serve its socket. A configuration that cannot be read keeps nobody from reaching a daemon
    /// that runs by the one before.
    pub(super) fn find(arguments: &ControlArgs) -> Self {
        if let Some(path) = &arguments.control_socket {
            return Self { places: vec![path.clone()], hint: String::new(), state_dir: None };
        }
        let env = SocketEnv::of_process();
        match arguments.load() {
            Ok(settings) => {
                let places = places(settings.control_socket.as_deref(), Some(settings.state_dir()), env);
                Self { places, hint: String::new(), state_dir: Some(settings.state_dir().to_owned()) }
            }
            Err(error) => {
                let state_dir = arguments.state_dir.clone().or_else(|| default_state_dir(Env::of_process()).ok());
                let why = error.to_string();
                let why = why.lines().next().unwrap_or_default();
                let hint = format!("; what the configuration says of control_socket is not known: {why}");
                Self { places: places(None, state_dir.as_deref(), env), hint, state_dir }
            }
        }
    }

    /// Where the daemon keeps its state, as far as that is known.
    pub(super) fn state_dir(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }

    /// Has the daemon do something; `each` gets the lines of its answer as they come, but for the last one.
    ///
    /// # Errors
    /// Not all of it was done, or nobody says whether it was.
    pub(super) fn ask(&self, command: &Command, mut each: impl FnMut(Answer)) -> Result<(), ControlError> {
        self.follow(command, Some(PATIENCE), |answer| {
            each(answer);
            ControlFlow::Continue(())
        })
    }

    /// The same, of an answer that `each` may break off, and in which the daemon may say nothing for `patience`.
    pub(super) fn follow(
        &self,
        command: &Command,
        patience: Option<Duration>,
        mut each: impl FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), ControlError> {
        let (socket, path) = self.connect()?;
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ControlError::Silent(path.to_owned()),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ControlError::Cut(path.to_owned()),
            _ => ControlError::Io { path: path.to_owned(), error },
        };
        prepare(&socket, patience).and_then(|()| (&socket).write_all(command.to_line().as_bytes())).map_err(failed)?;
        let mut reader = BufReader::new(&socket);
        loop {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                return Err(ControlError::Cut(path.to_owned()));
            }
            let answer = Answer::parse(&line);
            match answer.map_err(|error| ControlError::NoAnswer { path: path.to_owned(), error })? {
                Answer::End {} => return Ok(()),
                Answer::Error { reason, problems } => return Err(ControlError::Refused { reason, problems }),
                answer => {
                    if each(answer).is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The first place where somebody is.
    fn connect(&self) -> Result<(UnixStream, &Path), ControlError> {
        let mut denied = None;
        for path in &self.places {
            match reach_in_turn(path) {
                Ok(socket) => return Ok((socket, path)),
                Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR) => {}
                Err(Errno::ACCESS | Errno::PERM) => denied = denied.or(Some(path)),
                Err(errno) => return Err(ControlError::Io { path: path.clone(), error: errno.into() }),
            }
        }
        match denied {
            Some(path) => Err(ControlError::Denied(path.clone())),
            None => Err(ControlError::NotRunning { places: self.places.clone(), hint: self.hint.clone() }),
        }
    }
}

/// Connects, once those who wait there already are taken.
fn reach_in_turn(path: &Path) -> Result<UnixStream, Errno> {
    for _ in 0..LONGEST_QUEUE.as_millis() / PAUSE.as_millis() {
        match reach(path) {
            Err(Errno::AGAIN) => thread::sleep(PAUSE),
            other => return other,
        }
    }
    Err(Errno::TIMEDOUT)
}

fn prepare(socket: &UnixStream, patience: Option<Duration>) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(patience)?;
    socket.set_write_timeout(Some(PATIENCE))
}
