//! One client of the status port.

use std::time::{Duration, Instant};

use super::{Connection, REQUEST_TIME};
use crate::http::{Exchange, Next, Rejection, Request, Response};
use crate::net::{Failure, Read};

/// How long a client may be silent between two requests: longer than Prometheus is by default.
const IDLE_TIME: Duration = Duration::from_secs(75);

/// How long a client may take nothing of its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take for all of it.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What a client is at, and since when it has made no progress.
pub(super) enum Client {
    /// It has come in, and has not been let in.
    Waiting { since: Instant },
    /// It asks, or is answered.
    Open { exchange: Exchange, since: Instant },
    /// It was told all. Its end is awaited, so that what it has not read is not taken from it.
    Parting { since: Instant },
}

/// What a client's turn has come to.
pub(super) enum Step {
    /// The socket, or the answer, is waited for.
    Blocked,
    /// This is to be answered.
    Asked(Result<Request, Rejection>),
    /// It was told all there is to be told.
    Over,
    /// It has left.
    Gone,
}

impl Client {
    /// Since when it has made no progress; `None` where that is ours to make.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self {
            Self::Waiting { since } | Self::Parting { since } => Some(*since),
            Self::Open { exchange, since } => (exchange.next() != Next::Answer).then_some(*since),
        }
    }

    /// The connection is open.
    pub(super) fn opened(io: &mut dyn Connection) -> Self {
        io.set_deadline(Some(REQUEST_TIME));
        Self::Open { exchange: Exchange::new(), since: io.now() }
    }

    /// Brings it as far as its socket lets it.
    pub(super) fn go_on(&mut self, io: &mut dyn Connection) -> Result<Step, Failure> {
        match self {
            Self::Waiting { .. } => Ok(Step::Blocked),
            Self::Open { exchange, since } => go_on(exchange, since, io),
            Self::Parting { .. } => loop {
                match io.read(u64::MAX, &mut <[u8]>::len)? {
                    Read::Bytes(_) => {}
                    Read::Blocked => return Ok(Step::Blocked),
                    Read::Eof { .. } => return Ok(Step::Gone),
                }
            },
        }
    }

    /// Answers its request; `date` as [`httpdate`] writes it.
    pub(super) fn answer(&mut self, response: &Response, date: &str, io: &mut dyn Connection) {
        if let Self::Open { exchange, since } = self {
            exchange.answer(response, date);
            *since = io.now();
            io.drain_by(PATIENCE, Some(io.now() + ANSWER_TIME));
        }
    }
}

fn go_on(exchange: &mut Exchange, since: &mut Instant, io: &mut dyn Connection) -> Result<Step, Failure> {
    loop {
        match exchange.next() {
            Next::Read(most) => {
                if let Some(request) = exchange.request() {
                    *since = io.now();
                    io.set_deadline(None);
                    return Ok(Step::Asked(request));
                }
                let is_first = exchange.is_at_rest();
                let take = &mut |bytes: &[u8]| {
                    exchange.received(bytes);
                    bytes.len()
                };
                match io.read(most as u64, take)? {
                    // From its first byte on, all of a request has to come in its time.
                    Read::Bytes(_) if is_first => {
                        *since = io.now();
                        io.set_deadline(Some(REQUEST_TIME));
                    }
                    Read::Bytes(_) => {}
                    Read::Blocked => return Ok(Step::Blocked),
                    Read::Eof { .. } => return Ok(Step::Gone),
                }
            }
            Next::Answer => return Ok(Step::Blocked),
            Next::Write => match io.write(exchange.unsent())? {
                0 => {
                    io.flush()?;
                    return Ok(Step::Blocked);
                }
                written => {
                    exchange.sent(written);
                    *since = io.now();
                    if let Next::Read(_) = exchange.next() {
                        io.flush()?;
                        let next = if exchange.is_at_rest() { IDLE_TIME } else { REQUEST_TIME };
                        io.set_deadline(Some(next));
                    }
                }
            },
            Next::Over => return Ok(Step::Over),
        }
    }
}
