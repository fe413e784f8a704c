//! What an operator gets to see.

mod log;
mod repeats;

pub use log::start_log;
pub use repeats::Repeats;
