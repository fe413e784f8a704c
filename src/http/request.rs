//! What is asked for.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::{LARGEST_REQUEST, Rejection};
use crate::proto::Secret;

/// The most fields that a request may have.
const MOST_FIELDS: usize = 64;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Answer.
    Get,
    /// Answer, without the body.
    Head,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// What with: it begins with `/`, and has no query.
    pub path: String,
    /// What stands behind the `?`.
    pub query: String,
    /// The name by which we were asked, with the port if there was one. HTTP/1.0 has none.
    pub host: Option<String>,
    /// The value of Authorization.
    pub authorization: Option<Secret>,
    /// Whether another request may follow.
    pub is_kept: bool,
}

impl Request {
    /// Reads the request that `bytes` begin with, and how long it is; `None` where it has no end yet.
    ///
    /// # Errors
    /// It is none, or none that is served.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Rejection> {
        let bytes_of_it = &bytes[..bytes.len().min(LARGEST_REQUEST)];
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        let length = match parsed.parse(bytes_of_it) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() > LARGEST_REQUEST => return Err(Rejection::TooLarge),
            Ok(Status::Partial) => return Ok(None),
            Err(Error::TooManyHeaders) => return Err(Rejection::TooLarge),
            Err(Error::Version) => return Err(Rejection::Version),
            Err(_) => return Err(Rejection::Malformed),
        };
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        let fields = Fields(parsed.headers);
        let is_current = parsed.version == Some(1);
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => return Err(Rejection::Method),
        };
        let (authority, target) = split(target).ok_or(Rejection::Malformed)?;
        let host = fields.host(is_current, authority)?;
        if fields.has_body() {
            return Err(Rejection::Body);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            host,
            authorization: fields.one("Authorization").map(|value| Secret::new(value.to_vec())),
            is_kept: is_current && !fields.says_close(),
        };
        Ok(Some((request, length)))
    }

    /// What of the query has this name, decoded, in order.
    pub fn arguments(&self, name: &str) -> Vec<String> {
        let arguments = form_urlencoded::parse(self.query.as_bytes());
        arguments.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }
}

/// A target's authority, where it has one, and the rest, which begins with `/`: of `/path` and `http://host/path`.
fn split(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') {
        return Some((None, target));
    }
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    match rest.find(['/', '?']) {
        Some(end) if rest[end..].starts_with('/') => Some((Some(&rest[..end]), &rest[end..])),
        Some(_) => None,
        None => Some((Some(rest), "/")),
    }
}

/// A request's fields.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    /// The values of a field, trimmed.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value.trim_ascii())
    }

    /// The value of a field that is there once.
    fn one(&self, name: &'static str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// RFC 9112, 3.2: the target's authority counts before the field, which HTTP/1.1 has once.
    fn host(&self, is_current: bool, authority: Option<&str>) -> Result<Option<String>, Rejection> {
        let mut values = self.all("Host");
        let value = values.next();
        if values.next().is_some() || (is_current && value.is_none()) {
            return Err(Rejection::Host);
        }
        let value = value.map(|value| std::str::from_utf8(value).map_err(|_| Rejection::Host)).transpose()?;
        Ok(authority.or(value).map(str::to_owned))
    }

    fn has_body(&self) -> bool {
        self.all("Transfer-Encoding").next().is_some() || self.all("Content-Length").any(|length| length != b"0")
    }

    fn says_close(&self) -> bool {
        let mut words = self.all("Connection").flat_map(|value| value.split(|byte| *byte == b','));
        words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, Rejection> {
        Request::parse(text.as_bytes()).map(|request| request.unwrap_or_else(|| panic!("{text:?} is whole")).0)
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let request = parse("GET /a?b=1 HTTP/1.1\r\nhOsT:  x:80 \r\nAuthorization: Bearer t\r\n\r\n").unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/a", "b=1"));
        assert_eq!((request.host.as_deref(), request.is_kept), (Some("x:80"), true));
        assert_eq!(request.authorization.unwrap().expose(), b"Bearer t");
        assert_eq!(parse("HEAD / HTTP/1.1\nHost: x\n\n").unwrap().method, Method::Head);
        let old = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert!(old.host.is_none() && !old.is_kept);
        for (value, is_kept) in [("close", false), ("x, Close", false), ("keep-alive", true)] {
            let request = parse(&format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {value}\r\n\r\n")).unwrap();
            assert_eq!(request.is_kept, is_kept, "{value}");
        }
        let whole = parse("GET http://y:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!((whole.host.as_deref(), whole.path.as_str(), whole.query.as_str()), (Some("y:1"), "/a", "b"));
    }

    #[test]
    fn arguments_are_decoded() {
        let request = parse("GET /s?site=a%20b&x=1&site=c+d&site=%ff HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(request.arguments("site"), ["a b", "c d", "\u{fffd}"]);
    }

    #[test]
    fn what_is_not_served_is_told_from_what_is_no_request() {
        let long = "x".repeat(LARGEST_REQUEST);
        let fields = "A: b\r\n".repeat(MOST_FIELDS + 1);
        for (text, rejection) in [
            ("\u{0}", Rejection::Malformed),
            ("GET /\r\n\r\n", Rejection::Malformed),
            ("GET x HTTP/1.1\r\nHost: x\r\n\r\n", Rejection::Malformed),
            ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", Rejection::Malformed),
            ("GET http://x?a HTTP/1.1\r\nHost: x\r\n\r\n", Rejection::Malformed),
            ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", Rejection::Malformed),
            ("GET / HTTP/1.1\r\n\r\n", Rejection::Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Rejection::Host),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", Rejection::Body),
            ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", Rejection::Body),
            ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", Rejection::Method),
            ("get / HTTP/1.1\r\nHost: x\r\n\r\n", Rejection::Method),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Rejection::Version),
            (&format!("GET /{long} HTTP/1.1\r\n"), Rejection::TooLarge),
            (&format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"), Rejection::TooLarge),
            (&format!("GET / HTTP/1.1\r\n{fields}\r\n"), Rejection::TooLarge),
            (&"\r\n".repeat(LARGEST_REQUEST), Rejection::TooLarge),
        ] {
            assert_eq!(parse(text), Err(rejection), "{text:?}");
        }
        assert_eq!(Request::parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), Ok(None));
        assert_eq!(Request::parse(b""), Ok(None));
    }
}
