//! The programs, made of the other modules' parts.

pub mod collect;
pub mod syncd;
