//! The programs, made of the other modules' parts.

pub mod client;
pub mod collect;
mod limits;
mod output;
mod passphrase;
mod proxy;
pub mod server;
pub mod syncd;
