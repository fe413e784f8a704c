//! The collector and its program.

pub mod syncd;
