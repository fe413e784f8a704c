//! What is drawn: lines, from what is known, for a screen of some size. Pure.

use super::super::status::{HEADINGS, WORST_MARKS, cells, problem, row};
use super::model::{HEAD, Page, Top, told};
use crate::cli::screen::{bytes, cut, duration, wrapped_at};
use crate::control::SiteAnswer;
use crate::proto::{Count, printable};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    /// What fails.
    Failing,
    /// What is to be looked at.
    Odd,
    /// What keys act on.
    Selected,
    Dim,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// What fills the screen: lines that show, and fit.
pub(super) fn render(top: &Top) -> Vec<Line> {
    let (width, height) = top.size;
    let mut lines = head(top);
    lines.resize(HEAD, line("", Style::Plain));
    lines.extend(match &top.page {
        Page::Site { name, from } => site(top, name, *from),
        Page::Table | Page::Filter | Page::Over => table(top),
    });
    lines.resize(height.saturating_sub(1), line("", Style::Plain));
    lines.push(foot(top));
    lines.truncate(height);
    for line in &mut lines {
        line.text = cut(&printable(&line.text), width.max(1));
    }
    lines
}

fn line(text: impl Into<String>, style: Style) -> Line {
    Line { text: text.into(), style }
}

fn head(top: &Top) -> Vec<Line> {
    let Some(daemon) = &top.daemon else { return vec![line("who answers says nothing of itself", Style::Failing)] };
    let up = duration(daemon.uptime_seconds);
    let failing = if daemon.failing == 0 { Style::Bold } else { Style::Failing };
    let fail = if daemon.failing == 1 { "fails" } else { "fail" };
    let first = format!(
        "tentacle-syncd {}, up {up}: {}, {} {fail}",
        daemon.program_version,
        Count(daemon.sites, "site"),
        daemon.failing
    );
    let memory = daemon.memory_bytes.map_or_else(|| "?".to_owned(), bytes);
    let second = format!(
        "{} under way, {}; {} unpublished; memory {memory}",
        Count(daemon.rounds, "round"),
        Count(daemon.connections, "connection"),
        Count(daemon.unpublished.files, "file")
    );
    let mut lines = vec![line(first, failing), line(second, Style::Plain)];
    let old = |why| line(format!("NO ANSWER, what follows is old: {why}"), Style::Failing);
    lines.extend(top.failure.as_ref().map(old));
    lines
}

fn table(top: &Top) -> Vec<Line> {
    let (shown, rows, (width, _)) = (top.shown(), top.rows(), top.size);
    let selected = top.selected(&shown);
    // The selected one is always there, and the first screen begins with the first.
    let from = (selected + 1).saturating_sub(rows);
    let mut lines = vec![line(row(HEADINGS.map(str::to_owned)), Style::Bold)];
    for (number, site) in shown.iter().enumerate().skip(from).take(rows) {
        let text = row(cells(site));
        // The selected one is a bar across the screen.
        let is_selected = number == selected;
        let bar = if is_selected { line(format!("{text:width$}"), Style::Selected) } else { line(text, style(site)) };
        lines.push(bar);
    }
    match shown.get(selected) {
        None => lines.push(line("no site is shown", Style::Dim)),
        Some(site) => {
            lines.resize(1 + rows, line("", Style::Plain));
            let told = problem(site).into_iter().flat_map(|text| wrapped_at(&text, "    ", width.max(20)));
            lines.extend(told.take(top.below()).map(|text| line(text, style(site))));
        }
    }
    lines
}

fn style(site: &SiteAnswer) -> Style {
    let [failing, odd] = WORST_MARKS;
    match cells(site) {
        [mark, ..] if mark == failing => Style::Failing,
        [mark, ..] if mark == odd => Style::Odd,
        _ => Style::Plain,
    }
}

fn site(top: &Top, name: &str, from: usize) -> Vec<Line> {
    let Some(site) = top.site(name) else { return vec![line(format!("{name} is gone"), Style::Odd)] };
    let of_problem = problem(site).len();
    let styles = std::iter::repeat_n(style(site), of_problem).chain(std::iter::repeat(Style::Plain));
    let lines = told(site).into_iter().zip(styles).map(|(text, style)| line(text, style));
    lines.skip(from).take(top.room()).collect()
}

fn foot(top: &Top) -> Line {
    let text = match &top.page {
        Page::Filter => return line(format!("/{}_   Enter keeps it, Esc clears it", top.filter), Style::Bold),
        Page::Site { .. } => "Esc all sites  arrows PgUp PgDn scroll  q quit".to_owned(),
        Page::Table | Page::Over => {
            let filter = if top.filter.is_empty() { String::new() } else { format!(" ({}, Esc clears)", top.filter) };
            format!("q quit  s sort: {}  / filter{filter}  Enter one site  arrows", top.order)
        }
    };
    line(text, Style::Dim)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
