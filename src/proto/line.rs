//! Lines out of a stream of bytes.

use std::borrow::Cow;
use std::fmt;

/// The longest line, in bytes, its `\n` included.
pub const MAX_LINE: usize = 1024;

/// Collects one line at a time, whatever pieces it comes in; holds less than [`MAX_LINE`] bytes, and none between
/// lines.
#[derive(Default)]
pub struct LineBuffer {
    held: Vec<u8>,
}

/// What [`LineBuffer::take`] took.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// How many of the bytes offered were used, the line's `\n` included.
    pub consumed: usize,
    /// The line without its `\n`; `None` when all bytes were used and it is not complete yet.
    pub line: Option<Cow<'a, [u8]>>,
}

/// No `\n` within [`MAX_LINE`] bytes; the buffer holds the beginning of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineBuffer {
    /// Takes bytes up to and including the next `\n`, and never more.
    ///
    /// # Errors
    /// A line over [`MAX_LINE`]: [`held`](Self::held) is its beginning. There is no way on.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Received<'a>, LineTooLong> {
        let room = MAX_LINE - self.held.len();
        let offered = &bytes[..bytes.len().min(room)];
        if let Some(end) = offered.iter().position(|&byte| byte == b'\n') {
            return Ok(Received { consumed: end + 1, line: Some(self.complete(&bytes[..end])) });
        }
        self.held.extend_from_slice(offered);
        if self.held.len() < MAX_LINE { Ok(Received { consumed: bytes.len(), line: None }) } else { Err(LineTooLong) }
    }

    /// The incomplete line so far.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// How many bytes of memory it takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.held.capacity()
    }

    fn complete<'a>(&mut self, rest: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() {
            return Cow::Borrowed(rest);
        }
        let mut line = std::mem::take(&mut self.held);
        line.extend_from_slice(rest);
        Cow::Owned(line)
    }
}

/// Not the bytes: they may be the beginning of a password digest.
impl fmt::Debug for LineBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineBuffer({} bytes)", self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<Vec<u8>, LineTooLong>) {
        let (mut buffer, mut lines) = (LineBuffer::default(), Vec::new());
        for &piece in pieces {
            let mut rest = piece;
            while !rest.is_empty() {
                match buffer.take(rest) {
                    Ok(taken) => {
                        rest = &rest[taken.consumed..];
                        lines.extend(taken.line.map(Cow::into_owned));
                    }
                    Err(error) => return (lines, Err(error)),
                }
            }
        }
        (lines, Ok(buffer.held().to_vec()))
    }

    #[test]
    fn a_line_ends_at_its_newline_and_takes_nothing_behind_it() {
        let taken = LineBuffer::default().take(b"LS OK\nbody\n").unwrap();
        assert_eq!(taken, Received { consumed: 6, line: Some(Cow::Borrowed(b"LS OK")) });
        assert_eq!(lines(&[b"\n"]), (vec![vec![]], Ok(vec![])));
        assert_eq!(lines(&[b"a\r\n"]), (vec![b"a\r".to_vec()], Ok(vec![])));
    }

    #[test]
    fn an_incomplete_line_is_held_not_refused() {
        assert_eq!(lines(&[b"L", b"", b"S O"]), (vec![], Ok(b"LS O".to_vec())));
        assert_eq!(lines(&[b"L", b"S O", b"K\nM"]), (vec![b"LS OK".to_vec()], Ok(b"M".to_vec())));
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_does_not() {
        let mut longest = vec![b'a'; MAX_LINE - 1];
        longest.push(b'\n');
        assert_eq!(lines(&[&longest]).1, Ok(vec![]));
        let longer = [b"a", longest.as_slice()].concat();
        assert_eq!(lines(&[&longer]), (vec![], Err(LineTooLong)));
        assert_eq!(lines(&[&longer[..MAX_LINE - 1]]).1, Ok(vec![b'a'; MAX_LINE - 1]));
        assert_eq!(lines(&[&longer[..MAX_LINE]]).1, Err(LineTooLong));
    }

    #[test]
    fn an_endless_line_costs_no_more_than_the_longest() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.take(&vec![b'a'; 100_000]), Err(LineTooLong));
        assert_eq!(buffer.held().len(), MAX_LINE);
    }

    proptest! {
        #[test]
        fn any_pieces_make_the_same_lines(
            bytes in proptest::collection::vec(prop_oneof![9 => Just(b'a'), 1 => Just(b'\n')], 0..3000),
            size in 1_usize..1500,
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(lines(&pieces), lines(&[&bytes]));
        }
    }
}
