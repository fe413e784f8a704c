//! Compression: any bytes as a stream, and a client that is compressed against our server.

use super::pair::Dice;
use super::pipelined::{ClientSide, ServerSide, TURNS};
use super::{pipelined_session, server_session};
use crate::proto::extension::{Deflater, History, InflateError, Inflater};
use crate::proto::server::{self, CloseReason};

/// The most that comes out of a stream here, in bytes.
const MOST: usize = 1 << 18;

/// Any bytes as a peer's compressed stream, in one piece or in many: what comes out of it has a bound, and is then a peer's
/// side of a session. Where the stream is damaged, the pieces decide how much comes out before that.
pub fn inflate(data: &[u8]) {
    for piece in [1, 7, data.len().max(1)] {
        let (output, _) = run(data, piece);
        server_session(&output);
        pipelined_session(&output);
    }
}

fn run(data: &[u8], piece: usize) -> (Vec<u8>, Option<InflateError>) {
    let (mut inflater, mut output) = (Inflater::new(), Vec::new());
    for mut bytes in data.chunks(piece) {
        while (!bytes.is_empty() || inflater.may_have_more()) && output.len() < MOST {
            match inflater.handle_input(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(error) => return (output, Some(error)),
            }
            output.extend_from_slice(inflater.output());
            inflater.taken(usize::MAX);
        }
    }
    output.truncate(MOST);
    (output, None)
}

/// As [`pipelined_client_against_server`](super::pipelined_client_against_server), where the client asks for compression
/// first, and everything after the answer is compressed in any pieces, flushed at any times, and cut anywhere.
pub fn compressed_client_against_server(data: &[u8]) {
    let mut dice = Dice(data);
    let (mut client, mut server) = (ClientSide::compressed(), ServerSide::new());
    let (mut up, mut down) = (Direction::default(), Direction::default());
    for _ in 0..TURNS {
        client.step(&mut down.read, &mut up.written, &mut dice);
        server.step(&mut up.read, &mut down.written, &mut dice);
        up.carry(&mut dice);
        down.carry(&mut dice);
        // What stands behind the answer is never in front of the switch, on either side.
        let is_written = server.server.transmit().is_empty() && down.written.is_empty();
        if server.server.want() == server::Want::Compression && is_written {
            server.server.compressed().expect("it is wanted");
            up.inflater = Some(Inflater::new());
            down.deflater = Some(Deflater::new(History::Kept));
        }
        if client.begins_to_compress() {
            up.deflater = Some(Deflater::new(History::SinceFlush));
            down.inflater = Some(Inflater::new());
        }
        if server.server.ending() == Some(&CloseReason::Quit) && client.is_done() {
            assert!(up.inflater.is_some() && down.inflater.is_some(), "nothing was compressed");
            return client.compare(&server);
        }
    }
    panic!("client wants {:?}, server {:?}", client.want(), server.server.want());
}

/// What one side writes, on its way to what the other reads.
#[derive(Default)]
struct Direction {
    written: Vec<u8>,
    /// Once the writer compresses.
    deflater: Option<Deflater>,
    carried: Vec<u8>,
    /// Once the reader decompresses.
    inflater: Option<Inflater>,
    read: Vec<u8>,
}

impl Direction {
    fn carry(&mut self, dice: &mut Dice<'_>) {
        let n = dice.piece(self.written.len());
        match &mut self.deflater {
            None => self.carried.extend(self.written.drain(..n)),
            Some(deflater) => {
                let bytes: Vec<u8> = self.written.drain(..n).collect();
                if !bytes.is_empty() {
                    deflater.push(&bytes);
                }
                if dice.roll().is_multiple_of(4) {
                    deflater.flush();
                }
                let n = piece(deflater.transmit(), dice);
                self.carried.extend_from_slice(&deflater.transmit()[..n]);
                deflater.transmitted(n);
            }
        }
        let Some(inflater) = &mut self.inflater else {
            let n = dice.piece(self.carried.len());
            return self.read.extend(self.carried.drain(..n));
        };
        let n = piece(&self.carried, dice);
        let taken = inflater.handle_input(&self.carried[..n]).expect("our own stream is one");
        self.carried.drain(..taken);
        self.read.extend_from_slice(inflater.output());
        inflater.taken(usize::MAX);
    }
}

/// How much of a stream goes at once: a byte that is flushed by itself makes some ten, which must not pile up.
fn piece(stream: &[u8], dice: &mut Dice<'_>) -> usize {
    stream.len().min(16 * dice.piece(stream.len()))
}
