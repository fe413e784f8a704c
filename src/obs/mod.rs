//! What an operator gets to see.

mod log;
mod repeats;

pub use log::{LogTarget, start_log, start_log_to};
pub use repeats::Repeats;
