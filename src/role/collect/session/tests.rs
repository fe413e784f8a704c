use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::config::SiteSettings;
use crate::net::Failure;
use crate::proto::{FileName, Fingerprint};
use crate::role::collect::equipment::{Equipment, target};
use crate::role::collect::outside::Publisher;
use crate::store::{Completion, Publication, Spool};
use crate::sync::Meeting;
use crate::tls::Connectors;

/// A connection that has brought `input`.
struct End {
    now: Instant,
    input: VecDeque<u8>,
    output: Vec<u8>,
    deadline: Option<Instant>,
}

impl Connection for End {
    fn certificate(&mut self) -> Option<crate::tls::CertificateSummary> {
        None
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.input.len());
        if most == 0 {
            return Ok(Read::Blocked);
        }
        let taken = take(&self.input.make_contiguous()[..most]);
        self.input.drain(..taken);
        Ok(Read::Some(taken))
    }

    fn has_buffered(&mut self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.deadline = wait.map(|wait| self.now + wait);
    }
}

/// What a committer is told.
#[derive(Clone, Default)]
struct Orders {
    published: Rc<RefCell<Vec<Fingerprint>>>,
    forgotten: Rc<RefCell<Vec<Fingerprint>>>,
}

impl Publisher for Orders {
    fn publish(&mut self, publication: Publication) {
        self.published.borrow_mut().push(publication.staged.fingerprint());
    }

    fn forget(&mut self, _: Arc<str>, _: FileName, fingerprint: Fingerprint) {
        self.forgotten.borrow_mut().push(fingerprint);
    }

    fn hold(&mut self, _: &Spool, _: Arc<str>, _: FileName, _: Fingerprint) {}

    fn completions(&mut self) -> Vec<Completion> {
        Vec::new()
    }

    fn stop(self: Box<Self>) {}
}

/// A session with a site that holds `a.1.data`, of which `published` is published here.
struct Scene {
    session: Session,
    end: End,
    site: Site,
    desk: Desk,
    orders: Orders,
    _incoming: tempfile::TempDir,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(published: &[u8]) -> Self {
        let incoming = tempfile::tempdir().unwrap();
        let spool = Spool::open(incoming.path()).unwrap();
        let settings = SiteSettings::new("site", "address");
        let target = Arc::new(target(&settings, &mut Connectors::default()).unwrap());
        let mut site = Site::new(0, Equipment { settings, target, spool });
        let (now, orders) = (Instant::now(), Orders::default());
        site.memory.published("a.1.data".parse().unwrap(), Fingerprint::of(published));
        site.start_round(now);
        let end = End { now, input: VecDeque::new(), output: Vec::new(), deadline: None };
        let desk = Desk::new(Box::new(orders.clone()));
        let mut scene = Self { session: Session::new(0), end, site, desk, orders, _incoming: incoming };
        let Self { session, end, site, desk, .. } = &mut scene;
        session.opened(&mut Cx { io: end, site, desk }).unwrap();
        for line in ["", "LS SIZE 9\n", "a.1.data\n"] {
            scene.hears(line);
        }
        assert!(scene.end.output.ends_with(b"MV <a.1.data>\n"));
        scene
    }

    fn hears(&mut self, text: &str) {
        self.end.input.extend(text.bytes());
        let Self { session, end, site, desk, .. } = self;
        session.pump(&mut Cx { io: end, site, desk }).unwrap();
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
    scene.session.abandon(&mut scene.site, &mut scene.desk);
    assert_eq!(*scene.orders.published.borrow(), []);
}

#[test]
fn what_is_let_go_is_not_forgotten_before_a_listing_shows_it_gone() {
    let mut scene = Scene::new(b"old");
    scene.hears("MV SIZE 3\n");
    scene.hears("old");
    assert_eq!(*scene.orders.forgotten.borrow(), []);
    let met = scene.site.memory.meet(&"a.1.data".parse().unwrap(), Fingerprint::of(b"old"));
    assert_eq!(met, Meeting::Back { in_journal: true });
}

#[test]
fn another_file_that_came_whole_before_the_cut_is_published() {
    let mut scene = Scene::new(b"<agent_data>12345</agent_data>");
    scene.hears("MV SIZE 30\n");
    scene.hears("<agent_data>6</agent_data>");
    scene.session.abandon(&mut scene.site, &mut scene.desk);
    assert_eq!(*scene.orders.published.borrow(), [Fingerprint::of(b"<agent_data>6</agent_data>")]);
}

#[test]
fn a_file_that_lacks_only_its_line_end_is_no_other() {
    let mut scene = Scene::new(b"<agent_data>1</agent_data>\r\n");
    scene.hears("MV SIZE 28\n");
    scene.hears("<agent_data>1</agent_data>");
    scene.session.abandon(&mut scene.site, &mut scene.desk);
    assert_eq!(*scene.orders.published.borrow(), []);
}

#[test]
fn only_bytes_of_a_body_extend_the_patience_with_it() {
    let mut scene = Scene::new(&[b'x'; 10_000]);
    scene.hears("MV SIZE 10000\n");
    let first = scene.end.deadline;
    scene.end.now += Duration::from_secs(3);
    scene.hears("");
    assert_eq!(scene.end.deadline, first);
    scene.hears("x");
    assert_eq!(scene.end.deadline, first.map(|at| at + Duration::from_secs(3)));
}
