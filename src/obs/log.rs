//! The log: one line an event, on standard error, where systemd and every supervisor expect it, or in a file.

use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{Config, ConfigBuilder, WriteLogger};

use super::journal::{JournalLog, stderr_is_journal};
use super::status_line::StatusLine;
use crate::proto::{printable, quoted};

/// Starts logging to standard error: to systemd's journal with the priority of each line, elsewhere with its time.
///
/// # Errors
/// A log has been started already.
pub fn start_log(level: LevelFilter) -> Result<LogTarget, log::SetLoggerError> {
    let target = LogTarget::default();
    if stderr_is_journal() {
        start_with(level, JournalLog::new(level))?;
    } else {
        let line = target.status_line.clone();
        start_with(level, writer(level, line.over(io::stderr())))?;
    }
    Ok(target)
}

/// Starts logging to a file, or to standard error where there is none.
///
/// # Errors
/// The file cannot be opened; or a log has been started already.
pub fn start_log_to(level: LevelFilter, path: Option<&Path>) -> io::Result<LogTarget> {
    let Some(path) = path else { return start_log(level).map_err(io::Error::other) };
    let target = LogTarget::default();
    let log = LogFile { path: path.to_owned(), file: open(path)?, stale: Arc::clone(&target.stale) };
    start_with(level, writer(level, log)).map_err(io::Error::other)?;
    Ok(target)
}

fn start_with(level: LevelFilter, log: impl Log + 'static) -> Result<(), log::SetLoggerError> {
    log::set_boxed_logger(Box::new(OneLineEach(log)))?;
    log::set_max_level(level);
    Ok(())
}

fn writer<W: Write + Send + 'static>(level: LevelFilter, out: W) -> Box<WriteLogger<LineWriter<W>>> {
    WriteLogger::new(level, config(), whole_lines(out))
}

/// Makes each record one line of what shows, whatever a peer, a file or a library put into it.
struct OneLineEach<L>(L);

impl<L: Log> Log for OneLineEach<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = printable(&record.args().to_string());
            let metadata = record.metadata().clone();
            self.0.log(&Record::builder().metadata(metadata).args(format_args!("{text}")).build());
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// The logger writes a line in some twenty pieces: they leave as one, which is one system call, and no other program's
/// words come in between.
fn whole_lines<W: Write>(log: W) -> LineWriter<W> {
    LineWriter::new(log)
}

fn config() -> Config {
    let mut config = ConfigBuilder::new();
    config.set_time_format_rfc3339().set_target_level(LevelFilter::Off).set_thread_level(LevelFilter::Off);
    config.set_location_level(LevelFilter::Off).build()
}

/// Where the log goes.
#[derive(Clone, Debug, Default)]
pub struct LogTarget {
    stale: Arc<AtomicBool>,
    status_line: StatusLine,
}

impl LogTarget {
    /// A line on the terminal that log lines do not mix with.
    pub fn status_line(&self) -> StatusLine {
        self.status_line.clone()
    }

    /// Opens the log's file anew before the next line: log rotation has moved it away.
    pub fn reopen(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }
}

/// A file that can be moved away while it is written to.
struct LogFile {
    path: PathBuf,
    file: File,
    stale: Arc<AtomicBool>,
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stale.swap(false, Ordering::Relaxed) {
            match open(&self.path) {
                Ok(file) => self.file = file,
                // Whoever looks for the new file finds none, and this in the old one.
                Err(error) => writeln!(
                    self.file,
                    "[WARN] {}: cannot be opened anew: {error}; the log goes on in the file it was",
                    quoted(&self.path)
                )?,
            }
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log_to(path: &Path) -> (LogTarget, LineWriter<LogFile>) {
        let target = LogTarget::default();
        let log = LogFile { path: path.to_owned(), file: open(path).unwrap(), stale: Arc::clone(&target.stale) };
        (target, whole_lines(log))
    }

    #[test]
    fn a_rotated_log_goes_on_in_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("log"), dir.path().join("log.1"));
        let (target, mut log) = log_to(&path);
        writeln!(log, "one").unwrap();
        fs::rename(&path, &rotated).unwrap();
        writeln!(log, "two").unwrap();
        target.reopen();
        writeln!(log, "three").unwrap();
        assert_eq!(fs::read_to_string(rotated).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "three\n");
    }

    #[test]
    fn a_record_is_one_line_of_what_shows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let logger = OneLineEach(WriteLogger::new(LevelFilter::Info, config(), log_to(&path).1));
        let text = "site=a peer said: b\n[WARN] site=forged\r\u{85}\u{2028}\x1b[2J\u{9b}31m\u{202e}";
        logger.log(&Record::builder().level(log::Level::Warn).args(format_args!("{text}")).build());
        let written = fs::read_to_string(path).unwrap();
        let shown = r"site=a peer said: b\n[WARN] site=forged\r\u{85}\u{2028}\x1b[2J\u{9b}31m\u{202e}";
        assert!(written.ends_with(&format!("[WARN] {shown}\n")) && written.lines().count() == 1, "{written}");
    }

    #[test]
    fn a_log_that_cannot_be_opened_anew_goes_on_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, moved) = (dir.path().join("inside"), dir.path().join("moved"));
        fs::create_dir(&inside).unwrap();
        let (target, mut log) = log_to(&inside.join("log"));
        fs::rename(&inside, &moved).unwrap();
        target.reopen();
        writeln!(log, "one").unwrap();
        let written = fs::read_to_string(moved.join("log")).unwrap();
        assert!(written.contains("inside/log: cannot be opened anew: No such file"), "{written}");
        assert!(written.ends_with("was\none\n"), "{written}");
    }
}
