//! What an operator gets to see.

mod agent_file;
mod expiry_log;
mod journal;
mod json_log;
mod log;
mod log_rate;
mod log_writer;
mod metrics;
mod output;
pub(crate) mod service_manager;
mod status_line;
mod throttle;

pub use agent_file::{AgentFile, Module, Thresholds, Value};
pub(crate) use expiry_log::{ExpiryLog, Shown};
pub use json_log::LogFormat;
pub(crate) use log::start_log_to;
pub use log::{ASKED_FOR, LogTarget, finish_log, start_log};
pub use metrics::{metrics, server_metrics};
pub use output::{Output, OutputError, complain, print};
pub use service_manager::Watchdog;
pub use status_line::StatusLine;
pub use throttle::{LogThrottle, Recovery, repeated};
