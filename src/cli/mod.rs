//! What the programs do with a command line: each module's `main` is a program.

pub mod client;
pub(crate) mod limits;
pub mod server;
pub(crate) mod user;
