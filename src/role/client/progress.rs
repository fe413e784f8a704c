//! How far a large file is, on a terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Nobody reads faster.
const EVERY: Duration = Duration::from_millis(200);

/// One line that is drawn over itself, and gone in the end.
#[derive(Debug)]
pub(super) enum Progress {
    Hidden,
    Shown(Line),
}

#[derive(Debug)]
pub(super) struct Line {
    name: String,
    total: u64,
    done: u64,
    /// `None` before the first time.
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn shown(name: String, total: u64) -> Self {
        Self::Shown(Line { name, total, done: 0, drawn: None })
    }

    /// So many more bytes have passed.
    pub(super) fn advance(&mut self, count: u64, now: Instant) {
        if let Self::Shown(line) = self {
            line.done += count;
            if line.drawn.is_none_or(|drawn| now.saturating_duration_since(drawn) >= EVERY) {
                line.drawn = Some(now);
                draw(&line.text());
            }
        }
    }
}

impl Line {
    fn text(&self) -> String {
        let mebibytes = |bytes: u64| bytes >> 20;
        let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        let Self { name, total, done, .. } = self;
        format!("{name}  {percent:>3} %  {} of {} MiB", mebibytes(*done), mebibytes(*total))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Shown(Line { drawn: Some(_), .. }) = self {
            draw("");
        }
    }
}

/// Replaces the line: to its beginning, and erase to its end.
fn draw(text: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "\r{text}\x1b[K").and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let line = |done, total| Line { name: "a.data".into(), total, done, drawn: None }.text();
        assert_eq!(line(0, 100 << 20), "a.data    0 %  0 of 100 MiB");
        assert_eq!(line(50 << 20, 100 << 20), "a.data   50 %  50 of 100 MiB");
        assert_eq!(line(u64::MAX, u64::MAX), format!("a.data  100 %  {0} of {0} MiB", u64::MAX >> 20));
    }
}
