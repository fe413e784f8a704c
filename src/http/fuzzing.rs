//! The body of the fuzz target: what must hold for any bytes from a client. Its seeds are replayed as a test.

use super::{Content, Exchange, LARGEST_REQUEST, Next, Response};

/// What a connection has come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// What was answered.
    pub said: Vec<u8>,
    /// Whether it has ended.
    pub is_over: bool,
    /// The most bytes of requests that were held.
    pub most_held: usize,
}

/// Any bytes as a client's side of a connection: in one piece or in many, the answers are the same.
pub fn exchange(data: &[u8]) {
    let whole = hear(data, data.len().max(1));
    for piece in [1, 7, 4096] {
        let pieces = hear(data, piece);
        assert_eq!((&pieces.said, pieces.is_over), (&whole.said, whole.is_over));
        assert!(pieces.most_held <= LARGEST_REQUEST + 1);
    }
}

/// Hears `data` in pieces of `piece` bytes, and answers with what was understood.
pub fn hear(data: &[u8], piece: usize) -> Heard {
    let (mut exchange, mut position, mut said, mut most_held) = (Exchange::new(), 0, Vec::new(), 0);
    loop {
        if let Some(request) = exchange.request() {
            let response = match request {
                Ok(request) => Response::new(200, Content::Text, format!("{request:?}").into_bytes()),
                Err(rejection) => rejection.response(),
            };
            exchange.answer(&response, "");
        }
        match exchange.next() {
            Next::Read(most) => {
                let next = &data[position..data.len().min(position + most.min(piece))];
                if next.is_empty() {
                    return Heard { said, is_over: false, most_held };
                }
                position += next.len();
                exchange.received(next);
                if let Exchange::Asking(bytes) = &exchange {
                    most_held = most_held.max(bytes.len());
                }
            }
            Next::Write => {
                let most = exchange.unsent().len().min(piece);
                said.extend_from_slice(&exchange.unsent()[..most]);
                exchange.sent(most);
            }
            Next::Answer => unreachable!("what was asked for is answered at once"),
            Next::Over => return Heard { said, is_over: true, most_held },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_corpus_holds() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http");
        let seeds: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(seeds.len() > 3, "there are seeds");
        for seed in seeds {
            super::exchange(&std::fs::read(seed).unwrap());
        }
    }
}
