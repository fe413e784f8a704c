//! What a server admits.

use crate::proto::extension::{
    Capabilities, Capability, Condition, ContentHash, Cursor, ExtensionCommand, ExtensionError,
};
use crate::proto::{Command, CommandError, FileName, ListArg, NameError, PasswordDigest, Refusal, Verb};

use super::{CloseReason, Compression};

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
    /// Whether the [extension](crate::proto::extension) is spoken.
    pub extension: bool,
    /// Whether `DEFLATE` is a command of it.
    pub compression: bool,
    /// What tells the time to clients that ask what can be done in it, if anything does.
    pub clock: Option<Clock>,
}

/// What a clock shows, in nanoseconds since 1970; `None` where that is not known.
pub type Clock = fn() -> Option<u64>;

impl Policy {
    /// Returns what a line asks for, as stock does: it looks at a name's characters first and then at the size, and a
    /// name like `..` it takes until the file is to be opened.
    ///
    /// # Errors
    /// The line ends the session.
    pub(super) fn judge(&self, line: &[u8], compression: Compression) -> Result<Request, CloseReason> {
        if self.extension
            && let Some(command) = ExtensionCommand::parse(line)
        {
            return Ok(self.judge_extension(command, compression));
        }
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

    /// The same for the extension, in which every refusal is answered and the session goes on.
    fn judge_extension(&self, command: Result<ExtensionCommand, ExtensionError>, compression: Compression) -> Request {
        match command {
            Ok(command) if !self.insecure && matches!(command.verb(), Verb::List | Verb::Drop) => {
                Request::Bad { verb: command.verb(), refusal: Refusal::NotAllowed }
            }
            Ok(ExtensionCommand::Capabilities) => Request::Capabilities(self.capabilities(compression)),
            Ok(ExtensionCommand::Deflate) if self.offers(compression) => Request::Compression,
            Ok(ExtensionCommand::Deflate) => Request::Bad { verb: Verb::Deflate, refusal: Refusal::NotAllowed },
            Ok(ExtensionCommand::Get(name)) => Request::File { verb: Verb::Get, name },
            Ok(ExtensionCommand::List { word, after, limit }) => Request::Page { word, after, limit },
            Ok(ExtensionCommand::Drop { name, size, hash }) => Request::Drop { name, size, hash },
            Ok(ExtensionCommand::Put { name, size, condition }) if self.admits(size) => {
                Request::Put { name, size, condition }
            }
            Ok(ExtensionCommand::Put { size, .. }) => {
                Request::Discard { verb: Verb::Put, refusal: Refusal::TooBig, size }
            }
            Err(ExtensionError::Name { verb, size: Some(size), .. }) => {
                Request::Discard { verb, refusal: Refusal::InvalidName, size }
            }
            Err(ExtensionError::Name { verb, error, size: None }) if error.is_refused() => {
                Request::Bad { verb, refusal: Refusal::InvalidName }
            }
            Err(ExtensionError::Name { verb, size: None, .. }) => Request::Bad { verb, refusal: Refusal::Missing },
            // No file has that size.
            Err(ExtensionError::Size { verb }) => Request::Bad { verb, refusal: Refusal::Changed },
        }
    }

    fn capabilities(&self, compression: Compression) -> Capabilities {
        let all = Capabilities::all();
        let all = if self.offers(compression) { all } else { all.without(Capability::Deflate) };
        let all = all.at(self.clock.and_then(|clock| clock()));
        if self.insecure { all } else { all.without(Capability::List).without(Capability::Drop) }
    }

    /// Whether a connection that is, or is not, compressed may be from now on.
    fn offers(&self, compression: Compression) -> bool {
        self.compression && compression == Compression::Off
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
        Self {
            password: None,
            insecure: false,
            max_size: DEFAULT_MAX_SIZE,
            extension: false,
            compression: false,
            clock: None,
        }
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
    Capabilities(Capabilities),
    Compression,
    Page {
        word: ListArg,
        after: Option<Cursor>,
        limit: Option<u64>,
    },
    Drop {
        name: FileName,
        size: u64,
        hash: ContentHash,
    },
    Put {
        name: FileName,
        size: u64,
        condition: Condition,
    },
    /// Not done; the body that follows is read past, and the session goes on.
    Discard {
        verb: Verb,
        refusal: Refusal,
        size: u64,
    },
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
