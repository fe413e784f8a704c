//! The body of a `LIST`.

use super::super::listing::Line;
use super::super::name::MAX_NAME;
use super::super::size::parse_size;
use super::super::{Excerpt, ListArg, Listing};
use super::Cursor;

/// More than the two numbers of a line have, in bytes.
const NUMBERS: usize = 40;

/// A listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name, which may be a [`FileName`](super::super::FileName).
    pub name: &'a [u8],
    /// Bytes.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub mtime: u64,
}

/// Reads a page as it comes, in any pieces; a hostile one costs a fixed amount.
#[derive(Debug, Default)]
pub struct PageParser {
    line: Line,
    page: Page,
    error: Option<PageError>,
}

/// What a page held beside files that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Names that cannot be used, and marks.
    pub listing: Listing,
    /// Where the next page begins; `None` after an empty page.
    pub last: Option<Cursor>,
}

/// A line of a page is none: the session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected size, mtime and name in a listing, but the peer sent {line}")]
pub struct PageError {
    /// The line.
    pub line: Excerpt,
}

impl PageParser {
    /// The next bytes of the body. Each file that can be used is shown once. After a bad line nothing is.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Entry<'_>)) {
        let Self { line, page, error } = self;
        line.feed(bytes, MAX_NAME + NUMBERS, |head, length| {
            if error.is_none() {
                *error = page.enter(head, length, &mut each).err();
            }
        });
    }

    /// The end of the body.
    ///
    /// # Errors
    /// A line that is none, or one without its end.
    pub fn finish(self) -> Result<Page, PageError> {
        match self.error {
            Some(error) => Err(error),
            None if self.line.is_empty() => Ok(self.page),
            None => Err(PageError { line: self.line.excerpt() }),
        }
    }
}

impl Page {
    /// Enters a line of `length` bytes, of which `head` is the beginning.
    fn enter(&mut self, head: &[u8], length: usize, each: &mut impl FnMut(Entry<'_>)) -> Result<(), PageError> {
        let (size, mtime, name) = split(head).ok_or_else(|| PageError { line: Excerpt::of(head) })?;
        let shown = &mut |name: &[u8]| each(Entry { name, size, mtime });
        self.listing.enter(name, length - (head.len() - name.len()), shown);
        // One that cannot be asked for again is left out: the next page begins with it, or with what follows.
        if let Ok(name) = ListArg::new(name) {
            self.last = Some(Cursor { mtime, name });
        }
        Ok(())
    }
}

fn split(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let mut number = || parse_size(parts.next()?).ok();
    let (size, mtime) = (number()?, number()?);
    Some((size, mtime, parts.next()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file's name, size and mtime.
    type Seen = (String, u64, u64);

    fn parse(pieces: &[&[u8]]) -> (Vec<Seen>, Result<Page, PageError>) {
        let (mut parser, mut files) = (PageParser::default(), Vec::new());
        let mut each = |entry: Entry<'_>| {
            files.push((String::from_utf8_lossy(entry.name).into_owned(), entry.size, entry.mtime));
        };
        for piece in pieces {
            parser.feed(piece, &mut each);
        }
        (files, parser.finish())
    }

    #[test]
    fn a_page_is_files_with_size_and_mtime_and_ends_where_the_next_begins() {
        let mark = ".tentacle-sync-0123456789abcdef0123456789abcdef";
        let body = format!("0 0 {mark}\n5 17 a.1.data\n0 18 odd name .data\n7 19 a*\n");
        let (files, page) = parse(&[body.as_bytes()]);
        assert_eq!(files, [("a.1.data".into(), 5, 17), ("odd name .data".into(), 0, 18)]);
        let Page { listing, last } = page.unwrap();
        assert_eq!((listing.marks().len(), listing.refused_count()), (1, 1));
        assert_eq!(last, Some(Cursor { mtime: 18, name: "odd name .data".parse().unwrap() }));
        assert_eq!(parse(&[b""]), (vec![], Ok(Page::default())));
    }

    #[test]
    fn a_line_that_is_none_spoils_the_page() {
        for line in
            ["\n", "a\n", "5 a\n", "5  a\n", "-5 1 a\n", "5 x a\n", "5 1\n", "1 2 a", "99999999999999999999 1 a\n"]
        {
            let (files, page) = parse(&[b"1 2 a\n", line.as_bytes(), b"1 3 b\n"]);
            let unended = !line.ends_with('\n');
            assert!(page.is_err() || unended, "{line:?}");
            assert!(files.len() == 1 || unended, "{line:?}: {files:?}");
        }
        assert!(parse(&[b"1 2 a"]).1.is_err());
    }

    #[test]
    fn an_endless_name_costs_no_more_than_the_longest() {
        let mut parser = PageParser::default();
        parser.feed(b"1 2 ", |_| ());
        for _ in 0..1000 {
            parser.feed(&[b'a'; 1000], |entry| panic!("{entry:?}"));
        }
        parser.feed(b"\n", |entry| panic!("{entry:?}"));
        assert_eq!(parser.finish().unwrap().listing.refused_count(), 1);
    }

    proptest! {
        #[test]
        fn any_pieces_make_the_same_page(
            body in proptest::collection::vec(
                prop_oneof![
                    Just(b"1 2 ".to_vec()), Just(b"a".to_vec()), Just(b"\n".to_vec()), any::<u8>().prop_map(|b| vec![b])
                ], 0..200),
            size in 1_usize..300,
        ) {
            let body = body.concat();
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            prop_assert_eq!(parse(&pieces), parse(&[&body]));
        }
    }
}
