//! Whether a stock server is asked for files packed (`ZRECV`).
//!
//! Stock's servers pack a file that they are asked for by `ZRECV`. One that does not know the command closes without a word, as it
//! does at any. So it is found out with one file, behind which nothing is asked for, on a connection that has been answered
//! before: what ends that connection is then most likely the command.
//!
//! A file of which no archive came that can be used is asked for as it is next. That shows what is wrong with it: a server that
//! cannot pack a file because it cannot read it closes as well, and how large a file is an archive does not tell before its end.
//! Where the round has ended meanwhile, as with a server that falls silent at the command, that is in the next round.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::proto::FileName;

/// How soon a server that does not pack is asked again: each time costs a connection.
const TRY_AGAIN: Duration = Duration::from_secs(60 * 60);

/// After so many archives in a row that could not be used, none is asked for.
const MOST_UNUSABLE: u32 = 3;

/// What is known of a site's server.
#[derive(Clone, Debug, Default)]
pub struct Packing {
    known: Known,
    /// Archives in a row that could not be used.
    unusable: u32,
    /// To be asked for as they are, in the round under way.
    plain: HashSet<FileName>,
    /// The same in the next one.
    plain_next: HashSet<FileName>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Packs,
    /// It did; but the last connection has ended at the command.
    Packed,
    /// It does not; when that showed.
    DoesNotPack(Instant),
}

/// What has been found out that was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackingNews {
    /// It packs.
    Packs,
    /// It does not know the command, or gives no archives that can be used.
    DoesNotPack,
}

impl Packing {
    /// Whether it is known how files are to be asked for. Else the next one is asked for in lock-step.
    pub fn is_known(&self, now: Instant) -> bool {
        match self.known {
            Known::Packs => true,
            Known::Nothing | Known::Packed => false,
            Known::DoesNotPack(since) => now.saturating_duration_since(since) < TRY_AGAIN,
        }
    }

    /// Whether this file is to be asked for packed, where it is known that the server packs.
    pub fn is_packed(&self, name: &FileName) -> bool {
        self.known == Known::Packs && !self.plain.contains(name)
    }

    /// Whether it is to be asked for packed to find that out.
    pub fn is_tried(&self, name: &FileName, now: Instant) -> bool {
        !self.is_known(now) && !self.plain.contains(name)
    }

    /// An archive has come, and could be used.
    pub fn came(&mut self) -> Option<PackingNews> {
        self.unusable = 0;
        match std::mem::replace(&mut self.known, Known::Packs) {
            Known::Nothing | Known::DoesNotPack(_) => Some(PackingNews::Packs),
            Known::Packs | Known::Packed => None,
        }
    }

    /// The file is asked for as it is next: it is too large for an archive to be of use.
    pub fn is_unfit(&mut self, name: &FileName) {
        self.plain.insert(name.clone());
    }

    /// No archive of this file came, or one that cannot be used.
    pub fn was_unusable(&mut self, name: &FileName, now: Instant) -> Option<PackingNews> {
        self.plain.insert(name.clone());
        self.count_unusable(now)
    }

    /// The connection was given up before the archive of this file had come. What ends one may end others as well: a round's
    /// count as one.
    pub fn did_not_come(&mut self, name: &FileName, now: Instant) -> Option<PackingNews> {
        let is_first = self.plain_next.is_empty();
        self.plain_next.insert(name.clone());
        if is_first { self.count_unusable(now) } else { None }
    }

    /// The connection ended where an answer to the command was due, with nothing sent behind that.
    pub fn ended(&mut self, name: &FileName, now: Instant) -> Option<PackingNews> {
        self.plain.insert(name.clone());
        if self.known == Known::Packs {
            self.known = Known::Packed;
            return None;
        }
        self.does_not_pack(now)
    }

    /// A round begins.
    pub fn begin_round(&mut self) {
        self.plain = std::mem::take(&mut self.plain_next);
    }

    fn count_unusable(&mut self, now: Instant) -> Option<PackingNews> {
        self.unusable = self.unusable.saturating_add(1);
        if self.unusable < MOST_UNUSABLE { None } else { self.does_not_pack(now) }
    }

    fn does_not_pack(&mut self, now: Instant) -> Option<PackingNews> {
        match std::mem::replace(&mut self.known, Known::DoesNotPack(now)) {
            Known::DoesNotPack(_) => None,
            Known::Nothing | Known::Packs | Known::Packed => Some(PackingNews::DoesNotPack),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn scene() -> (Packing, Instant, [FileName; 4]) {
        let names = ["a.1.data", "b.1.data", "c.1.data", "d.1.data"].map(|name| name.parse().unwrap());
        (Packing::default(), Instant::now(), names)
    }

    #[test]
    fn it_is_tried_with_a_file_and_then_known() {
        let (mut packing, now, [a, b, ..]) = scene();
        assert!(!packing.is_known(now) && packing.is_tried(&a, now) && !packing.is_packed(&a));
        assert_eq!(packing.came(), Some(PackingNews::Packs));
        assert!(packing.is_known(now) && packing.is_packed(&b) && !packing.is_tried(&b, now));
        assert_eq!(packing.came(), None);
    }

    #[test]
    fn one_that_closes_is_asked_for_files_as_they_are_and_tried_again_in_an_hour() {
        let (mut packing, now, [a, b, ..]) = scene();
        assert_eq!(packing.ended(&a, now), Some(PackingNews::DoesNotPack));
        assert!(packing.is_known(now) && !packing.is_packed(&b) && !packing.is_tried(&b, now));
        let later = now + TRY_AGAIN;
        assert!(packing.is_tried(&b, later) && !packing.is_tried(&a, later), "that one has been tried");
        assert_eq!(packing.ended(&b, later), None, "that is no news");
        assert!(packing.is_known(later));
        assert_eq!(packing.came(), Some(PackingNews::Packs));
    }

    #[test]
    fn one_that_packed_is_tried_once_more_before_it_counts_as_another() {
        let (mut packing, now, [a, b, ..]) = scene();
        packing.came();
        assert_eq!(packing.ended(&a, now), None);
        assert!(!packing.is_known(now) && !packing.is_packed(&b) && packing.is_tried(&b, now));
        assert_eq!(packing.ended(&b, now), Some(PackingNews::DoesNotPack));
        let (mut packing, now, [a, ..]) = scene();
        packing.came();
        packing.ended(&a, now);
        assert_eq!(packing.came(), None, "it was this file");
    }

    #[test]
    fn a_file_whose_archive_is_of_no_use_comes_as_it_is_until_the_round_ends() {
        let (mut packing, now, [a, b, c, d]) = scene();
        packing.came();
        assert_eq!(packing.was_unusable(&a, now), None);
        packing.is_unfit(&b);
        assert!(!packing.is_packed(&a) && !packing.is_packed(&b) && packing.is_packed(&c));
        packing.begin_round();
        assert!(packing.is_packed(&a));
        assert_eq!(packing.was_unusable(&a, now), None);
        assert_eq!(packing.was_unusable(&c, now), Some(PackingNews::DoesNotPack), "three in a row");
        assert!(packing.is_known(now) && !packing.is_packed(&d));
    }

    #[test]
    fn a_file_whose_archive_did_not_come_comes_as_it_is_in_the_next_round_and_three_such_rounds_are_enough() {
        let (mut packing, now, [a, b, c, d]) = scene();
        packing.came();
        for name in [&a, &b, &c] {
            assert_eq!(packing.did_not_come(name, now), None, "one line that broke may have ended all");
        }
        packing.begin_round();
        assert!(!packing.is_packed(&a) && !packing.is_packed(&c) && packing.is_packed(&d));
        assert_eq!(packing.did_not_come(&d, now), None);
        packing.begin_round();
        assert!(packing.is_packed(&a) && !packing.is_packed(&d));
        assert_eq!(packing.did_not_come(&a, now), Some(PackingNews::DoesNotPack));
        assert!(packing.is_known(now) && !packing.is_packed(&b));
    }
}
