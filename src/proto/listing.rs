//! The body of an `LS`: names, one a line.

use super::name::{MAX_NAME, check};
use super::{Excerpt, FileName, NameError};

/// How many refused entries are kept to be shown; the others are only counted.
const MAX_REFUSED: usize = 256;

/// Reads a listing as it comes, in any pieces.
///
/// A hostile listing costs at most 256 bytes for each of the names allowed, and a fixed amount for what is refused:
/// a line longer than any name is counted, not held.
#[derive(Debug)]
pub struct ListingParser {
    listing: Listing,
    max_names: usize,
    line: Line,
}

/// The names a peer listed.
///
/// They lie behind each other in one buffer, each ended by the `\n` no name can hold, and become [`FileName`]s when
/// asked for: a million names of 25 bytes take 26 MB, where a box each would take over 60 MB and a million
/// allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    names: Vec<u8>,
    count: usize,
    refused: Vec<RefusedEntry>,
    refused_count: u64,
    left_out: u64,
}

/// A listed name that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    /// The name's beginning.
    pub name: Excerpt,
    /// What is wrong with it.
    pub error: NameError,
}

/// The line in progress: never more of it than the longest name is held, the rest is counted.
#[derive(Debug, Default)]
struct Line {
    head: Vec<u8>,
    skipped: usize,
}

impl ListingParser {
    /// A parser that keeps the first `max_names` names that are wanted and counts the others.
    pub fn new(max_names: usize) -> Self {
        Self { listing: Listing::default(), max_names, line: Line::default() }
    }

    /// The next bytes of the body. `is_wanted` is asked once for each name that can be used.
    pub fn feed(&mut self, mut bytes: &[u8], mut is_wanted: impl FnMut(&[u8]) -> bool) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let rest = &bytes[..end];
            if self.line.is_empty() {
                self.listing.enter(rest, rest.len(), self.max_names, &mut is_wanted);
            } else {
                self.line.extend(rest);
                self.end_line(&mut is_wanted);
            }
            bytes = &bytes[end + 1..];
        }
        self.line.extend(bytes);
    }

    /// The end of the body; a last line needs no `\n`.
    pub fn finish(mut self, mut is_wanted: impl FnMut(&[u8]) -> bool) -> Listing {
        if !self.line.is_empty() {
            self.end_line(&mut is_wanted);
        }
        self.listing
    }

    fn end_line(&mut self, is_wanted: &mut impl FnMut(&[u8]) -> bool) {
        let Line { head, skipped } = &self.line;
        self.listing.enter(head, head.len() + skipped, self.max_names, is_wanted);
        self.line.clear();
    }
}

impl Line {
    fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    fn extend(&mut self, bytes: &[u8]) {
        let (kept, skipped) = bytes.split_at(bytes.len().min(MAX_NAME - self.head.len()));
        self.head.extend_from_slice(kept);
        self.skipped = self.skipped.saturating_add(skipped.len());
    }

    fn clear(&mut self) {
        self.head.clear();
        self.skipped = 0;
    }
}

impl Listing {
    /// The names that can be used and are wanted, in the peer's order; directories are among them.
    pub fn names(&self) -> impl Iterator<Item = FileName> + '_ {
        self.names.split_inclusive(|&byte| byte == b'\n').map(|line| FileName::from_checked(&line[..line.len() - 1]))
    }

    /// How many [`names`](Self::names) there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no [`names`](Self::names).
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first of the entries that cannot be used.
    pub fn refused(&self) -> &[RefusedEntry] {
        &self.refused
    }

    /// How many entries cannot be used, those beyond [`refused`](Self::refused) included.
    pub fn refused_count(&self) -> u64 {
        self.refused_count
    }

    /// How many wanted names were listed beyond those kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Enters a line of `length` bytes, of which `head` is the beginning, and all unless it is over the longest name.
    fn enter(&mut self, head: &[u8], length: usize, max_names: usize, is_wanted: &mut impl FnMut(&[u8]) -> bool) {
        let checked = if length > MAX_NAME { Err(NameError::TooLong(length)) } else { check(head) };
        match checked {
            Err(NameError::Dots | NameError::Reserved) => {}
            Err(error) => {
                self.refused_count += 1;
                if self.refused.len() < MAX_REFUSED {
                    self.refused.push(RefusedEntry { name: Excerpt::of(head), error });
                }
            }
            Ok(()) if !is_wanted(head) => {}
            Ok(()) if self.count == max_names => self.left_out += 1,
            Ok(()) => {
                self.names.extend_from_slice(head);
                self.names.push(b'\n');
                self.count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listing(pieces: &[&[u8]], max_names: usize) -> Listing {
        let mut parser = ListingParser::new(max_names);
        for piece in pieces {
            parser.feed(piece, |_| true);
        }
        parser.finish(|_| true)
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.names().map(|name| name.to_string()).collect()
    }

    #[test]
    fn staging_directories_are_skipped() {
        let listing = listing(&[b".tentacle-server\na.1.data\n.Tentacle-Sync\n"], 100);
        assert_eq!((names(&listing), listing.refused_count()), (vec!["a.1.data".to_owned()], 0));
    }

    #[test]
    fn the_directory_itself_and_its_parent_are_skipped() {
        let listing = listing(&[b"b.2.data\nmd5\n.\nodd name.data\nconf\n..\na.1.data\ncollections\n"], 100);
        assert_eq!(names(&listing), ["b.2.data", "md5", "\"odd name.data\"", "conf", "a.1.data", "collections"]);
        assert_eq!((listing.len(), listing.refused_count(), listing.left_out()), (6, 0, 0));
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(names(&listing(&[b"a\nb"], 100)), ["a", "b"]);
        assert!(listing(&[b""], 100).is_empty());
    }

    #[test]
    fn names_that_could_do_harm_are_refused_and_the_others_stay() {
        let listing = listing(&[b"a\n../etc/passwd\n\n\x1b[2J\nb\n"], 100);
        assert_eq!(names(&listing), ["a", "b"]);
        let refused: Vec<_> = listing.refused().iter().map(|entry| (entry.name.to_string(), entry.error)).collect();
        assert_eq!(
            refused,
            [
                ("\"../etc/passwd\"".into(), NameError::Forbidden(b'/')),
                ("\"\"".into(), NameError::Empty),
                (r#""\x1b[2J""#.into(), NameError::Control(0x1b)),
            ]
        );
    }

    #[test]
    fn a_line_longer_than_any_name_is_one_refused_entry_and_is_not_held() {
        let mut parser = ListingParser::new(100);
        for _ in 0..1000 {
            parser.feed(&[b'a'; 1000], |_| true);
            assert!(parser.line.head.capacity() <= 2 * MAX_NAME);
        }
        parser.feed(b"\nb\n", |_| true);
        let listing = parser.finish(|_| true);
        assert_eq!(names(&listing), ["b"]);
        assert_eq!(listing.refused_count(), 1);
        assert_eq!(listing.refused()[0].error, NameError::TooLong(1_000_000));
    }

    #[test]
    fn the_longest_name_is_kept_whole() {
        let body = [&[b'a'; 255], b"\n".as_slice(), &[b'b'; 256]].concat();
        let listing = listing(&[&body], 100);
        assert_eq!(names(&listing), ["a".repeat(255)]);
        assert_eq!(listing.refused()[0].error, NameError::TooLong(256));
    }

    #[test]
    fn names_over_the_limit_are_counted() {
        let listing = listing(&[b"a\nb\n..\n?\nc\nd\n"], 2);
        assert_eq!(names(&listing), ["a", "b"]);
        assert_eq!((listing.len(), listing.left_out(), listing.refused_count()), (2, 2, 1));
    }

    #[test]
    fn names_that_are_not_wanted_do_not_count() {
        let mut parser = ListingParser::new(2);
        let mut asked = Vec::new();
        let mut is_wanted = |name: &[u8]| {
            asked.push(name.to_vec());
            name != b"conf"
        };
        parser.feed(b"conf\na\nconf\n..\nb\n", &mut is_wanted);
        parser.feed(b"c", &mut is_wanted);
        let listing = parser.finish(&mut is_wanted);
        assert_eq!((names(&listing), listing.left_out()), (vec!["a".to_owned(), "b".to_owned()], 1));
        assert_eq!(asked.concat(), b"confaconfbc", "each once");
    }

    #[test]
    fn a_million_names_take_little_more_than_their_bytes() {
        let mut parser = ListingParser::new(1_000_000);
        let mut bytes = 0;
        for serial in 0..1_000_000 {
            let line = format!("web01.{serial}.data\n");
            bytes += line.len();
            parser.feed(line.as_bytes(), |_| true);
        }
        let listing = parser.finish(|_| true);
        assert_eq!((listing.len(), listing.left_out()), (1_000_000, 0));
        assert_eq!(listing.names.len(), bytes);
        assert!(listing.names.capacity() <= 2 * bytes);
        assert_eq!(listing.names().last(), Some("web01.999999.data".parse().unwrap()));
    }

    #[test]
    fn a_million_refused_entries_are_counted_and_few_are_kept() {
        let listing = listing(&[&b"?\n".repeat(1_000_000)], 10);
        assert_eq!((listing.refused().len(), listing.refused_count()), (MAX_REFUSED, 1_000_000));
    }

    proptest! {
        #[test]
        fn any_pieces_make_the_same_listing(
            body in proptest::collection::vec(
                prop_oneof![4 => Just(b'a'), 1 => Just(b'.'), 2 => Just(b'\n'), 1 => any::<u8>()], 0..200),
            long in 0_usize..600,
            size in 1_usize..700,
            max_names in 0_usize..50,
        ) {
            let body = [body.as_slice(), &vec![b'a'; long], &body].concat();
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            prop_assert_eq!(listing(&pieces, max_names), listing(&[&body], max_names));
        }

        #[test]
        fn every_line_is_accounted_for(body in any::<Vec<u8>>()) {
            let listing = listing(&[&body], 3);
            let trimmed = body.strip_suffix(b"\n").unwrap_or(&body);
            let lines = if body.is_empty() { 0 } else { trimmed.split(|&byte| byte == b'\n').count() };
            let dots = trimmed.split(|&byte| byte == b'\n').filter(|line| matches!(*line, b"." | b"..")).count();
            prop_assert_eq!(listing.len() as u64 + listing.left_out() + listing.refused_count(), (lines - dots) as u64);
            prop_assert_eq!(listing.names().count(), listing.len());
        }
    }
}
