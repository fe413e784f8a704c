//! What the [status port](crate::status_port) of the server answers: what is known of it.

use std::time::Instant;

use crate::http::{Openness, Rejection, Request};
use crate::net::ConnId;
use crate::status_port;

/// What is said of all of it.
const RESOURCES: &str = "/metrics, /status.json, /healthz and /readyz";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Whether the process is alive.
    Health,
    /// What is known of the server, in a form.
    Known(Form),
}

/// How what is known is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As Prometheus reads it.
    Metrics,
    /// As JSON.
    Status,
    /// Whether clients are served, and what keeps them from it.
    Ready,
}

impl status_port::Resource for Resource {
    fn of(request: &Request) -> Result<Self, Rejection> {
        match request.path.as_str() {
            "/healthz" => Ok(Self::Health),
            "/metrics" => Ok(Self::Known(Form::Metrics)),
            "/status.json" => Ok(Self::Known(Form::Status)),
            "/readyz" => Ok(Self::Known(Form::Ready)),
            _ => Err(Rejection::NotFound(RESOURCES)),
        }
    }

    fn openness(&self) -> Openness {
        match self {
            Self::Health => Openness::Anyone,
            Self::Known(Form::Metrics | Form::Ready) => Openness::Program,
            Self::Known(Form::Status) => Openness::Browser,
        }
    }
}

/// Clients that wait for what is stored to be counted.
#[derive(Debug, Default)]
pub(crate) struct Awaiting(Vec<Asked>);

/// One of them.
#[derive(Debug)]
struct Asked {
    client: ConnId,
    form: Form,
    /// By when it is answered, counted or not.
    by: Instant,
}

impl Awaiting {
    pub(super) fn add(&mut self, client: ConnId, form: Form, by: Instant) {
        self.0.push(Asked { client, form, by });
    }

    /// Takes those out who are to be answered: all, or those who have waited for long enough.
    pub(super) fn take_due(&mut self, is_counted: bool, now: Instant) -> Vec<(ConnId, Form)> {
        let due = self.0.extract_if(.., |asked| is_counted || asked.by <= now);
        due.map(|Asked { client, form, .. }| (client, form)).collect()
    }
}

impl status_port::Answers for Awaiting {
    fn forget(&mut self, client: ConnId) {
        self.0.retain(|asked| asked.client != client);
    }

    fn due(&self, _: Instant) -> Option<Instant> {
        self.0.iter().map(|asked| asked.by).min()
    }
}

/// The status port.
pub(crate) type StatusPort = status_port::StatusPort<Awaiting>;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status_port::{Answers, Resource as _};

    fn request(path: &str) -> Request {
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Request::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn whether_it_lives_is_told_to_anyone_and_nothing_else_is() {
        for (path, openness) in [
            ("/healthz", Openness::Anyone),
            ("/metrics", Openness::Program),
            ("/readyz", Openness::Program),
            ("/status.json?site=a", Openness::Browser),
        ] {
            assert_eq!(Resource::of(&request(path)).unwrap().openness(), openness, "{path}");
        }
        for path in ["/", "/metrics/", "/history.json", "/app.js"] {
            assert_eq!(Resource::of(&request(path)), Err(Rejection::NotFound(RESOURCES)), "{path}");
        }
    }

    #[test]
    fn who_waits_is_answered_once_it_is_counted_or_after_its_time() {
        let (start, mut awaiting) = (Instant::now(), Awaiting::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let [first, second, gone] = [1, 2, 3].map(|slot| ConnId::new(slot, 0));
        awaiting.add(first, Form::Metrics, at(2));
        awaiting.add(second, Form::Ready, at(3));
        awaiting.add(gone, Form::Status, at(1));
        awaiting.forget(gone);
        assert_eq!(awaiting.due(start), Some(at(2)));
        assert_eq!(awaiting.take_due(false, at(1)), []);
        assert_eq!(awaiting.take_due(false, at(2)), [(first, Form::Metrics)]);
        assert_eq!(awaiting.take_due(true, at(2)), [(second, Form::Ready)]);
        assert_eq!(awaiting.due(start), None);
    }
}
