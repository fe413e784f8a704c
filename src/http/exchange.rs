//! One connection: requests, and their answers, in turn.

use super::{Body, LARGEST_REQUEST, Method, Rejection, Request, Response};

/// What a connection is at.
#[derive(Debug)]
pub enum Exchange {
    /// What has come of a request.
    Asking(Vec<u8>),
    /// A request has come, and its answer is being made.
    Answering {
        /// Whether it is to be answered without the body.
        is_head: bool,
        /// Whether another may follow.
        is_kept: bool,
        /// What came behind it.
        rest: Vec<u8>,
    },
    /// Its answer is being sent.
    Sending {
        /// All that comes before the body.
        head: Vec<u8>,
        /// The body, unless it is to be left out.
        body: Option<Body>,
        /// How much of both is sent.
        sent: usize,
        /// What came behind the request, where another may follow.
        rest: Option<Vec<u8>>,
    },
    /// All is sent. What still comes is thrown away.
    Over,
}

/// What a connection can go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many more bytes of a request, at the most.
    Read(usize),
    /// The answer.
    Answer,
    /// The socket, which is to take [`Exchange::unsent`].
    Write,
    /// Nothing.
    Over,
}

impl Exchange {
    /// A connection that has begun.
    pub fn new() -> Self {
        Self::Asking(Vec::new())
    }

    /// What it can go on with.
    pub fn next(&self) -> Next {
        match self {
            // One more than a request may have shows that it is too long.
            Self::Asking(bytes) => Next::Read((LARGEST_REQUEST + 1).saturating_sub(bytes.len())),
            Self::Answering { .. } => Next::Answer,
            Self::Sending { .. } => Next::Write,
            Self::Over => Next::Over,
        }
    }

    /// Whether nothing of a request has come.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Asking(bytes) if bytes.is_empty())
    }

    /// Bytes have come, at most as many as are [to be read](Next::Read).
    pub fn received(&mut self, bytes: &[u8]) {
        if let Self::Asking(so_far) = self {
            so_far.extend_from_slice(bytes);
        }
    }

    /// The request that has come, or why none is served any more; `None` as long as it is not whole. It is to be
    /// [answered](Self::answer).
    pub fn request(&mut self) -> Option<Result<Request, Rejection>> {
        let Self::Asking(bytes) = self else { return None };
        match Request::parse(bytes) {
            Ok(None) => None,
            Ok(Some((request, length))) => {
                let rest = bytes.split_off(length);
                *self = Self::Answering { is_head: request.method == Method::Head, is_kept: request.is_kept, rest };
                Some(Ok(request))
            }
            Err(rejection) => {
                // Where the next one would begin is not known.
                *self = Self::Answering { is_head: false, is_kept: false, rest: Vec::new() };
                Some(Err(rejection))
            }
        }
    }

    /// Answers the request; `date` as [`httpdate`] writes it.
    pub fn answer(&mut self, response: &Response, date: &str) {
        let Self::Answering { is_head, is_kept, rest } = self else { return };
        let (head, rest) = (response.head(date, *is_kept), is_kept.then(|| std::mem::take(rest)));
        let body = (!*is_head).then(|| response.body.clone());
        *self = Self::Sending { head, body, sent: 0, rest };
    }

    /// What of the answer is to be sent next.
    pub fn unsent(&self) -> &[u8] {
        let Self::Sending { head, body, sent, .. } = self else { return &[] };
        match sent.checked_sub(head.len()) {
            None => &head[*sent..],
            Some(sent) => body.as_ref().map_or(&[], |body| &body.as_ref()[sent..]),
        }
    }

    /// So much of that is sent.
    pub fn sent(&mut self, count: usize) {
        let Self::Sending { sent, .. } = self else { return };
        *sent += count;
        if self.unsent().is_empty()
            && let Self::Sending { rest, .. } = std::mem::replace(self, Self::Over)
        {
            *self = rest.map_or(Self::Over, Self::Asking);
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Content;
    use super::super::fuzzing::{Heard, hear};
    use super::*;

    const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

    fn answered(requests: &str, body: &[u8]) -> (String, Exchange) {
        let (mut exchange, mut said) = (Exchange::new(), Vec::new());
        exchange.received(requests.as_bytes());
        while let Some(request) = exchange.request() {
            let response = request
                .map_or_else(Rejection::response, |_| Response::new(200, Content::Text, body.to_vec()).with("X", "y"));
            exchange.answer(&response, DATE);
            while exchange.next() == Next::Write {
                said.extend_from_slice(exchange.unsent());
                exchange.sent(exchange.unsent().len());
            }
        }
        (String::from_utf8(said).unwrap(), exchange)
    }

    #[test]
    fn an_answer_is_whole_and_forbids_a_browser_all_that_is_not_needed() {
        let (said, exchange) = answered("GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"hello");
        assert!(exchange.is_at_rest());
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "hello");
        assert!(head.starts_with(&format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\n")), "{head}");
        for field in [
            "Content-Type: text/plain; charset=utf-8",
            "Content-Length: 5",
            "Connection: keep-alive",
            "X: y",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
        ] {
            assert!(head.lines().any(|line| line == field), "{field} in {head}");
        }
        assert!(head.contains("Content-Security-Policy: default-src 'none'; script-src 'self';"), "{head}");
        assert!(head.lines().all(|line| line.starts_with("HTTP/1.1 ") || line.contains(": ")), "{head}");
    }

    #[test]
    fn the_head_alone_is_sent_where_that_is_asked_for() {
        let (said, exchange) = answered("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"hello");
        assert!(said.contains("Content-Length: 5\r\n") && said.ends_with("\r\n\r\n"), "{said}");
        assert!(exchange.is_at_rest());
        let (said, _) = answered("GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"");
        assert!(said.contains("Content-Length: 0\r\n") && said.ends_with("\r\n\r\n"), "{said}");
    }

    #[test]
    fn requests_sent_ahead_are_answered_in_turn_until_one_is_the_last() {
        let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let (said, exchange) = answered(&format!("{request}{request}{last}{request}"), b"hello");
        assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 3, "{said}");
        assert_eq!(exchange.next(), Next::Over);
        let (said, exchange) = answered(&format!("{request}POST / HTTP/1.1\r\nHost: x\r\n\r\n{request}"), b"");
        assert_eq!((said.matches("200 OK").count(), said.matches("HTTP/1.1").count()), (1, 2), "{said}");
        assert!(said.contains("405 Method Not Allowed\r\n") && said.contains("\r\nAllow: GET, HEAD\r\n"), "{said}");
        assert_eq!(exchange.next(), Next::Over);
    }

    proptest! {
        #[test]
        fn requests_are_the_same_however_they_come(
            requests in prop::collection::vec(
                prop_oneof![
                    "(GET|HEAD) /[a-z?=&%]{0,20} HTTP/1.[01]\r\n(Host: x\r\n)?(Connection: close\r\n)?\r\n",
                    "[A-Z]{1,5} [ -~]{0,40}\r\n\r\n",
                    any::<[u8; 8]>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
                ],
                0..6,
            ),
            piece in 1_usize..200,
        ) {
            let bytes = requests.concat().into_bytes();
            let (whole, pieces) = (hear(&bytes, bytes.len().max(1)), hear(&bytes, piece));
            prop_assert_eq!((whole.said, whole.is_over), (pieces.said, pieces.is_over));
        }

        #[test]
        fn nothing_is_held_beyond_the_longest_request(byte in any::<u8>(), piece in 1_usize..5000) {
            let Heard { most_held, .. } = hear(&vec![byte; 3 * LARGEST_REQUEST], piece);
            prop_assert!(most_held <= LARGEST_REQUEST + 1);
        }
    }
}
