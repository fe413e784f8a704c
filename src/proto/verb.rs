//! The words commands and replies begin with.

use std::fmt;

/// What a command asks for, and what its replies and answers begin with; shown as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `PASS`: log in with a password digest.
    Pass,
    /// `LS`: list a directory.
    Ls,
    /// `RECV`: fetch a copy of a file.
    Recv,
    /// `ZRECV`: fetch a copy of a file inside a ZIP archive.
    Zrecv,
    /// `MV`: fetch a file and delete it at the server.
    Mv,
    /// `SEND`: store a file.
    Send,
    /// `ZSEND`: store a file sent inside a ZIP archive.
    Zsend,
    /// `CAPS`: what is asked with `RECV <?caps>`; of the [extension](super::extension), as the rest.
    Caps,
    /// `GET`: fetch a copy of a file at once.
    Get,
    /// `LIST`: list a page of a directory.
    List,
    /// `DROP`: remove a file whose bytes are known.
    Drop,
    /// `PUT`: store a file at once.
    Put,
    /// `DEFLATE`: compress what follows.
    Deflate,
}

impl Verb {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Ls => "LS",
            Self::Recv => "RECV",
            Self::Zrecv => "ZRECV",
            Self::Mv => "MV",
            Self::Send => "SEND",
            Self::Zsend => "ZSEND",
            Self::Caps => "CAPS",
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Drop => "DROP",
            Self::Put => "PUT",
            Self::Deflate => "DEFLATE",
        }
    }

    /// What follows this verb and one space in `line`.
    pub(super) fn strip_from(self, line: &[u8]) -> Option<&[u8]> {
        line.strip_prefix(self.as_str().as_bytes())?.strip_prefix(b" ")
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
