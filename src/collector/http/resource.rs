//! What can be asked for.

use crate::http::{Content, Openness, Rejection, Request, Response};
use crate::status_port;

/// What is said of all of it.
const RESOURCES: &str = "/, /metrics, /status.json, /history.json?site=NAME, /healthz and /readyz";

/// The most sites that can be named.
const MOST_NAMED: usize = 16;

/// A file of the status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFile {
    Page,
    Style,
    Script,
    Icon,
}

impl PageFile {
    pub(in crate::collector) fn response(self) -> Response {
        match self {
            Self::Page => Response::new(200, Content::Html, include_str!("page/index.html")),
            Self::Style => Response::new(200, Content::Css, include_str!("page/style.css")),
            Self::Script => Response::new(200, Content::JavaScript, include_str!("page/app.js")),
            Self::Icon => Response::new(200, Content::Svg, include_str!("page/icon.svg")),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The status page.
    Page(PageFile),
    /// What Prometheus reads.
    Metrics,
    /// What is known of these sites, or of all.
    Status(Vec<String>),
    /// What was at this site over the last day.
    History(String),
    /// Whether the process is alive.
    Health,
    /// Whether it collects.
    Ready,
}

impl status_port::Resource for Resource {
    fn of(request: &Request) -> Result<Self, Rejection> {
        match request.path.as_str() {
            "/" => Ok(Self::Page(PageFile::Page)),
            "/style.css" => Ok(Self::Page(PageFile::Style)),
            "/app.js" => Ok(Self::Page(PageFile::Script)),
            "/icon.svg" => Ok(Self::Page(PageFile::Icon)),
            "/metrics" => Ok(Self::Metrics),
            "/status.json" => match request.arguments("site") {
                names if names.len() > MOST_NAMED => Err(Rejection::TooManyNames),
                names => Ok(Self::Status(names)),
            },
            "/history.json" => {
                let mut names = request.arguments("site").into_iter();
                match (names.next(), names.next()) {
                    (Some(name), None) => Ok(Self::History(name)),
                    _ => Err(Rejection::NotOneName),
                }
            }
            "/healthz" => Ok(Self::Health),
            "/readyz" => Ok(Self::Ready),
            _ => Err(Rejection::NotFound(RESOURCES)),
        }
    }

    fn openness(&self) -> Openness {
        match self {
            Self::Health => Openness::Anyone,
            Self::Metrics | Self::Ready => Openness::Program,
            Self::Page(_) | Self::Status(_) | Self::History(_) => Openness::Browser,
        }
    }
}
