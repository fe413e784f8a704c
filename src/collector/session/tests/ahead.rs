//! What is asked for ahead of stock's answers, and what is made of them.

use super::*;
use crate::sync::Pipelining;

const ROUND_TRIP: Duration = Duration::from_millis(100);

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("a.{}.data", 1_700_000_000 + number)).collect()
}

/// What answers a `RECV` or an `MV`: three bytes, of which each file has others.
fn file(verb: &str, name: &str) -> String {
    format!("{verb} SIZE 3\n{}", body(name))
}

fn body(name: &str) -> &str {
    &name[name.len() - 8..name.len() - 5]
}

fn requests(verb: &str, names: &[String]) -> String {
    names.iter().map(|name| format!("{verb} <{name}>\n{verb} OK\n")).collect::<Vec<_>>().concat()
}

impl Scene {
    /// A stock site with these files, all of which are asked for.
    fn ahead(names: &[String]) -> Self {
        let mut scene = Self::connected("a.1.data", stock());
        scene.site.pipelining = Pipelining::new(true);
        let listing = names.join("\n") + "\n";
        let asked = scene.says(|scene| scene.hears_listing(&listing));
        assert!(asked.ends_with(&requests("RECV", names)), "{asked}");
        scene
    }

    /// What is said to the site meanwhile.
    pub(super) fn says(&mut self, act: impl FnOnce(&mut Self)) -> String {
        let before = self.end.output.len();
        act(self);
        self.turns();
        String::from_utf8_lossy(&self.end.output[before..]).into_owned()
    }

    /// The site says this, and closes.
    fn ends_with(&mut self, text: &str) -> PumpOutcome {
        self.end.input.extend(text.as_bytes());
        self.end.is_ended = true;
        let Self { session, end, site, commit_queue, .. } = self;
        session.pump(&mut Context { io: end, site, commit_queue }).unwrap()
    }

    /// The next connection stands.
    pub(super) fn connects_again(&mut self) -> String {
        self.end.is_ended = false;
        self.session = Session::new(0, ConnectionKey(1));
        self.says(|scene| {
            let Self { session, end, site, commit_queue, .. } = scene;
            session.opened(&mut Context { io: end, site, commit_queue }).unwrap();
            scene.hears("");
        })
    }
}

#[test]
fn files_are_asked_for_and_deleted_ahead_and_nothing_is_deleted_before_it_is_committed() {
    let names = names(3);
    let mut scene = Scene::ahead(&names);
    let answers: String = names.iter().map(|name| file("RECV", name)).collect();
    let said = scene.says(|scene| scene.hears(&answers));
    assert_eq!((said.as_str(), scene.orders.published.borrow().len()), ("", 3));
    let said = scene.says(|scene| {
        scene.commit();
        scene.hears("");
    });
    assert_eq!(said, requests("MV", &names));
    let answers: String = names.iter().map(|name| file("MV", name)).collect();
    assert_eq!(scene.says(|scene| scene.hears(&answers)), "LS <>\n");
}

#[test]
fn a_file_is_kept_once_what_follows_it_is_an_answer() {
    let names = names(2);
    let mut scene = Scene::ahead(&names);
    scene.hears(&file("RECV", &names[0]));
    assert_eq!(scene.orders.published.borrow().len(), 0, "more of it may come");
    scene.hears("RECV SIZE 3\n");
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(body(&names[0]).as_bytes())]);
}

#[test]
fn what_the_site_refuses_ends_the_connection_and_the_rest_is_asked_for_again() {
    let names = names(4);
    let mut scene = Scene::ahead(&names);
    let answers = format!("{}RECV ERR (file does not exist)\n", file("RECV", &names[0]));
    assert_eq!(scene.ends_with(&answers), PumpOutcome::Dropped);
    let said = scene.connects_again();
    assert_eq!(said, format!("RECV <{}>\n", names[2]), "the next one in lock-step");
    scene.hears("RECV SIZE 3\n");
    let said = scene.says(|scene| scene.hears(body(&names[2])));
    assert!(said.ends_with(&requests("RECV", &names[3..])), "{said}");
}

#[test]
fn an_end_without_a_word_costs_no_file_and_is_nobody_s_fault() {
    let names = names(3);
    let mut scene = Scene::ahead(&names);
    assert_eq!(scene.ends_with("RECV SIZE 3\nab"), PumpOutcome::Dropped);
    assert_eq!(scene.connects_again(), format!("RECV <{}>\n", names[0]));
    let running = scene.site.running.as_ref().unwrap();
    assert_eq!((running.round.tally().left, running.failure.is_none()), (0, true));
}

#[test]
fn who_falls_silent_is_late_and_its_first_file_is_left() {
    let names = names(3);
    let mut scene = Scene::ahead(&names);
    assert!(scene.end.deadline.is_some());
    assert!(scene.session.awaited().contains(&names[0]) && !scene.session.may_end());
    scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
    assert_eq!(scene.site.running.as_ref().unwrap().round.tally().left, 3, "its agent's later ones as well");
}

#[test]
fn another_answer_than_a_body_is_not_taken_for_a_file() {
    let names = names(4);
    let mut scene = Scene::ahead(&names);
    scene.ends_with(&format!("RECV SIZE 15\n{}{}", file("RECV", &names[2]), file("RECV", &names[3])));
    assert_eq!(scene.orders.published.borrow().len(), 0);
}

/// A scene in which these are committed, and their deletion is asked for.
fn deleting(names: &[String]) -> Scene {
    let mut scene = Scene::ahead(names);
    let answers: String = names.iter().map(|name| file("RECV", name)).collect();
    scene.says(|scene| scene.hears(&answers));
    scene.commit();
    scene.orders.published.take();
    scene
}

#[test]
fn what_was_written_over_a_committed_file_is_kept_when_it_comes() {
    let names = names(2);
    let mut scene = deleting(&names);
    scene.says(|scene| scene.hears(""));
    scene.hears(&format!("MV SIZE 5\nother{}", file("MV", &names[1])));
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"other")]);
}

#[test]
fn what_may_have_been_deleted_is_asked_for_again_and_its_absence_is_no_refusal() {
    let names = names(2);
    let mut scene = deleting(&names);
    scene.says(|scene| scene.hears(""));
    assert_eq!(scene.ends_with(""), PumpOutcome::Dropped);
    assert_eq!(scene.connects_again(), format!("MV <{}>\n", names[0]));
    scene.says(|scene| scene.hears("MV ERR\n"));
    let running = scene.site.running.as_ref().unwrap();
    assert_eq!((running.round.tally().moved, running.round.tally().refused), (1, 0));
}

#[test]
fn a_name_that_may_come_again_is_deleted_in_lock_step_and_by_its_size() {
    let names = ["a.1700000000.data", "nas.123456.data"].map(str::to_owned);
    let mut scene = Scene::connected("a.1.data", stock());
    scene.site.pipelining = Pipelining::new(true);
    scene.says(|scene| scene.hears_listing("a.1700000000.data\nnas.123456.data\n"));
    scene.says(|scene| scene.hears("RECV SIZE 3\nnasRECV SIZE 3\n000"));
    scene.commit();
    let said = scene.says(|scene| scene.hears(""));
    assert_eq!(said, format!("MV <{}>\n", names[1]), "with nothing behind it");
    scene.hears("MV SIZE 4\n");
    assert!(!scene.end.output.ends_with(b"MV OK\n"), "that is another file");
}

#[test]
fn nothing_is_deleted_ahead_where_files_are_moved_at_once() {
    let mut scene = Scene::connected("a.1.data", SiteSettings { delivery: Delivery::Move, ..stock() });
    scene.site.pipelining = Pipelining::new(true);
    let said = scene.says(|scene| scene.hears_listing("a.1700000000.data\nb.1700000001.data\n"));
    assert!(said.ends_with("LS OK\nMV <a.1700000000.data>\n"), "{said}");
}

/// A scene in which three files of a far site are to be asked for, and nothing has been.
fn plain() -> Scene {
    let mut scene = Scene::connected("a.1.data", stock());
    scene.site.pipelining.answered_within(ROUND_TRIP);
    scene.end.now += ROUND_TRIP;
    let listing = names(3).join("\n") + "\n";
    scene.says(|scene| {
        scene.hears("");
        scene.end.now += ROUND_TRIP;
        scene.hears(&format!("LS SIZE {}\n", listing.len()));
        scene.hears(&listing);
    });
    // A turn that was long: only its end is sure to be after the message has left.
    scene.end.now += ROUND_TRIP;
    scene
}

/// How many messages have left after each of these waits, in milliseconds.
fn messages_after<const N: usize>(scene: &mut Scene, waits: [u64; N]) -> [usize; N] {
    let lines = |scene: &Scene| String::from_utf8_lossy(&scene.end.output).lines().count();
    let before = lines(scene);
    waits.map(|wait| {
        scene.end.now += Duration::from_millis(wait);
        scene.hears("");
        lines(scene) - before
    })
}

#[test]
fn in_plain_messages_leave_at_a_distance_that_begins_when_the_last_one_has_left() {
    assert_eq!(messages_after(&mut plain(), [0, 4, 1, 2, 4, 1]), [0, 0, 1, 1, 1, 2]);
}

#[test]
fn in_plain_files_are_asked_for_one_after_the_other_without_an_answer() {
    let mut scene = plain();
    let before = scene.end.output.len();
    let said = |scene: &Scene| String::from_utf8_lossy(&scene.end.output[before..]).into_owned();
    let rest = requests("RECV", &names(3)).split_once('\n').unwrap().1.to_owned();
    for _ in 0..50 {
        if said(&scene) == rest {
            return;
        }
        let Scene { session, end, site, commit_queue, .. } = &mut scene;
        let pause = session.pump(&mut Context { io: end, site, commit_queue }).unwrap();
        let PumpOutcome::Paced(at) = pause else { panic!("{pause:?}, after {:?}", said(&scene)) };
        scene.end.now = at;
    }
    panic!("{:?}", said(&scene));
}

#[test]
fn on_a_new_connection_the_second_message_waits_for_the_first_answer() {
    let mut scene = plain();
    scene.ends_with("");
    scene.site.pipelining = Pipelining::new(false);
    scene.site.pipelining.answered_within(ROUND_TRIP);
    let first = names(3)[0].clone();
    assert_eq!(scene.connects_again(), format!("RECV <{first}>\n"));
    assert_eq!(messages_after(&mut scene, [5, 50, 50]), [0, 0, 0]);
    scene.hears("RECV SIZE 3\n");
    assert!(scene.is_asked("RECV OK\n"), "at once");
    assert_eq!(messages_after(&mut scene, [0, 5, 0, 5]), [0, 1, 1, 2]);
}

#[test]
fn a_message_waits_for_one_that_the_kernel_holds_back_and_comes_at_a_distance_from_that() {
    let mut scene = plain();
    scene.end.is_held_back = true;
    assert_eq!(messages_after(&mut scene, [5, 5, 50]), [0, 0, 0]);
    scene.end.is_held_back = false;
    assert_eq!(messages_after(&mut scene, [0, 4, 1]), [0, 0, 1]);
}

#[test]
fn what_stood_first_when_two_sessions_ended_is_asked_for_with_nothing_behind_it() {
    let names = names(6);
    let mut scene = Scene::ahead(&names);
    // On another connection as well.
    let goes_well = |scene: &mut Scene| (0..3).for_each(|_| scene.site.pipelining.went_well(scene.end.now));
    goes_well(&mut scene);
    scene.ends_with("");
    assert!(scene.connects_again().ends_with(&requests("RECV", &names)), "that may have been anything");
    goes_well(&mut scene);
    scene.ends_with("");
    assert_eq!(scene.connects_again(), format!("RECV <{}>\n", names[0]));
    scene.says(|scene| scene.hears("RECV SIZE 3\n"));
    assert_eq!(scene.says(|scene| scene.hears(body(&names[0]))), requests("RECV", &names[1..]));
}
