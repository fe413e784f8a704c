//! The status port: its clients, and what they are answered.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;

use super::{Collector, Mode};
use crate::collector::http::{Answers, Asked, History, Made, Pages, Resource, SiteNow, StatusPort, Subject};
use crate::collector::machine::Machine;
use crate::collector::status::SiteStatus;
use crate::config::HttpSettings;
use crate::control::to_json;
use crate::http::{Body, Content, Rejection, Response};
use crate::net::ConnId;
use crate::proto::Count;
use crate::status_port::{self, Host, Network};

/// Sites that are looked at in one turn.
const SITES: usize = 64;

/// Of files that are left at a site, so many are told where all sites are.
const NOT_TAKEN: usize = 3;

/// The most problems that `/readyz` names.
const PROBLEMS: usize = 10;

impl Host for Collector {
    type Resource = Resource;
    type Answers = Answers;

    fn parts(&mut self) -> (&mut Option<StatusPort>, &mut dyn Network) {
        (&mut self.http, &mut *self.net)
    }

    fn start_answers(&self) -> io::Result<Answers> {
        Ok(Answers { pages: Pages::start(Arc::clone(&self.notify))?, history: History::default() })
    }

    fn respond(&mut self, client: ConnId, resource: Resource) -> Result<Option<Response>, Rejection> {
        match resource {
            Resource::Health => Ok(Some(Response::new(200, Content::Text, b"ok\n".to_vec()))),
            Resource::Ready => Ok(Some(self.readiness())),
            Resource::Page(file) => Ok(Some(file.response())),
            Resource::History(name) => Ok(Some(self.http_history(&name))),
            Resource::Metrics => self.http_page(client, Subject::Metrics),
            Resource::Status(names) if names.is_empty() => self.http_page(client, Subject::Status(None)),
            Resource::Status(names) => match self.keys_of(&names) {
                Ok(keys) => self.http_page(client, Subject::Status(Some(keys.into_iter().collect()))),
                Err(unknown) => Ok(Some(Response::new(404, Content::Text, format!("{unknown}\n").into_bytes()))),
            },
        }
    }
}

impl Collector {
    /// Serves the port from now on as these settings say.
    pub(super) fn adopt_http(&mut self, settings: &HttpSettings) {
        if self.mode == Mode::Forever && status_port::adopt(self, settings) {
            self.watch_certificates();
        }
    }

    pub(super) fn http_due(&self) -> Option<Instant> {
        self.http.as_ref()?.due(self.net.now())
    }

    /// Lets clients in that have said something, and looks at the next sites that they ask for.
    pub(super) fn go_on_with_http(&mut self) {
        let now = self.net.now();
        if self.http_due().is_none_or(|due| due > now) {
            return;
        }
        status_port::go_on(self);
        // The collector is looked at while the port is not its.
        let Some(mut port) = self.http.take() else { return };
        let Answers { pages, history } = &mut port.answers;
        if history.due(now) <= now {
            history.take(now, self.statuses.keys().filter_map(|&key| Some((key, self.site_now(key)?))));
        }
        pages.gather(SITES, |key, is_in_full| {
            let mut site = self.site_answer(key)?;
            if !is_in_full && site.not_taken.len() > NOT_TAKEN {
                site.not_taken.truncate(NOT_TAKEN);
                site.not_taken_has_more = true;
            }
            Some(site)
        });
        self.http = Some(port);
    }

    fn site_now(&self, key: usize) -> Option<SiteNow> {
        let status = self.statuses.get(&key)?;
        let waiting = self.sites[key].as_ref().and_then(|site| site.waiting);
        let date = self.net.date().as_secs();
        let oldest = waiting.and_then(|waiting| {
            let age = |oldest: Duration| date.saturating_sub(oldest.as_secs());
            // Where none waits, nothing is old.
            if waiting.files == 0 { Some(0) } else { waiting.listed.oldest.map(age) }
        });
        Some(SiteNow {
            name: Arc::clone(&status.name),
            waiting: waiting.map(|waiting| waiting.files as u64),
            oldest,
            collected: status.rates.total().files,
        })
    }

    /// What was at a site over the last day, and is there now.
    fn http_history(&self, name: &str) -> Response {
        let not_found = |why: String| Response::new(404, Content::Text, why.into_bytes());
        let key = match self.keys_of(&[name.to_owned()]) {
            Ok(keys) => keys.first().copied(),
            Err(unknown) => return not_found(format!("{unknown}\n")),
        };
        let (Some(port), Some((key, site))) = (&self.http, key.and_then(|key| Some((key, self.site_now(key)?)))) else {
            return not_found("nothing is known of it yet\n".to_owned());
        };
        let answer = to_json(&port.answers.history.answer(key, &site)) + "\n";
        Response::new(200, Content::Json, answer.into_bytes())
    }

    /// Gives what was made to those who wait for it.
    pub(super) fn give_pages(&mut self) {
        let now = self.net.now();
        let Some(port) = &mut self.http else { return };
        for Made { clients, content, body } in port.answers.pages.made(now) {
            let response = match body {
                Ok(body) => Response::new(200, content, Body::Made(body)),
                Err(panicked) => {
                    warn!("reason=http {panicked}: an answer was not made");
                    Rejection::Failed.response()
                }
            };
            for id in clients {
                status_port::answer(self, id, &response);
                status_port::hear(self, id);
            }
        }
    }

    fn http_page(&mut self, id: ConnId, subject: Subject) -> Result<Option<Response>, Rejection> {
        let now = self.net.now();
        let content = if subject == Subject::Metrics { Content::Metrics } else { Content::Json };
        let Some(mut port) = self.http.take() else { return Ok(None) };
        let keys = match &subject {
            Subject::Status(Some(keys)) => Some(keys.iter().copied().collect()),
            _ => None,
        };
        let begin = || {
            let all = || self.statuses.keys().copied().collect::<VecDeque<usize>>();
            (self.daemon_answer(), keys.unwrap_or_else(all))
        };
        let asked = port.answers.pages.ask(subject, id, now, begin);
        self.http = Some(port);
        match asked {
            Asked::Made(body) => Ok(Some(Response::new(200, content, Body::Made(body)))),
            Asked::Later => Ok(None),
            Asked::Busy => Err(Rejection::Busy),
        }
    }

    /// Whether files are being collected, and what keeps them from it.
    fn readiness(&mut self) -> Response {
        let problems = self.unreadiness();
        if problems.is_empty() {
            return Response::new(200, Content::Text, b"ok\n".to_vec());
        }
        let more = problems.len().saturating_sub(PROBLEMS);
        let more = (more > 0).then(|| format!("and {}", Count(more, "more problem")));
        let lines: Vec<String> = problems.into_iter().take(PROBLEMS).chain(more).collect();
        let text = lines.join("\n") + "\n";
        Response::new(503, Content::Text, text.into_bytes())
    }

    fn unreadiness(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.stop.is_some() {
            problems.push("it is being stopped".to_owned());
        }
        problems.extend(self.machine.as_ref().map(Machine::sample).unwrap_or_default().unusable);
        if self.commit_queue.is_full() {
            problems
                .push("no files are fetched: max_spool_files or max_spool_bytes wait for the data server".to_owned());
        }
        let has_had_one = |status: &SiteStatus| status.last_round.is_some();
        if !self.statuses.is_empty() && self.running == 0 && !self.statuses.values().any(has_had_one) {
            problems.push("no round has begun yet".to_owned());
        } else if !self.statuses.is_empty() && self.statuses.values().all(|status| status.paused.is_some()) {
            problems.push("all sites are paused".to_owned());
        }
        problems
    }
}
