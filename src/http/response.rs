//! What is answered.

use std::sync::Arc;

/// An answer's content, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Words.
    Text,
    /// What Prometheus reads, version 0.0.4.
    Metrics,
    /// JSON.
    Json,
    /// A page.
    Html,
    /// How it looks.
    Css,
    /// What it does.
    JavaScript,
    /// A picture.
    Svg,
}

impl Content {
    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
            Self::Css => "text/css; charset=utf-8",
            Self::JavaScript => "text/javascript; charset=utf-8",
            Self::Svg => "image/svg+xml",
        }
    }
}

/// An answer's bytes.
#[derive(Clone, Debug)]
pub enum Body {
    /// Part of the program.
    Fixed(&'static [u8]),
    /// Made, and perhaps being sent to several.
    Made(Arc<Vec<u8>>),
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text.as_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Made(Arc::new(bytes))
    }
}

/// Fields of every answer. What a browser makes of one is: nothing is kept, nothing is guessed at, it stands in no page of
/// others, and neither loads nor runs what does not come from here.
const FIELDS: &str = "\
Cache-Control: no-store\r
X-Content-Type-Options: nosniff\r
Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r
Cross-Origin-Resource-Policy: same-origin\r
Referrer-Policy: no-referrer\r
";

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    content: Content,
    fields: Vec<(&'static str, &'static str)>,
    /// Its bytes.
    pub body: Body,
}

impl Response {
    /// One of these bytes.
    pub fn new(status: u16, content: Content, body: impl Into<Body>) -> Self {
        Self { status, content, fields: Vec::new(), body: body.into() }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }

    /// All that comes before the body. `date` as [`httpdate`] writes it.
    pub(super) fn head(&self, date: &str, is_kept: bool) -> Vec<u8> {
        let (status, reason) = (self.status, reason(self.status));
        let (media_type, length) = (self.content.media_type(), self.body.as_ref().len());
        let connection = if is_kept { "keep-alive" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\n"
        );
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        (head + FIELDS + "\r\n").into_bytes()
    }
}

/// Of RFC 9110, 15, and RFC 6585, 5.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
