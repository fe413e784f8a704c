//! What is answered in place of what was asked for.

use super::{Content, LARGEST_REQUEST, Response};

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is no request.
    #[error("this is no HTTP request that is understood here")]
    Malformed,
    /// HTTP/1.1 asks for exactly one.
    #[error("expected one Host field")]
    Host,
    /// It has a body.
    #[error("a request has no body here")]
    Body,
    /// More sites than are looked at by name.
    #[error("at most 16 sites can be named; without a name, there are all")]
    TooManyNames,
    /// None or several sites, where there is to be one.
    #[error("expected ?site=NAME, once")]
    NotOneName,
    /// Neither the token nor a password that is the token.
    #[error("expected the token of the configuration, as `Authorization: Bearer TOKEN` or as the password of any user")]
    Unauthorized,
    /// Nothing is there; what is.
    #[error("there are {0}")]
    NotFound(&'static str),
    /// Another method than GET or HEAD.
    #[error("only GET and HEAD are served: nothing can be changed here")]
    Method,
    /// Asked for by a name that leads here without our having it.
    #[error("this name is not among the hosts of the configuration: ask by address, or add it there")]
    Misdirected,
    /// Too long.
    #[error("a request has at most {LARGEST_REQUEST} bytes and 64 fields here")]
    TooLarge,
    /// What was asked for could not be made.
    #[error("the answer could not be made; the program's log says why")]
    Failed,
    /// Too much is being asked for.
    #[error("too many answers are under way: try again in a few seconds")]
    Busy,
    /// Another HTTP than 1.0 and 1.1.
    #[error("HTTP/1.1 is spoken here")]
    Version,
}

impl Rejection {
    /// As it is answered.
    pub fn response(self) -> Response {
        let text = format!("{self}\n").into_bytes();
        let response = Response::new(self.status(), Content::Text, text);
        match self {
            Self::Unauthorized => response.with("WWW-Authenticate", "Basic realm=\"tentacle-sync\", charset=\"UTF-8\""),
            Self::Method => response.with("Allow", "GET, HEAD"),
            Self::Busy => response.with("Retry-After", "5"),
            _ => response,
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Host | Self::Body | Self::TooManyNames | Self::NotOneName => 400,
            Self::Unauthorized => 401,
            Self::NotFound(_) => 404,
            Self::Method => 405,
            Self::Misdirected => 421,
            Self::TooLarge => 431,
            Self::Failed => 500,
            Self::Busy => 503,
            Self::Version => 505,
        }
    }
}
