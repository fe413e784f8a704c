//! What fails to come, and what its agent wrote later.

use std::time::{Duration, Instant};

use super::driven_round::Next;
use super::round_tests::{listed, name, print_of};
use super::{ConnectionKey, DeleteResult, Delivery, NotStaged, SiteHistory};
use crate::proto::FileName;

#[test]
fn what_was_asked_for_behind_a_file_that_could_not_be_stored_is_not_to_be_stored() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut history);
    let connection = ConnectionKey(1000);
    for file in names {
        assert_eq!(round.next_step_on(connection), Next::Fetch(name(file)));
    }
    round.not_staged(&name(names[0]), NotStaged::Unstored, &mut history);
    assert!(round.is_blocked_file(&name(names[1])) && !round.is_blocked_file(&name(names[2])));
}

#[test]
fn what_was_asked_for_behind_a_file_that_is_not_given_waits_for_the_next_round() {
    let mut history = SiteHistory::default();
    let texts = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data", "a.1700000004.data"];
    let (mut round, names) = (listed(Delivery::Safe, &texts, &mut history), texts.map(name));
    let connection = ConnectionKey(1000);
    for file in &names[..3] {
        assert_eq!(round.next_step_on(connection), Next::Fetch(file.clone()));
    }
    round.not_staged(&names[0], NotStaged::Withheld, &mut history);
    assert!(round.is_blocked_file(&names[1]) && !round.is_blocked_file(&names[2]));
    round.not_staged(&names[1], NotStaged::Overtaking, &mut history);
    round.dropped(Next::Fetch(names[2].clone()), &mut history);
    assert_eq!(round.next_step_on(connection), Next::Leave);
    assert_eq!((round.tally().left, round.tally().unstored), (3, 0));
}

#[test]
fn what_was_asked_for_behind_a_file_that_a_connection_died_over_waits_for_the_next_round() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut history);
    let connection = ConnectionKey(1000);
    let [first, second, other] = names.map(|_| round.next_step_on(connection));
    round.returned(other);
    round.returned(second);
    round.dropped(first, &mut history);
    assert_eq!(round.next_step(), Next::Fetch(name("b.1700000003.data")));
    assert_eq!((round.next_step(), round.tally().left), (Next::Wait, 2));
}

#[test]
fn what_is_moved_already_is_stored_whatever_became_of_the_file_before_it() {
    let mut history = SiteHistory::default();
    let texts = ["a.1700000001.data", "a.1700000002.data"];
    let (mut round, names) = (listed(Delivery::Move, &texts, &mut history), texts.map(name));
    assert_eq!(round.next_step(), Next::FetchAndDelete(names[0].clone()));
    round.staged(&names[0], &mut history);
    assert_eq!(round.next_step(), Next::FetchAndDelete(names[1].clone()));
    round.uncommitted(&names[0]);
    assert!(!round.is_blocked_file(&names[1]), "it is the only copy");
}

#[test]
fn what_could_not_be_stored_holds_back_what_the_agent_wrote_later() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut history);
    round.next_step();
    round.not_staged(&name("a.1700000001.data"), NotStaged::Unstored, &mut history);
    assert_eq!(round.next_step(), Next::Fetch(name("b.1700000003.data")));
    assert_eq!(round.next_step(), Next::Wait);
    assert_eq!(round.tally().unstored, 2);
}

#[test]
fn a_file_that_connections_die_over_comes_last_and_alone() {
    let mut history = SiteHistory::default();
    for poison in ["a.1.data", "b.2.data"] {
        (0..2).for_each(|_| history.failed(&name(poison)));
    }
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.2.data", "c.3.data", "d.4.data"], &mut history);
    let order: Vec<_> = std::iter::from_fn(|| match round.next_step() {
        Next::Fetch(file) => Some(file),
        _ => None,
    })
    .collect();
    assert_eq!(order.len(), 3);
    assert_eq!(order[..2], [name("c.3.data"), name("d.4.data")]);
    assert_eq!(round.tally().skipped, 1);
}

/// All that a round asks for, in its order, when each file comes and is stored.
fn received(names: &[&str], history: &mut SiteHistory) -> Vec<FileName> {
    let mut round = listed(Delivery::Safe, names, history);
    let mut order = Vec::new();
    while let Next::Fetch(file) = round.next_step() {
        round.staged(&file, history);
        round.committed(&file, print_of(&file), history);
        assert!(matches!(round.next_step(), Next::Delete(..)));
        round.deleted(&file, DeleteResult::Gone, history);
        order.push(file);
    }
    order
}

#[test]
fn a_cut_connection_does_not_change_the_order() {
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &names, &mut history);
    let step = round.next_step();
    round.dropped(step, &mut history);
    assert_eq!(received(&names, &mut history), names.map(name));
}

#[test]
fn what_an_agent_wrote_later_waits_for_a_file_that_connections_die_over_but_not_for_ever() {
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let [poison, later, other] = names.map(name);
    let mut history = SiteHistory::default();
    (0..5).for_each(|_| history.failed(&poison));
    assert_eq!(received(&names, &mut history), [other.clone(), poison.clone(), later.clone()], "all at once");
    for start in starts().take(5) {
        history.begin_round(start);
        history.failed(&poison);
    }
    assert_eq!(received(&names, &mut history), [later, other, poison]);
}

/// When rounds start whose failures have causes of their own.
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn starts() -> impl Iterator<Item = Instant> {
    let first = Instant::now();
    (0..).map(move |round| first + Duration::from_secs(20) * round)
}

/// How many files a round leaves that begins then and is not given the first of these.
fn left_behind(names: &[&str], start: Instant, history: &mut SiteHistory) -> usize {
    history.begin_round(start);
    let mut round = listed(Delivery::Move, names, history);
    let mut left = 0;
    while let Next::FetchAndDelete(file) = round.next_step() {
        if file == name(names[0]) {
            round.not_staged(&file, NotStaged::Withheld, history);
            left = round.tally().left;
        }
    }
    left
}

#[test]
fn what_an_agent_wrote_later_waits_a_few_rounds_for_a_file_that_the_site_does_not_give() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let left: Vec<_> = starts().take(6).map(|start| left_behind(&names, start, &mut history)).collect();
    assert_eq!(left, [1, 1, 1, 1, 0, 0]);
}

#[test]
fn rounds_that_follow_each_other_at_once_give_up_nothing_that_one_alone_would_not() {
    let mut history = SiteHistory::default();
    let names = ["a.1700000001.data", "a.1700000002.data"];
    let start = starts().next().unwrap();
    for round in 0..9 {
        let start = start + Duration::from_secs(2) * round;
        assert_eq!(left_behind(&names, start, &mut history), 1, "round {round}");
    }
}

#[test]
fn a_skipped_file_is_not_asked_for_again_until_it_has_been_gone() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    round.next_step();
    round.not_staged(&name("a.1.data"), NotStaged::Skipped, &mut history);
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    assert_eq!(round.next_step(), Next::Leave);
    assert_eq!(round.tally().skipped, 1);
    listed(Delivery::Safe, &[], &mut history);
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    assert_eq!(round.next_step(), Next::Fetch(name("a.1.data")));
}
