//! What a session waits for, and what has happened in it.

#[cfg(doc)]
use super::{Policy, Server};
use crate::proto::extension::{Condition, ContentHash, Cursor};
use crate::proto::{Excerpt, FileName, ListArg, Refusal, Verb};

/// What a [`Server`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Bytes of the client's, for [`Server::handle_input`]; it takes none before [`Server::transmit`] is written.
    Line,
    /// What the last event asks for: [`Server::accept`], [`Server::stored`], [`Server::announce`] or [`Server::refuse`], and
    /// what these are in the extension. Or a command waits for the `DROP`s before it: [`Server::dropped`].
    Decision,
    /// So many more bytes from the client, for the caller's sink; never 0.
    Body(u64),
    /// So many more bytes to the client, from the caller's source; never 0.
    Supply(u64),
    /// The last byte of a moved body to be written to the connection, and then [`Server::body_flushed`].
    Flush,
    /// [`Server::transmit`] to be written to the connection, and then [`Server::compressed`].
    Compression,
    /// The connection to be closed, once [`Server::transmit`] is written.
    Closed,
}

/// What has happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client has the right password.
    PasswordAccepted,
    /// `SEND` or `ZSEND`: the client has a body for us. [`Server::accept`] or [`Server::refuse`].
    Offered {
        /// Which of them.
        verb: Verb,
        /// The file's name.
        name: FileName,
        /// Bytes, 1 to [`Policy::max_size`]; of the archive with `ZSEND`.
        size: u64,
    },
    /// The last byte of the body was reported. [`Server::stored`], once it is durable, or [`Server::refuse`].
    BodyComplete {
        /// What was asked.
        verb: Verb,
    },
    /// `RECV`, `ZRECV` or `MV`: the client asks for a file. [`Server::announce`] or [`Server::refuse`]. `GET`: it asks for one
    /// at once. [`Server::give_file`] or [`Server::refuse`].
    Asked {
        /// Which of them.
        verb: Verb,
        /// The file's name.
        name: FileName,
    },
    /// `LS`: the client asks for a listing. [`Server::announce`] or [`Server::refuse`].
    ListAsked {
        /// What the filters turn into a directory.
        word: ListArg,
    },
    /// `LIST`: the client asks for a page of a list. [`Server::give_page`] or [`Server::refuse`].
    PageAsked {
        /// What the filters turn into a directory.
        word: ListArg,
        /// What the page is to begin behind.
        after: Option<Cursor>,
        /// The most files it is to have.
        limit: Option<u64>,
    },
    /// `DROP`: the file is to be removed if it has these bytes. [`Server::dropping`] or [`Server::refuse`].
    DropAsked {
        /// The file's name.
        name: FileName,
        /// Bytes.
        size: u64,
        /// What they hash to.
        hash: ContentHash,
    },
    /// `PUT`: the client sends a body. [`Server::accept`], or [`Server::refuse`], which is answered once it is read past.
    PutOffered {
        /// The file's name.
        name: FileName,
        /// Bytes, 1 to [`Policy::max_size`].
        size: u64,
        /// When it is to be stored.
        condition: Condition,
    },
    /// `DEFLATE`: the client asks for compression. [`Server::consent`] or [`Server::refuse`].
    CompressionAsked,
    /// The client wants the announced body.
    Accepted {
        /// What was asked.
        verb: Verb,
    },
    /// The client does not want the announced body.
    Declined {
        /// What was asked.
        verb: Verb,
    },
    /// The session itself has refused a command; there is nothing to do.
    Refused {
        /// What was asked.
        verb: Verb,
        /// What was answered.
        refusal: Refusal,
        /// The line.
        line: Excerpt,
    },
    /// The client has the body of every file it [`Accepted`](Self::Accepted) to be moved so far: the files may go.
    MovesConfirmed,
}
