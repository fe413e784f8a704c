//! What a round takes of a listing, and how much of it there is room for.

use super::driven_round::{DrivenRound, Next};
use super::queue::BYTES_PER_NAME;
use super::round_tests::{listed, listing, listing_of, name, print_of, selection};
use super::selection::Selection;
use super::{DeleteResult, Delivery, NotStaged, SiteHistory};
use crate::budget::Budget;

/// A selection for a listing that begins, with room for so many names of twenty bytes at the most.
fn selection_of(names: u64, history: &mut SiteHistory) -> Selection {
    Selection::new(Budget::new(0).with_least(names * (20 + BYTES_PER_NAME)).share(), history)
}

#[test]
fn what_is_not_listed_any_more_is_forgotten_however_many_names_were_left_out() {
    for room in [0, 1] {
        let mut history = SiteHistory::default();
        let [gone, kept] = ["a.1.data", "b.1.data"].map(name);
        for file in [&gone, &kept] {
            history.committed(file.clone(), print_of(file));
        }
        let mut round = DrivenRound::new(Delivery::Safe, 4);
        round.next_step();
        let mut selection = selection_of(room, &mut history);
        selection.judge(kept.as_bytes(), room > 0, &mut history);
        selection.judge(b"c.1.data", true, &mut history);
        assert_eq!(round.listed(selection, &mut history), [(gone.clone(), print_of(&gone))]);
        assert_eq!(history.fingerprint(&kept), Some(print_of(&kept)), "the filter leaves it out, or the limit does");
        assert_eq!(round.tally().left, 1);
    }
}

#[test]
fn a_committed_file_is_kept_of_a_listing_whatever_is_older() {
    let mut history = SiteHistory::default();
    let committed = name("z.1700000009.data");
    history.committed(committed.clone(), print_of(&committed));
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    round.next_step();
    let selection = selection_of(2, &mut history);
    let names = ["a.1700000001.data", "z.1700000002.data", "c.1700000003.data", "z.1700000009.data", "odd.data"];
    round.listed(listing_of(names, selection, &mut history), &mut history);
    let mut asked = Vec::new();
    while let Next::Fetch(file) = round.next_step() {
        round.not_staged(&file, NotStaged::Missing, &mut history);
        asked.push(file);
    }
    assert!(asked.contains(&committed), "{asked:?}");
    assert_eq!(asked.len() + round.tally().left, names.len());
}

#[test]
fn a_listing_that_is_cut_says_nothing_about_what_is_gone() {
    let mut history = SiteHistory::default();
    let [first, second] = ["a.1.data", "b.1.data"].map(name);
    for file in [&first, &second] {
        history.committed(file.clone(), print_of(file));
    }
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    round.next_step();
    let mut cut = selection(&mut history);
    cut.judge(first.as_bytes(), true, &mut history);
    drop(cut);
    round.dropped(Next::List, &mut history);
    assert_eq!(round.next_step(), Next::List);
    assert_eq!(round.listed(listing(&["b.1.data"], &mut history), &mut history), [(first.clone(), print_of(&first))]);
    assert_eq!(history.fingerprint(&second), Some(print_of(&second)));
}

#[test]
fn a_round_that_leaves_names_leaves_it_to_the_next_listing_what_is_gone() {
    let mut history = SiteHistory::default();
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    round.next_step();
    let file = name("a.1700000001.data");
    let selection = selection_of(1, &mut history);
    let names = ["b.1700000002.data", "a.1700000001.data"];
    round.listed(listing_of(names, selection, &mut history), &mut history);
    assert_eq!(round.next_step(), Next::Fetch(file.clone()), "the older one");
    round.staged(&file, &mut history);
    round.committed(&file, print_of(&file), &mut history);
    round.next_step();
    round.deleted(&file, DeleteResult::Gone, &mut history);
    assert_eq!((round.next_step(), round.is_complete()), (Next::Leave, true));
    assert_eq!((history.fingerprint(&file), round.tally().left), (Some(print_of(&file)), 1));
}

/// All rounds of a site that lists `names`, with room for so many of them, until one asks for `wanted`. How many it took.
fn rounds_until(wanted: &str, names: &[String], room: u64, history: &mut SiteHistory) -> usize {
    for rounds in 1..100 {
        let mut round = DrivenRound::new(Delivery::Safe, 4);
        round.next_step();
        let selection = selection_of(room, history);
        round.listed(listing_of(names, selection, history), history);
        let mut has_come = false;
        while let Next::Fetch(file) = round.next_step() {
            if file == name(wanted) {
                has_come = true;
                round.staged(&file, history);
                round.uncommitted(&file);
            } else if file.as_bytes().starts_with(b"big") {
                round.not_staged(&file, NotStaged::Skipped, history);
            } else {
                round.not_staged(&file, NotStaged::Withheld, history);
            }
        }
        assert!(!round.has_progressed());
        round.end(true, history);
        if has_come {
            return rounds;
        }
    }
    panic!("{wanted} is never asked for");
}

#[test]
fn names_that_are_of_no_use_do_not_keep_those_behind_them_from_being_asked_for() {
    let last = "z.1800000000.data";
    let names = |kind: &str| {
        let useless = (0..40).map(|n| format!("{kind}{n:02}.17000000{n:02}.data"));
        useless.chain([last.to_owned()]).collect::<Vec<_>>()
    };
    let mut history = SiteHistory::default();
    rounds_until(last, &names("big"), 10, &mut history);
    assert_eq!(rounds_until(last, &names("big"), 10, &mut history), 1, "each is asked for once");
    let mut history = SiteHistory::default();
    let rounds = rounds_until(last, &names("err"), 10, &mut history);
    assert!(rounds > 5, "what comes later waits a few rounds for what is not given: {rounds}");
    let mut history = SiteHistory::new(&Budget::new(0).with_least(4_000), 0);
    let rounds = rounds_until(last, &names("err"), 1_000, &mut history);
    assert!(rounds > 5, "nor is there room to remember all of them: {rounds}");
    let mut history = SiteHistory::default();
    for text in &names("h")[..40] {
        history.committed(name(text), print_of(&name(text)));
    }
    history.deletion_refused();
    assert_eq!(rounds_until(last, &names("h"), 10, &mut history), 1, "but for one, none is asked for again");
}

#[test]
fn where_there_is_not_room_for_all_names_the_oldest_are_asked_for_first() {
    let mut history = SiteHistory::default();
    let mut names: Vec<_> = (10..99).map(|n| format!("agent{}.17000000{n}.data", n % 3)).collect();
    let (sorted, mut came) = (names.clone(), Vec::new());
    while !names.is_empty() {
        fastrand::Rng::with_seed(names.len() as u64).shuffle(&mut names);
        let mut round = DrivenRound::new(Delivery::Safe, 4);
        round.next_step();
        let selection = selection_of(10, &mut history);
        round.listed(listing_of(&names, selection, &mut history), &mut history);
        while let Next::Fetch(file) = round.next_step() {
            round.staged(&file, &mut history);
            round.committed(&file, print_of(&file), &mut history);
            assert!(matches!(round.next_step(), Next::Delete(..)));
            round.deleted(&file, DeleteResult::Gone, &mut history);
            names.retain(|text| name(text) != file);
            came.push(file);
        }
        round.end(false, &mut history);
    }
    assert_eq!(came, sorted.iter().map(|text| name(text)).collect::<Vec<_>>());
}

#[test]
fn a_listing_that_has_room_is_taken_from_its_beginning() {
    let mut history = SiteHistory::default();
    let names = ["err1.1.data".to_owned(), "z.1.data".to_owned()];
    for _ in 0..2 {
        assert_eq!(rounds_until("z.1.data", &names, 10, &mut history), 1);
        let mut round = listed(Delivery::Safe, &["err1.1.data"], &mut history);
        assert!(matches!(round.next_step(), Next::Fetch(_)), "it may be given by now");
    }
}

#[test]
fn a_round_takes_no_more_new_files_than_can_be_remembered_and_forgets_none() {
    let budget = Budget::new(0).with_least(1_100);
    let mut history = SiteHistory::new(&budget, 0);
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.1.data", "c.1.data", "d.1.data", "e.1.data"], &mut history);
    let mut kept = Vec::new();
    while let Next::Fetch(file) = round.next_step() {
        round.staged(&file, &mut history);
        round.committed(&file, print_of(&file), &mut history);
        assert!(matches!(round.next_step(), Next::Delete(..)));
        round.deleted(&file, DeleteResult::Refused, &mut history);
        kept.push(file);
    }
    assert_eq!((kept.len(), round.tally().without_room, round.tally().left), (3, 0, 2), "nothing was held");
    assert!(round.has_progressed());
    round.end(false, &mut history);
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.1.data", "c.1.data", "d.1.data"], &mut history);
    let asked: Vec<_> = std::iter::from_fn(|| match round.next_step() {
        Next::Fetch(file) => Some(file),
        _ => None,
    })
    .collect();
    assert_eq!((asked, round.tally().without_room, round.has_progressed()), (kept, 1, false));
    round.end(false, &mut history);
    let round = listed(Delivery::Safe, &["c.1.data", "d.1.data", "e.1.data", "f.1.data"], &mut history);
    assert_eq!((round.tally().left, round.has_progressed()), (1, true), "two are gone");
    drop(history);
    assert_eq!(budget.share().amount(), 0);
}

#[test]
fn a_hundred_thousand_files_that_are_not_given_are_answered_for_without_walking_the_others() {
    let names: Vec<String> = (0..100_000).map(|n| format!("{n}.data")).collect();
    let mut history = SiteHistory::default();
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    round.next_step();
    let selection = selection(&mut history);
    round.listed(listing_of(&names, selection, &mut history), &mut history);
    let mut count = 0;
    while let Next::Fetch(file) = round.next_step() {
        round.not_staged(&file, NotStaged::Withheld, &mut history);
        count += 1;
    }
    assert_eq!((count, round.tally().missing), (names.len(), names.len()));
}
