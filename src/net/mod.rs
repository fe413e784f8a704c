//! The readiness loop: connections and their deadlines. It never sees a path, and it alone reads the clock.
//!
//! One turn ([`Net::poll_once`]): poll until the next deadline, read the clock once, merge what is ready into each
//! connection's readiness, bring connections that are not open yet a step further, expire deadlines, accept. What
//! concerns the caller comes back as [`Event`]s; an open connection is then used through [`Io`], which ends every turn
//! after a budget of bytes, so that no peer keeps the loop to itself. Which side began a connection ([`Net::open`] or
//! [`Net::listen`]) makes no difference once it is open. [`ClientDriver`], [`AheadDriver`] and [`PipelinedDriver`] are the client's side
//! of a session on one. Once a session has agreed on it, a connection's bytes are [compressed](Compressible). Clients of the control
//! socket are served beside the connections.

mod ahead_driver;
mod byte_stream;
mod client_driver;
mod compression;
mod conn;
mod failure;
mod io;
mod listener;
mod local;
mod pipelined_driver;
mod proxy;
mod reactor;
mod readiness;
mod resolve;
mod target;
#[cfg(test)]
mod tests;

pub use ahead_driver::AheadDriver;
pub use byte_stream::ByteStream;
pub use client_driver::{ClientDriver, DriverError};
pub(crate) use compression::Compression;
pub use compression::{CompressedBytes, Compressible, CompressionPlace};
pub use conn::ConnId;
pub use failure::{Failure, Phase};
pub(crate) use failure::{OPEN_MORE_FILES, lacks_files};
pub use io::{Io, Read};
pub use listener::{ListenerConfig, ListenerId, Presence};
pub use local::{LocalEvent, LocalId};
pub use pipelined_driver::PipelinedDriver;
pub use proxy::ProxyError;
pub use reactor::{Event, Net, date};
pub use target::{HttpVersion, Proxy, Target};

pub use crate::tls::FileSent;
