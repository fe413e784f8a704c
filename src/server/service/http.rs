//! The status port: what its clients are answered.

use std::io;
use std::time::Instant;

use super::control::LONGEST_COUNT;
use super::{Backend, Service};
use crate::config::HttpSettings;
use crate::control::{ServerReport, to_json};
use crate::http::{Content, Rejection, Response};
use crate::net::ConnId;
use crate::obs::server_metrics;
use crate::server::http::{Awaiting, Form, Resource, StatusPort};
use crate::server::problems::unreadiness;
use crate::status_port::{self, Host, Network};

impl Host for Service {
    type Resource = Resource;
    type Answers = Awaiting;

    fn parts(&mut self) -> (&mut Option<StatusPort>, &mut dyn Network) {
        (&mut self.http, &mut self.net)
    }

    fn start_answers(&self) -> io::Result<Awaiting> {
        Ok(Awaiting::default())
    }

    /// At once where what is stored was counted lately, else once it is.
    fn respond(&mut self, client: ConnId, resource: Resource) -> Result<Option<Response>, Rejection> {
        let form = match resource {
            Resource::Health => return Ok(Some(Response::new(200, Content::Text, b"ok\n".to_vec()))),
            Resource::Known(form) => form,
        };
        let now = self.net.now();
        match &mut self.backend {
            Backend::Storage(storage, _) if !storage.has_fresh_count(now) => {
                storage.count(now);
                if let Some(port) = &mut self.http {
                    port.answers.add(client, form, now + LONGEST_COUNT);
                }
                Ok(None)
            }
            _ => Ok(Some(self.known(form))),
        }
    }
}

impl Service {
    pub(super) fn http_due(&self) -> Option<Instant> {
        self.http.as_ref()?.due(self.net.now())
    }

    /// How many of the loop's connections are clients of the status port.
    pub(super) fn http_clients(&self) -> usize {
        self.http.as_ref().map_or(0, StatusPort::clients)
    }

    /// Serves the port from now on as these settings say.
    pub(super) fn adopt_http(&mut self, settings: &HttpSettings) {
        status_port::adopt(self, settings);
    }

    /// Lets clients in that have said something, and answers those who have waited for a count that is made, or for long.
    pub(super) fn go_on_with_http(&mut self) {
        status_port::go_on(self);
        let now = self.net.now();
        let is_counted = match &self.backend {
            Backend::Storage(storage, _) => storage.has_fresh_count(now),
            Backend::Relay(_) => true,
        };
        let Some(port) = &mut self.http else { return };
        for (client, form) in port.answers.take_due(is_counted, now) {
            let response = self.known(form);
            status_port::answer(self, client, &response);
            status_port::hear(self, client);
        }
    }

    fn known(&self, form: Form) -> Response {
        let answer = self.status_answer();
        match form {
            Form::Metrics => Response::new(200, Content::Metrics, server_metrics(answer).into_bytes()),
            Form::Status => {
                let json = to_json(&ServerReport::new(&answer)) + "\n";
                Response::new(200, Content::Json, json.into_bytes())
            }
            Form::Ready => readiness(&unreadiness(&answer, self.stop_by.is_some())),
        }
    }
}

fn readiness(problems: &[String]) -> Response {
    if problems.is_empty() {
        return Response::new(200, Content::Text, b"ok\n".to_vec());
    }
    Response::new(503, Content::Text, (problems.join("\n") + "\n").into_bytes())
}
