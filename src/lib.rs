//! A guided tour.
//!
//! `tentacle-sync` collects the files that monitoring agents leave at Tentacle servers inside isolated
//! networks. Every connection starts here, at the centre.
//!
//! - [`proto`]: the wire protocol. Pure: bytes in, bytes and events out; no I/O, no clock.
//! - [`sync`]: what to do next: one site's round, and when the next one is due. Pure as well.
//! - [`tls`]: certificates, verification policies and the [`tls::Pipe`] that hides whether a connection is encrypted.
//!   The only user of rustls.
//! - [`net`]: the readiness loop: connections, deadlines, name resolution, proxies, signals. Never sees a path.
//! - [`store`]: the spool: staging, group commit, publishing, the journal. Never sees a socket.
//! - [`config`]: files and command lines, read into plain option structs.
//! - [`obs`]: what an operator gets to see.
//! - [`role`]: the programs, made of the parts above.
//!
//! The arrows go `bin → role → {net, store, config, obs}` and `net → tls`; everyone may use the plain types of
//! [`proto`].

pub mod config;
pub mod double;
pub mod net;
pub mod obs;
pub mod proto;
pub mod role;
pub mod store;
pub mod sync;
mod sys;
pub mod tls;
