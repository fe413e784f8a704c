//! The Tentacle wire protocol, without I/O and without a clock.
//!
//! A connection carries commands and replies, which are lines ended by one `\n`, and bodies of an announced size.
//! [`Client`] and [`Server`] are the state machines of the two sides. They share their parts: [`Command`] and
//! [`Answer`] are what a client sends, [`Reply`] is what a server sends, and [`LineBuffer`] takes either out of the
//! stream.
//!
//! What ours say to each other beyond stock's commands is specified in [`extension`].

mod ahead_client;
mod auth;
mod client;
mod command;
mod count;
mod error;
mod excerpt;
pub mod extension;
mod fingerprint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod line;
mod listing;
mod md5_sum;
mod name;
mod quote;
mod reply;
mod secret;
pub mod server;
mod size;
mod transmit_buffer;
mod verb;
pub mod zip;

pub use ahead_client::AheadClient;
pub use auth::PasswordDigest;
pub use client::{Client, Event, Want};
pub use command::{Answer, Command, CommandError, ListArg, Request};
pub use count::Count;
pub use error::Error;
pub use excerpt::Excerpt;
use excerpt::excerpt_of_reply;
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use line::{LineBuffer, LineTooLong, MAX_LINE, Received};
pub use listing::{Listing, ListingParser, Names, RefusedEntry};
pub use md5_sum::{Md5Hasher, Md5Sum};
pub(crate) use name::{COLLECTOR_MARK, COLLECTOR_STAGING, SERVER_STAGING, is_collector_mark, is_reserved};
pub use name::{FileName, NameError, RawName};
pub use quote::{Quoted, printable, quoted, shown, shows};
pub use reply::{Refusal, Reply, ReplyError};
pub use secret::Secret;
pub use server::Server;
pub use size::MAX_SIZE;
pub use verb::Verb;
