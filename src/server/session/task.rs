//! What a session has under way for its client.

use std::time::Instant;

use super::download::Download;
use super::extension::{Hashing, PageArgs};
use super::upload::Upload;
use crate::net::CompressionPlace;
use crate::proto::extension::ContentHash;
use crate::proto::{FileName, ListArg, Verb};
use crate::store::{Identity, PendingRemovals, StorageDir, Wanted};

/// What is under way.
#[derive(Debug)]
pub(super) enum Task {
    Idle,
    Uploading(Upload),
    Unpacking {
        name: FileName,
        _wanted: Wanted,
    },
    Storing {
        name: FileName,
        size: u64,
        /// Whether it may replace one file alone.
        replaces: bool,
    },
    Packing {
        name: FileName,
        _wanted: Wanted,
    },
    Listing {
        _wanted: Wanted,
        /// For `LIST`.
        page: Option<(StorageDir, PageArgs)>,
    },
    /// The file is hashed, to be compared.
    Hashing {
        purpose: Hashing,
        _wanted: Wanted,
    },
    /// Until removals that were pending when something was asked are done: a file that was reported as gone must not
    /// come back. Or until another client has shown that it has what this one would be moved, or is gone.
    Waiting {
        awaited: Awaited,
        asked: Asked,
        until: Instant,
    },
    Downloading(Download),
    /// The consent is written.
    Compressing(CompressionPlace),
}

/// What a client has asked for.
#[derive(Debug)]
pub(super) enum Asked {
    File { verb: Verb, name: FileName },
    Listing { word: ListArg },
    Page { word: ListArg, args: PageArgs },
    Drop { name: FileName, size: u64, hash: ContentHash },
}

/// What an answer waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    Removals(PendingRemovals),
    /// Another client is being moved the file.
    Mover(Identity),
}
