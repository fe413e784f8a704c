//! The status port: its clients, and what they are answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use log::{info, warn};

use super::{Collector, Mode};
use crate::collector::http::{
    ADMITTED, Asked, Client, History, HttpPort, MOST_CLIENTS, Made, Pages, Resource, SiteNow, Step, Subject,
    listener_config,
};
use crate::collector::machine::Machine;
use crate::collector::status::SiteStatus;
use crate::config::HttpSettings;
use crate::control::to_json;
use crate::http::{Body, Content, Openness, Rejection, Request, Response};
use crate::net::{ConnId, Event, ListenerConfig};
use crate::proto::Count;
use crate::tls::Acceptor;

/// Requests of one client that are answered in one turn.
const REQUESTS: usize = 8;

/// Sites that are looked at in one turn.
const SITES: usize = 64;

/// Of files that are left at a site, so many are told where all sites are.
const NOT_TAKEN: usize = 3;

/// The most problems that `/readyz` names.
const PROBLEMS: usize = 10;

impl Collector {
    /// Serves it from now on as these settings say. Where that cannot be done, all stays as it was.
    pub(super) fn adopt_http(&mut self, settings: &HttpSettings) {
        let is_as_before = self.http.as_ref().is_some_and(|port| port.settings == *settings);
        // What is in a certificate's file may be another one by now.
        if self.mode != Mode::Forever || (is_as_before && settings.identity.is_none()) {
            return;
        }
        let mut settings = settings.clone();
        let config = settings
            .read_secrets()
            .map_err(|error| error.to_string())
            .and_then(|()| listener_config(&settings, self.net.date()).map_err(|error| error.to_string()));
        match config {
            Ok(config) => self.replace_http(settings, Arc::new(config)),
            Err(why) => warn!("reason=http the status port is {} before a reload: {why}", self.as_it_is()),
        }
    }

    fn as_it_is(&self) -> &'static str {
        if self.http.is_some() { "as it was" } else { "not served" }
    }

    fn replace_http(&mut self, settings: HttpSettings, config: Arc<ListenerConfig>) {
        config.tls.iter().flat_map(Acceptor::warnings).for_each(|warning| warn!("{warning}"));
        let before = self.http.take();
        if let Some(before) = &before {
            self.net.stop_listening(before.listener);
            before.clients.keys().for_each(|id| self.net.abort(*id));
        }
        let Some(address) = settings.listen else { return };
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let (before, history) = match before {
            Some(HttpPort { settings, listener_config, history, .. }) => (Some((settings, listener_config)), history),
            None => (None, History::default()),
        };
        match self.open_http(settings, config, history) {
            Ok(()) => {
                info!("status port: {scheme}://{address}/");
                self.watch_certificates();
            }
            Err((why, history)) => {
                let restored = before.map(|(settings, config)| self.open_http(settings, config, history));
                if let Some(Err((error, _))) = restored {
                    warn!("reason=http {error}");
                }
                warn!("reason=http the status port is {} before a reload: {why}", self.as_it_is());
            }
        }
    }

    /// Serves it; where that fails, the history is given back.
    fn open_http(
        &mut self,
        settings: HttpSettings,
        config: Arc<ListenerConfig>,
        history: History,
    ) -> Result<(), (String, History)> {
        let Some(address) = settings.listen else { return Ok(()) };
        let listener = match self.net.listen(address, Arc::clone(&config)) {
            Ok(listener) => listener,
            Err(error) => return Err((format!("cannot listen on {address}: {error}"), history)),
        };
        match Pages::start(Arc::clone(&self.notify)) {
            Ok(pages) => self.http = Some(HttpPort::new(settings, config, listener, pages, history)),
            Err(error) => {
                self.net.stop_listening(listener);
                return Err((format!("cannot start its thread: {error}"), history));
            }
        }
        Ok(())
    }

    pub(super) fn http_due(&self) -> Option<Instant> {
        Some(self.http.as_ref()?.due(self.net.now()))
    }

    /// Takes an event that is of the port's: `None` where it was.
    pub(super) fn take_http_event(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Accepted(id, _) => self.http_client_came(id),
            Event::Arrived(id) => self.http.iter_mut().for_each(|port| port.arrived.push_back(id)),
            Event::Opened(id) if self.is_http_client(id) => {
                if let (Some(port), Some(mut io)) = (&mut self.http, self.net.io(id)) {
                    port.clients.insert(id, Client::opened(&mut *io));
                }
                self.hear_http(id);
            }
            Event::Ready(id) if self.is_http_client(id) => self.hear_http(id),
            Event::Failed(id, _) if self.is_http_client(id) => self.http.iter_mut().for_each(|port| port.forget(id)),
            other => return Some(other),
        }
        None
    }

    fn is_http_client(&self, id: ConnId) -> bool {
        self.http.as_ref().is_some_and(|port| port.clients.contains_key(&id))
    }

    fn http_client_came(&mut self, id: ConnId) {
        let since = self.net.now();
        let Some(port) = &mut self.http else { return self.net.abort(id) };
        if port.clients.len() >= MOST_CLIENTS {
            let Some(idle) = port.most_idle() else { return self.net.abort(id) };
            port.forget(idle);
            self.net.abort(idle);
        }
        port.clients.insert(id, Client::Waiting { since });
    }

    /// Lets clients in that have said something, and looks at the next sites that they ask for.
    pub(super) fn go_on_with_http(&mut self) {
        let now = self.net.now();
        let Some(port) = self.http.as_mut().filter(|port| port.due(now) <= now) else { return };
        let admitted: Vec<ConnId> = port.arrived.drain(..ADMITTED.min(port.arrived.len())).collect();
        for id in admitted {
            self.net.admit(id);
        }
        // The collector is looked at while the port is not its.
        let Some(mut port) = self.http.take() else { return };
        if port.history.due(now) <= now {
            port.history.take(now, self.statuses.keys().filter_map(|&key| Some((key, self.site_now(key)?))));
        }
        port.pages.gather(SITES, |key, is_in_full| {
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
        let key = match self.keys_of(&[name.to_owned()]) {
            Ok(keys) => keys.first().copied(),
            Err(unknown) => return Response::new(404, Content::Text, format!("{unknown}\n").into_bytes()),
        };
        let (Some(port), Some((key, site))) = (&self.http, key.and_then(|key| Some((key, self.site_now(key)?)))) else {
            return Rejection::NotFound.response();
        };
        Response::new(200, Content::Json, (to_json(&port.history.answer(key, &site)) + "\n").into_bytes())
    }

    /// Gives what was made to those who wait for it.
    pub(super) fn give_pages(&mut self) {
        let now = self.net.now();
        let Some(port) = &mut self.http else { return };
        for Made { clients, content, body } in port.pages.made(now) {
            let response = match body {
                Ok(body) => Response::new(200, content, Body::Made(body)),
                Err(panicked) => {
                    warn!("reason=http {panicked}: an answer was not made");
                    Rejection::Failed.response()
                }
            };
            for id in clients {
                self.answer_http(id, &response);
                self.hear_http(id);
            }
        }
    }

    /// Hears a client, and answers it.
    fn hear_http(&mut self, id: ConnId) {
        for _ in 0..REQUESTS {
            let Some(port) = &mut self.http else { return };
            let (Some(client), Some(mut io)) = (port.clients.get_mut(&id), self.net.io(id)) else { return };
            let step = client.go_on(&mut *io);
            drop(io);
            match step {
                Ok(Step::Blocked) => return,
                Ok(Step::Asked(request)) => {
                    let response = request.and_then(|request| self.http_response(id, &request));
                    match response {
                        Ok(None) => return,
                        Ok(Some(response)) => self.answer_http(id, &response),
                        Err(rejection) => self.answer_http(id, &rejection.response()),
                    }
                }
                Ok(Step::Over) => {
                    let since = self.net.now();
                    self.net.half_close(id);
                    self.http.iter_mut().for_each(|port| drop(port.clients.insert(id, Client::Parting { since })));
                }
                Ok(Step::Gone) | Err(_) => {
                    self.net.abort(id);
                    return self.http.iter_mut().for_each(|port| port.forget(id));
                }
            }
        }
        self.net.wake(id);
    }

    fn answer_http(&mut self, id: ConnId, response: &Response) {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.net.date().as_secs()));
        let Some(port) = &mut self.http else { return };
        if let (Some(client), Some(mut io)) = (port.clients.get_mut(&id), self.net.io(id)) {
            client.answer(response, &date, &mut *io);
        }
    }

    /// What a request is answered; `None` where that is being made.
    fn http_response(&mut self, id: ConnId, request: &Request) -> Result<Option<Response>, Rejection> {
        let resource = Resource::of(request);
        if let Some(port) = &self.http {
            // Who may ask for nothing is not told what there is.
            port.access.check(request, resource.as_ref().map_or(Openness::Program, Resource::openness))?;
        }
        match resource? {
            Resource::Health => Ok(Some(Response::new(200, Content::Text, b"ok\n".to_vec()))),
            Resource::Ready => Ok(Some(self.readiness())),
            Resource::Page(file) => Ok(Some(file.response())),
            Resource::History(name) => Ok(Some(self.http_history(&name))),
            Resource::Metrics => self.http_page(id, Subject::Metrics),
            Resource::Status(names) if names.is_empty() => self.http_page(id, Subject::Status(None)),
            Resource::Status(names) => match self.keys_of(&names) {
                Ok(keys) => self.http_page(id, Subject::Status(Some(keys.into_iter().collect()))),
                Err(unknown) => Ok(Some(Response::new(404, Content::Text, format!("{unknown}\n").into_bytes()))),
            },
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
        let asked = port.pages.ask(subject, id, now, begin);
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
