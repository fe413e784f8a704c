//! What the programs do with a command line: each module's `main` is a program.

pub mod client;
mod control;
mod limits;
mod screen;
pub mod server;
pub mod syncd;
mod user;
