//! Reads an archive of one entry as it comes.

use std::fmt;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{CENTRAL, Central, DESCRIPTOR, Descriptor, Directory, END, Entry, LOCAL, Local, Method, ZipError};

/// Bytes that come out at a time, at most.
const OUTPUT: usize = 16 * 1024;

/// Why an archive does not become a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It is none that can be unpacked.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// More comes out of it than may.
    #[error("more than {max} bytes unpacked, and no more are allowed")]
    TooLarge {
        /// The limit.
        max: u64,
    },
}

/// Takes an archive of one file, piece by piece, and gives the file, whatever its entry's name. What came out is the file once
/// [`finish`](Self::finish) says so. Between two pieces it holds some tens of KiB.
///
/// An archive is read from its end elsewhere, and its directory counts. Here it is read from its beginning, and the directory has
/// to say of the entry what was found.
pub struct Unpacker {
    state: State,
    content: Content,
    /// Bytes of the archive that were taken.
    taken: u64,
}

/// What comes next.
enum State {
    Local(Record<LOCAL>),
    /// The entry's name and extra field, of which so much is left.
    Name(Header, u64),
    /// Data as it is, of which so much is left.
    Stored(Header, u64),
    Deflated(Header, Box<Decompress>),
    Descriptor(Data, Record<DESCRIPTOR>),
    Central(Data, Record<CENTRAL>),
    /// The directory's name, extra field and comment, of which so much is left.
    CentralName(Data, [u8; CENTRAL], u64),
    End(Data, [u8; CENTRAL], Record<END>),
    Done(Data, [u8; CENTRAL], [u8; END]),
    /// It has failed.
    Failed,
}

/// The local header, and what it says.
struct Header {
    bytes: [u8; LOCAL],
    local: Local,
}

/// The entry's data is over.
struct Data {
    local: [u8; LOCAL],
    /// How many bytes it had, packed.
    packed: u64,
}

/// What has come out.
struct Content {
    crc: Crc,
    size: u64,
    /// Bytes, at most.
    max: u64,
}

/// A part of so many bytes, as far as it has come.
struct Record<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl Unpacker {
    /// For an archive of which nothing has come; out of it may come `max` bytes.
    pub fn new(max: u64) -> Self {
        let content = Content { crc: Crc::new(), size: 0, max };
        Self { state: State::Local(Record::new()), content, taken: 0 }
    }

    /// Takes the archive's next bytes, and hands what comes out to `give`: never more than the limit altogether.
    ///
    /// # Errors
    /// It is no archive of one file, is damaged, or too large. It is of no use then: drop it.
    pub fn take(&mut self, mut bytes: &[u8], give: &mut dyn FnMut(&[u8])) -> Result<(), UnpackError> {
        self.taken += bytes.len() as u64;
        while !bytes.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Failed);
            self.state = self.next(state, &mut bytes, give)?;
        }
        Ok(())
    }

    /// Bytes of the archive that were taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// All of the archive has come. How many bytes came out.
    ///
    /// # Errors
    /// It is cut short, or its directory says something else than what was found.
    pub fn finish(&self) -> Result<u64, UnpackError> {
        let State::Done(data, central, end) = &self.state else { return Err(malformed("it is too short")) };
        let directory = Directory::decode(end, self.taken)?;
        let entry = Entry::decode(central, directory)?;
        entry.locate(&data.local, directory)?;
        let found = (u64::from(entry.local), u64::from(entry.packed), u64::from(entry.size), entry.crc);
        if found != (0, data.packed, self.content.size, self.content.crc.sum()) {
            return Err(malformed("its entry and its directory disagree"));
        }
        Ok(self.content.size)
    }

    /// Goes on as far as one part of the archive does.
    fn next(&mut self, state: State, bytes: &mut &[u8], give: &mut dyn FnMut(&[u8])) -> Result<State, UnpackError> {
        Ok(match state {
            State::Local(mut record) => match record.fill(bytes) {
                Some(bytes) => {
                    let local = Local::decode(&bytes)?;
                    self.content.check(local.sizes.map_or(0, |(_, size)| size.into()))?;
                    State::Name(Header { bytes, local }, local.variable)
                }
                None => State::Local(record),
            },
            State::Name(header, left) => match pass(bytes, left) {
                0 => header.begin(),
                left => State::Name(header, left),
            },
            State::Stored(header, left) => {
                let piece = first(bytes, left);
                self.content.add(piece, give)?;
                match left - piece.len() as u64 {
                    0 => header.ended(self.content.size),
                    left => State::Stored(header, left),
                }
            }
            State::Deflated(header, mut decompress) => {
                if self.inflate(&mut decompress, bytes, give)? {
                    header.ended(decompress.total_in())
                } else {
                    State::Deflated(header, decompress)
                }
            }
            State::Descriptor(data, mut record) => match record.fill(bytes) {
                Some(bytes) => self.described(data, &bytes)?,
                None => State::Descriptor(data, record),
            },
            State::Central(data, mut record) => match record.fill(bytes) {
                Some(bytes) => State::CentralName(data, bytes, Central::decode(&bytes)?.variable),
                None => State::Central(data, record),
            },
            State::CentralName(data, central, left) => match pass(bytes, left) {
                0 => State::End(data, central, Record::new()),
                left => State::CentralName(data, central, left),
            },
            State::End(data, central, mut record) => match record.fill(bytes) {
                Some(end) => State::Done(data, central, end),
                None => State::End(data, central, record),
            },
            State::Done(..) => return Err(malformed("something follows its end record")),
            State::Failed => return Err(malformed("it has failed before")),
        })
    }

    /// Whether the deflate stream is over; else all bytes are taken.
    fn inflate(
        &mut self,
        decompress: &mut Decompress,
        bytes: &mut &[u8],
        give: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, UnpackError> {
        let mut output = Vec::with_capacity(OUTPUT);
        loop {
            output.clear();
            let before = decompress.total_in();
            let status = decompress.decompress_vec(bytes, &mut output, FlushDecompress::None);
            let taken = usize::try_from(decompress.total_in() - before).expect("no more than there were");
            *bytes = &bytes[taken..];
            self.content.add(&output, give)?;
            match status {
                Ok(Status::StreamEnd) => return Ok(true),
                // What is left would not be taken the next time either.
                Ok(_) if taken == 0 && output.is_empty() && !bytes.is_empty() => return Err(damaged()),
                Ok(_) if bytes.is_empty() && output.len() < output.capacity() => return Ok(false),
                Ok(_) => {}
                Err(_) => return Err(damaged()),
            }
        }
    }

    /// The data descriptor has come, in one of its two forms: the shorter one lacks the signature, and the directory has begun
    /// then.
    fn described(&self, data: Data, bytes: &[u8; DESCRIPTOR]) -> Result<State, UnpackError> {
        let Descriptor { length, crc, packed, size } =
            Descriptor::decode(bytes, self.content.crc.sum()).ok_or(malformed("its checksum is wrong"))?;
        if (u64::from(packed), u64::from(size), crc) != (data.packed, self.content.size, self.content.crc.sum()) {
            return Err(malformed("its entry has another size than declared"));
        }
        Ok(State::Central(data, Record::beginning(&bytes[length..])))
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unpacker({} bytes of {})", self.content.size, self.taken)
    }
}

impl Header {
    /// The entry's data follows.
    fn begin(self) -> State {
        match (self.local.method, self.local.sizes) {
            (Method::Stored, Some((0, _))) => self.ended(0),
            (Method::Stored, sizes) => {
                let left = sizes.map_or(0, |(packed, _)| packed.into());
                State::Stored(self, left)
            }
            (Method::Deflated, _) => State::Deflated(self, Box::new(Decompress::new(false))),
        }
    }

    /// The entry's data is over.
    fn ended(self, packed: u64) -> State {
        let data = Data { local: self.bytes, packed };
        match self.local.sizes {
            Some(_) => State::Central(data, Record::new()),
            None => State::Descriptor(data, Record::new()),
        }
    }
}

impl Content {
    fn check(&self, size: u64) -> Result<(), UnpackError> {
        if size > self.max { Err(UnpackError::TooLarge { max: self.max }) } else { Ok(()) }
    }

    fn add(&mut self, bytes: &[u8], give: &mut dyn FnMut(&[u8])) -> Result<(), UnpackError> {
        self.check(self.size + bytes.len() as u64)?;
        self.size += bytes.len() as u64;
        self.crc.update(bytes);
        if !bytes.is_empty() {
            give(bytes);
        }
        Ok(())
    }
}

impl<const N: usize> Record<N> {
    fn new() -> Self {
        Self { bytes: [0; N], filled: 0 }
    }

    /// Of which this much has come.
    fn beginning(bytes: &[u8]) -> Self {
        let mut record = Self::new();
        record.fill(&mut &*bytes);
        record
    }

    /// Takes what belongs to it. All of it, once that is there.
    fn fill(&mut self, bytes: &mut &[u8]) -> Option<[u8; N]> {
        let piece = first(bytes, (N - self.filled) as u64);
        self.bytes[self.filled..self.filled + piece.len()].copy_from_slice(piece);
        self.filled += piece.len();
        (self.filled == N).then_some(self.bytes)
    }
}

/// Takes the first `most` bytes, or as many as there are.
fn first<'a>(bytes: &mut &'a [u8], most: u64) -> &'a [u8] {
    let count = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
    let (piece, rest) = bytes.split_at(count);
    *bytes = rest;
    piece
}

/// Passes over bytes of which so many are `left`; how many are then.
fn pass(bytes: &mut &[u8], left: u64) -> u64 {
    left - first(bytes, left).len() as u64
}

fn malformed(how: &'static str) -> UnpackError {
    ZipError::Malformed(how).into()
}

fn damaged() -> UnpackError {
    malformed("its entry is damaged")
}

#[cfg(test)]
#[path = "unpacker_tests.rs"]
mod tests;
