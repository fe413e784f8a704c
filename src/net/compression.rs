//! Compression of a connection's bytes, as [`DEFLATE`](crate::proto::extension) begins it: between the session and the
//! connection, in both directions.

use std::fs::File;

use super::{ByteStream, Failure, FileSent, Read};
use crate::budget::{Budget, Share};
use crate::proto::extension::{Deflater, History, Inflater};
use crate::tls::read_piece;

/// Bytes that are compressed before what comes of them is written.
const PIECE: usize = 16 * 1024;

/// Bytes that are read at once; of these no more is taken than there is room for what comes out.
const INPUT: u64 = 16 * 1024;

/// What the state of a compressed connection takes, in bytes.
const WITH_HISTORY: u64 = 384 * 1024;
const WITHOUT_HISTORY: u64 = 64 * 1024;

/// A connection whose bytes can be compressed.
pub trait Compressible: ByteStream {
    /// What the memory for that is taken out of; `None` where so many connections are compressed that there is none left.
    fn compression_place(&mut self) -> Option<CompressionPlace>;
    /// What is written from now on is compressed, and what is read has been. Not to be done twice.
    fn compress(&mut self, place: CompressionPlace);
    /// What has crossed the connection since it is compressed; `None` if it is not.
    fn compressed_bytes(&mut self) -> Option<CompressedBytes>;
}

/// What has crossed a compressed connection, in bytes as they come and leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressedBytes {
    /// Read.
    pub received: u64,
    /// Written.
    pub sent: u64,
}

/// One of the connections that can be compressed at a time.
#[derive(Debug)]
pub struct CompressionPlace {
    history: History,
    _share: Share,
}

impl CompressionPlace {
    /// Takes one out of `budget`, in bytes, for a connection that remembers so much of what it sends.
    pub(crate) fn of(budget: &Budget, history: History) -> Option<Self> {
        let mut share = budget.share();
        let memory = if history == History::Kept { WITH_HISTORY } else { WITHOUT_HISTORY };
        share.grow(memory).then_some(Self { history, _share: share })
    }
}

/// Both directions of a compressed connection.
///
/// Its methods are those of a [`ByteStream`], with the connection itself, whose bytes are the compressed ones.
#[derive(Debug)]
pub(crate) struct Compression {
    inflater: Inflater,
    deflater: Deflater,
    /// Bytes that were not written since they were compressed.
    saved: i64,
    bytes: CompressedBytes,
    _place: CompressionPlace,
}

impl Compression {
    pub(crate) fn new(place: CompressionPlace) -> Self {
        Self {
            inflater: Inflater::new(),
            deflater: Deflater::new(place.history),
            saved: 0,
            bytes: CompressedBytes::default(),
            _place: place,
        }
    }

    /// Reads at most once. Bytes that bring no output yet are [`Read::Bytes`] of none, as are records without data under TLS.
    pub(crate) fn read(
        &mut self,
        io: &mut dyn ByteStream,
        most: u64,
        take: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<Read, Failure> {
        if self.inflater.output().is_empty() && self.inflater.may_have_more() {
            self.inflater.handle_input(&[])?;
        }
        if self.inflater.output().is_empty() {
            let (inflater, mut damage) = (&mut self.inflater, None);
            let read = io.read(INPUT, &mut |bytes| {
                inflater.handle_input(bytes).unwrap_or_else(|error| {
                    damage = Some(error);
                    bytes.len()
                })
            })?;
            if let Some(error) = damage {
                return Err(error.into());
            }
            let Read::Bytes(count) = read else {
                self.inflater.rest();
                return Ok(read);
            };
            self.bytes.received += count as u64;
        }
        let output = self.inflater.output();
        let shown = usize::try_from(most).map_or(output, |most| &output[..most.min(output.len())]);
        let taken = if shown.is_empty() { 0 } else { take(shown).min(shown.len()) };
        self.inflater.taken(taken);
        Ok(Read::Bytes(taken))
    }

    /// Whether bytes have come out that nobody has taken yet, or may.
    pub(crate) fn has_buffered(&self) -> bool {
        !self.inflater.output().is_empty() || self.inflater.may_have_more()
    }

    /// Takes nothing before what was compressed earlier is written.
    pub(crate) fn write(&mut self, io: &mut dyn ByteStream, bytes: &[u8]) -> Result<usize, Failure> {
        if !self.drain(io)? {
            return Ok(0);
        }
        let piece = &bytes[..bytes.len().min(PIECE)];
        self.push(piece);
        self.drain(io)?;
        Ok(piece.len())
    }

    /// Reads the file only once there is room for what it has.
    pub(crate) fn send_file(
        &mut self,
        io: &mut dyn ByteStream,
        file: &File,
        offset: u64,
        count: u64,
        scratch: &mut [u8],
    ) -> Result<FileSent, Failure> {
        if !self.drain(io)? {
            return Ok(FileSent::Blocked);
        }
        let most = usize::try_from(count).map_or(PIECE, |count| count.min(PIECE));
        match read_piece(file, offset, most, scratch)? {
            [] => Ok(FileSent::Short),
            piece => {
                self.push(piece);
                self.drain(io)?;
                Ok(FileSent::Bytes(piece.len() as u64))
            }
        }
    }

    /// Has the peer get all that was written.
    pub(crate) fn flush(&mut self, io: &mut dyn ByteStream) -> Result<bool, Failure> {
        if !self.drain(io)? {
            return Ok(false);
        }
        let before = self.deflater.transmit().len();
        self.deflater.flush();
        self.note_compressed(0, before);
        Ok(self.drain(io)? && io.flush()?)
    }

    /// What was read and written so far.
    pub(crate) fn bytes(&self) -> CompressedBytes {
        self.bytes
    }

    /// Whether nothing that was written is held here.
    pub(crate) fn is_flushed(&self) -> bool {
        self.deflater.is_flushed()
    }

    /// By how many bytes what was written so far is longer than what has left, or is to.
    pub(crate) fn saved(&self) -> u64 {
        u64::try_from(self.saved).unwrap_or(0)
    }

    fn push(&mut self, bytes: &[u8]) {
        let before = self.deflater.transmit().len();
        self.deflater.push(bytes);
        self.note_compressed(bytes.len(), before);
    }

    fn note_compressed(&mut self, pushed: usize, before: usize) {
        let came = self.deflater.transmit().len() - before;
        let difference = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.saved = self.saved.saturating_add(difference(pushed)).saturating_sub(difference(came));
    }

    /// Writes what is compressed; whether nothing of it is left.
    fn drain(&mut self, io: &mut dyn ByteStream) -> Result<bool, Failure> {
        while !self.deflater.transmit().is_empty() {
            match io.write(self.deflater.transmit())? {
                0 => return Ok(false),
                written => {
                    self.bytes.sent += written as u64;
                    self.deflater.transmitted(written);
                }
            }
        }
        Ok(true)
    }
}
