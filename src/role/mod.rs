//! The programs, made of the other modules' parts.

pub mod collect;
pub mod server;
pub mod syncd;
