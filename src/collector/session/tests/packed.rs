//! Files that come in archives.

use super::*;
use crate::proto::Refusal;
use crate::proto::{Reply, Verb};
use crate::sync::Pipelining;
use crate::testing::stock_archive;

const NAME: &str = "a.1700000000.data";
const BODY: &[u8] = b"<agent_data>hello hello hello</agent_data>\n";

fn settings() -> SiteSettings {
    SiteSettings { compression: true, ..SiteSettings::new("site", "address") }
}

fn archive(bytes: &[u8]) -> Vec<u8> {
    stock_archive(NAME.as_bytes(), bytes).unwrap()
}

/// What answers a `ZRECV`.
fn answer(archive: &[u8]) -> Vec<u8> {
    [format!("ZRECV SIZE {}\n", archive.len()).as_bytes(), archive].concat()
}

impl Scene {
    /// A site that packs, with these files, all of which are asked for ahead.
    fn packing_ahead(names: &[&str]) -> Self {
        let mut scene = Self::connected(NAME, SiteSettings { extension: false, ..settings() });
        scene.site.unpacked();
        scene.site.pipelining = Pipelining::new(true);
        let asked = scene.says(|scene| scene.hears_listing(&(names.join("\n") + "\n")));
        assert!(asked.ends_with(&requests("ZRECV", names)), "{asked}");
        scene
    }

    /// The site says this and closes; what is said to it on the next connection.
    fn closes(&mut self, text: &[u8]) -> String {
        self.end.input.extend(text);
        self.end.is_ended = true;
        let Self { session, end, site, commit_queue, .. } = self;
        assert_eq!(session.pump(&mut Context { io: end, site, commit_queue }).unwrap(), PumpOutcome::Dropped);
        self.end.input.clear();
        self.connects_again()
    }

    fn is_sound(&self) -> bool {
        self.site.running.as_ref().is_some_and(|running| running.failure.is_none() && running.round.tally().left == 0)
    }
}

fn requests(verb: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{verb} <{name}>\n{verb} OK\n")).collect::<Vec<_>>().concat()
}

fn published(scene: &Scene) -> Vec<Fingerprint> {
    scene.orders.published.borrow().clone()
}

#[test]
fn a_file_is_unpacked_while_it_comes_and_its_deletion_is_compared_with_the_file() {
    let mut scene = Scene::with(NAME, settings());
    assert!(scene.is_asked(&format!("ZRECV <{NAME}>\n")));
    let archive = archive(BODY);
    scene.hears(&format!("ZRECV SIZE {}\n", archive.len()));
    assert!(scene.is_asked("ZRECV OK\n"));
    for byte in archive {
        scene.hears_bytes(&[byte]);
    }
    assert_eq!(published(&scene), [Fingerprint::of(BODY)]);
    scene.commit();
    scene.hears("");
    assert!(scene.is_asked(&format!("MV <{NAME}>\n")));
    scene.hears(&format!("MV SIZE {}\n", BODY.len()));
    scene.hears_bytes(BODY);
    assert!(scene.is_asked("LS <>\n") && scene.is_sound());
    assert_eq!(published(&scene).len(), 1);
}

#[test]
fn an_empty_file_s_archive_is_asked_for_and_is_none_of_a_connection_s_last_words() {
    let mut scene = Scene::with(NAME, settings());
    scene.hears_bytes(&answer(&archive(b"")));
    assert_eq!(published(&scene), [Fingerprint::of(b"")]);
    scene.commit();
    scene.hears("");
    assert!(scene.is_asked(&format!("MV <{NAME}>\n")));
}

#[test]
fn nothing_is_packed_where_it_is_not_asked_for_or_files_are_moved_at_once() {
    assert!(Scene::with(NAME, SiteSettings::new("site", "address")).is_asked(&format!("\nRECV <{NAME}>\n")));
    let moving = SiteSettings { delivery: Delivery::Move, ..settings() };
    assert!(Scene::with(NAME, moving).is_asked(&format!("\nMV <{NAME}>\n")));
}

#[test]
fn whether_a_server_packs_is_found_out_with_nothing_asked_for_behind_it() {
    let mut scene = Scene::connected(NAME, SiteSettings { extension: false, ..settings() });
    scene.site.pipelining = Pipelining::new(true);
    let asked = scene.says(|scene| scene.hears_listing("a.1700000000.data\nb.1700000000.data\n"));
    assert!(asked.ends_with("LS OK\nZRECV <a.1700000000.data>\n"), "{asked}");
    let asked = scene.says(|scene| scene.hears_bytes(&answer(&archive(BODY))));
    assert!(asked.ends_with(&requests("ZRECV", &["b.1700000000.data"])), "{asked}");
}

#[test]
fn a_server_that_does_not_know_the_command_costs_a_connection_and_no_round() {
    for last_words in [&b""[..], b"QUIT\n", b"ERR unknown command\n"] {
        let mut scene = Scene::connected(NAME, SiteSettings { extension: false, ..settings() });
        scene.hears_listing("a.1700000000.data\nb.1700000000.data\n");
        assert!(scene.is_asked("ZRECV <a.1700000000.data>\n"));
        assert_eq!(scene.closes(last_words), "RECV <a.1700000000.data>\n");
        scene.hears("RECV SIZE 3\n");
        scene.hears("abc");
        assert!(scene.is_asked("RECV <b.1700000000.data>\n") && scene.is_sound());
    }
}

#[test]
fn a_silent_server_has_not_said_that_it_does_not_pack() {
    let mut scene = Scene::with(NAME, settings());
    assert!(scene.end.deadline.is_some() && !scene.session.may_end());
    scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
    assert!(!scene.site.knows_packing(scene.end.now));
}

#[test]
fn what_comes_damaged_or_is_refused_is_asked_for_as_it_is() {
    let mut damaged = archive(BODY);
    damaged[100] ^= 1;
    let refusals = [Refusal::Failed, Refusal::NotAllowed, Refusal::NoRoom, Refusal::Unspecified];
    let mut answers = vec![answer(&damaged), answer(&damaged[..90]), answer(b""), answer(BODY)];
    answers.extend(refusals.map(|refusal| {
        let mut line = Vec::new();
        Reply::Refused(refusal).encode(Verb::Zrecv, &mut line);
        line
    }));
    for answer in answers {
        let mut scene = Scene::with(NAME, settings());
        scene.hears_bytes(&answer);
        let asked = format!("\nRECV <{NAME}>\n");
        if !scene.is_asked(&asked) {
            // An empty body's acceptance is the last word in plain.
            assert_eq!((answer.as_slice(), scene.connects_again()), (&b"ZRECV SIZE 0\n"[..], asked[1..].to_owned()));
        }
        assert_eq!(published(&scene), [], "{}", answer.escape_ascii());
        scene.hears(&format!("RECV SIZE {}\n", BODY.len()));
        scene.hears_bytes(BODY);
        assert!(scene.is_sound());
        assert_eq!(published(&scene), [Fingerprint::of(BODY)]);
    }
}

#[test]
fn a_file_that_is_gone_is_not_asked_for_again() {
    let mut scene = Scene::with(NAME, settings());
    scene.hears("ZRECV ERR (file does not exist)\n");
    assert_eq!(scene.site.running.as_ref().map(|running| running.round.tally().missing), Some(1));
}

#[test]
fn what_unfolds_beyond_the_limit_is_asked_for_as_it_is_which_tells_its_size() {
    let limited = SiteSettings { max_file_size: 1_000, ..settings() };
    let mut scene = Scene::with(NAME, limited.clone());
    scene.hears_bytes(&answer(&archive(&vec![b'x'; 100_000])));
    assert!(scene.is_asked(&format!("\nRECV <{NAME}>\n")));
    scene.hears("RECV SIZE 100000\n");
    let running = scene.site.running.as_ref().unwrap();
    assert_eq!((running.not_taken.too_large, running.round.tally().skipped), (1, 1));
    // The archive alone is larger.
    let mut scene = Scene::with(NAME, limited);
    scene.hears("ZRECV SIZE 1001\n");
    assert_eq!(scene.connects_again(), format!("RECV <{NAME}>\n"));
    assert_eq!(published(&scene), []);
}

#[test]
fn after_a_damaged_archive_no_later_file_of_its_agent_comes_first() {
    let names = ["a.1700000000.data", "a.1700000001.data", "a.1700000002.data"];
    let mut scene = Scene::packing_ahead(&names);
    let mut damaged = archive(BODY);
    damaged[100] ^= 1;
    let asked = scene.closes(&[answer(&damaged), answer(&archive(b"second")), answer(&archive(b"third"))].concat());
    assert!(asked.starts_with("RECV <a.1700000000.data>\n"), "{asked}");
    assert_eq!(published(&scene), []);
    scene.hears("RECV SIZE 3\n");
    let asked = scene.says(|scene| scene.hears("abc"));
    assert!(asked.ends_with(&requests("ZRECV", &names[1..])), "{asked}");
}

#[test]
fn what_is_refused_ahead_comes_again_before_its_agent_s_later_ones() {
    let names = ["a.1700000000.data", "a.1700000001.data", "a.1700000002.data"];
    for answer in [&b"ZRECV ERR (file cannot be read)\n"[..], b"ZRECV SIZE 999999999999\n"] {
        let mut scene = Scene::packing_ahead(&names);
        let asked = scene.closes(answer);
        assert!(asked.starts_with("RECV <a.1700000000.data>\n"), "{asked}");
    }
}

#[test]
fn archives_that_come_ahead_are_files_once_what_follows_is_an_answer() {
    let names = ["a.1700000000.data", "b.1700000001.data"];
    let mut scene = Scene::packing_ahead(&names);
    scene.hears_bytes(&answer(&archive(b"")));
    assert_eq!(published(&scene), []);
    scene.hears_bytes(&answer(&archive(BODY)));
    assert_eq!(published(&scene), [Fingerprint::of(b""), Fingerprint::of(BODY)]);
    // Another answer in a body's place.
    let mut scene = Scene::packing_ahead(&names);
    scene.closes(b"ZRECV SIZE 16\nZRECV SIZE 3\nabc");
    assert_eq!(published(&scene), []);
}

#[test]
fn what_unfolds_far_does_not_keep_the_loop_from_turning() {
    let bomb = answer(&archive(&vec![b'x'; 64 << 20]));
    let mut scene = Scene::with(NAME, settings());
    scene.hears_bytes(&bomb);
    assert!((4..=20).contains(&scene.turns()) && published(&scene).len() == 1);
    let names = ["a.1700000000.data", "b.1700000001.data"];
    let mut scene = Scene::packing_ahead(&names);
    scene.hears_bytes(&[&*bomb, &bomb].concat());
    assert!((8..=40).contains(&scene.turns()) && published(&scene).len() == 2);
    // Many that are small.
    let names: Vec<String> = (0..60).map(|number| format!("{number}.1700000000.data")).collect();
    let mut scene = Scene::packing_ahead(&names.iter().map(String::as_str).collect::<Vec<_>>());
    scene.hears_bytes(&answer(&archive(&vec![b'x'; 2 << 20])).repeat(60));
    assert!((12..=60).contains(&scene.turns()) && published(&scene).len() == 60);
}

#[test]
fn a_file_whose_archive_is_cut_or_awaited_in_vain_comes_as_it_is_in_the_next_round() {
    let sound = answer(&archive(BODY));
    for came in [0, 20, 100] {
        for is_ahead in [false, true] {
            let mut scene = if is_ahead { Scene::packing_ahead(&[NAME]) } else { Scene::with(NAME, settings()) };
            scene.hears_bytes(&sound[..came]);
            scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
            scene.site.start_round(scene.end.now, scene.end.now);
            scene.end.input.clear();
            scene.connects_again();
            scene.hears_listing(&format!("{NAME}\n"));
            let asked = scene.says(|_| ());
            assert!(scene.end.output.windows(6).any(|word| word == b"\nRECV "), "{came} {is_ahead} {asked}");
        }
    }
}
