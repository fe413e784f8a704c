//! What an operator gets to see.

mod repeats;

pub use repeats::Repeats;
