//! The terminal: raw while this lives, and as it was before afterwards, whatever happens.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use super::model::Key;
use super::view::{Line, Style};

/// What came from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Key(Key),
    /// It has another size now.
    Redraw,
}

/// A terminal that is ours.
pub(super) struct Terminal {
    /// The signal that has come, if one has.
    signal: Arc<AtomicUsize>,
    has_colors: bool,
}

impl Terminal {
    /// Takes it over: its screen is put aside, and a panic puts it back before its message.
    pub(super) fn take() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
        }
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        // From here on, what fails puts it back.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = Self { signal, has_colors: !no_color };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, Hide)?;
        Ok(terminal)
    }

    pub(super) fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// Puts these lines on the screen, from its first one on, and nothing below.
    pub(super) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, Line { text, style }) in (0_u16..).zip(lines) {
            queue!(out, MoveTo(0, row), Clear(ClearType::UntilNewLine))?;
            self.begin(&mut out, *style)?;
            queue!(out, Print(text), SetAttribute(Attribute::Reset), ResetColor)?;
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// Without colours, what is to be seen is bold or inverse all the same.
    fn begin(&self, out: &mut impl Write, style: Style) -> io::Result<()> {
        let (attribute, color) = match style {
            Style::Plain => return Ok(()),
            Style::Bold => (Attribute::Bold, None),
            Style::Failing => (Attribute::Bold, Some(Color::Red)),
            Style::Odd => (Attribute::Bold, Some(Color::Yellow)),
            Style::Selected => (Attribute::Reverse, None),
            Style::Dim => (Attribute::Dim, None),
        };
        queue!(out, SetAttribute(attribute))?;
        match color.filter(|_| self.has_colors) {
            Some(color) => queue!(out, SetForegroundColor(color)),
            None => Ok(()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// As it was. A terminal that is gone needs none of it.
fn restore() {
    let _ = execute!(io::stdout(), ResetColor, Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// Columns and lines.
pub(super) fn screen_size() -> io::Result<(usize, usize)> {
    let (columns, lines) = size()?;
    Ok((columns.max(1).into(), lines.max(1).into()))
}

/// What comes within that time, if anything does that means something.
pub(super) fn input(within: Duration) -> io::Result<Option<Input>> {
    if !poll(within)? {
        return Ok(None);
    }
    Ok(match read()? {
        Event::Key(key) if key.kind != KeyEventKind::Release => meaning(key).map(Input::Key),
        Event::Resize(..) => Some(Input::Redraw),
        _ => None,
    })
}

fn meaning(key: KeyEvent) -> Option<Key> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if is_control => Key::Interrupt,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(character) => Key::Character(character),
        KeyCode::Backspace => Key::Erase,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Up => Key::Lines(-1),
        KeyCode::Down => Key::Lines(1),
        KeyCode::PageUp => Key::Pages(-1),
        KeyCode::PageDown => Key::Pages(1),
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::{Command, Stdio};

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "TERMINAL_PANICS";

    #[test]
    fn a_panic_puts_the_terminal_back_before_its_message() {
        if env::var_os(PANICS).is_some() {
            let _terminal = Terminal::take().unwrap();
            panic!("on purpose");
        }
        let name = "cli::syncd::control::top::terminal::tests::a_panic_puts_the_terminal_back_before_its_message";
        let program = env::current_exe().unwrap();
        // What the terminal is at afterwards is the last that is shown on it.
        let line = format!("{} --exact {name} --nocapture; stty -a", program.to_str().unwrap());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env(PANICS, "1").stdin(Stdio::null());
        let shown = String::from_utf8(script.output().expect("util-linux has script").stdout).unwrap();
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text:?} in {shown:?}"));
        assert!(at("\x1b[?1049h") < at("\x1b[?1049l") && at("\x1b[?1049l") < at("on purpose"), "{shown:?}");
        let settings: Vec<&str> = shown[at("speed ")..].split_whitespace().collect();
        assert!(settings.contains(&"icanon") && settings.contains(&"echo"), "{shown:?}");
    }
}
