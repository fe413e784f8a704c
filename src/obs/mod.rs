//! What an operator gets to see.

mod journal;
mod log;
mod output;
mod repeats;
mod status_line;

pub use log::{LogTarget, start_log, start_log_to};
pub use output::{Output, OutputError, complain};
pub use repeats::Repeats;
pub use status_line::StatusLine;
