//! `top`: the daemon and its sites at a glance, again and again.

mod model;
mod terminal;
mod view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

use signal_hook::low_level::emulate_default_handler;

use self::model::{Seen, Top};
use self::terminal::{Input, Terminal, input, screen_size};
use super::super::{Outcome, SUCCESS};
use super::args::TopArgs;
use super::daemon::DaemonClient;
use crate::cli::control::ControlError;
use crate::control::{Answer, Command};
use crate::panics::Panicked;

/// How long a key or an answer is waited for before the other is looked at.
const TURN: Duration = Duration::from_millis(50);

/// There is nothing to draw on, or to type at.
#[derive(Debug, thiserror::Error)]
#[error(
    "top needs a terminal for both input and output: `tentacle-syncd status` prints the same once, and `tentacle-syncd watch` \
     what happens, as it does"
)]
pub(in crate::cli::syncd) struct NoTerminal;

/// What came of asking.
type Asked = Result<Seen, ControlError>;

/// Shows what is known of all sites until it is told to end.
pub(in crate::cli::syncd) fn top(arguments: &TopArgs) -> Outcome {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(NoTerminal.into());
    }
    let client = DaemonClient::find(&arguments.control);
    // A daemon that cannot be asked at all is a message, and no empty screen.
    let mut top = Top::new(ask(&client)?, arguments.sort);
    let (asked, answers) = mpsc::sync_channel(1);
    let (_keep, ended) = mpsc::sync_channel(0);
    let interval = Duration::from_secs(arguments.interval);
    thread::Builder::new().name("asking".into()).spawn(move || ask_on(&client, &asked, &ended, interval))?;
    let terminal = Terminal::take()?;
    let signal = run(&mut top, &terminal, &answers)?;
    drop(terminal);
    if let Some(signal) = signal {
        emulate_default_handler(signal)?;
    }
    Ok(SUCCESS)
}

/// Until a key ends it, or a signal, which is returned.
fn run(top: &mut Top, terminal: &Terminal, answers: &Receiver<Asked>) -> io::Result<Option<i32>> {
    let mut drawn = None;
    while !top.is_over() {
        if let Some(signal) = terminal.signal() {
            return Ok(Some(signal));
        }
        top.size = screen_size()?;
        let lines = view::render(top);
        if drawn.as_ref() != Some(&lines) {
            terminal.draw(&lines)?;
            drawn = Some(lines);
        }
        match input(TURN)? {
            Some(Input::Key(key)) => top.press(key),
            Some(Input::Redraw) => drawn = None,
            None => {}
        }
        take_answers(top, answers).map_err(io::Error::other)?;
    }
    Ok(None)
}

/// Takes what has been answered so far.
///
/// # Errors
/// Nobody asks any more. The terminal is as it was by then: nothing could be shown.
fn take_answers(top: &mut Top, answers: &Receiver<Asked>) -> Result<(), Panicked> {
    loop {
        match answers.try_recv() {
            Ok(Ok(seen)) => top.saw(seen),
            Ok(Err(error)) => top.failed(&error.to_string()),
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => return Err(Panicked),
        }
    }
}

/// Asks at that interval, until nobody wants to know any more.
fn ask_on(client: &DaemonClient, asked: &SyncSender<Asked>, ended: &Receiver<()>, interval: Duration) {
    while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        if asked.send(ask(client)).is_err() {
            return;
        }
    }
}

fn ask(client: &DaemonClient) -> Asked {
    let (mut daemon, mut sites) = (None, Vec::new());
    client.ask(&Command::Status { sites: Vec::new() }, |answer| match answer {
        Answer::Daemon(answer) => daemon = Some(answer),
        Answer::Site(site) => sites.push(*site),
        _ => {}
    })?;
    Ok(Seen { daemon, sites })
}

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::*;

    #[test]
    fn it_ends_where_nobody_asks_any_more() {
        let mut top = Top::new(Seen { daemon: None, sites: Vec::new() }, Order::Worst);
        let (asked, answers) = mpsc::sync_channel(1);
        asked.send(Ok(Seen { daemon: None, sites: Vec::new() })).unwrap();
        assert_eq!(take_answers(&mut top, &answers), Ok(()));
        drop(asked);
        assert_eq!(take_answers(&mut top, &answers), Err(Panicked));
    }
}
