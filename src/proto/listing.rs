//! The body of an `LS`: names, one a line.

use super::name::{MAX_NAME, check, is_collector_mark};
use super::{Excerpt, FileName, NameError};

/// How many refused entries are kept to be shown; the others are only counted.
const MAX_REFUSED: usize = 256;

/// How many marks are kept: a directory has one.
const MAX_MARKS: usize = 16;

/// Reads a listing as it comes, in any pieces.
///
/// A hostile listing costs a fixed amount: names go to the caller, and a line longer than any name is counted, not held.
#[derive(Debug, Default)]
pub struct ListingParser {
    listing: Listing,
    line: Line,
}

/// What a peer listed beside names that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    refused: Vec<RefusedEntry>,
    refused_count: u64,
    marks: Vec<Box<[u8]>>,
}

/// File names.
///
/// They lie behind each other in one buffer, each ended by the `\n` no name can hold, and become [`FileName`]s when
/// asked for: a million names of 25 bytes take 26 MB, where a box each would take over 60 MB and a million
/// allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    bytes: Vec<u8>,
    count: usize,
}

/// A listed name that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    /// The name's beginning.
    pub name: Excerpt,
    /// What is wrong with it.
    pub error: NameError,
}

/// The line in progress: never more of it than the longest right one is held, the rest is counted.
#[derive(Debug, Default)]
pub(super) struct Line {
    head: Vec<u8>,
    skipped: usize,
}

impl ListingParser {
    /// The next bytes of the body. Each name that can be used is shown once, directories among them.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let Self { listing, line } = self;
        line.feed(bytes, MAX_NAME, |head, length| listing.enter(head, length, &mut each));
    }

    /// The end of the body; a last line needs no `\n`.
    pub fn finish(mut self, mut each: impl FnMut(&[u8])) -> Listing {
        if !self.line.is_empty() {
            self.listing.enter(&self.line.head, self.line.length(), &mut each);
        }
        self.listing
    }
}

impl Line {
    /// The next bytes. Each line that ends is shown once: its beginning, of at most `most` bytes, and its length.
    pub(super) fn feed(&mut self, mut bytes: &[u8], most: usize, mut each: impl FnMut(&[u8], usize)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let rest = &bytes[..end];
            if self.is_empty() {
                each(rest, rest.len());
            } else {
                self.extend(rest, most);
                each(&self.head, self.length());
                self.clear();
            }
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, most);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// What came of it so far.
    pub(super) fn excerpt(&self) -> Excerpt {
        Excerpt::of(&self.head)
    }

    fn length(&self) -> usize {
        self.head.len() + self.skipped
    }

    fn extend(&mut self, bytes: &[u8], most: usize) {
        let (kept, skipped) = bytes.split_at(bytes.len().min(most - self.head.len()));
        self.head.extend_from_slice(kept);
        self.skipped = self.skipped.saturating_add(skipped.len());
    }

    fn clear(&mut self) {
        self.head.clear();
        self.skipped = 0;
    }
}

impl Names {
    /// Adds a name. Where it is.
    pub fn push(&mut self, name: &FileName) -> usize {
        let place = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.count += 1;
        place
    }

    /// The name that is at `place`; if none begins there, the rest of one, or no name at all.
    pub fn at(&self, place: usize) -> &[u8] {
        let rest = self.bytes.get(place..).unwrap_or_default();
        rest.split(|&byte| byte == b'\n').next().unwrap_or_default()
    }

    /// The same, to have; `None` if none begins there.
    pub fn name(&self, place: usize) -> Option<FileName> {
        let begins = place == 0 || place.checked_sub(1).and_then(|end| self.bytes.get(end)) == Some(&b'\n');
        (begins && place < self.bytes.len()).then(|| FileName::from_checked(self.at(place)))
    }

    /// The names, each with its place, in the order they were added in.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.bytes.split_inclusive(|&byte| byte == b'\n').scan(0, |next, line| {
            let place = *next;
            *next += line.len();
            Some((place, &line[..line.len() - 1]))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Listing {
    /// The first of the entries that cannot be used.
    pub fn refused(&self) -> &[RefusedEntry] {
        &self.refused
    }

    /// How many entries cannot be used, those beyond [`refused`](Self::refused) included.
    pub fn refused_count(&self) -> u64 {
        self.refused_count
    }

    /// The marks listed: those of collectors whose incoming directory this is.
    pub(crate) fn marks(&self) -> &[Box<[u8]>] {
        &self.marks
    }

    /// Enters a line of `length` bytes, of which `head` is the beginning, and all unless it is over the longest name.
    pub(super) fn enter(&mut self, head: &[u8], length: usize, each: &mut impl FnMut(&[u8])) {
        let checked = if length > MAX_NAME { Err(NameError::TooLong(length)) } else { check(head) };
        match checked {
            Err(NameError::Reserved) if is_collector_mark(head) && self.marks.len() < MAX_MARKS => {
                self.marks.push(head.into());
            }
            Err(NameError::Dots | NameError::Reserved) => {}
            Err(error) => {
                self.refused_count += 1;
                if self.refused.len() < MAX_REFUSED {
                    self.refused.push(RefusedEntry { name: Excerpt::of(head), error });
                }
            }
            Ok(()) => each(head),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What can be used, and what cannot.
    fn listing(pieces: &[&[u8]]) -> (Names, Listing) {
        let (mut parser, mut names) = (ListingParser::default(), Names::default());
        let mut each = |name: &[u8]| {
            names.push(&FileName::new(name).unwrap());
        };
        for piece in pieces {
            parser.feed(piece, &mut each);
        }
        let listing = parser.finish(&mut each);
        (names, listing)
    }

    fn names(names: &Names) -> Vec<String> {
        names.iter().map(|(_, name)| FileName::new(name).unwrap().to_string()).collect()
    }

    #[test]
    fn staging_directories_are_skipped() {
        let (kept, listing) = listing(&[b".tentacle-server\na.1.data\n.Tentacle-Sync\n"]);
        assert_eq!((names(&kept), listing.refused_count()), (vec!["a.1.data".to_owned()], 0));
    }

    #[test]
    fn marks_are_kept_apart_and_not_without_end() {
        let mark = ".tentacle-sync-0123456789abcdef0123456789abcdef";
        let body = format!("a.1.data\n.tentacle-sync-1\n{}", format!("{mark}\n").repeat(2 * MAX_MARKS));
        let (kept, listing) = listing(&[body.as_bytes()]);
        assert_eq!((names(&kept), listing.refused_count()), (vec!["a.1.data".to_owned()], 0));
        assert_eq!(listing.marks(), vec![Box::from(mark.as_bytes()); MAX_MARKS]);
    }

    #[test]
    fn the_directory_itself_and_its_parent_are_skipped() {
        let (kept, listing) = listing(&[b"b.2.data\nmd5\n.\nodd name.data\nconf\n..\na.1.data\ncollections\n"]);
        assert_eq!(names(&kept), ["b.2.data", "md5", "\"odd name.data\"", "conf", "a.1.data", "collections"]);
        assert_eq!((kept.len(), listing.refused_count()), (6, 0));
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(names(&listing(&[b"a\nb"]).0), ["a", "b"]);
        assert!(listing(&[b""]).0.is_empty());
    }

    #[test]
    fn names_that_could_do_harm_are_refused_and_the_others_stay() {
        let (kept, listing) = listing(&[b"a\n../etc/passwd\n\n\x1b[2J\nb\n"]);
        assert_eq!(names(&kept), ["a", "b"]);
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
        let mut parser = ListingParser::default();
        for _ in 0..1000 {
            parser.feed(&[b'a'; 1000], |name| panic!("{name:?}"));
            assert!(parser.line.head.capacity() <= 2 * MAX_NAME);
        }
        parser.feed(b"\nb\n", |name| assert_eq!(name, b"b"));
        let listing = parser.finish(|name| panic!("{name:?}"));
        assert_eq!(listing.refused_count(), 1);
        assert_eq!(listing.refused()[0].error, NameError::TooLong(1_000_000));
    }

    #[test]
    fn the_longest_name_is_kept_whole() {
        let body = [&[b'a'; 255], b"\n".as_slice(), &[b'b'; 256]].concat();
        let (kept, listing) = listing(&[&body]);
        assert_eq!(names(&kept), ["a".repeat(255)]);
        assert_eq!(listing.refused()[0].error, NameError::TooLong(256));
    }

    #[test]
    fn a_name_is_found_where_it_was_added() {
        let mut names = Names::default();
        let added = ["a.1.data", "b", "c.2.data"].map(|name| names.push(&name.parse().unwrap()));
        assert_eq!(added.map(|place| names.at(place)), [b"a.1.data".as_slice(), b"b", b"c.2.data"]);
        assert!(names.iter().map(|(place, _)| place).eq(added));
        assert_eq!(added.map(|place| names.name(place).unwrap().to_string()), ["a.1.data", "b", "c.2.data"]);
        assert_eq!((names.len(), names.at(1000)), (3, b"".as_slice()));
        assert_eq!([1, 8, 20, 1000].map(|place| names.name(place)), [const { None }; 4]);
    }

    #[test]
    fn a_million_names_take_little_more_than_their_bytes() {
        let (mut names, mut bytes) = (Names::default(), 0);
        for serial in 0..1_000_000 {
            let name: FileName = format!("web01.{serial}.data").parse().unwrap();
            bytes += name.as_bytes().len() + 1;
            names.push(&name);
        }
        assert_eq!((names.len(), names.bytes.len()), (1_000_000, bytes));
        assert!(names.bytes.capacity() <= 2 * bytes);
        assert_eq!(names.iter().last().unwrap().1, b"web01.999999.data");
    }

    #[test]
    fn a_million_refused_entries_are_counted_and_few_are_kept() {
        let (_, listing) = listing(&[&b"?\n".repeat(1_000_000)]);
        assert_eq!((listing.refused().len(), listing.refused_count()), (MAX_REFUSED, 1_000_000));
    }

    proptest! {
        #[test]
        fn any_pieces_make_the_same_listing(
            body in proptest::collection::vec(
                prop_oneof![4 => Just(b'a'), 1 => Just(b'.'), 2 => Just(b'\n'), 1 => any::<u8>()], 0..200),
            long in 0_usize..600,
            size in 1_usize..700,
        ) {
            let body = [body.as_slice(), &vec![b'a'; long], &body].concat();
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            prop_assert_eq!(listing(&pieces), listing(&[&body]));
        }

        #[test]
        fn every_line_is_accounted_for(body in any::<Vec<u8>>()) {
            let (kept, listing) = listing(&[&body]);
            let trimmed = body.strip_suffix(b"\n").unwrap_or(&body);
            let lines = if body.is_empty() { 0 } else { trimmed.split(|&byte| byte == b'\n').count() };
            let dots = trimmed.split(|&byte| byte == b'\n').filter(|line| matches!(*line, b"." | b"..")).count();
            prop_assert_eq!(kept.len() as u64 + listing.refused_count(), (lines - dots) as u64);
            prop_assert_eq!(kept.iter().count(), kept.len());
        }
    }
}
