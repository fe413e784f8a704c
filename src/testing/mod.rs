//! What tests, benches and the demo use, and nothing else: in a program built without the feature `demo` there is none
//! of it.
//!
//! More test support lies where it needs what is private there: [`crate::tls::test_pki`] and `tls::testing` make
//! certificates and handshakes, `store::model` is a disk that fails, `server::test_server` a server on that disk, and
//! `collector::sim` the simulation of all of it.

mod archive;
pub mod fake_server;
mod in_process_server;
#[cfg(test)]
pub(crate) mod refused_calls;

#[cfg(test)]
pub(crate) use archive::stock_archive;
pub use in_process_server::InProcessServer;
