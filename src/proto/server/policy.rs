//! What a server admits.

use crate::proto::{Command, CommandError, FileName, ListArg, NameError, PasswordDigest, Refusal, Verb};

use super::CloseReason;

/// The largest body stock takes, unless configured otherwise, in bytes.
pub const DEFAULT_MAX_SIZE: u64 = 2_000_000;

/// What a server's sessions have in common.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What a client must log in with, before anything else.
    pub password: Option<PasswordDigest>,
    /// Whether `LS` and `MV` are commands at all; where they are not, they end the session.
    pub insecure: bool,
    /// The largest body of `SEND` and `ZSEND`, in bytes.
    pub max_size: u64,
}

impl Policy {
    /// Returns what a line asks for, as stock does: it looks at a name's characters first and then at the size, and a
    /// name like `..` it takes until the file is to be opened.
    ///
    /// # Errors
    /// The line ends the session.
    pub(super) fn judge(&self, line: &[u8]) -> Result<Request, CloseReason> {
        Ok(match Command::parse(line) {
            Ok(Command::Pass(_)) => return Err(CloseReason::PasswordUnasked),
            Err(CommandError::Unknown(_)) => return Err(CloseReason::of_no_command(line)),
            Ok(Command::List(_)) | Err(CommandError::Name { verb: Verb::Ls, .. }) if !self.insecure => {
                return Err(CloseReason::NotAllowed { verb: Verb::Ls });
            }
            Ok(Command::Move(_)) | Err(CommandError::Name { verb: Verb::Mv, .. }) if !self.insecure => {
                return Err(CloseReason::NotAllowed { verb: Verb::Mv });
            }
            Ok(Command::Send { name, size }) => self.store(Verb::Send, name, size),
            Ok(Command::SendZip { name, size }) => self.store(Verb::Zsend, name, size),
            Ok(Command::Receive(name)) => Request::File { verb: Verb::Recv, name },
            Ok(Command::ReceiveZip(name)) => Request::File { verb: Verb::Zrecv, name },
            Ok(Command::Move(name)) => Request::File { verb: Verb::Mv, name },
            Ok(Command::List(word)) => Request::Listing(word),
            Ok(Command::Quit) => Request::Quit,
            Err(CommandError::Size { verb }) => too_big(verb),
            Err(CommandError::Name { verb, error, size }) => self.bad_name(verb, error, size),
        })
    }

    fn store(&self, verb: Verb, name: FileName, size: u64) -> Request {
        if self.admits(size) { Request::Store { verb, name, size } } else { too_big(verb) }
    }

    fn bad_name(&self, verb: Verb, error: NameError, size: Option<u64>) -> Request {
        match size {
            _ if error.is_refused() => Request::Bad { verb, refusal: Refusal::InvalidName },
            Some(size) if self.admits(size) => Request::Unstorable { verb, error, size },
            Some(_) => too_big(verb),
            None => Request::Bad { verb, refusal: Refusal::Missing },
        }
    }

    fn admits(&self, size: u64) -> bool {
        (1..=self.max_size).contains(&size)
    }
}

fn too_big(verb: Verb) -> Request {
    Request::Bad { verb, refusal: Refusal::TooBig }
}

/// As a stock server without options.
impl Default for Policy {
    fn default() -> Self {
        Self { password: None, insecure: false, max_size: DEFAULT_MAX_SIZE }
    }
}

/// What a command comes to.
#[derive(Debug)]
pub(super) enum Request {
    Store {
        verb: Verb,
        name: FileName,
        size: u64,
    },
    File {
        verb: Verb,
        name: FileName,
    },
    Listing(ListArg),
    /// Not done, and the session goes on.
    Bad {
        verb: Verb,
        refusal: Refusal,
    },
    /// Asked for like any other body, and then the session is over.
    Unstorable {
        verb: Verb,
        error: NameError,
        size: u64,
    },
    Quit,
}
