//! The collector and its program.

pub mod collect;
pub mod syncd;
