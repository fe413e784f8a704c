//! Lines for systemd's journal: it stamps each itself, and takes its priority from `<n>` before it, see sd-daemon(3).

use crate::mutex::lock;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::fs::fstat;

/// Whether standard error goes to the journal: `JOURNAL_STREAM` names its device and inode, see systemd.exec(5). What has
/// been redirected since goes elsewhere.
pub(super) fn stderr_is_journal() -> bool {
    let Ok(stat) = fstat(io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The lines of `text`, each with its priority.
pub(super) fn with_priority(level: Level, text: impl Display) -> String {
    let priority = match level {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
        Level::Debug | Level::Trace => "7",
    };
    text.to_string().lines().flat_map(|line| ["<", priority, ">", line, "\n"]).collect()
}

/// The log.
pub(super) struct JournalLog<W> {
    level: LevelFilter,
    out: Mutex<W>,
}

impl<W: Write> JournalLog<W> {
    pub(super) fn new(level: LevelFilter, out: W) -> Self {
        Self { level, out: Mutex::new(out) }
    }
}

impl<W: Write + Send> Log for JournalLog<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = with_priority(record.level(), format_args!("[{}] {}", record.level(), record.args()));
            // A failure to write cannot be reported anywhere.
            let _ = lock(&self.out).write_all(text.as_bytes());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_priority() {
        assert_eq!(with_priority(Level::Error, "one\ntwo"), "<3>one\n<3>two\n");
        assert_eq!(with_priority(Level::Warn, "one"), "<4>one\n");
        assert_eq!(with_priority(Level::Info, "one"), "<6>one\n");
        assert_eq!(with_priority(Level::Debug, "one"), "<7>one\n");
    }
}
