//! What is asked for in the extension, and what is made of the answers.

use super::*;
use crate::proto::Secret;
use crate::sync::Tally;

const QUESTION: &str = "RECV <?caps>\n";

const CAPS: &str = "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3\n";

/// What stock says to the question.
const NOT_SPOKEN: &str = "RECV ERR (file has an invalid file name)\n";

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("a.{}.data", 1_700_000_000 + number)).collect()
}

fn page(names: &[String]) -> String {
    names.iter().enumerate().map(|(place, name)| format!("3 {place} {name}\n")).collect::<Vec<_>>().concat()
}

/// What answers a `GET`, three bytes of which each file has others.
fn file(name: &str) -> String {
    let number = &name[name.len() - 8..name.len() - 5];
    format!("GET SIZE 3 MTIME 1\n{number}")
}

fn drop_of(name: &str) -> String {
    let number = &name[name.len() - 8..name.len() - 5];
    let hash = Fingerprint::of(number.as_bytes()).content_hash().unwrap();
    format!("DROP <{name}> SIZE 3 BLAKE3 {hash}\n")
}

impl Scene {
    fn asking() -> Self {
        let mut scene =
            Self::connected("a.1.data", SiteSettings { extension: true, ..SiteSettings::new("site", "address") });
        scene.hears("");
        assert!(scene.is_asked("RECV <?caps>\n"));
        scene
    }

    /// The site speaks the extension, and has these files.
    fn extended(names: &[String]) -> Self {
        let mut scene = Self::asking();
        scene.hears(CAPS);
        scene.turns();
        assert!(scene.is_asked("LIST <>\n"));
        let page = page(names);
        scene.asks_for(|scene| scene.hears(&format!("LIST SIZE {} END\n{page}", page.len())));
        scene
    }

    /// The site is to compress, if it can; these are what it says that it can.
    fn to_be_compressed(caps: &str) -> Self {
        let settings = SiteSettings { extension: true, compression: true, ..SiteSettings::new("site", "address") };
        let mut scene = Self::connected("a.1.data", settings);
        scene.hears("");
        scene.hears(caps);
        scene
    }

    /// What is said to the site meanwhile.
    fn asks_for(&mut self, act: impl FnOnce(&mut Self)) -> String {
        let before = self.end.output.len();
        act(self);
        self.turns();
        String::from_utf8_lossy(&self.end.output[before..]).into_owned()
    }

    fn abandon(&mut self) {
        self.session.abandon(&mut self.site, &mut self.commit_queue);
        self.session = Session::new(0, ConnectionKey(1));
    }

    /// The next connection stands. What the site is asked there before it has answered anything.
    fn reconnects(&mut self) -> String {
        self.session = Session::new(0, ConnectionKey(1));
        self.asks_for(|scene| {
            let Scene { session, end, site, commit_queue, .. } = scene;
            session.opened(&mut Context { io: end, site, commit_queue }).unwrap();
            scene.hears("");
        })
    }

    /// The connection has ended in whatever way.
    fn is_cut_off_after(&mut self, text: &str) -> Result<PumpOutcome, Reason> {
        self.end.input.extend(text.as_bytes());
        self.end.is_ended = true;
        let Self { session, end, site, commit_queue, .. } = self;
        let outcome = session.pump(&mut Context { io: end, site, commit_queue });
        self.end.input.clear();
        self.end.is_ended = false;
        outcome
    }

    fn tally(&self) -> Tally {
        self.site.running.as_ref().unwrap().round.tally()
    }

    fn fails(&mut self, text: &str) -> Reason {
        self.end.input.extend(text.as_bytes());
        let Self { session, end, site, commit_queue, .. } = self;
        session.pump(&mut Context { io: end, site, commit_queue }).unwrap_err()
    }
}

#[test]
fn a_site_that_does_not_understand_the_question_is_collected_from_as_before() {
    for answer in ["RECV ERR (file has an invalid file name)\n", "RECV ERR\n", "CAPS 1 GET LIST\n", "CAPS 2 GET\n"] {
        let mut scene = Scene::asking();
        scene.hears(answer);
        scene.turns();
        assert!(scene.is_asked("LS <>\n"), "{answer}");
        // Nor is it asked again on the next connection.
        let mut next = Session::new(0, ConnectionKey(1));
        let Scene { end, site, commit_queue, .. } = &mut scene;
        next.opened(&mut Context { io: end, site, commit_queue }).unwrap();
        assert!(!scene.site.is_to_be_asked(scene.end.now) && scene.site.is_to_be_asked(scene.end.now + ASKED_AGAIN));
    }
}

#[test]
fn what_the_sites_clock_shows_is_held_against_ours() {
    let mut scene = Scene::asking();
    assert_eq!(scene.site.clock.difference(), None);
    // Here, it is 1970.
    scene.end.now += Duration::from_millis(600);
    let answered = scene.end.now;
    scene.hears(&CAPS.replace('\n', " TIME=7000000000\n"));
    let difference = scene.site.clock.difference().unwrap();
    assert_eq!((difference.ahead, difference.uncertainty, difference.at), (7_000, 301, answered));
    assert!(scene.site.is_extended());
}

const ASKED_AGAIN: Duration = Duration::from_secs(600);

#[test]
fn a_site_whose_connection_ends_at_the_question_is_taken_for_stock() {
    let mut scene = Scene::asking();
    assert!(scene.session.may_end(), "the site is not at fault");
    scene.abandon();
    assert!(!scene.site.is_to_be_asked(scene.end.now));
}

#[test]
fn what_the_disk_has_no_time_for_waits_in_the_line() {
    let names = names(600);
    let mut scene = Scene::asking();
    scene.hears(CAPS);
    scene.turns();
    let body = page(&names);
    let asked = scene.asks_for(|scene| scene.hears(&format!("LIST SIZE {} END\n{body}", body.len())));
    assert_eq!(asked.lines().count(), names.len(), "all are asked for at once");
    let answers: String = names.iter().map(|name| file(name)).collect();
    scene.asks_for(|scene| scene.hears(&answers));
    assert_eq!(scene.orders.published.borrow().len(), 512);
    assert!(!scene.end.input.is_empty());
    scene.commit();
    let dropped = scene.asks_for(|scene| scene.hears(""));
    assert_eq!(dropped.lines().count(), 512);
    assert!(dropped.lines().all(|line| line.starts_with("DROP ")));
    assert!(scene.end.input.is_empty(), "the others have come");
    scene.commit();
    assert_eq!((scene.tally().collected, scene.tally().unstored), (600, 0));
}

#[test]
fn all_files_of_one_agent_are_asked_for_ahead_and_dropped_once_they_are_committed() {
    let names = names(3);
    let mut scene = Scene::asking();
    scene.hears(CAPS);
    scene.turns();
    let body = page(&names);
    let asked = scene.asks_for(|scene| scene.hears(&format!("LIST SIZE {} END\n{body}", body.len())));
    assert_eq!(asked, names.iter().map(|name| format!("GET <{name}>\n")).collect::<Vec<_>>().concat());
    let answers: String = names.iter().map(|name| file(name)).collect();
    let asked = scene.asks_for(|scene| scene.hears(&answers));
    assert_eq!((asked.as_str(), scene.orders.published.borrow().len()), ("", 3), "nothing is committed yet");
    scene.commit();
    let asked = scene.asks_for(|scene| scene.hears(""));
    assert_eq!(asked, names.iter().map(|name| drop_of(name)).collect::<String>());
    scene.hears("DROP OK\nDROP ERR (file does not exist)\nDROP OK\n");
    scene.turns();
    let forgotten: Vec<_> = ["000", "001", "002"].map(|text| Fingerprint::of(text.as_bytes())).into();
    assert_eq!(*scene.orders.forgotten.borrow(), forgotten);
    let running = scene.site.running.as_ref().unwrap();
    assert!(running.round.is_complete(), "no listing is needed to confirm it");
    assert_eq!((scene.tally().collected, scene.tally().moved), (3, 3));
}

#[test]
fn a_list_comes_in_pages() {
    let names = names(3);
    let mut scene = Scene::asking();
    scene.hears(CAPS);
    scene.turns();
    let first = page(&names[..2]);
    let asked = scene.asks_for(|scene| scene.hears(&format!("LIST SIZE {} MORE 1 3\n{first}", first.len())));
    assert_eq!(asked, format!("LIST <> AFTER 1 <{}>\n", names[1]));
    let last = format!("3 2 {}\n", names[2]);
    let asked = scene.asks_for(|scene| scene.hears(&format!("LIST SIZE {} END\n{last}", last.len())));
    assert_eq!(asked, names.iter().map(|name| format!("GET <{name}>\n")).collect::<Vec<_>>().concat());
}

#[test]
fn a_page_that_leads_nowhere_is_not_asked_for_again_and_again() {
    for body in ["", "3 1 a.1.data\n"] {
        let mut scene = Scene::asking();
        scene.hears(CAPS);
        scene.turns();
        let first = "3 1 a.1.data\n";
        scene.hears(&format!("LIST SIZE {} MORE 1 3\n{first}", first.len()));
        scene.turns();
        let reason = scene.fails(&format!("LIST SIZE {} MORE 1 3\n{body}", body.len()));
        assert_eq!(reason.code(), "protocol", "{reason}");
    }
}

#[test]
fn what_had_not_come_when_the_connection_ended_is_asked_for_again_in_order() {
    let names = ["a.1700000000", "a.1700000001", "b.1700000002", "a.1700000003", "b.1700000004"];
    let names = names.map(|name| format!("{name}.data"));
    let mut scene = Scene::extended(&names);
    scene.hears(&file(&names[0]));
    scene.hears("GET SIZE 3 MTIME 1\n0");
    assert!(scene.session.has_file_under_way());
    assert_eq!(scene.session.file().map(|(name, _)| name.to_string()), Some(names[1].clone()));
    scene.abandon();
    assert_eq!((scene.tally().left, scene.site.history.failures(&names[1].parse::<FileName>().unwrap())), (2, 1));
    let asked = scene.reconnects();
    let left = "what its agent wrote later must not overtake it";
    assert_eq!(asked, format!("{QUESTION}GET <{}>\nGET <{}>\n", names[2], names[4]), "{left}");
}

#[test]
fn a_deletion_whose_answer_is_lost_is_asked_for_again() {
    let names = names(1);
    let mut scene = Scene::extended(&names);
    scene.hears(&file(&names[0]));
    scene.commit();
    scene.hears("");
    assert!(scene.is_asked(&drop_of(&names[0])));
    scene.abandon();
    assert_eq!(scene.reconnects(), format!("{QUESTION}{}", drop_of(&names[0])));
    assert_eq!(*scene.orders.forgotten.borrow(), []);
    scene.hears(CAPS);
    scene.hears("DROP ERR (file does not exist)\n");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"000")]);
}

#[test]
fn a_site_that_is_known_to_speak_it_is_not_waited_for_on_the_next_connection() {
    // What an agent wrote later must not overtake what did not come.
    let names = ["a.1700000000.data", "b.1700000001.data"].map(String::from);
    let password = Some(Secret::new(b"s3cret".to_vec()));
    for (password, first) in [(None, ""), (password, "PASS 703b089710823916d4bb7ff2deff4d8f\n")] {
        let mut scene = Scene::extended(&names);
        scene.abandon();
        scene.site.settings.password = password;
        assert_eq!(scene.reconnects(), format!("{first}{QUESTION}GET <{}>\n", names[1]));
        let greeted = if first.is_empty() { "" } else { "PASS OK\n" };
        scene.hears(&format!("{greeted}{CAPS}{}", file(&names[1])));
        assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"001")]);
    }
}

#[test]
fn what_stands_behind_the_question_is_not_lost_where_the_site_has_become_stock() {
    let names = names(3);
    for answer in [NOT_SPOKEN, "", "PASS OK", "CAPS 1 GET LIST\n"] {
        let mut scene = Scene::extended(&names);
        scene.hears(&names.iter().map(|name| file(name)).collect::<String>());
        scene.abandon();
        scene.commit();
        assert!(scene.reconnects().starts_with(&format!("{QUESTION}DROP ")));
        let outcome = scene.is_cut_off_after(answer);
        let asked = if let Ok(outcome) = outcome {
            assert_eq!(outcome, PumpOutcome::Dropped, "{answer}");
            scene.reconnects()
        } else {
            assert!(scene.session.may_end(), "{answer}: the site is not at fault");
            scene.abandon();
            assert_eq!(scene.reconnects(), QUESTION, "it is waited for now");
            scene.asks_for(|scene| scene.hears(NOT_SPOKEN))
        };
        assert!(asked.starts_with(&format!("MV <{}>\n", names[0])), "{answer}: {asked}");
        let running = scene.site.running.as_ref().unwrap();
        assert_eq!((scene.tally().collected, running.failure.is_none()), (3, true), "{answer}");
        assert!(!scene.site.is_to_be_asked(scene.end.now));
    }
}

#[test]
fn a_site_whose_connection_breaks_at_the_question_and_that_speaks_it_still_goes_on_as_before() {
    let names = names(1);
    let mut scene = Scene::extended(&names);
    scene.hears(&file(&names[0]));
    scene.abandon();
    scene.commit();
    for _ in 0..3 {
        assert_eq!(scene.reconnects(), format!("{QUESTION}{}", drop_of(&names[0])));
        assert!(scene.is_cut_off_after("").is_err() && scene.session.may_end());
        scene.abandon();
        assert_eq!(scene.reconnects(), QUESTION);
        assert_eq!(scene.asks_for(|scene| scene.hears(CAPS)), drop_of(&names[0]));
        scene.abandon();
    }
    assert_eq!(scene.tally().collected, 1);
}

#[test]
fn what_was_overwritten_at_the_site_stays_there_and_is_fetched_again() {
    let names = names(1);
    let mut scene = Scene::extended(&names);
    scene.hears(&file(&names[0]));
    scene.commit();
    scene.hears("");
    let asked = scene.asks_for(|scene| scene.hears("DROP ERR (file has changed)\n"));
    assert_eq!(asked, format!("GET <{}>\n", names[0]));
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"000")]);
    scene.hears("GET SIZE 5 MTIME 9\nnewer");
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"000"), Fingerprint::of(b"newer")]);
}

#[test]
fn a_file_that_is_too_large_is_not_asked_for_and_one_that_has_become_so_passes_by() {
    let settings = SiteSettings { extension: true, max_file_size: 3, ..SiteSettings::new("site", "address") };
    let mut scene = Scene::connected("a.1.data", settings);
    scene.hears("");
    scene.hears(CAPS);
    scene.turns();
    let page = "4 1 a.1.data\n3 1 b.1.data\n3 1 c.1.data\n";
    let asked = scene.asks_for(|scene| scene.hears(&format!("LIST SIZE {} END\n{page}", page.len())));
    assert_eq!(asked, "GET <b.1.data>\nGET <c.1.data>\n");
    scene.hears("GET SIZE 4 MTIME 1\nlongGET SIZE 3 MTIME 1\nnew");
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"new")]);
    assert_eq!(scene.site.running.as_ref().unwrap().not_taken.too_large, 2);
}

#[test]
fn an_empty_file_is_collected_and_dropped() {
    let mut scene = Scene::asking();
    scene.hears(CAPS);
    scene.turns();
    let page = "0 1 a.1700000000.data\n";
    scene.hears(&format!("LIST SIZE {} END\n{page}", page.len()));
    scene.turns();
    scene.hears("GET SIZE 0 MTIME 1\n");
    scene.commit();
    scene.hears("");
    let hash = Fingerprint::of(b"").content_hash().unwrap();
    assert!(scene.is_asked(&format!("DROP <a.1700000000.data> SIZE 0 BLAKE3 {hash}\n")));
}

#[test]
fn a_copy_of_which_only_the_md5_is_known_is_recognised() {
    let names = names(1);
    let known = Fingerprint::of_md5(crate::proto::Md5Sum::of(b"000"));
    let mut scene = Scene::extended(&names);
    scene.site.history.committed(names[0].parse().unwrap(), known);
    let asked = scene.asks_for(|scene| scene.hears(&file(&names[0])));
    assert_eq!((asked, scene.orders.published.borrow().len()), (drop_of(&names[0]), 0));
    scene.hears("DROP OK\n");
    assert_eq!(*scene.orders.forgotten.borrow(), [known], "as the journal has it");
}

#[test]
fn the_listing_of_our_own_directory_is_refused() {
    let mut scene = Scene::asking();
    scene.commit_queue.take_in(&scene.site.spool.clone());
    scene.hears(CAPS);
    scene.turns();
    let page = format!("0 0 {}\n3 1 a.1.data\n", scene.site.spool.mark());
    let reason = scene.fails(&format!("LIST SIZE {} END\n{page}", page.len()));
    assert_eq!(reason.code(), "own-spool");
}

#[test]
fn answers_give_the_other_connections_their_turn() {
    let names = names(200);
    let mut scene = Scene::extended(&names);
    let answers: String = names.iter().map(|name| file(name)).collect();
    scene.hears(&answers);
    assert!(scene.orders.published.borrow().len() < 200 && scene.end.woken > 0);
    scene.turns();
    assert_eq!(scene.orders.published.borrow().len(), 200);
}

const CAPS_WITH_DEFLATE: &str = "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3 DEFLATE\n";

#[test]
fn compression_is_asked_for_first_and_nothing_behind_it() {
    let mut scene = Scene::to_be_compressed(CAPS_WITH_DEFLATE);
    assert_eq!(scene.asks_for(|_| ()), "DEFLATE\n");
    assert!(scene.end.compression.is_none() && !scene.session.is_ready() && !scene.session.has_file_under_way());
    assert_eq!(scene.session.awaited(), "an answer about compression");
    assert_eq!(scene.end.deadline, Some(scene.end.now + scene.site.settings.timeout));
    let woken = scene.end.woken;
    assert_eq!(scene.asks_for(|scene| scene.hears("DEFLATE ")), "");
    assert_eq!(scene.end.woken, woken, "it waits for the site alone");
    assert_eq!(scene.asks_for(|scene| scene.hears("OK\n")), "LIST <>\n");
    assert!(scene.end.compression.is_some());
}

#[test]
fn a_site_that_does_not_compress_is_collected_from_without() {
    for answer in ["DEFLATE ERR (not allowed)\n", "DEFLATE ERR (no room for compression)\n"] {
        let mut scene = Scene::to_be_compressed(CAPS_WITH_DEFLATE);
        scene.turns();
        assert_eq!(scene.asks_for(|scene| scene.hears(answer)), "LIST <>\n");
        assert!(scene.end.compression.is_none());
    }
    let mut scene = Scene::to_be_compressed(CAPS);
    assert_eq!(scene.asks_for(|_| ()), "LIST <>\n");
    let mut scene = Scene::asking();
    scene.hears(CAPS_WITH_DEFLATE);
    assert_eq!(scene.asks_for(|_| ()), "LIST <>\n", "nobody has asked for it");
}

#[test]
fn without_memory_for_it_a_connection_is_not_compressed() {
    let settings = SiteSettings { extension: true, compression: true, ..SiteSettings::new("site", "address") };
    let mut scene = Scene::connected("a.1.data", settings);
    scene.end.memory = Budget::new(0);
    scene.hears("");
    scene.hears(CAPS_WITH_DEFLATE);
    assert_eq!(scene.asks_for(|_| ()), "LIST <>\n");
}

#[test]
fn a_connection_that_ends_before_it_is_compressed_costs_nothing() {
    let mut scene = Scene::to_be_compressed(CAPS_WITH_DEFLATE);
    scene.turns();
    scene.abandon();
    assert_eq!(scene.tally(), Tally::default());
    let reason = {
        let mut scene = Scene::to_be_compressed(CAPS_WITH_DEFLATE);
        scene.turns();
        scene.fails("LIST SIZE 0 END\n")
    };
    assert_eq!(reason.code(), "protocol", "{reason}");
}
