//! A client of the control socket: blocking, with a timeout.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::Program;
use super::socket::reach;
use crate::control::{Answer, Command, ErrorReason};
use crate::proto::quoted;

/// What was asked for was tried, and not done: an exit status.
const FAILURE: u8 = 1;

/// What was asked for cannot be done, or not by this user.
const UNUSABLE: u8 = 2;

/// Another try may succeed.
const TRANSIENT: u8 = 3;

/// How long the program may say nothing: a reload waits for files that are being written.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long others may keep us from being taken in line.
const LONGEST_QUEUE: Duration = Duration::from_secs(10);

/// From one try to get into the line to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ControlError {
    /// Nobody serves any of these.
    #[error(
        "{program} is not running, or serves its control socket elsewhere: nobody answers at {}{hint}",
        list(places)
    )]
    NotRunning {
        /// Who was looked for.
        program: Program,
        /// Where.
        places: Vec<PathBuf>,
        /// What may be the reason.
        hint: String,
    },
    /// The socket is not for this user.
    #[error(
        "{}: permission denied: run this as the user of {program}, as root, or as a member of control_group",
        quoted(path)
    )]
    Denied {
        /// Whose it is.
        program: Program,
        /// The socket.
        path: PathBuf,
    },
    /// The connection.
    #[error("{}: {error}", quoted(path))]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Nothing comes.
    #[error("{}: {program} has not answered for {} s: does it hang? its log may say", quoted(path), PATIENCE.as_secs())]
    Silent {
        /// Who does not answer.
        program: Program,
        /// The socket.
        path: PathBuf,
    },
    /// The last line is missing.
    #[error(
        "{}: {program} closed the connection before its answer was whole: has it ended, or had it too many clients?",
        quoted(path)
    )]
    Cut {
        /// Whose answer it is.
        program: Program,
        /// The socket.
        path: PathBuf,
    },
    /// Another program serves the socket.
    #[error("{}: expected an answer of {program}, and found other text: {error}", quoted(path))]
    NoAnswer {
        /// Whose answer was expected.
        program: Program,
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It answers that it was not done.
    #[error("{}{}", refusal(*program, *.reason), problems.join("\n"))]
    Refused {
        /// Who answers that.
        program: Program,
        /// In one word.
        reason: ErrorReason,
        /// In words.
        problems: Vec<String>,
    },
}

fn list(places: &[PathBuf]) -> String {
    places.iter().map(|path| quoted(path).to_string()).collect::<Vec<_>>().join(", ")
}

fn refusal(program: Program, reason: ErrorReason) -> String {
    if reason == ErrorReason::Configuration {
        format!("nothing is changed, {program} goes on as before:\n")
    } else {
        String::new()
    }
}

impl ControlError {
    /// What a command ends with that has met this.
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { reason: ErrorReason::Request | ErrorReason::Name, .. } | Self::Denied { .. } => UNUSABLE,
            Self::Refused { reason: ErrorReason::Configuration | ErrorReason::Unknown, .. } => FAILURE,
            _ => TRANSIENT,
        }
    }
}

/// Where a program may be reached.
pub(in crate::cli) struct ControlClient {
    program: Program,
    places: Vec<PathBuf>,
    hint: String,
}

impl ControlClient {
    /// Of `program`, at the first of these places where somebody is; `hint` ends the message where nobody is.
    pub(in crate::cli) fn new(program: Program, places: Vec<PathBuf>, hint: String) -> Self {
        Self { program, places, hint }
    }

    /// Has the program do something; `each` gets the lines of its answer as they come, but for the last one.
    ///
    /// # Errors
    /// Not all of it was done, or nobody says whether it was.
    pub(in crate::cli) fn ask(&self, command: &Command, mut each: impl FnMut(Answer)) -> Result<(), ControlError> {
        self.follow(command, Some(PATIENCE), |answer| {
            each(answer);
            ControlFlow::Continue(())
        })
    }

    /// The same, of an answer that `each` may break off, and in which the program may say nothing for `patience`.
    pub(in crate::cli) fn follow(
        &self,
        command: &Command,
        patience: Option<Duration>,
        mut each: impl FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), ControlError> {
        let (program, (socket, path)) = (self.program, self.connect()?);
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ControlError::Silent { program, path: path.to_owned() },
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ControlError::Cut { program, path: path.to_owned() },
            _ => ControlError::Io { path: path.to_owned(), error },
        };
        prepare(&socket, patience).and_then(|()| (&socket).write_all(command.to_line().as_bytes())).map_err(failed)?;
        let mut reader = BufReader::new(&socket);
        loop {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                return Err(ControlError::Cut { program, path: path.to_owned() });
            }
            let answer = Answer::parse(&line);
            match answer.map_err(|error| ControlError::NoAnswer { program, path: path.to_owned(), error })? {
                Answer::End {} => return Ok(()),
                Answer::Error { reason, problems } => return Err(ControlError::Refused { program, reason, problems }),
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
        let (program, mut denied) = (self.program, None);
        for path in &self.places {
            match reach_in_turn(path) {
                Ok(socket) => return Ok((socket, path)),
                Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR) => {}
                Err(Errno::ACCESS | Errno::PERM) => denied = denied.or(Some(path)),
                Err(errno) => return Err(ControlError::Io { path: path.clone(), error: errno.into() }),
            }
        }
        match denied {
            Some(path) => Err(ControlError::Denied { program, path: path.clone() }),
            None => Err(ControlError::NotRunning { program, places: self.places.clone(), hint: self.hint.clone() }),
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
