mod ahead;
mod extended;
mod packed;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use std::time::{Duration, Instant};

use super::*;
use crate::budget::Budget;
use crate::collector::commit_queue::Ticket;
use crate::collector::ports::Publisher;
use crate::collector::resources::{SiteResources, target};
use crate::collector::scripted_connection::ScriptedConnection;
use crate::collector::site::Site;
use crate::config::{Settings, SiteSettings};
use crate::proto::{FileName, Fingerprint};
use crate::store::{Commits, Completion, InSpool, Publication, Spool, Waiting};
use crate::sync::{Delivery, MAX_NAMES, SiteHistory};
use crate::tls::Connectors;

/// What a committer is told.
#[derive(Clone, Default)]
struct Orders {
    published: Rc<RefCell<Vec<Fingerprint>>>,
    tickets: Rc<RefCell<Vec<u64>>>,
    forgotten: Rc<RefCell<Vec<Fingerprint>>>,
}

impl Publisher for Orders {
    fn publish(&mut self, publication: Publication) {
        self.published.borrow_mut().push(publication.staged.fingerprint());
        self.tickets.borrow_mut().push(publication.ticket);
    }

    fn forget(&mut self, _: Arc<str>, _: FileName, fingerprint: Fingerprint) {
        self.forgotten.borrow_mut().push(fingerprint);
    }

    fn take_in(&mut self, _: Spool) {}

    fn waiting(&self) -> Waiting {
        Waiting::default()
    }

    fn is_all_published(&self) -> bool {
        true
    }

    fn in_spool(&self, _: &str) -> InSpool {
        InSpool::default()
    }

    fn commits(&self) -> Commits {
        Commits::default()
    }

    fn is_alive(&self) -> bool {
        true
    }

    fn completions(&mut self) -> Vec<Completion> {
        self.tickets.take().into_iter().map(|ticket| Completion { ticket, result: Ok(()) }).collect()
    }

    fn stop(self: Box<Self>) -> Waiting {
        Waiting::default()
    }
}

/// Of a site that is not asked whether it speaks the extension.
fn stock() -> SiteSettings {
    SiteSettings { extension: false, ..SiteSettings::new("site", "address") }
}

/// A session with a site that has one file.
struct Scene {
    name: FileName,
    session: Session,
    end: ScriptedConnection,
    site: Site,
    commit_queue: CommitQueue,
    orders: Orders,
    _incoming: tempfile::TempDir,
}

impl Scene {
    /// The listing has come.
    fn listed(name: &str, delivery: Delivery) -> Self {
        Self::with(name, SiteSettings { delivery, ..SiteSettings::new("site", "address") })
    }

    fn with(name: &str, settings: SiteSettings) -> Self {
        let mut scene = Self::connected(name, SiteSettings { extension: false, ..settings });
        scene.hears_listing(&format!("{name}\n"));
        scene
    }

    /// The site is asked for its listing next.
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn connected(name: &str, settings: SiteSettings) -> Self {
        let incoming = tempfile::tempdir().unwrap();
        let spool = Spool::open(incoming.path()).unwrap();
        let target = Arc::new(target(&settings, &mut Connectors::default()).unwrap());
        let mut site =
            Site::new(0, SiteResources { settings, target, spool }, SiteHistory::default(), Budget::new(u64::MAX));
        let (now, orders) = (Instant::now(), Orders::default());
        site.start_round(now, now);
        let end = ScriptedConnection::new(now);
        let commit_queue = CommitQueue::new(Box::new(orders.clone()), Settings::of_sites(Vec::new()).max_spool());
        let (name, session) = (name.parse().unwrap(), Session::new(0, ConnectionKey(0)));
        let mut scene = Self { name, session, end, site, commit_queue, orders, _incoming: incoming };
        let Self { session, end, site, commit_queue, .. } = &mut scene;
        session.opened(&mut Context { io: end, site, commit_queue }).unwrap();
        scene
    }

    fn hears_listing(&mut self, listing: &str) {
        for text in ["", &format!("LS SIZE {}\n", listing.len()), listing] {
            self.hears(text);
        }
    }

    /// The next turns, for as long as there is something to do in them. How many there were.
    fn turns(&mut self) -> usize {
        for turns in 0.. {
            if std::mem::take(&mut self.end.woken) == 0 {
                return turns;
            }
            self.hears("");
        }
        0
    }

    /// The file, with these bytes, is committed, and its move asked for.
    fn moving(name: &str, committed: &[u8]) -> Self {
        let mut scene = Self::listed(name, Delivery::Safe);
        assert!(scene.end.output.ends_with(format!("RECV <{name}>\n").as_bytes()));
        scene.hears(&format!("RECV SIZE {}\n", committed.len()));
        scene.hears_bytes(committed);
        scene.commit();
        if committed.is_empty() {
            // Declined, and in the clear nothing may follow that.
            scene.session = Session::new(0, ConnectionKey(0));
            let Self { session, end, site, commit_queue, .. } = &mut scene;
            session.opened(&mut Context { io: end, site, commit_queue }).unwrap();
        }
        scene.hears("");
        assert!(scene.is_asked(&format!("MV <{name}>\n")), "{:?}", String::from_utf8_lossy(&scene.end.output));
        scene.orders.published.take();
        scene
    }

    fn new(committed: &[u8]) -> Self {
        Self::moving("a.1700000000.data", committed)
    }

    /// What has been staged is committed.
    fn commit(&mut self) {
        for (Ticket { commit, fingerprint, .. }, _) in self.commit_queue.completions() {
            self.site.committed(commit, fingerprint, &mut self.commit_queue);
        }
    }

    fn is_asked(&self, command: &str) -> bool {
        self.end.output.ends_with(command.as_bytes())
    }

    fn hears(&mut self, text: &str) {
        self.hears_bytes(text.as_bytes());
    }

    fn hears_bytes(&mut self, bytes: &[u8]) {
        self.end.input.extend(bytes);
        let Self { session, end, site, commit_queue, .. } = self;
        session.pump(&mut Context { io: end, site, commit_queue }).unwrap();
    }
}

#[test]
fn a_site_that_answers_before_it_is_asked_is_asked_one_thing_a_turn() {
    let mut scene = Scene::connected("a.1.data", stock());
    scene.hears_listing(&(0..10).map(|number| format!("{number}.1.data\n")).collect::<Vec<_>>().concat());
    let asked = |scene: &Scene| scene.end.output.windows(4).filter(|word| word == b"RECV").count();
    assert_eq!((scene.turns(), asked(&scene)), (0, 1));
    scene.hears(&"RECV ERR\n".repeat(10));
    assert_eq!((asked(&scene), scene.end.woken), (2, 1));
    assert_eq!((scene.turns(), asked(&scene)), (9, 10));
}

#[test]
fn names_that_are_not_collected_do_not_keep_the_others_from_being_asked_for_nor_the_loop_from_turning() {
    let mut scene = Scene::connected("a.1.data", stock());
    let others = (0..=MAX_NAMES).map(|number| format!("{number}\n")).collect::<Vec<_>>().concat();
    scene.hears_listing(&format!("{others}{}\n", scene.name));
    assert!(scene.turns() >= MAX_NAMES / (NAMES_PER_TURN + 2_048));
    assert!(scene.is_asked("RECV <a.1.data>\n"));
    assert_eq!(scene.site.running.map(|running| running.round.tally().left), Some(0));
}

#[test]
fn the_largest_settings_and_sizes_overflow_nothing() {
    for (timeout, min_rate) in [(Duration::MAX, 1), (Duration::from_secs(1), 1), (Duration::MAX, 0)] {
        let settings =
            SiteSettings { timeout, min_rate, max_file_size: u64::MAX, ..SiteSettings::new("site", "address") };
        let mut scene = Scene::with("a.1700000000.data", settings);
        scene.hears(&format!("RECV SIZE {}\n", i64::MAX));
        scene.hears("the beginning");
        assert!(scene.end.deadline.is_some_and(|deadline| deadline >= scene.end.now));
    }
}

#[test]
fn the_journal_forgets_what_was_overwritten_at_the_site() {
    let mut scene = Scene::new(b"old");
    scene.hears("MV SIZE 5\n");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
}

#[test]
fn an_empty_file_whose_move_is_cut_is_not_published_again() {
    let mut scene = Scene::new(b"");
    scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
    assert_eq!(*scene.orders.published.borrow(), []);
}

#[test]
fn a_deleted_file_is_not_forgotten_before_a_listing_shows_it_gone() {
    let mut scene = Scene::new(b"old");
    scene.hears("MV SIZE 3\n");
    scene.hears("old");
    assert_eq!(*scene.orders.forgotten.borrow(), []);
    assert!(scene.is_asked("LS <>\n"), "its name has a time, and does not come again");
    scene.hears("LS SIZE 2\n");
    scene.hears(".\n");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
}

#[test]
fn a_file_whose_name_may_come_again_is_asked_for_right_after_its_deletion() {
    let mut scene = Scene::moving("nas.123456.data", b"old");
    scene.hears("MV SIZE 3\n");
    scene.hears("old");
    assert!(scene.is_asked("RECV <nas.123456.data>\n"));
    scene.hears("RECV ERR (file does not exist)\n");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
}

#[test]
fn a_file_that_is_there_right_after_its_deletion_is_not_forgotten_at_a_site_that_may_not_delete() {
    let mut scene = Scene::moving("nas.123456.data", b"old");
    scene.hears("MV SIZE 3\n");
    scene.hears("old");
    scene.hears("RECV SIZE 3\n");
    assert_eq!(*scene.orders.forgotten.borrow(), []);
    assert!(!scene.end.output.ends_with(b"RECV OK\n"), "it is declined: the next round fetches and compares it");
}

#[test]
fn a_moved_file_whose_name_may_come_again_is_forgotten_as_soon_as_it_is_committed() {
    let mut scene = Scene::listed("nas.123456.data", Delivery::Move);
    scene.hears("MV SIZE 3\n");
    scene.hears("old");
    assert!(scene.is_asked("RECV <nas.123456.data>\n"));
    scene.hears("RECV ERR (file does not exist)\n");
    assert_eq!(*scene.orders.forgotten.borrow(), []);
    scene.commit();
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
}

#[test]
fn other_bytes_of_the_announced_size_are_kept_before_anything_else_is_waited_for() {
    let mut scene = Scene::new(b"no markup 1");
    scene.hears("MV SIZE 11\n");
    scene.hears("no markup 2");
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"no markup 2")]);
    scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
    assert_eq!(scene.orders.published.borrow().len(), 1, "and once");
}

#[test]
fn what_turns_out_longer_than_announced_is_kept_whole_beside_its_beginning() {
    for size in [11, 100_000] {
        let [old, new] = [b'o', b'n'].map(|byte| vec![byte; size]);
        let mut scene = Scene::new(&old);
        scene.hears(&format!("MV SIZE {size}\n"));
        scene.hears_bytes(&new);
        scene.hears(" and more");
        scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
        let whole = [&new[..], b" and more"].concat();
        assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(&new), Fingerprint::of(&whole)]);
    }
}

#[test]
fn another_file_that_came_whole_before_the_cut_is_published() {
    let mut scene = Scene::new(b"<agent_data>12345</agent_data>");
    scene.hears("MV SIZE 30\n");
    scene.hears("<agent_data>6</agent_data>");
    scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"<agent_data>6</agent_data>")]);
}

#[test]
fn a_file_that_lacks_only_its_line_end_is_no_other() {
    let mut scene = Scene::new(b"<agent_data>1</agent_data>\r\n");
    scene.hears("MV SIZE 28\n");
    scene.hears("<agent_data>1</agent_data>");
    scene.session.abandon(&mut scene.site, &mut scene.commit_queue);
    assert_eq!(*scene.orders.published.borrow(), []);
}

#[test]
fn only_as_many_bytes_of_a_body_as_it_has_to_move_extend_the_patience_with_it() {
    let mut scene = Scene::new(&[b'x'; 10_000]);
    scene.hears("MV SIZE 10000\n");
    let first = scene.end.deadline;
    scene.end.now += Duration::from_secs(3);
    scene.hears("");
    assert_eq!(scene.end.deadline, first);
    scene.hears("x");
    assert_eq!(scene.end.deadline, first);
    scene.hears(&"x".repeat(3 * 64));
    assert_eq!(scene.end.deadline, first.map(|at| at + Duration::from_secs(3)));
}

#[test]
fn a_deletion_is_not_confirmed_by_a_site_that_will_not_say() {
    for refusal in ["file cannot be read", "not allowed", "out of order"] {
        let mut scene = Scene::moving("nas.123456.data", b"old");
        scene.hears("MV SIZE 3\n");
        scene.hears("old");
        scene.hears(&format!("RECV ERR ({refusal})\n"));
        assert_eq!(*scene.orders.forgotten.borrow(), [], "{refusal}");
    }
}

#[test]
fn the_journal_forgets_what_another_file_or_none_has_taken_the_place_of() {
    let fetching = || {
        let mut scene = Scene::listed("a.1700000000.data", Delivery::Safe);
        scene.site.history.committed(scene.name.clone(), Fingerprint::of(b"old"));
        assert!(scene.is_asked("RECV <a.1700000000.data>\n"));
        scene
    };
    let mut scene = fetching();
    scene.hears("RECV SIZE 5\n");
    scene.hears("newer");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"newer")]);
    let mut scene = fetching();
    scene.hears("RECV ERR (file does not exist)\n");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
    // Overwritten while it is deleted.
    let mut scene = Scene::new(b"old");
    scene.hears("MV SIZE 3\n");
    scene.hears("new");
    assert_eq!(*scene.orders.forgotten.borrow(), [Fingerprint::of(b"old")]);
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"new")]);
}
