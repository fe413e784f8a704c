//! The log: one line an event, on standard error, where systemd and every supervisor expect it, or in a file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::unistd::{Gid, Group, Uid, User};
use simplelog::{Config, ConfigBuilder, WriteLogger};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::journal::{JournalLog, stderr_is_journal};
use super::json_log::{JsonLog, LogFormat};
use super::log_rate::{LogRate, OF_DROPPED};
use super::log_writer::{Lines, LogWriter};
use super::output::complain;
use super::status_line::StatusLine;
use crate::budget::LOG_RATE;
use crate::file::{self, Missing, Owner};
use crate::proto::{printable, quoted};

/// The target of what is logged as [`log::Level::Info`] and shows whatever the log's level is, unless the log is off: an
/// operator has asked for it, such as by a signal.
pub const ASKED_FOR: &str = "asked for";

/// Starts logging to standard error: to systemd's journal with the priority of each line, elsewhere with its time. Lines
/// of `usual`, and what is worth more than these, have a common limit.
///
/// # Errors
/// A log has been started already.
pub fn start_log(level: LevelFilter, usual: LevelFilter, format: LogFormat) -> Result<LogTarget, log::SetLoggerError> {
    let (stale, status_line) = <(Arc<AtomicBool>, StatusLine)>::default();
    let is_journal = stderr_is_journal();
    let writer = if is_journal {
        LogWriter::new(StandardError)
    } else {
        LogWriter::new(status_line.clone().over(StandardError, io::stderr().is_terminal()))
    };
    let target = LogTarget { stale, status_line, writer, rate: Arc::new(LogRate::new(usual)) };
    target.start(level, is_journal, format)?;
    Ok(target)
}

/// Starts logging to a file, or to standard error where there is none. A file that is not there is created for `owner`.
///
/// # Errors
/// The file cannot be opened; or a log has been started already.
pub(crate) fn start_log_to(
    level: LevelFilter,
    usual: LevelFilter,
    path: Option<&Path>,
    owner: Option<Owner>,
) -> io::Result<LogTarget> {
    let Some(path) = path else {
        return start_log(level, usual, LogFormat::Text).map_err(io::Error::other);
    };
    let (stale, status_line) = <(Arc<AtomicBool>, StatusLine)>::default();
    let log = LogFile { path: path.to_owned(), file: open(path, owner)?, stale: Arc::clone(&stale) };
    let target = LogTarget { stale, status_line, writer: LogWriter::new(log), rate: Arc::new(LogRate::new(usual)) };
    target.start(level, false, LogFormat::Text).map_err(io::Error::other)?;
    Ok(target)
}

/// Waits until what was logged is written, for half a second at most. At the end of the program.
pub fn finish_log() {
    log::logger().flush();
}

/// The time of a line, as RFC 3339 writes it, always of the same length.
pub(super) const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// What a line has beside its text, in bytes: the time, the level, the line's end.
const PREFIX: usize = "2006-01-02T15:04:05.999Z [ERROR] \n".len();

/// Makes each record one line of what shows, whatever a peer, a file or a library put into it.
struct OneLineEach<L> {
    level: LevelFilter,
    log: L,
    rate: Arc<LogRate>,
    writer: LogWriter,
}

impl<L: Log> Log for OneLineEach<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.log.enabled(metadata) && (metadata.level() <= self.level || metadata.target() == ASKED_FOR)
    }

    #[expect(clippy::disallowed_methods, reason = "whoever logs has no time to give")]
    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = printable(&record.args().to_string());
        if self.rate.admits(record, PREFIX + text.len(), Instant::now()) {
            let metadata = record.metadata().clone();
            self.log.log(&Record::builder().metadata(metadata).args(format_args!("{text}")).build());
        }
    }

    fn flush(&self) {
        report_dropped(&self.rate, &self.writer);
        self.writer.finish();
    }
}

/// Logs how many lines are missing, where some are.
fn report_dropped(rate: &LogRate, writer: &LogWriter) {
    let (dropped, unwritten) = (rate.take_dropped(), writer.take_dropped());
    if dropped > 0 {
        let most = LOG_RATE / 1024;
        log::warn!(target: OF_DROPPED, "reason=log-rate more was to be logged than {most} KiB/s; dropped={dropped}");
    }
    if unwritten > 0 {
        log::warn!(target: OF_DROPPED, "reason=log-blocked the log could not be written in time; dropped={unwritten}");
    }
}

fn config() -> Config {
    let mut config = ConfigBuilder::new();
    config.set_time_format_custom(TIME).set_target_level(LevelFilter::Off).set_thread_level(LevelFilter::Off);
    config.set_location_level(LevelFilter::Off).build()
}

/// Where the log goes.
#[derive(Clone)]
pub struct LogTarget {
    stale: Arc<AtomicBool>,
    status_line: StatusLine,
    writer: LogWriter,
    rate: Arc<LogRate>,
}

impl LogTarget {
    fn start(&self, level: LevelFilter, is_journal: bool, format: LogFormat) -> Result<(), log::SetLoggerError> {
        let lines = Lines::to(self.writer.clone());
        let most = if level == LevelFilter::Off { level } else { level.max(LevelFilter::Info) };
        let log: Box<dyn Log> = match format {
            LogFormat::Json => Box::new(JsonLog::new(most, lines, is_journal)),
            LogFormat::Text if is_journal => Box::new(JournalLog::new(most, lines)),
            LogFormat::Text => WriteLogger::new(most, config(), lines),
        };
        let (rate, writer) = (Arc::clone(&self.rate), self.writer.clone());
        log::set_boxed_logger(Box::new(OneLineEach { level, log, rate, writer }))?;
        log::set_max_level(most);
        Ok(())
    }

    /// Has a thread write the log from now on: then a thread that logs never waits for the log's reader. A process that
    /// is still to go to the background does so before. Should that thread panic, the program ends with exit status
    /// `failure`, for a service manager to start it anew.
    ///
    /// If no thread can be started, the thread that logs writes, as before.
    pub fn write_in_background(&self, failure: u8) {
        let (rate, writer) = (Arc::clone(&self.rate), self.writer.clone());
        // What needs no thread reports a failure in its own words.
        let report = move || report_dropped(&rate, &writer);
        let panicked = move || {
            complain(Level::Error, "the thread that writes the log has panicked: the program ends");
            process::exit(failure.into());
        };
        self.writer.start(report, panicked).ok();
    }

    /// A line on the terminal that log lines do not mix with.
    pub fn status_line(&self) -> StatusLine {
        self.status_line.clone()
    }

    /// Opens the log's file anew before the next line: log rotation has moved it away.
    pub fn reopen(&self) {
        let stale = Arc::clone(&self.stale);
        self.writer.then(move || stale.store(true, Ordering::Relaxed));
    }
}

/// Standard error without the lock that whoever has words on it takes: the log may have to wait there.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
            match open(&self.path, None) {
                Ok(file) => self.file = file,
                // Another process that looks for the new file finds none, and this in the old one.
                Err(error) => writeln!(
                    self.file,
                    "[WARN] {}: cannot be opened anew: {error}{}; the log goes on in the file it was",
                    quoted(&self.path),
                    reopen_advice(&error)
                )?,
            }
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path, owner: Option<Owner>) -> io::Result<File> {
    file::append_to(path, Missing::Create(owner))
}

/// The user who opens the log anew may be another than the one who opened it first.
fn reopen_advice(error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let group = Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
    format!(" for user {user}: have logrotate create the file for it (create 0660 {user} {group})")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log_to(path: &Path) -> (Arc<AtomicBool>, LogWriter, Lines) {
        let stale = Arc::new(AtomicBool::new(false));
        let log = LogFile { path: path.to_owned(), file: open(path, None).unwrap(), stale: Arc::clone(&stale) };
        let writer = LogWriter::new(log);
        (stale, writer.clone(), Lines::to(writer))
    }

    #[test]
    fn a_rotated_log_goes_on_in_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("log"), dir.path().join("log.1"));
        let (stale, _, mut log) = log_to(&path);
        writeln!(log, "one").unwrap();
        fs::rename(&path, &rotated).unwrap();
        writeln!(log, "two").unwrap();
        stale.store(true, Ordering::Relaxed);
        writeln!(log, "three").unwrap();
        assert_eq!(fs::read_to_string(rotated).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "three\n");
    }

    #[test]
    fn a_record_is_one_line_of_what_shows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (_, writer, lines) = log_to(&path);
        let rate = Arc::new(LogRate::new(LevelFilter::Info));
        let level = LevelFilter::Info;
        let logger = OneLineEach { level, log: WriteLogger::new(level, config(), lines), rate, writer };
        let text = "site=a peer said: b\n[WARN] site=forged\r\u{85}\u{2028}\x1b[2J\u{9b}31m\u{202e}";
        logger.log(&Record::builder().level(Level::Warn).args(format_args!("{text}")).build());
        let written = fs::read_to_string(path).unwrap();
        let shown = r"site=a peer said: b\n[WARN] site=forged\r\u{85}\u{2028}\x1b[2J\u{9b}31m\u{202e}";
        assert!(written.ends_with(&format!("[WARN] {shown}\n")) && written.lines().count() == 1, "{written}");
    }

    #[test]
    fn a_log_that_cannot_be_opened_anew_goes_on_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, moved) = (dir.path().join("inside"), dir.path().join("moved"));
        fs::create_dir(&inside).unwrap();
        let (stale, _, mut log) = log_to(&inside.join("log"));
        fs::rename(&inside, &moved).unwrap();
        stale.store(true, Ordering::Relaxed);
        writeln!(log, "one").unwrap();
        let written = fs::read_to_string(moved.join("log")).unwrap();
        assert!(written.contains("inside/log: cannot be opened anew: No such file"), "{written}");
        assert!(written.ends_with("was\none\n"), "{written}");
    }
}
