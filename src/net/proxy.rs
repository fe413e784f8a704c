//! Through an HTTP proxy: CONNECT (RFC 9110, 9.3.6) with Basic auth (RFC 7617).

use std::io::{self, Read, Write};
use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use mio::net::TcpStream;

use super::{Failure, HttpVersion};
use crate::proto::{Secret, quoted};

/// The longest answer read from a proxy, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// The most header fields an answer may have.
const MAX_FIELDS: usize = 64;

/// Why a proxy did not let us through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It answered something else than 2xx: the status and its phrase.
    #[error("the proxy answered {}{}", quoted(format!("{status} {phrase}").trim_end()), advice(*status))]
    Refused {
        /// The minor version of HTTP/1.
        minor: u8,
        /// HTTP status.
        status: u16,
        /// The proxy's reason for it.
        phrase: String,
    },
    /// What it answered is not HTTP.
    #[error("the proxy's answer is not HTTP; is this the proxy's address and port?")]
    NotHttp,
    /// It closed the connection before it had answered.
    #[error("the proxy closed the connection without an answer")]
    Closed,
    /// It sent bytes beyond its answer, which nobody behind it can have sent.
    #[error("the proxy sent more than its answer")]
    Unsolicited,
}

fn advice(status: u16) -> &'static str {
    match status {
        407 => "; check the proxy's user and password",
        403 | 405 => "; does it allow CONNECT to the site's address and port?",
        502..=504 => "; can it reach the site?",
        _ => "",
    }
}

/// The request that asks a proxy for a connection to `host` and `port`.
pub(super) fn request(host: &str, port: u16, http: HttpVersion, credentials: Option<&(String, Secret)>) -> Vec<u8> {
    let authority = match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    };
    let mut request = match http {
        HttpVersion::Http10 => format!("CONNECT {authority} HTTP/1.0\r\n"),
        HttpVersion::Http11 => format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"),
    }
    .into_bytes();
    if let Some((user, password)) = credentials {
        let pair = [user.as_bytes(), b":", password.expose()].concat();
        request.extend_from_slice(b"Proxy-Authorization: Basic ");
        request.extend_from_slice(STANDARD.encode(pair).as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Writes what is left of `request` and reads what there is of the answer; `Ok(true)` once we are let through.
pub(super) fn exchange(mut stream: &TcpStream, request: &mut Vec<u8>, answer: &mut Vec<u8>) -> Result<bool, Failure> {
    while !request.is_empty() {
        match stream.write(request) {
            Ok(written) => drop(request.drain(..written)),
            Err(error) if is_temporary(&error) => return Ok(false),
            Err(error) => return Err(Failure::Io(error)),
        }
    }
    let mut piece = [0; 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Err(ProxyError::Closed.into()),
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) if is_temporary(&error) => return Ok(false),
            Err(error) => return Err(Failure::Io(error)),
        }
        if answered(answer)? {
            return Ok(true);
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Takes the answer as it comes; `Ok(true)` once it is whole and lets us through.
pub(super) fn answered(answer: &[u8]) -> Result<bool, ProxyError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(answer) {
        Ok(httparse::Status::Partial) if answer.len() < MAX_ANSWER => Ok(false),
        Ok(httparse::Status::Partial) | Err(_) => Err(ProxyError::NotHttp),
        Ok(httparse::Status::Complete(length)) => match response.code {
            Some(200..=299) if length == answer.len() => Ok(true),
            Some(200..=299) => Err(ProxyError::Unsolicited),
            status => Err(ProxyError::Refused {
                minor: response.version.unwrap_or(0),
                status: status.unwrap_or(0),
                phrase: response.reason.unwrap_or_default().to_owned(),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_site_and_the_user() {
        let bare = |http| String::from_utf8(request("site", 41121, http, None)).unwrap();
        assert_eq!(bare(HttpVersion::Http11), "CONNECT site:41121 HTTP/1.1\r\nHost: site:41121\r\n\r\n");
        assert_eq!(bare(HttpVersion::Http10), "CONNECT site:41121 HTTP/1.0\r\n\r\n");
        let credentials = ("Aladdin".to_owned(), Secret::new(b"open sesame".to_vec()));
        let text = String::from_utf8(request("::1", 1, HttpVersion::Http11, Some(&credentials))).unwrap();
        assert!(text.starts_with("CONNECT [::1]:1 HTTP/1.1\r\n"));
        assert!(text.ends_with("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"));
    }

    #[test]
    fn an_answer_counts_once_it_is_whole() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\n";
        for cut in 0..answer.len() {
            assert_eq!(answered(&answer[..cut]), Ok(false));
        }
        assert_eq!(answered(answer), Ok(true));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refused = answered(b"HTTP/1.0 407 Auth\r\n\r\n").unwrap_err();
        assert_eq!(refused.to_string(), "the proxy answered \"407 Auth\"; check the proxy's user and password");
        assert_eq!(answered(b"SSH-2.0-OpenSSH\r\n"), Err(ProxyError::NotHttp));
        assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\nextra"), Err(ProxyError::Unsolicited));
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; MAX_ANSWER]].concat();
        assert_eq!(answered(&endless), Err(ProxyError::NotHttp));
    }
}
