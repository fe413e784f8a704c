//! Who may ask for what.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::host::is_ours;
use super::{Rejection, Request};
use crate::proto::Secret;

/// How much something tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// Whether the process is alive: to anyone.
    Anyone,
    /// What programs ask for: with the token.
    Program,
    /// What a browser may show: also, by no name but ours.
    Browser,
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What has to be known, where something has.
    pub token: Option<Secret>,
    /// Our names, in small letters, besides addresses and `localhost`.
    pub names: Vec<String>,
}

impl Access {
    /// Whether a request for something so open is to be served.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, request: &Request, openness: Openness) -> Result<(), Rejection> {
        if openness == Openness::Anyone {
            return Ok(());
        }
        if self.token.as_ref().is_some_and(|token| !knows(request, token)) {
            return Err(Rejection::Unauthorized);
        }
        // No browser asks without.
        let is_misled = request.host.as_deref().is_some_and(|host| !is_ours(host, &self.names));
        if openness == Openness::Browser && is_misled { Err(Rejection::Misdirected) } else { Ok(()) }
    }
}

/// Whether the request has the token: as RFC 6750 has it, or as the password of RFC 7617, which browsers ask for.
fn knows(request: &Request, token: &Secret) -> bool {
    let Some((scheme, given)) = request.authorization.as_ref().and_then(|secret| split(secret.expose())) else {
        return false;
    };
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return is_same(given, token.expose());
    }
    let decoded = scheme.eq_ignore_ascii_case(b"basic").then(|| STANDARD.decode(given).ok()).flatten();
    let decoded = Secret::new(decoded.unwrap_or_default());
    let password = decoded.expose().splitn(2, |byte| *byte == b':').nth(1);
    password.is_some_and(|password| is_same(password, token.expose()))
}

/// `scheme credentials`.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| *byte == b' ')?;
    Some((&value[..end], value[end..].trim_ascii()))
}

/// Hashes are compared in constant time: how much of it was right does not show.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    blake3::hash(one) == blake3::hash(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;

    fn request(host: Option<&str>, authorization: Option<&str>) -> Request {
        Request {
            method: Method::Get,
            path: "/".to_owned(),
            query: String::new(),
            host: host.map(str::to_owned),
            authorization: authorization.map(|value| Secret::new(value.as_bytes().to_vec())),
            is_kept: true,
        }
    }

    #[test]
    fn the_token_is_asked_for_in_both_ways_and_no_other() {
        let access = Access { token: Some(Secret::new(b"s3cret:token".to_vec())), names: Vec::new() };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for authorization in [
            "Bearer s3cret:token".to_owned(),
            "bearer  s3cret:token ".to_owned(),
            basic("anyone:s3cret:token"),
            basic(":s3cret:token"),
        ] {
            let request = request(None, Some(&authorization));
            assert_eq!(access.check(&request, Openness::Program), Ok(()), "{authorization}");
        }
        let wrong = ["", "Bearer", "Bearer ", "Bearer s3cret", "s3cret:token", "Digest s3cret:token", "Basic !"];
        let wrong = wrong.into_iter().map(str::to_owned).chain([basic("s3cret"), basic("a:b"), basic("")]);
        for authorization in wrong.map(Some).chain([None]) {
            let request = request(None, authorization.as_deref());
            let refused = Err(Rejection::Unauthorized);
            assert_eq!(access.check(&request, Openness::Program), refused, "{authorization:?}");
            assert_eq!(access.check(&request, Openness::Browser), refused, "{authorization:?}");
            assert_eq!(access.check(&request, Openness::Anyone), Ok(()));
        }
    }

    #[test]
    fn what_a_browser_shows_is_not_given_under_a_name_that_somebody_else_has_lead_here() {
        let access = Access::default();
        let rebound = request(Some("evil.example"), None);
        assert_eq!(access.check(&rebound, Openness::Browser), Err(Rejection::Misdirected));
        assert_eq!(access.check(&rebound, Openness::Program), Ok(()));
        for host in [Some("127.0.0.1:41122"), None] {
            assert_eq!(access.check(&request(host, None), Openness::Browser), Ok(()));
        }
    }
}
