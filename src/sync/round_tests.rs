use std::collections::{HashMap, HashSet, VecDeque};

use super::driven_round::{DrivenRound, Next};
use super::selection::Selection;
use super::{ConnectionKey, DeleteResult, Delivery, FetchOrder, Match, NotStaged, SiteHistory, Tally, agent};
use crate::budget::Budget;
use crate::proto::{FileName, Fingerprint};

pub(super) fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

pub(super) fn print_of(name: &FileName) -> Fingerprint {
    Fingerprint::of(name.as_bytes())
}

/// A round whose listing has come.
pub(super) fn listed(delivery: Delivery, names: &[&str], history: &mut SiteHistory) -> DrivenRound {
    let mut round = DrivenRound::new(delivery, 4);
    assert_eq!(round.next_step(), Next::List);
    assert_eq!(round.next_step(), Next::Wait);
    round.listed(listing(names, history), history);
    round
}

/// A selection for a listing that begins, with room for anything.
pub(super) fn selection(history: &mut SiteHistory) -> Selection {
    Selection::new(Budget::new(u64::MAX).share(), history)
}

/// A whole listing.
pub(super) fn listing(names: &[&str], history: &mut SiteHistory) -> Selection {
    let selection = selection(history);
    listing_of(names.iter().copied(), selection, history)
}

/// A whole listing, which the `selection` judges.
pub(super) fn listing_of(
    texts: impl IntoIterator<Item = impl AsRef<str>>,
    mut selection: Selection,
    history: &mut SiteHistory,
) -> Selection {
    texts.into_iter().for_each(|text| selection.judge(text.as_ref().as_bytes(), true, history));
    selection
}

/// The listing that ends a round that has moved files; those that are gone.
pub(super) fn confirm(round: &mut DrivenRound, names: &[&str], history: &mut SiteHistory) -> Vec<FileName> {
    assert!(!round.is_complete() && round.has_work());
    assert_eq!(round.next_step(), Next::List);
    assert_eq!(round.next_step(), Next::Wait);
    let gone = round.listed(listing(names, history), history);
    assert_eq!(round.next_step(), Next::Leave);
    assert!(round.is_complete());
    gone.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_file_is_received_committed_moved_and_then_done() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    let file = name("a.1.data");
    assert_eq!(round.next_step(), Next::Fetch(file.clone()));
    round.staged(&file, &mut history);
    assert_eq!(round.next_step(), Next::Wait, "nothing leaves the site before it is committed");
    round.committed(&file, print_of(&file), &mut history);
    assert_eq!(round.next_step(), Next::Delete(file.clone(), print_of(&file)));
    round.deleted(&file, DeleteResult::Gone, &mut history);
    assert_eq!(history.fingerprint(&file), Some(print_of(&file)), "that it is gone is not certain");
    assert_eq!(confirm(&mut round, &["b.2.data"], &mut history), std::slice::from_ref(&file));
    assert_eq!(history.fingerprint(&file), None);
    assert_eq!(round.tally(), Tally { listed: 1, collected: 1, bytes: 8, moved: 1, ..Tally::default() });
}

#[test]
fn what_an_earlier_round_committed_is_received_again_and_moved_if_it_is_the_same() {
    let mut history = SiteHistory::default();
    let file = name("a.1.data");
    history.committed(file.clone(), print_of(&file));
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    assert_eq!(round.next_step(), Next::Fetch(file.clone()));
    assert_eq!(history.classify(&file, print_of(&file)), Match::Same { was_deleted: false });
    round.already_published(&file, print_of(&file), false, &mut history);
    assert_eq!(round.next_step(), Next::Delete(file.clone(), print_of(&file)));
    round.deleted(&file, DeleteResult::Gone, &mut history);
    assert_eq!(confirm(&mut round, &[], &mut history), [file]);
    assert_eq!(round.tally(), Tally { listed: 1, moved: 1, ..Tally::default() });
}

#[test]
fn what_the_site_does_not_delete_is_counted_and_asked_for_again_in_the_next_round() {
    let mut history = SiteHistory::default();
    let file = name("a.1.data");
    history.committed(file.clone(), print_of(&file));
    for refused in 0..2 {
        let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
        assert_eq!(round.next_step(), Next::Fetch(file.clone()));
        let Match::Same { was_deleted } = history.classify(&file, print_of(&file)) else { panic!("it is the same") };
        round.already_published(&file, print_of(&file), was_deleted, &mut history);
        assert!(matches!(round.next_step(), Next::Delete(..)));
        round.deleted(&file, DeleteResult::Gone, &mut history);
        assert!(confirm(&mut round, &["a.1.data"], &mut history).is_empty());
        assert_eq!(round.tally(), Tally { listed: 1, refused, moved: 1, ..Tally::default() });
    }
}

#[test]
fn of_a_site_that_does_not_delete_one_file_a_round_is_fetched_to_see_and_every_name_that_may_come_again() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "b.1700000002.data", "c.1700000003.data", "nas.7.data", "cam.8.data"];
    names.map(name).iter().for_each(|file| history.committed(file.clone(), print_of(file)));
    history.deletion_refused();
    assert_eq!(asked_for(listed(Delivery::Safe, &names, &mut history)), 3);
    history.deletion_confirmed(&name("a.1700000001.data"));
    assert_eq!(asked_for(listed(Delivery::Safe, &names[1..], &mut history)), 4);
}

/// How many files a round asks for at once.
fn asked_for(mut round: DrivenRound) -> usize {
    std::iter::from_fn(|| matches!(round.next_step(), Next::Fetch(_)).then_some(())).count()
}

#[test]
fn a_file_that_may_not_be_moved_is_there_or_not_in_the_next_listing() {
    let mut history = SiteHistory::default();
    let file = name("a.1.data");
    history.committed(file.clone(), print_of(&file));
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    round.next_step();
    round.already_published(&file, print_of(&file), false, &mut history);
    round.next_step();
    round.deleted(&file, DeleteResult::Refused, &mut history);
    assert_eq!(confirm(&mut round, &[], &mut history), [file]);
    assert_eq!(round.tally().refused, 1);
}

#[test]
fn one_agents_files_never_overtake_each_other() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000002.data", "a.1700000001.data", "b.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut history);
    assert_eq!(round.next_step(), Next::Fetch(name("a.1700000001.data")));
    assert_eq!(round.next_step(), Next::Fetch(name("b.1700000003.data")));
    assert_eq!(round.next_step(), Next::Wait);
    round.staged(&name("a.1700000001.data"), &mut history);
    assert_eq!(round.next_step(), Next::Fetch(name("a.1700000002.data")));
}

#[test]
fn a_connection_that_brings_files_in_order_is_asked_for_an_agents_next_one_ahead() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "a.1700000003.data", "b.1700000004.data"];
    let mut round = listed(Delivery::Safe, &names, &mut history);
    let [a1, a2, a3, b4] = names.map(name);
    let (one, other) = (ConnectionKey(1000), ConnectionKey(1001));
    assert_eq!(round.next_step_on(one), Next::Fetch(a1.clone()));
    assert_eq!(round.next_step_on(one), Next::Fetch(a2.clone()));
    assert_eq!(round.next_step_on(other), Next::Fetch(b4));
    assert_eq!(round.next_step_on(other), Next::Wait);
    round.staged(&a1, &mut history);
    assert_eq!(round.next_step_on(other), Next::Wait, "there is one that may come later");
    // The connection ends: its answers did not come.
    round.returned(Next::Fetch(a2.clone()));
    assert_eq!(round.next_step_on(other), Next::Fetch(a2));
    assert_eq!(round.next_step_on(one), Next::Wait);
    assert_eq!(round.next_step_on(other), Next::Fetch(a3));
}

#[test]
fn what_a_connection_gives_back_is_asked_for_again_in_order() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "a.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut history);
    let connection = ConnectionKey(1000);
    for file in names {
        assert_eq!(round.next_step_on(connection), Next::Fetch(name(file)));
    }
    for file in names.into_iter().rev() {
        round.returned(Next::Fetch(name(file)));
    }
    for file in names {
        assert_eq!(round.next_step(), Next::Fetch(name(file)));
        round.staged(&name(file), &mut history);
    }
    assert_eq!(round.tally().left, 0);
}

#[test]
fn a_deletion_that_is_given_back_is_the_next() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &["a.1700000001.data", "b.1700000002.data"], &mut history);
    for file in ["a.1700000001.data", "b.1700000002.data"].map(name) {
        assert_eq!(round.next_step(), Next::Fetch(file.clone()));
        round.staged(&file, &mut history);
        round.committed(&file, print_of(&file), &mut history);
        let delete = round.next_step();
        assert_eq!(delete, Next::Delete(file.clone(), print_of(&file)));
        round.returned(delete);
        assert_eq!(round.next_step(), Next::Delete(file.clone(), print_of(&file)));
        round.deleted(&file, DeleteResult::Gone, &mut history);
    }
}

#[test]
fn a_rescued_file_is_collected_once_it_is_committed() {
    for is_committed in [false, true] {
        let mut history = SiteHistory::default();
        let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
        let file = name("a.1.data");
        round.next_step();
        round.staged(&file, &mut history);
        round.committed(&file, print_of(&file), &mut history);
        assert!(matches!(round.next_step(), Next::Delete(..)));
        round.rescued(&file, &mut history);
        assert_eq!((round.committing(), round.tally().collected), (1, 1));
        if is_committed {
            round.committed(&file, Fingerprint::of(b"other"), &mut history);
        } else {
            round.uncommitted(&file);
        }
        let Tally { collected, moved, unstored, .. } = round.tally();
        assert_eq!((round.committing(), collected, moved, unstored), (0, 1 + usize::from(is_committed), 1, 0));
    }
}

#[test]
fn a_changed_file_is_received_once_more_and_then_left_until_the_next_interval() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    let file = name("a.1.data");
    for receives in 0..2 {
        assert_eq!(round.next_step(), Next::Fetch(file.clone()), "receive {receives}");
        round.staged(&file, &mut history);
        round.committed(&file, print_of(&file), &mut history);
        assert!(matches!(round.next_step(), Next::Delete(..)));
        round.deleted(&file, DeleteResult::Changed, &mut history);
    }
    assert_eq!(round.next_step(), Next::Leave, "nothing was deleted");
    assert_eq!((round.tally().left, round.tally().skipped), (0, 1));
}

#[test]
fn the_disk_bounds_how_far_ahead_files_are_fetched() {
    let mut history = SiteHistory::default();
    let names: Vec<String> = (0..9).map(|n| format!("a{n}.1.data")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut round = listed(Delivery::Safe, &names, &mut history);
    for _ in 0..4 {
        let Next::Fetch(file) = round.next_step() else { panic!("the window has room") };
        round.staged(&file, &mut history);
    }
    assert_eq!(round.next_step(), Next::Wait);
}

#[test]
fn a_round_that_waits_for_the_disk_has_no_work_for_a_connection() {
    let mut history = SiteHistory::default();
    assert!(DrivenRound::new(Delivery::Safe, 4).has_work());
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    assert!(round.has_work());
    let Next::Fetch(file) = round.next_step() else { panic!("a file is waiting") };
    round.staged(&file, &mut history);
    assert!(!round.has_work() && !round.is_complete());
    round.committed(&file, print_of(&file), &mut history);
    assert!(round.has_work());
}

#[test]
fn a_dropped_listing_is_asked_for_again() {
    let mut history = SiteHistory::default();
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    assert_eq!(round.next_step(), Next::List);
    round.dropped(Next::List, &mut history);
    assert_eq!(round.next_step(), Next::List);
}

#[test]
fn moving_delivery_takes_a_file_in_one_step() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Move, &["a.1.data"], &mut history);
    let file = name("a.1.data");
    assert_eq!(round.next_step(), Next::FetchAndDelete(file.clone()));
    round.staged(&file, &mut history);
    round.committed(&file, print_of(&file), &mut history);
    assert_eq!(confirm(&mut round, &[], &mut history), [file]);
}

proptest::proptest! {
    /// Lanes that work, fail and die in any order: nothing is moved that was not committed, nothing is received twice
    /// without reason, and the round comes to its end.
    #[test]
    fn any_order_of_events_ends_well(choices in proptest::collection::vec(0_u8..10, 0..400)) {
        let mut history = SiteHistory::default();
        let names: Vec<String> = (0..20).map(|n| format!("agent{}.17000000{n:02}.data", n % 5)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut round = listed(Delivery::Safe, &names, &mut history);
        let (mut connections, mut commits, mut committed) = (Vec::new(), Vec::new(), HashSet::new());
        let mut choices = choices.into_iter().chain(std::iter::repeat(0)).take(2_000);
        while !round.is_complete() {
            let choice = choices.next().expect("a round ends in bounded steps");
            match (choice, connections.pop()) {
                (_, Some(Next::List)) => drop(round.listed(listing(&[], &mut history), &mut history)),
                (9, Some(step)) => round.dropped(step, &mut history),
                (8, Some(Next::Fetch(file))) => round.not_staged(&file, NotStaged::Missing, &mut history),
                (7, Some(Next::Fetch(file))) => round.not_staged(&file, NotStaged::Unstored, &mut history),
                (6, Some(Next::Delete(file, _))) => round.deleted(&file, DeleteResult::Postponed, &mut history),
                (_, Some(Next::Fetch(file))) => {
                    round.staged(&file, &mut history);
                    commits.push(file);
                }
                (_, Some(Next::Delete(file, _))) => {
                    assert!(committed.contains(&file), "moved before it was committed");
                    round.deleted(&file, DeleteResult::Gone, &mut history);
                }
                (_, Some(other)) => panic!("{other:?} is nothing a connection works on"),
                (choice, None) => {
                    if let Some(file) = commits.pop() {
                        assert!(committed.insert(file.clone()), "published twice");
                        match choice {
                            5 => round.uncommitted(&file),
                            _ => round.committed(&file, print_of(&file), &mut history),
                        }
                    }
                    for _ in 0..=choice % 3 {
                        match round.next_step() {
                            Next::Wait | Next::Leave => {}
                            step => connections.push(step),
                        }
                    }
                }
            }
        }
        assert!(connections.is_empty() && commits.is_empty());
    }

    /// Connections that bring what they were asked for in that order, refuse some of it and die: whichever agent comes first,
    /// none of its files is staged after a later one.
    #[test]
    fn an_agents_files_are_staged_in_their_order_whichever_agent_comes_first(
        agents in proptest::collection::vec(0_u8..6, 1..60),
        steps in proptest::collection::vec((0_u8..10, 0_usize..3), 0..400),
        is_fresh_first: bool,
    ) {
        let order = if is_fresh_first { FetchOrder::FreshFirst } else { FetchOrder::Oldest };
        let mut history = SiteHistory::default();
        let names: Vec<String> = (0..).zip(agents).map(|(n, agent)| format!("agent{agent}.17000000{n:02}.data")).collect();
        let mut round = DrivenRound::new(Delivery::Safe, 6).in_order(order);
        round.ask_ahead(8);
        assert_eq!(round.next_step(), Next::List);
        let selection = selection(&mut history);
        round.listed(listing_of(&names, selection, &mut history), &mut history);
        let mut connections: [VecDeque<Next>; 3] = Default::default();
        let (mut commits, mut last) = (Vec::new(), HashMap::new());
        for (step, number) in steps {
            let connection = &mut connections[number];
            if step < 4 {
                match round.next_step_on(ConnectionKey(1000 + u32::try_from(number).unwrap())) {
                    Next::Wait | Next::Leave => {}
                    step => connection.push_back(step),
                }
                continue;
            }
            match (step, connection.pop_front()) {
                (9, Some(first)) => {
                    while let Some(step) = connection.pop_back() {
                        round.returned(step);
                    }
                    round.dropped(first, &mut history);
                }
                (8, Some(Next::Fetch(file))) => round.not_staged(&file, NotStaged::Withheld, &mut history),
                (_, Some(Next::Fetch(file))) if round.is_blocked_file(&file) => {
                    round.not_staged(&file, NotStaged::Overtaking, &mut history);
                }
                (_, Some(Next::Fetch(file))) => {
                    round.staged(&file, &mut history);
                    let before = last.insert(agent(&file).to_owned(), file.to_string());
                    assert!(before.as_ref() < Some(&file.to_string()), "{file} is staged after {before:?}");
                    commits.push(file);
                }
                (_, Some(Next::Delete(file, _))) => round.deleted(&file, DeleteResult::Gone, &mut history),
                (_, Some(Next::List)) => drop(round.listed(listing(&[], &mut history), &mut history)),
                (_, Some(other)) => panic!("{other:?} is nothing a connection works on"),
                (_, None) => {
                    for file in commits.drain(..) {
                        round.committed(&file, print_of(&file), &mut history);
                    }
                }
            }
        }
    }
}

/// Names of a backlog of `files` of each agent, and of a fresh file of each of 20 others, which comes last by its time.
fn backlog_and_fresh(agents: usize, files: usize) -> (Vec<String>, Vec<String>) {
    let time = |file: usize| 1_700_000_000 + 300 * file;
    let of_agents = |file: usize| (0..agents).map(move |agent| format!("behind{agent}.{}.data", time(file)));
    let fresh: Vec<String> = (0..20).map(|agent| format!("live{agent}.{}.data", time(files) + agent)).collect();
    let all = (0..files).flat_map(of_agents).chain(fresh.clone()).collect();
    (all, fresh)
}

/// The files that a round fetches until its window is full.
fn first_window(order: FetchOrder, names: &[String]) -> Vec<String> {
    let mut history = SiteHistory::default();
    let mut round = DrivenRound::new(Delivery::Safe, 512).in_order(order);
    assert_eq!(round.next_step(), Next::List);
    let selection = selection(&mut history);
    round.listed(listing_of(names, selection, &mut history), &mut history);
    let connection = ConnectionKey(u32::MAX);
    let next = || match round.next_step_on(connection) {
        Next::Fetch(name) => Some(name.to_string()),
        _ => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn fresh_files_of_live_agents_come_in_the_first_window_however_large_the_backlog_of_others() {
    let (names, fresh) = backlog_and_fresh(10, 1000);
    assert_eq!(names.len(), 10_020);
    let window = first_window(FetchOrder::FreshFirst, &names);
    assert_eq!(window.len(), 512);
    assert_eq!(window[..20], fresh, "before all others");
    let behind: Vec<String> = (0..492).map(|file| format!("behind0.{}.data", 1_700_000_000 + 300 * file)).collect();
    assert_eq!(window[20..], behind, "then the others, one after the other, oldest first");
    let oldest = first_window(FetchOrder::Oldest, &names);
    assert_eq!(oldest, names[..512]);
}
