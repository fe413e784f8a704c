//! What an operator gets to see.

mod count;
mod log;
mod throttle;

pub use count::Count;
pub use log::{LogTarget, start_log, start_log_to};
pub use throttle::{LogThrottle, Recovery, repeated};
