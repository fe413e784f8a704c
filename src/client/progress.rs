//! How far a large file is, on a terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

/// Nobody reads faster.
const EVERY: Duration = Duration::from_millis(200);

/// The width of a terminal that does not report one, in columns.
const WIDTH: usize = 80;

/// A name that has to be cut keeps as much, in columns, if figures can make room for it.
const NAME: usize = 12;

/// What the speed of the last moment counts in the one that is shown.
const WEIGHT: f64 = 0.2;

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
    drawn: Option<Drawn>,
}

/// How things stood when the line was drawn last.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    at: Instant,
    done: u64,
    /// Bytes a second; `None` at first.
    speed: Option<f64>,
}

impl Progress {
    pub(super) fn shown(name: &str, total: u64) -> Self {
        let name = name.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
        Self::Shown(Line { name, total, done: 0, drawn: None })
    }

    /// So many more bytes have passed.
    pub(super) fn advance(&mut self, count: u64, now: Instant) {
        if let Self::Shown(line) = self
            && line.advance(count, now)
        {
            let width = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
            // A terminal goes to the next line once the last column is filled.
            draw(&line.text(if width == 0 { WIDTH } else { width } - 1));
        }
    }
}

impl Line {
    /// Whether it is time to draw it.
    fn advance(&mut self, count: u64, now: Instant) -> bool {
        self.done += count;
        let speed = match self.drawn {
            None => None,
            Some(last) => {
                let passed = now.saturating_duration_since(last.at);
                if passed < EVERY && self.done < self.total {
                    return false;
                }
                last.speed_after(self.done - last.done, passed)
            }
        };
        self.drawn = Some(Drawn { at: now, done: self.done, speed });
        true
    }

    /// In at most so many columns: what matters least is left out first.
    fn text(&self, width: usize) -> String {
        let mut figures = self.figures();
        let least = columns(&self.name).min(NAME);
        while figures.len() > 1 && least + figures.iter().map(|figure| 2 + columns(figure)).sum::<usize>() > width {
            figures.pop();
        }
        let figures = figures.join("  ");
        match width.checked_sub(2 + columns(&figures)) {
            Some(room) if room >= least => format!("{}  {figures}", cut(&self.name, room)),
            _ => cut(&figures, width),
        }
    }

    /// What matters most comes first.
    fn figures(&self) -> Vec<String> {
        let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        let mut figures = vec![format!("{percent:>3} %"), format!("{} of {}", size(self.done), size(self.total))];
        if let Some(speed) = self.drawn.and_then(|drawn| drawn.speed) {
            figures.push(format!("{}/s", size(whole(speed))));
            let left = self.total.saturating_sub(self.done);
            if left > 0 && speed >= 1.0 {
                figures.push(format!("{} left", time(whole(as_float(left) / speed))));
            }
        }
        figures
    }
}

impl Drawn {
    /// The speed after `count` more bytes.
    fn speed_after(self, count: u64, passed: Duration) -> Option<f64> {
        if passed.is_zero() {
            return self.speed;
        }
        let latest = as_float(count) / passed.as_secs_f64();
        Some(self.speed.map_or(latest, |before| before + (latest - before) * WEIGHT))
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

/// How wide a text is, at most: what is not ASCII may take two columns.
fn columns(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(char: char) -> usize {
    if char.is_ascii() { 1 } else { 2 }
}

fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut kept, mut left) = (String::new(), width.saturating_sub(3));
    for char in text.chars() {
        let Some(after) = left.checked_sub(width_of(char)) else { break };
        kept.push(char);
        left = after;
    }
    kept + &"..."[..width.min(3)]
}

fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x10_0000 => return format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => (20, "MiB"),
        0x4000_0000..0x100_0000_0000 => (30, "GiB"),
        _ => (40, "TiB"),
    };
    let tenths = (u128::from(bytes) * 10) >> unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

fn time(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with four digits")]
fn as_float(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and saturates")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn line(name: &str, done: u64, total: u64, speed: Option<f64>) -> Line {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let at = Instant::now();
        Line { name: name.into(), total, done, drawn: Some(Drawn { at, done, speed }) }
    }

    #[test]
    fn a_line_says_how_far_it_is_how_fast_and_how_long_it_will_take() {
        let speed = Some(as_float(12 * MIB + MIB / 2));
        let text = |done| line("a.data", done, 1000 * MIB, speed).text(79);
        assert_eq!(text(0), "a.data    0 %  0 KiB of 1000.0 MiB  12.5 MiB/s  1:20 left");
        assert_eq!(text(500 * MIB), "a.data   50 %  500.0 MiB of 1000.0 MiB  12.5 MiB/s  0:40 left");
        let first = line("a.data", 5 * MIB, 10 * MIB, None);
        assert_eq!(first.text(79), "a.data   50 %  5.0 MiB of 10.0 MiB");
        let stalled = line("a.data", 5 * MIB, 10 * MIB, Some(0.0));
        assert_eq!(stalled.text(79), "a.data   50 %  5.0 MiB of 10.0 MiB  0 KiB/s");
    }

    #[test]
    fn a_line_fits_into_any_width() {
        let line = line("web01.a-long-name.1700000000.data", 500 * MIB, 1000 * MIB, Some(as_float(MIB)));
        for width in 0..120 {
            assert!(columns(&line.text(width)) <= width, "{width}: {:?}", line.text(width));
        }
        assert_eq!(line.text(66), "web01.a-l...   50 %  500.0 MiB of 1000.0 MiB  1.0 MiB/s  8:20 left");
        assert_eq!(line.text(45), "web01.a-lo...   50 %  500.0 MiB of 1000.0 MiB");
        assert_eq!(line.text(40), "web01.a-long-name.1700000000.data   50 %");
        assert_eq!(line.text(30), "web01.a-long-name.17...   50 %");
        assert_eq!(line.text(6), " 50 %");
    }

    #[test]
    fn a_name_cannot_command_the_terminal_and_may_be_wide() {
        let progress = Progress::shown("a\x1b[2J\n.data", 10);
        let Progress::Shown(shown) = &progress else { panic!("it is shown") };
        assert_eq!(shown.name, "a?[2J?.data");
        let wide = line(&"測".repeat(40), 5, 10, None);
        assert!(columns(&wide.text(79)) <= 79, "{}", wide.text(79));
    }

    #[test]
    fn a_line_is_drawn_at_first_every_so_often_and_in_the_end() {
        let mut line = line("a.data", 0, 1000, None);
        let start = line.drawn.take().unwrap().at;
        assert!(line.advance(100, start));
        assert!(!line.advance(100, start + EVERY / 2));
        assert!(line.advance(100, start + EVERY));
        assert_eq!(line.drawn.unwrap().speed, Some(1000.0));
        assert!(line.advance(700, start + EVERY));
        assert_eq!(line.drawn.unwrap().speed, Some(1000.0));
    }

    #[test]
    fn sizes_have_a_digit_behind_the_point() {
        for (bytes, text) in
            [(0, "0 KiB"), (MIB - 1, "1023 KiB"), (MIB, "1.0 MiB"), (3 << 29, "1.5 GiB"), (u64::MAX, "16777215.9 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
        assert_eq!((time(59), time(3600 + 61)), ("0:59".to_owned(), "1:01:01".to_owned()));
    }
}
