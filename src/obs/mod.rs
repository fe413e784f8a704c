//! What an operator gets to see.

mod log;
mod throttle;

pub use log::{LogTarget, start_log, start_log_to};
pub use throttle::{LogThrottle, Recovery, repeated};
