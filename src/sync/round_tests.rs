use std::collections::HashSet;

use super::round::*;
use super::{Delivery, Meeting, Memory, NameFilter};
use crate::proto::{FileName, Fingerprint};

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn print_of(name: &FileName) -> Fingerprint {
    Fingerprint::of(name.as_bytes())
}

/// A round whose listing has come.
fn listed(delivery: Delivery, names: &[&str], memory: &mut Memory) -> Round {
    let mut round = Round::new(delivery, 4);
    assert_eq!(round.next_step(), Step::List);
    assert_eq!(round.next_step(), Step::Wait);
    round.listed(names.iter().map(|text| name(text)).collect(), &all(), 0, memory);
    round
}

fn all() -> NameFilter {
    NameFilter::new(&["*"], &[]).unwrap()
}

#[test]
fn a_file_is_received_committed_moved_and_then_done() {
    let mut memory = Memory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    let file = name("a.1.data");
    assert_eq!(round.next_step(), Step::Receive(file.clone()));
    round.staged(&file, &mut memory);
    assert_eq!(round.next_step(), Step::Wait, "nothing leaves the site before it is committed");
    round.committed(file.clone(), print_of(&file), &mut memory);
    assert_eq!(round.next_step(), Step::Move(file.clone(), print_of(&file)));
    round.moved(file.clone(), MoveEnd::Gone, &mut memory);
    assert_eq!(round.next_step(), Step::Leave);
    assert!(round.is_complete());
    assert_eq!(memory.fingerprint(&file), None);
    assert_eq!(round.tally(), Tally { listed: 1, collected: 1, bytes: 8, moved: 1, ..Tally::default() });
}

#[test]
fn what_an_earlier_round_published_is_moved_and_not_received_again() {
    let mut memory = Memory::default();
    memory.published(name("a.1.data"), print_of(&name("a.1.data")));
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.1.data"], &mut memory);
    assert!(matches!(round.next_step(), Step::Move(file, _) if file == name("a.1.data")));
    assert_eq!(round.next_step(), Step::Receive(name("b.1.data")));
}

#[test]
fn what_the_site_does_not_delete_is_counted_and_asked_for_again_in_the_next_round() {
    let mut memory = Memory::default();
    let file = name("a.1.data");
    memory.published(file.clone(), print_of(&file));
    for _ in 0..2 {
        let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
        assert_eq!(round.next_step(), Step::Move(file.clone(), print_of(&file)));
        round.move_refused();
        assert!(round.is_complete());
        assert_eq!(round.tally(), Tally { listed: 1, refused: 1, ..Tally::default() });
    }
}

#[test]
fn what_is_not_listed_any_more_is_forgotten_unless_the_listing_was_cut() {
    let mut memory = Memory::default();
    let gone = name("a.1.data");
    for left_out in [1, 0] {
        memory.published(gone.clone(), print_of(&gone));
        let mut round = Round::new(Delivery::Safe, 4);
        round.next_step();
        assert_eq!(round.listed(Vec::new(), &all(), left_out, &mut memory).len(), 1 - left_out);
        assert_eq!(memory.fingerprint(&gone).is_none(), left_out == 0);
        assert_eq!(round.tally().left, left_out);
    }
}

#[test]
fn what_the_filter_leaves_out_is_left_alone_and_remembered() {
    let mut memory = Memory::default();
    let [published, fresh] = ["a.1.data", "a.2.data"].map(name);
    memory.published(published.clone(), print_of(&published));
    let mut round = Round::new(Delivery::Safe, 4);
    round.next_step();
    let filter = NameFilter::new(&["*"], &["a*"]).unwrap();
    assert_eq!(round.listed(vec![published.clone(), fresh], &filter, 0, &mut memory), []);
    assert_eq!((round.next_step(), round.tally().listed), (Step::Leave, 0));
    assert_eq!(memory.fingerprint(&published), Some(print_of(&published)));
}

#[test]
fn one_agents_files_never_overtake_each_other() {
    let mut memory = Memory::default();
    let names = ["a.1700000002.data", "a.1700000001.data", "b.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut memory);
    assert_eq!(round.next_step(), Step::Receive(name("a.1700000001.data")));
    assert_eq!(round.next_step(), Step::Receive(name("b.1700000003.data")));
    assert_eq!(round.next_step(), Step::Wait);
    round.staged(&name("a.1700000001.data"), &mut memory);
    assert_eq!(round.next_step(), Step::Receive(name("a.1700000002.data")));
}

#[test]
fn what_could_not_be_stored_holds_back_what_the_agent_wrote_later() {
    let mut memory = Memory::default();
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let mut round = listed(Delivery::Safe, &names, &mut memory);
    round.next_step();
    round.unstored(&name("a.1700000001.data"));
    assert_eq!(round.next_step(), Step::Receive(name("b.1700000003.data")));
    assert_eq!(round.next_step(), Step::Wait);
    assert_eq!(round.tally().unstored, 2);
}

#[test]
fn a_changed_file_is_received_once_more_and_then_left_until_the_next_interval() {
    let mut memory = Memory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    let file = name("a.1.data");
    for receives in 0..2 {
        assert_eq!(round.next_step(), Step::Receive(file.clone()), "receive {receives}");
        round.staged(&file, &mut memory);
        round.committed(file.clone(), print_of(&file), &mut memory);
        assert!(matches!(round.next_step(), Step::Move(..)));
        round.moved(file.clone(), MoveEnd::Changed, &mut memory);
    }
    assert_eq!(round.next_step(), Step::Leave);
    assert_eq!((round.tally().left, round.tally().skipped), (0, 1));
}

#[test]
fn a_file_that_connections_die_over_comes_last_and_alone() {
    let mut memory = Memory::default();
    for poison in ["a.1.data", "b.2.data"] {
        (0..2).for_each(|_| memory.strike(&name(poison)));
    }
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.2.data", "c.3.data", "d.4.data"], &mut memory);
    let order: Vec<_> = std::iter::from_fn(|| match round.next_step() {
        Step::Receive(file) => Some(file),
        _ => None,
    })
    .collect();
    assert_eq!(order.len(), 3);
    assert_eq!(order[..2], [name("c.3.data"), name("d.4.data")]);
    assert_eq!(round.tally().skipped, 1);
}

/// All that a round asks for, in its order, when each file comes and is stored.
fn received(names: &[&str], memory: &mut Memory) -> Vec<FileName> {
    let mut round = listed(Delivery::Safe, names, memory);
    let mut order = Vec::new();
    while let Step::Receive(file) = round.next_step() {
        round.staged(&file, memory);
        round.committed(file.clone(), print_of(&file), memory);
        assert!(matches!(round.next_step(), Step::Move(..)));
        round.moved(file.clone(), MoveEnd::Gone, memory);
        order.push(file);
    }
    order
}

#[test]
fn a_cut_connection_does_not_change_the_order() {
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let mut memory = Memory::default();
    let mut round = listed(Delivery::Safe, &names, &mut memory);
    let step = round.next_step();
    round.dropped(step, &mut memory);
    assert_eq!(received(&names, &mut memory), names.map(name));
}

#[test]
fn what_an_agent_wrote_later_waits_for_a_file_that_connections_die_over_but_not_for_ever() {
    let names = ["a.1700000001.data", "a.1700000002.data", "b.1700000003.data"];
    let [poison, later, other] = names.map(name);
    let mut memory = Memory::default();
    (0..2).for_each(|_| memory.strike(&poison));
    assert_eq!(received(&names, &mut memory), [other.clone(), poison.clone(), later.clone()]);
    (0..5).for_each(|_| memory.strike(&poison));
    assert_eq!(received(&names, &mut memory), [later, other, poison]);
}

#[test]
fn what_was_let_go_and_is_there_all_the_same_is_not_published_again() {
    let mut memory = Memory::default();
    let file = name("a.1.data");
    assert_eq!(memory.let_go(file.clone(), print_of(&file)), None);
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    assert_eq!(round.next_step(), Step::Receive(file.clone()));
    assert_eq!(memory.meet(&file, print_of(&file)), Meeting::Back { in_journal: true });
    round.known(file.clone(), print_of(&file), false, &mut memory);
    assert_eq!(round.next_step(), Step::Move(file.clone(), print_of(&file)));
    round.moved(file.clone(), MoveEnd::Gone, &mut memory);
    assert_eq!((round.next_step(), round.tally().collected), (Step::Leave, 0));
}

#[test]
fn a_skipped_file_is_not_asked_for_again_until_it_has_been_gone() {
    let mut memory = Memory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    round.next_step();
    round.skipped(&name("a.1.data"), &mut memory);
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    assert_eq!(round.next_step(), Step::Leave);
    assert_eq!(round.tally().skipped, 1);
    listed(Delivery::Safe, &[], &mut memory);
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    assert_eq!(round.next_step(), Step::Receive(name("a.1.data")));
}

#[test]
fn the_disk_bounds_how_far_ahead_files_are_fetched() {
    let mut memory = Memory::default();
    let names: Vec<String> = (0..9).map(|n| format!("a{n}.1.data")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut round = listed(Delivery::Safe, &names, &mut memory);
    for _ in 0..4 {
        let Step::Receive(file) = round.next_step() else { panic!("the window has room") };
        round.staged(&file, &mut memory);
    }
    assert_eq!(round.next_step(), Step::Wait);
}

#[test]
fn winding_up_finishes_what_is_under_way_and_counts_the_rest() {
    let mut memory = Memory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.1.data", "c.1.data"], &mut memory);
    let Step::Receive(file) = round.next_step() else { panic!("files are waiting") };
    round.wind_up();
    assert_eq!(round.next_step(), Step::Wait);
    round.staged(&file, &mut memory);
    round.committed(file.clone(), print_of(&file), &mut memory);
    assert!(matches!(round.next_step(), Step::Move(..)));
    round.moved(file, MoveEnd::Gone, &mut memory);
    assert_eq!(round.next_step(), Step::Leave);
    assert_eq!(round.tally().left, 2);
}

#[test]
fn a_round_wound_up_before_its_listing_is_over() {
    let mut round = Round::new(Delivery::Safe, 4);
    round.wind_up();
    assert_eq!(round.next_step(), Step::Leave);
}

#[test]
fn a_listing_that_comes_to_a_round_wound_up_is_left_for_the_next_one() {
    let mut memory = Memory::default();
    let mut round = Round::new(Delivery::Safe, 4);
    round.next_step();
    round.wind_up();
    assert!(!round.is_complete(), "the listing is under way");
    round.listed(vec![name("a.1.data")], &all(), 0, &mut memory);
    assert_eq!((round.next_step(), round.tally().left), (Step::Leave, 1));
    let mut round = Round::new(Delivery::Safe, 4);
    let listing = round.next_step();
    round.wind_up();
    round.dropped(listing, &mut memory);
    assert_eq!(round.next_step(), Step::Leave, "nor is it asked for again");
}

#[test]
fn what_changed_at_the_site_is_not_fetched_again_by_a_round_wound_up() {
    let mut memory = Memory::default();
    let file = name("a.1.data");
    memory.published(file.clone(), print_of(&file));
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    assert!(matches!(round.next_step(), Step::Move(..)));
    round.wind_up();
    round.moved(file, MoveEnd::Changed, &mut memory);
    assert_eq!((round.next_step(), round.tally().left), (Step::Leave, 1));
}

#[test]
fn a_round_that_waits_for_the_disk_has_no_work_for_a_connection() {
    let mut memory = Memory::default();
    assert!(Round::new(Delivery::Safe, 4).has_work());
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut memory);
    assert!(round.has_work());
    let Step::Receive(file) = round.next_step() else { panic!("a file is waiting") };
    round.staged(&file, &mut memory);
    assert!(!round.has_work() && !round.is_complete());
    round.committed(file.clone(), print_of(&file), &mut memory);
    assert!(round.has_work());
}

#[test]
fn a_dropped_listing_is_asked_for_again() {
    let mut memory = Memory::default();
    let mut round = Round::new(Delivery::Safe, 4);
    assert_eq!(round.next_step(), Step::List);
    round.dropped(Step::List, &mut memory);
    assert_eq!(round.next_step(), Step::List);
}

#[test]
fn moving_delivery_takes_a_file_in_one_step() {
    let mut memory = Memory::default();
    let mut round = listed(Delivery::Move, &["a.1.data"], &mut memory);
    let file = name("a.1.data");
    assert_eq!(round.next_step(), Step::Take(file.clone()));
    round.staged(&file, &mut memory);
    round.committed(file.clone(), print_of(&file), &mut memory);
    assert_eq!(round.next_step(), Step::Leave);
    assert_eq!(memory.fingerprint(&file), None);
}

proptest::proptest! {
    /// Lanes that work, fail and die in any order: nothing is moved that was not committed, nothing is received twice
    /// without reason, and the round comes to its end.
    #[test]
    fn any_order_of_events_ends_well(choices in proptest::collection::vec(0_u8..10, 0..400)) {
        let mut memory = Memory::default();
        let names: Vec<String> = (0..20).map(|n| format!("agent{}.17000000{n:02}.data", n % 5)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut round = listed(Delivery::Safe, &names, &mut memory);
        let (mut lanes, mut commits, mut committed) = (Vec::new(), Vec::new(), HashSet::new());
        let mut choices = choices.into_iter().chain(std::iter::repeat(0)).take(2_000);
        while !round.is_complete() {
            let choice = choices.next().expect("a round ends in bounded steps");
            match (choice, lanes.pop()) {
                (9, Some(step)) => round.dropped(step, &mut memory),
                (8, Some(Step::Receive(file))) => round.missing(&file, &mut memory),
                (7, Some(Step::Receive(file))) => round.unstored(&file),
                (6, Some(Step::Move(..))) => round.move_postponed(),
                (_, Some(Step::Receive(file))) => {
                    round.staged(&file, &mut memory);
                    commits.push(file);
                }
                (_, Some(Step::Move(file, _))) => {
                    assert!(committed.contains(&file), "moved before it was committed");
                    round.moved(file, MoveEnd::Gone, &mut memory);
                }
                (_, Some(other)) => panic!("{other:?} is nothing a lane works on"),
                (choice, None) => {
                    if let Some(file) = commits.pop() {
                        assert!(committed.insert(file.clone()), "published twice");
                        match choice {
                            5 => round.uncommitted(&file),
                            _ => round.committed(file.clone(), print_of(&file), &mut memory),
                        }
                    }
                    for _ in 0..=choice % 3 {
                        match round.next_step() {
                            Step::Wait | Step::Leave => {}
                            step => lanes.push(step),
                        }
                    }
                }
            }
        }
        assert!(lanes.is_empty() && commits.is_empty());
    }
}
