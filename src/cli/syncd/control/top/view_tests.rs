use super::super::super::status::Order;
use super::super::super::status::tests::{daemon, failing, site};
use super::super::model::{Key, Seen};
use super::*;

fn top(sites: Vec<SiteAnswer>) -> Top {
    Top::new(Seen { daemon: Some(daemon()), sites }, Order::Worst)
}

fn many(count: usize) -> Top {
    top((0..count).map(|number| site(&format!("site-{number:04}"))).collect())
}

/// What is drawn on a usual terminal, and which line is selected.
fn drawn(top: &mut Top) -> (Vec<String>, Option<String>) {
    top.size = (80, 24);
    let lines = render(top);
    assert!(lines.len() == 24 && lines.iter().all(|line| line.text.chars().count() <= 80), "{lines:#?}");
    let selected = lines.iter().find(|line| line.style == Style::Selected).map(|line| line.text.trim().to_owned());
    (lines.into_iter().map(|line| line.text).collect(), selected)
}

fn selected(top: &mut Top) -> String {
    let (_, selected) = drawn(top);
    selected.unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_worst_is_first_and_its_problem_is_told_below_the_table() {
    let mut top = top(vec![site("good"), failing("bad", Some(1860))]);
    let (lines, marked) = drawn(&mut top);
    assert!(lines[0].starts_with("tentacle-syncd 1.2.3, up 25h: 3 sites, 1 fails"), "{lines:#?}");
    assert!(marked.unwrap().starts_with("! bad"), "{lines:#?}");
    assert!(lines[5].starts_with("  good"), "{lines:#?}");
    assert!(lines[20].starts_with("! bad (10.1.2.3:41121): connect, 12 rounds in a row failed"), "{lines:#?}");
    assert!(lines[23].contains("s sort: worst") && lines[23].contains("q quit"), "{lines:#?}");
}

#[test]
fn keys_move_sort_filter_and_open() {
    let mut top = many(3000);
    assert_eq!(selected(&mut top), "site-0000");
    for (key, expected) in [
        (Key::Lines(1), "site-0001"),
        (Key::Lines(-1), "site-0000"),
        (Key::Lines(-1), "site-0000"),
        (Key::Last, "site-2999"),
        (Key::Lines(1), "site-2999"),
        (Key::First, "site-0000"),
    ] {
        top.press(key);
        assert_eq!(selected(&mut top), expected, "{key:?}");
    }
    top.press(Key::Pages(1));
    let page = selected(&mut top);
    assert!(*"site-0010" < *page && *page < *"site-0024", "{page}");
    top.press(Key::Pages(-1));
    assert_eq!(selected(&mut top), "site-0000");
    for order in ["age", "waiting", "name", "worst"] {
        top.press(Key::Character('s'));
        assert!(drawn(&mut top).0[23].contains(&format!("sort: {order}")));
    }
    for character in "/SITE-1234".chars() {
        top.press(Key::Character(character));
    }
    let (lines, _) = drawn(&mut top);
    assert!(
        lines[23].starts_with("/SITE-1234_") && lines[4].contains("site-1234") && lines[5].is_empty(),
        "{lines:#?}"
    );
    top.press(Key::Enter);
    top.press(Key::Enter);
    let (lines, _) = drawn(&mut top);
    assert!(lines.iter().any(|line| line.contains("connections   0")), "{lines:#?}");
    top.press(Key::Escape);
    top.press(Key::Escape);
    assert_eq!(top.shown().len(), 3000, "the filter is cleared");
    for character in "/none of that name".chars() {
        top.press(Key::Character(character));
    }
    assert!(drawn(&mut top).0[4].contains("no site is shown"));
    top.press(Key::Enter);
    assert!(!top.is_over());
    top.press(Key::Enter);
    top.press(Key::Character('q'));
    assert!(top.is_over());
}

#[test]
fn what_is_selected_stays_so_as_the_order_changes() {
    let mut top = top(vec![site("a"), site("b"), site("c")]);
    top.press(Key::Lines(1));
    assert_eq!(selected(&mut top), "b");
    top.saw(Seen { daemon: Some(daemon()), sites: vec![site("a"), site("b"), failing("c", None)] });
    assert_eq!(selected(&mut top), "b");
    top.press(Key::Enter);
    top.saw(Seen { daemon: Some(daemon()), sites: vec![site("a")] });
    assert!(drawn(&mut top).0[3].contains("b is gone"));
}

#[test]
fn a_daemon_that_does_not_answer_is_told_of_and_what_was_known_stays() {
    let mut top = many(2);
    top.failed("tentacle-syncd is not running");
    let (lines, _) = drawn(&mut top);
    assert!(lines[2].starts_with("NO ANSWER") && lines[2].contains("is not running"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("site-0001")));
    top.saw(Seen { daemon: Some(daemon()), sites: vec![site("back")] });
    let (lines, _) = drawn(&mut top);
    assert!(lines[2].is_empty() && lines.iter().any(|line| line.contains("back")), "{lines:#?}");
}

#[test]
fn it_fits_on_a_screen_of_any_size_whatever_the_values() {
    let monster = failing(&"n\u{1b}ame \u{202e}".repeat(100), Some(u64::MAX));
    for pressed in [vec![], vec![Key::Enter, Key::Last], vec![Key::Character('/'), Key::Character('n')]] {
        let mut top = top(vec![monster.clone(), site("b")]);
        for key in pressed {
            top.press(key);
        }
        top.failed(&"why\u{1b}[2J ".repeat(100));
        for (width, height) in [(1, 1), (3, 2), (20, 5), (80, 24), (200, 60), (40, 12)] {
            top.size = (width, height);
            let lines = render(&top);
            assert_eq!(lines.len(), height);
            for line in lines {
                let shows = line.text.chars().all(crate::proto::shows);
                assert!(line.text.chars().count() <= width && shows, "{width} × {height}: {line:?}");
            }
        }
    }
}
