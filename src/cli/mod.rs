//! What the programs do with a command line: each module's `main` is a program.

pub mod client;
mod limits;
pub mod server;
pub mod syncd;
mod user;
