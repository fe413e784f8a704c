//! The log: one line an event, on standard error, where systemd and every supervisor expect it.

use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};

/// Starts logging to standard error; under systemd, which stamps each line itself, without the time.
///
/// # Errors
/// A log has been started already.
pub fn start_log(level: LevelFilter) -> Result<(), log::SetLoggerError> {
    let mut config = ConfigBuilder::new();
    config.set_time_format_rfc3339().set_target_level(LevelFilter::Off).set_thread_level(LevelFilter::Off);
    config.set_location_level(LevelFilter::Off);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        config.set_time_level(LevelFilter::Off);
    }
    WriteLogger::init(level, config.build(), std::io::stderr())
}
