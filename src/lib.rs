//! A guided tour.
//!
//! `tentacle-sync` is both ends of a line into an isolated network. Inside, `tentacle_server` takes what monitoring agents
//! send, and keeps it; at the centre, where every connection starts, `tentacle-syncd` collects it.
//!
//! - [`proto`]: the wire protocol: a client's session and a server's. Pure: bytes in, bytes and events out; no I/O, no
//!   clock.
//! - [`sync`]: what to do next: one site's round, and when the next one is due. Pure as well.
//! - [`tls`]: certificates, verification policies and the [`tls::Stream`] that hides whether a connection is encrypted.
//!   The only user of rustls.
//! - [`net`]: the readiness loop: connections opened and accepted, deadlines, name resolution, proxies, signals. Never
//!   sees a path.
//! - [`store`]: the centre's spool: staging, group commit, publishing, the journal; and the server's storage: folders, the
//!   keeper, archives, the quota. Never sees a socket.
//! - `budget`: what peers together may make us hold.
//! - [`config`]: files and command lines, read into plain option structs.
//! - [`obs`]: what an operator gets to see.
//! - `client`: what `tentacle_client` does, one thing after the other.
//! - [`cli`]: what the programs do with a command line.
//! - [`server`]: what `tentacle_server` does.
//! - [`collector`]: what `tentacle-syncd` does.
//! - [`testing`]: what tests, benches and the demo use: an imitation of a stock server that misbehaves on demand, and our
//!   server on a thread.
//!
//! The arrows go `bin → cli → {collector, server, client} → {net, store, config, obs}` and `net → tls`; everyone may use the plain types of
//! [`proto`].

mod budget;
pub mod cli;
mod client;
pub mod collector;
pub mod config;
mod deadline;
mod file;
mod in_time;
mod mutex;
pub mod net;
pub mod obs;
mod passphrase;
pub mod proto;
pub mod server;
pub mod store;
pub mod sync;
mod sys;
#[cfg(any(test, feature = "demo"))]
pub mod testing;
mod text;
pub mod tls;
