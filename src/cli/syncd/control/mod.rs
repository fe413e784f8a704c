//! The commands for a daemon that runs: they ask it on its control socket.

mod args;
mod at_rest;
mod daemon;
mod status;
mod top;

pub(super) use args::{ControlArgs, SkippedCommand, TopArgs};
use daemon::DaemonClient;
pub(super) use status::{Order, status};
pub(super) use top::{NoTerminal, top};

use std::ops::ControlFlow;

use super::super::control::ControlError;
use super::{FAILURE, Outcome, Problem, SUCCESS};
use crate::config::Settings;
use crate::control::{Answer, Command, ItemsToAssign, NotTakenAnswer, ReloadAnswer};
use crate::obs::Output;
use crate::proto::{Count, quoted};

/// What `run` may be told of sites.
#[derive(Clone, Copy, Debug)]
pub(super) enum SiteCommand {
    SyncNow,
    Pause,
    Resume,
}

/// `sync-now`, `pause`, `resume`.
pub(super) fn with_sites(arguments: &ControlArgs, command: SiteCommand, sites: &[String]) -> Outcome {
    let sites = sites.to_vec();
    let command = match command {
        SiteCommand::SyncNow => Command::SyncNow { sites },
        SiteCommand::Pause => Command::Pause { sites },
        SiteCommand::Resume => Command::Resume { sites },
    };
    print_done(arguments, &command)
}

/// `config assign`: these items, or all that belong to no site. Without a daemon, in what it keeps.
pub(super) fn assign(arguments: &ControlArgs, site: &str, items: Option<&[String]>) -> Outcome {
    let to_assign = items.map_or(ItemsToAssign::Unclaimed, |items| ItemsToAssign::Named(items.to_vec()));
    match (print_done(arguments, &Command::ConfigAssign { site: site.to_owned(), items: to_assign }), items) {
        (Err(error), Some(items)) if is_not_running(&error) => {
            at_rest::assign(&settings_without(arguments, error)?, site, items)
        }
        (outcome, _) => outcome,
    }
}

/// `config confirm-deletions`. Without a daemon, in what it keeps.
pub(super) fn confirm_deletions(arguments: &ControlArgs) -> Outcome {
    match print_done(arguments, &Command::ConfigConfirmDeletions {}) {
        Err(error) if is_not_running(&error) => at_rest::confirm_deletions(&settings_without(arguments, error)?),
        outcome => outcome,
    }
}

fn is_not_running(error: &Problem) -> bool {
    matches!(error.downcast_ref(), Some(ControlError::NotRunning { .. }))
}

/// The configuration, or why no daemon has answered, where that is all that is known.
fn settings_without(arguments: &ControlArgs, error: Problem) -> Result<Settings, Problem> {
    if arguments.control_socket.is_some() {
        return Err(error);
    }
    Ok(arguments.load()?)
}

/// Has something done, and prints what was, a line for each thing.
fn print_done(arguments: &ControlArgs, command: &Command) -> Outcome {
    let mut out = Output::default();
    let asked = DaemonClient::find(arguments).ask(command, |answer| match answer {
        Answer::Done { site: Some(site), text } => out.line(format_args!("{} {text}", quoted(&site))),
        Answer::Done { site: None, text } => out.line(text),
        _ => {}
    });
    out.finish()?;
    asked?;
    Ok(SUCCESS)
}

/// `skipped`.
pub(super) fn skipped(command: SkippedCommand) -> Outcome {
    match command {
        SkippedCommand::Ls { control, sites } => list_skipped(&control, &sites),
        SkippedCommand::Retry { control, site, name } => print_done(&control, &Command::RetrySkipped { site, name }),
    }
}

/// Prints what is left at sites, and why.
fn list_skipped(arguments: &ControlArgs, sites: &[String]) -> Outcome {
    let mut out = Output::default();
    let asked = DaemonClient::find(arguments).ask(&Command::Skipped { sites: sites.to_vec() }, |answer| {
        if let Answer::NotTaken { site, files, has_more } = answer {
            for NotTakenAnswer { name, reason } in files {
                out.line(format_args!("{} {}: {reason}", quoted(&site), quoted(&name)));
            }
            if has_more {
                out.line(format_args!("{} has more than these", quoted(&site)));
            }
        }
    });
    out.finish()?;
    asked?;
    Ok(SUCCESS)
}

/// `watch`: prints what happens, a line of JSON for each, until it is interrupted or the daemon ends.
pub(super) fn watch(arguments: &ControlArgs) -> Outcome {
    let mut out = Output::default();
    let watched = DaemonClient::find(arguments).follow(&Command::Watch {}, None, |answer| {
        if let Answer::Event(_) = &answer {
            out.file(&answer.to_line());
        }
        if out.is_sound() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    out.finish()?;
    watched?;
    Ok(SUCCESS)
}

/// `reload`: waits for what comes of it.
pub(super) fn reload(arguments: &ControlArgs) -> Outcome {
    let (mut out, mut is_whole) = (Output::default(), true);
    DaemonClient::find(arguments).ask(&Command::Reload {}, |answer| {
        if let Answer::Reloaded(reloaded) = answer {
            for line in lines(&reloaded) {
                out.line(line);
            }
            is_whole &= reloaded.unusable.is_empty();
        }
    })?;
    out.finish()?;
    Ok(if is_whole { SUCCESS } else { FAILURE })
}

/// What a reload came to, for people.
fn lines(reloaded: &ReloadAnswer) -> Vec<String> {
    let ReloadAnswer { read_from, sites, added, changed, removed, unusable, problems, after_restart, warnings } =
        reloaded;
    let counts = [(added, "added"), (changed, "changed"), (removed, "removed"), (unusable, "cannot be used")];
    let counts = counts.map(|(names, what)| format!("{} {what}", names.len())).join(", ");
    let mut lines = vec![format!("reloaded: {}: {counts}", Count(*sites, "site"))];
    if !read_from.is_empty() {
        lines.push(format!("read: {read_from}"));
    }
    for (names, mark) in [(added, '+'), (changed, '~'), (removed, '-')] {
        lines.extend(names.iter().map(|name| format!("  {mark} {}", quoted(name))));
    }
    lines.extend(problems.iter().map(|problem| format!("not taken over: {problem}")));
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    if !after_restart.is_empty() {
        lines.push(format!("these change with a restart: {}", after_restart.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_told_with_each_site_that_differs_and_what_was_refused() {
        let reloaded = ReloadAnswer {
            read_from: "a.toml and 2 files that it includes".to_owned(),
            sites: 3,
            added: vec!["a b".to_owned()],
            unusable: vec!["c".to_owned()],
            problems: vec!["site c: no certificate".to_owned()],
            after_restart: vec!["state_dir".to_owned()],
            ..ReloadAnswer::default()
        };
        assert_eq!(
            lines(&reloaded),
            [
                "reloaded: 3 sites: 1 added, 0 changed, 0 removed, 1 cannot be used",
                "read: a.toml and 2 files that it includes",
                "  + \"a b\"",
                "not taken over: site c: no certificate",
                "these change with a restart: state_dir",
            ]
        );
    }
}
