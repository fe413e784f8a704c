//! What is asked on the control socket.

mod site;
mod status;
mod watchers;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::unix::net::UnixListener;

use log::info;

use super::{Assigned, Collector};
use crate::collector::configuring::ConfirmedDeletions;
use crate::control::{Answer, Command, ErrorReason, Event, ItemsToAssign, PIECE, ReloadAnswer, Request};
use crate::net::{LocalEvent, LocalId};
use crate::obs::ASKED_FOR;
use crate::proto::{Count, quoted};

/// The most sites that an error names.
const SITES_NAMED: usize = 10;

/// Clients of the control socket whose answers are not whole.
#[derive(Debug, Default)]
pub(super) struct ControlClients {
    /// The sites that each is still to be told of.
    sites: HashMap<LocalId, VecDeque<usize>>,
    /// Those who have asked for a reload that has not begun.
    reloads_asked: Vec<LocalId>,
    /// Those who wait for the end of one.
    reloads: Vec<LocalId>,
    /// Those who are told what happens.
    watchers: Vec<LocalId>,
}

impl ControlClients {
    pub(super) fn awaits_reload(&self) -> bool {
        !self.reloads_asked.is_empty()
    }

    /// One begins, for all who have asked for it.
    pub(super) fn reload_begins(&mut self) {
        self.reloads.append(&mut self.reloads_asked);
    }
}

impl Collector {
    /// Answers those who come to this control socket from now on.
    pub fn listen_locally(&mut self, listener: UnixListener) -> io::Result<()> {
        self.net.listen_locally(listener)
    }

    pub(super) fn asked_locally(&mut self, event: LocalEvent) {
        match event {
            LocalEvent::Asked(client, line) => self.asked(client, &line),
            LocalEvent::Drained(client) => self.tell_of_sites(client),
            LocalEvent::Left(client) => {
                self.control.sites.remove(&client);
                self.control.reloads_asked.retain(|other| *other != client);
                self.control.reloads.retain(|other| *other != client);
                self.control.watchers.retain(|other| *other != client);
            }
        }
    }

    fn asked(&mut self, client: LocalId, line: &[u8]) {
        match Request::parse(line) {
            Err(error) => self.answer(client, &[Answer::error(ErrorReason::Request, &error)]),
            Ok(Command::Status { sites }) => self.tell_status(client, &sites),
            Ok(Command::Reload {}) => {
                info!(target: ASKED_FOR, "reload asked for on the control socket");
                self.control.reloads_asked.push(client);
            }
            Ok(Command::SyncNow { sites }) => self.with_each(client, &sites, Self::sync_now),
            Ok(Command::Pause { sites }) => self.with_each(client, &sites, Self::pause),
            Ok(Command::Resume { sites }) => self.with_each(client, &sites, Self::resume),
            Ok(Command::ConfigAssign { site, items }) => self.assign_configuration(client, &site, &items),
            Ok(Command::ConfigConfirmDeletions {}) => self.confirm_deletions_for(client),
            Ok(Command::Skipped { sites }) => self.tell_not_taken(client, &sites),
            Ok(Command::RetrySkipped { site, name }) => {
                self.with_each(client, &[site], |collector, key| collector.retry_skipped(key, name.as_deref()));
            }
            Ok(Command::Watch {}) => self.watch(client),
        }
    }

    /// Answers `client` with these lines, and with the end where none is an error.
    fn answer(&mut self, client: LocalId, lines: &[Answer]) {
        let mut text: String = lines.iter().map(Answer::to_line).collect();
        if !lines.iter().any(|line| matches!(line, Answer::Error { .. })) {
            text += &Answer::End {}.to_line();
        }
        self.net.answer(client, text.as_bytes());
        self.net.finish_answer(client);
    }

    /// The reload is over for which clients may wait: what it has changed, or why it was refused, in lines.
    pub fn reload_ended(&mut self, outcome: &Result<ReloadAnswer, String>) {
        let answer = match outcome {
            Ok(reloaded) => Answer::Reloaded(reloaded.clone()),
            Err(why) => Answer::error(ErrorReason::Configuration, why),
        };
        for client in std::mem::take(&mut self.control.reloads) {
            self.answer(client, std::slice::from_ref(&answer));
        }
        self.tell_watchers(None, || match outcome {
            Ok(reloaded) => Event::Reloaded { sites: reloaded.sites },
            Err(why) => Event::NotReloaded { problems: why.lines().map(str::to_owned).collect() },
        });
    }

    /// The keys of the sites that have these names.
    pub(super) fn keys_of(&self, names: &[String]) -> Result<BTreeSet<usize>, String> {
        let keys: HashMap<&str, usize> = self.statuses.iter().map(|(&key, status)| (&*status.name, key)).collect();
        let unknown: BTreeSet<&String> = names.iter().filter(|name| !keys.contains_key(name.as_str())).collect();
        if unknown.is_empty() {
            return Ok(names.iter().filter_map(|name| keys.get(name.as_str()).copied()).collect());
        }
        let mut known: Vec<&str> = keys.keys().copied().collect();
        known.sort_unstable();
        let known = match named(known.into_iter()) {
            none if none.is_empty() => "there is none".to_owned(),
            some => format!("there are: {some}"),
        };
        let unknown = named(unknown.into_iter().map(String::as_str));
        Err(format!("no site that is collected from is named {unknown}; {known}"))
    }

    /// The same; of all sites where none is named.
    fn keys_or_all(&self, names: &[String]) -> Result<Vec<usize>, String> {
        if names.is_empty() {
            return Ok(self.statuses.keys().copied().collect());
        }
        Ok(self.keys_of(names)?.into_iter().collect())
    }

    /// Does something with each of the sites that are named, if all of them are there.
    fn with_each(&mut self, client: LocalId, names: &[String], act: impl Fn(&mut Self, usize) -> String) {
        let keys = match self.keys_of(names) {
            Ok(keys) if keys.is_empty() => {
                return self.answer(client, &[Answer::error(ErrorReason::Request, "expected the name of a site")]);
            }
            Ok(keys) => keys,
            Err(error) => return self.answer(client, &[Answer::error(ErrorReason::Name, &error)]),
        };
        let mut lines = Vec::new();
        for key in keys {
            let text = act(self, key);
            let site = self.statuses.get(&key).map(|status| status.name.to_string());
            info!(target: ASKED_FOR, "site={} {text}", quoted(site.as_deref().unwrap_or_default()));
            lines.push(Answer::Done { site, text });
        }
        self.answer(client, &lines);
    }

    fn sync_now(&mut self, key: usize) -> String {
        let now = self.net.now();
        if self.is_paused(key) {
            return "is paused, and has no round before it is resumed".to_owned();
        }
        if self.schedule.due(key).is_none() {
            return "has a round under way".to_owned();
        }
        if self.held_up_since(key).is_none() {
            self.schedule.hurry(key, now);
        }
        match self.held_up_since(key) {
            Some(_) => "has a round that is due, and held up: the log says why".to_owned(),
            None => "has its next round now, as was asked for".to_owned(),
        }
    }

    fn retry_skipped(&mut self, key: usize, name: Option<&str>) -> String {
        let Some(site) = self.sites[key].as_mut() else { return "cannot be opened: nothing is asked for".to_owned() };
        if !site.retry_skipped(name) {
            return "has no such file among those that are known to be left there".to_owned();
        }
        let soon = self.sync_now(key);
        format!("is asked again for what was left there; it {soon}")
    }

    fn pause(&mut self, key: usize) -> String {
        let now = self.net.now();
        let Some(status) = self.statuses.get_mut(&key) else { return "is gone".to_owned() };
        if status.paused.is_some() {
            return "is paused already".to_owned();
        }
        status.paused = Some(now);
        self.unpark(key);
        if let Some(running) = self.sites[key].as_mut().and_then(|site| site.running.as_mut()) {
            running.round.stop_fetching();
        }
        self.wake_waiting_of(key);
        self.reopen(key);
        self.tell_watchers(Some(key), || Event::Paused {});
        "is paused: no round of it begins until it is resumed, or tentacle-syncd is started anew".to_owned()
    }

    fn resume(&mut self, key: usize) -> String {
        match self.statuses.get_mut(&key).and_then(|status| status.paused.take()) {
            Some(_) => {
                self.tell_watchers(Some(key), || Event::Resumed {});
                "is collected from again".to_owned()
            }
            None => "is not paused".to_owned(),
        }
    }

    pub(super) fn is_paused(&self, key: usize) -> bool {
        self.statuses.get(&key).is_some_and(|status| status.paused.is_some())
    }

    fn assign_configuration(&mut self, client: LocalId, site: &str, items: &ItemsToAssign) {
        if let Err(error) = self.keys_of(&[site.to_owned()]) {
            return self.answer(client, &[Answer::error(ErrorReason::Name, &error)]);
        }
        let assigned = self.assign(site, items);
        info!(target: ASKED_FOR, "site={} configuration assigned: {}", quoted(site), summary(&assigned));
        self.answer(client, &told(site, assigned));
    }

    fn confirm_deletions_for(&mut self, client: LocalId) {
        let confirmed = self.confirm_deletions();
        for ConfirmedDeletions { incoming, items } in &confirmed {
            let deletions = Count(items.len(), "deletion");
            info!(target: ASKED_FOR, "incoming={} {deletions} confirmed", quoted(incoming));
        }
        let lines: Vec<Answer> =
            ConfirmedDeletions::lines(&confirmed).into_iter().map(|line| done(None, line)).collect();
        self.answer(client, &lines);
    }

    fn tell_not_taken(&mut self, client: LocalId, names: &[String]) {
        let keys = match self.keys_or_all(names) {
            Ok(keys) => keys,
            Err(error) => return self.answer(client, &[Answer::error(ErrorReason::Name, &error)]),
        };
        let lines: Vec<Answer> = keys.into_iter().filter_map(|key| self.not_taken_answer(key)).collect();
        self.answer(client, &lines);
    }

    fn tell_status(&mut self, client: LocalId, names: &[String]) {
        let keys = match self.keys_or_all(names) {
            Ok(keys) => keys,
            Err(error) => return self.answer(client, &[Answer::error(ErrorReason::Name, &error)]),
        };
        self.control.sites.insert(client, keys.into());
        let daemon = Answer::Daemon(self.daemon_answer()).to_line();
        self.net.answer(client, daemon.as_bytes());
    }

    /// Answers with as many sites as fit in a piece; the next ones follow when the client has those.
    fn tell_of_sites(&mut self, client: LocalId) {
        let Some(mut keys) = self.control.sites.remove(&client) else { return };
        let mut piece = String::new();
        while piece.len() < PIECE {
            let Some(key) = keys.pop_front() else {
                piece += &Answer::End {}.to_line();
                self.net.answer(client, piece.as_bytes());
                return self.net.finish_answer(client);
            };
            if let Some(site) = self.site_answer(key) {
                piece += &Answer::Site(Box::new(site)).to_line();
            }
        }
        self.control.sites.insert(client, keys);
        self.net.answer(client, piece.as_bytes());
    }
}

fn done(site: Option<&str>, text: String) -> Answer {
    Answer::Done { site: site.map(str::to_owned), text }
}

/// What an assignment came to, for the log.
fn summary(assigned: &Assigned) -> String {
    match assigned {
        Assigned::Done { assigned, unchanged, unknown } => {
            format!("assigned={} unchanged={unchanged} unknown={}", assigned.len(), unknown.len())
        }
        _ => "not done".to_owned(),
    }
}

/// What an assignment came to, for who asked for it.
fn told(site: &str, assigned: Assigned) -> Vec<Answer> {
    let error = |reason, text: &str| vec![Answer::error(reason, &format_args!("site {} {text}", quoted(site)))];
    match assigned {
        Assigned::UnknownSite => {
            error(ErrorReason::Later, "cannot be used now, and has no configuration before it can")
        }
        Assigned::NotConfigured => error(ErrorReason::Configuration, "has remote_config = false"),
        Assigned::NotKnownYet => error(
            ErrorReason::Later,
            "has not been compared yet, or the directories here cannot be looked at: try again, and see the log",
        ),
        Assigned::Done { assigned, unchanged, unknown } => {
            let mut lines: Vec<Answer> = assigned.iter().map(|each| done(Some(site), each.to_string())).collect();
            if unchanged > 0 {
                lines.push(done(Some(site), format!("had {} of those before", Count(unchanged, "configuration"))));
            }
            if lines.is_empty() && unknown.is_empty() {
                lines.push(done(Some(site), "lists none that belongs to no site".to_owned()));
            }
            if !unknown.is_empty() {
                let names = named(unknown.iter().map(String::as_str));
                lines
                    .push(Answer::error(ErrorReason::Name, &format_args!("there is no configuration here of {names}")));
            }
            lines
        }
    }
}

/// Some names in one line.
fn named<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(SITES_NAMED);
    let shown: Vec<String> = names.take(SITES_NAMED).map(|name| quoted(name).to_string()).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}
