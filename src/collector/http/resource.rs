//! What can be asked for.

use crate::http::{Openness, Rejection, Request};

/// The most sites that can be named.
const MOST_NAMED: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::collector) enum Resource {
    /// What Prometheus reads.
    Metrics,
    /// What is known of these sites, or of all.
    Status(Vec<String>),
    /// Whether the process is alive.
    Health,
    /// Whether it collects.
    Ready,
}

impl Resource {
    pub(in crate::collector) fn of(request: &Request) -> Result<Self, Rejection> {
        match request.path.as_str() {
            "/metrics" => Ok(Self::Metrics),
            "/status.json" => match request.arguments("site") {
                names if names.len() > MOST_NAMED => Err(Rejection::TooManyNames),
                names => Ok(Self::Status(names)),
            },
            "/healthz" => Ok(Self::Health),
            "/readyz" => Ok(Self::Ready),
            _ => Err(Rejection::NotFound),
        }
    }

    pub(in crate::collector) fn openness(&self) -> Openness {
        match self {
            Self::Health => Openness::Anyone,
            Self::Metrics | Self::Ready => Openness::Program,
            Self::Status(_) => Openness::Browser,
        }
    }
}
