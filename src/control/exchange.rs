//! One client's connection: a request, then its answer.

use super::LARGEST_REQUEST;

/// A request on its way, or its answer.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// What has come of the request's line.
    Asking(Vec<u8>),
    /// The request has come.
    Answering {
        /// What of the answer is made.
        made: Vec<u8>,
        /// How much of that is sent.
        sent: usize,
        /// Whether that is all.
        is_whole: bool,
    },
}

/// What a connection can go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More of the request.
    Read,
    /// The socket, which is to take [`Exchange::unsent`].
    Write,
    /// More of the answer.
    Answer,
    /// Nothing: all is sent.
    Over,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Self::Asking(Vec::new())
    }

    pub(crate) fn next(&self) -> Next {
        match self {
            Self::Asking(_) => Next::Read,
            Self::Answering { made, sent, .. } if *sent < made.len() => Next::Write,
            Self::Answering { is_whole: false, .. } => Next::Answer,
            Self::Answering { is_whole: true, .. } => Next::Over,
        }
    }

    /// Bytes have come. The request, once its line has come whole, or is too long for one: it is to be answered. What
    /// follows it is thrown away.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Self::Asking(line) = self else { return None };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let room = LARGEST_REQUEST + 1 - line.len();
        let of_line = &bytes[..end.unwrap_or(bytes.len()).min(room)];
        line.extend_from_slice(of_line);
        (end.is_some() || line.len() > LARGEST_REQUEST).then(|| self.asked())
    }

    /// The client has ended its direction. The request, if there is one that lacks its end alone.
    pub(crate) fn ended(&mut self) -> Option<Vec<u8>> {
        let Self::Asking(line) = self else { return None };
        (!line.is_empty()).then(|| self.asked())
    }

    fn asked(&mut self) -> Vec<u8> {
        match std::mem::replace(self, Self::Answering { made: Vec::new(), sent: 0, is_whole: false }) {
            Self::Asking(line) => line,
            Self::Answering { .. } => Vec::new(),
        }
    }

    /// More of the answer.
    pub(crate) fn answer(&mut self, more: &[u8]) {
        if let Self::Answering { made, sent, is_whole: false } = self {
            made.drain(..std::mem::take(sent));
            made.extend_from_slice(more);
        }
    }

    /// The answer is made whole.
    pub(crate) fn finish(&mut self) {
        if let Self::Answering { is_whole, .. } = self {
            *is_whole = true;
        }
    }

    /// What of the answer is made and not sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        match self {
            Self::Asking(_) => &[],
            Self::Answering { made, sent, .. } => &made[*sent..],
        }
    }

    /// So much of that is sent.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Self::Answering { made, sent, .. } = self {
            *sent += count;
            if *sent == made.len() {
                made.clear();
                *sent = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of `bytes` in pieces of `piece`, and how much was held at the most.
    fn fed(bytes: &[u8], piece: usize) -> (Option<Vec<u8>>, usize) {
        let (mut exchange, mut held) = (Exchange::new(), 0);
        for chunk in bytes.chunks(piece) {
            let request = exchange.received(chunk);
            if request.is_some() {
                assert_eq!(exchange.next(), Next::Answer);
                assert_eq!(exchange.received(b"more\n"), None, "one request");
                return (request, held);
            }
            if let Exchange::Asking(line) = &exchange {
                held = held.max(line.len());
            }
        }
        (exchange.ended(), held)
    }

    proptest! {
        #[test]
        fn a_line_is_a_request_however_it_comes(line in "[^\n]{0,200}", piece in 1_usize..64, rest in "[a-z\n]{0,40}") {
            let bytes = format!("{line}\n{rest}");
            prop_assert_eq!(fed(bytes.as_bytes(), piece).0, Some(line.into_bytes()));
        }
    }

    #[test]
    fn a_line_without_an_end_is_held_to_its_bound() {
        for piece in [1000, 4096, 1 << 20] {
            let (request, held) = fed(&vec![b'x'; 1 << 20], piece);
            assert_eq!(request.map(|line| line.len()), Some(LARGEST_REQUEST + 1), "to be refused");
            assert!(held <= LARGEST_REQUEST);
        }
        let longest = [vec![b'x'; LARGEST_REQUEST], vec![b'\n']].concat();
        assert_eq!(fed(&longest, 777).0.map(|line| line.len()), Some(LARGEST_REQUEST));
    }

    #[test]
    fn a_request_may_end_with_the_clients_direction() {
        assert_eq!(fed(b"{}", 1).0, Some(b"{}".to_vec()));
        assert_eq!(fed(b"", 1).0, None);
    }

    #[test]
    fn an_answer_is_made_and_sent_in_pieces() {
        let mut exchange = Exchange::new();
        exchange.answer(b"before the request");
        assert_eq!((exchange.next(), exchange.unsent()), (Next::Read, &b""[..]));
        exchange.received(b"?\n").unwrap();
        exchange.answer(b"one");
        assert_eq!(exchange.next(), Next::Write);
        exchange.sent(1);
        exchange.answer(b"two");
        assert_eq!(exchange.unsent(), b"netwo");
        exchange.sent(5);
        assert_eq!((exchange.next(), exchange.unsent()), (Next::Answer, &b""[..]));
        exchange.answer(b"three");
        exchange.finish();
        assert_eq!(exchange.next(), Next::Write);
        exchange.sent(5);
        assert_eq!(exchange.next(), Next::Over);
    }
}
