//! Rounds that take no new files any more.

use super::driven_round::{DrivenRound, Next};
use super::round_tests::{listed, listing, name, print_of};
use super::{DeleteResult, Delivery, SiteHistory};

#[test]
fn a_confirming_listing_that_is_cut_is_asked_for_again_unless_the_round_winds_up() {
    let mut history = SiteHistory::default();
    let file = name("a.1.data");
    for winds_up in [false, true] {
        let mut round = listed(Delivery::Move, &["a.1.data"], &mut history);
        round.next_step();
        round.staged(&file, &mut history);
        round.committed(&file, print_of(&file), &mut history);
        assert_eq!(round.next_step(), Next::List);
        if winds_up {
            round.stop_fetching();
        }
        round.dropped(Next::List, &mut history);
        assert_eq!(round.next_step(), if winds_up { Next::Leave } else { Next::List });
        history.forget(&file);
    }
}

#[test]
fn what_is_given_back_to_a_round_that_takes_no_more_is_left_to_the_next() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &["a.1700000001.data", "b.1700000002.data"], &mut history);
    let first = round.next_step();
    round.stop_fetching();
    round.returned(first);
    assert_eq!((round.next_step(), round.tally().left), (Next::Leave, 2));
}

#[test]
fn winding_up_finishes_what_is_under_way_and_counts_the_rest() {
    let mut history = SiteHistory::default();
    let mut round = listed(Delivery::Safe, &["a.1.data", "b.1.data", "c.1.data"], &mut history);
    let Next::Fetch(file) = round.next_step() else { panic!("files are waiting") };
    round.stop_fetching();
    assert_eq!(round.next_step(), Next::Wait);
    round.staged(&file, &mut history);
    round.committed(&file, print_of(&file), &mut history);
    assert!(matches!(round.next_step(), Next::Delete(..)));
    round.deleted(&file, DeleteResult::Gone, &mut history);
    assert_eq!(round.next_step(), Next::Leave);
    assert_eq!(round.tally().left, 2);
}

#[test]
fn a_round_wound_up_before_its_listing_is_over() {
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    round.stop_fetching();
    assert_eq!(round.next_step(), Next::Leave);
}

#[test]
fn a_listing_that_comes_to_a_round_wound_up_is_left_for_the_next_one() {
    let mut history = SiteHistory::default();
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    round.next_step();
    round.stop_fetching();
    assert!(!round.is_complete(), "the listing is under way");
    round.listed(listing(&["a.1.data"], &mut history), &mut history);
    assert_eq!((round.next_step(), round.tally().left), (Next::Leave, 1));
    let mut round = DrivenRound::new(Delivery::Safe, 4);
    let listing = round.next_step();
    round.stop_fetching();
    round.dropped(listing, &mut history);
    assert_eq!(round.next_step(), Next::Leave, "nor is it asked for again");
}

#[test]
fn what_changed_at_the_site_is_not_fetched_again_by_a_round_wound_up() {
    let mut history = SiteHistory::default();
    let file = name("a.1.data");
    let mut round = listed(Delivery::Safe, &["a.1.data"], &mut history);
    round.next_step();
    round.staged(&file, &mut history);
    round.committed(&file, print_of(&file), &mut history);
    assert!(matches!(round.next_step(), Next::Delete(..)));
    round.stop_fetching();
    round.deleted(&file, DeleteResult::Changed, &mut history);
    assert_eq!((round.next_step(), round.tally().left), (Next::Leave, 1));
}
