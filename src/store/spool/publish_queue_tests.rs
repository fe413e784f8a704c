use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::journal::SiteFile;
use super::*;
use crate::proto::Fingerprint;

const SPOOL: SpoolId = SpoolId(7);
const SECOND: Duration = Duration::from_secs(1);

/// A queue, an incoming directory and a clock.
struct Scene {
    queue: PublishQueue,
    directory: BTreeSet<FileName>,
    waiting: BTreeMap<StageId, Intent>,
    now: Instant,
    number: u64,
    notices: Vec<Notice>,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "any instant will do to start a virtual clock")]
    fn new(pace: Publish) -> Self {
        Self {
            queue: PublishQueue::new(pace, Spooled::default()),
            directory: BTreeSet::new(),
            waiting: BTreeMap::new(),
            now: Instant::now(),
            number: 0,
            notices: Vec::new(),
        }
    }

    fn push(&mut self, name: &str) {
        self.number += 1;
        let stage = StageId { session: 1, number: self.number };
        let copy =
            SiteFile { site: Arc::from("site"), name: name.parse().unwrap(), fingerprint: Fingerprint::of(b"x") };
        let intent = Intent { spool: SPOOL, stage, copy };
        self.queue.push(&intent);
        self.waiting.insert(stage, intent);
    }

    fn push_all(&mut self, names: &[&str]) {
        for name in names {
            self.push(name);
        }
    }

    /// Publishes what is ready, as the engine does; the names.
    fn publish(&mut self) -> Vec<String> {
        let directory = &self.directory;
        let Ready { agents, notices, .. } = self.queue.ready(self.now, |_, name| directory.contains(name));
        self.notices.extend(notices);
        let mut names = Vec::new();
        for stage in agents.concat() {
            let intent = self.waiting[&stage].clone();
            let name = intent.copy.name.clone();
            if self.directory.contains(&name) && !self.queue.renames(&intent) {
                self.queue.is_taken(&intent, self.now);
                continue;
            }
            self.waiting.remove(&stage);
            names.push(name.to_string());
            self.directory.insert(name.clone());
            self.queue.published(&intent, name, self.now);
        }
        names
    }

    /// The data server takes a file.
    fn take(&mut self, name: &str) {
        assert!(self.directory.remove(name.as_bytes()), "{name} is not there");
    }

    /// Time passes until the next look; what is published then.
    fn look(&mut self) -> Vec<String> {
        self.now = self.queue.next_look().expect("a look is planned").max(self.now);
        self.publish()
    }
}

#[test]
fn an_agents_next_file_is_published_when_the_one_before_it_was_taken() {
    let mut scene = Scene::new(Publish::Paced);
    scene.push_all(&["a.1700000002.data", "b.1700000001.data", "a.1700000001.data", "a.1700000003.data"]);
    assert_eq!(scene.publish(), ["a.1700000001.data", "b.1700000001.data"]);
    assert_eq!(scene.queue.waiting(), (2, 2));
    assert_eq!(scene.look(), Vec::<String>::new());
    scene.take("a.1700000001.data");
    assert_eq!(scene.look(), ["a.1700000002.data"]);
    scene.take("a.1700000002.data");
    assert_eq!(scene.look(), ["a.1700000003.data"]);
    assert_eq!(scene.queue.waiting(), (0, 0));
}

#[test]
fn a_file_that_comes_when_the_one_before_it_was_taken_does_not_wait_for_a_look() {
    let mut scene = Scene::new(Publish::Paced);
    scene.push("nas.123456.data");
    assert_eq!(scene.publish(), ["nas.123456.data"]);
    scene.push("nas.123456.data");
    assert_eq!(scene.publish(), Vec::<String>::new());
    scene.take("nas.123456.data");
    scene.push("nas.123456.data");
    assert_eq!(scene.publish(), ["nas.123456.data"], "the one that waited; the other waits now");
    assert_eq!(scene.queue.waiting().0, 1);
}

#[test]
fn at_once_is_at_once() {
    let mut scene = Scene::new(Publish::AtOnce);
    scene.push_all(&["a.1700000002.data", "a.1700000001.data"]);
    assert_eq!(scene.publish(), ["a.1700000001.data", "a.1700000002.data"]);
    assert_eq!(scene.queue.next_look(), None);
}

#[test]
fn what_no_data_server_takes_is_not_waited_for() {
    let mut scene = Scene::new(Publish::Paced);
    scene.push_all(&["report.xml", "report.xml", "web01.data"]);
    assert_eq!(scene.publish(), ["report.xml", "report.xml", "web01.data"]);
    assert_eq!(scene.queue.waiting(), (0, 0));
}

#[test]
fn what_was_there_before_is_waited_for() {
    let mut scene = Scene::new(Publish::Paced);
    let before: FileName = "a.1700000000.data".parse().unwrap();
    scene.directory.insert(before.clone());
    scene.queue.found(SPOOL, before, scene.now);
    scene.push("a.1700000001.data");
    assert_eq!(scene.publish(), Vec::<String>::new());
    scene.take("a.1700000000.data");
    assert_eq!(scene.look(), ["a.1700000001.data"]);
}

#[test]
fn a_data_server_that_takes_nothing_is_told_of_once_and_waited_for() {
    let mut scene = Scene::new(Publish::Paced);
    scene.push_all(&["a.1700000001.data", "a.1700000002.data"]);
    scene.publish();
    let start = scene.now;
    while scene.now < start + 10 * IGNORED_AFTER {
        assert_eq!(scene.look(), Vec::<String>::new());
    }
    let example: FileName = "a.1700000001.data".parse().unwrap();
    assert_eq!(scene.notices, [Notice::Idle { spool: SPOOL, example, published: 1, waiting: 1 }]);
    scene.take("a.1700000001.data");
    assert_eq!(scene.look(), ["a.1700000002.data"]);
    assert_eq!(scene.notices[1..], [Notice::Resumed { spool: SPOOL }]);
}

#[test]
fn a_file_that_is_left_while_others_are_taken_does_not_hold_up_its_agent() {
    let mut scene = Scene::new(Publish::Paced);
    scene.push_all(&["bad.1700000001.data", "bad.1700000002.data"]);
    assert_eq!(scene.publish(), ["bad.1700000001.data"]);
    let start = scene.now;
    for second in 1.. {
        let other = format!("good.17000{second:05}.data");
        scene.push(&other);
        let published = scene.publish();
        if published.contains(&"bad.1700000002.data".to_owned()) {
            break;
        }
        assert_eq!(published, std::slice::from_ref(&other));
        scene.now += 10 * SECOND;
        scene.take(&other);
        assert!(scene.now < start + 3 * IGNORED_AFTER, "it is held up for ever");
    }
    assert!(scene.now >= start + IGNORED_AFTER);
    let name = "bad.1700000001.data".parse().unwrap();
    assert_eq!(scene.notices, [Notice::Ignored { spool: SPOOL, name }]);
}

#[test]
fn the_more_files_lie_there_the_later_is_the_next_look() {
    for (agents, soonest) in [(10, FIRST_LOOK), (100_000, 2 * SECOND)] {
        let mut scene = Scene::new(Publish::Paced);
        for agent in 0..agents {
            scene.push(&format!("agent{agent}.1700000001.data"));
        }
        scene.publish();
        scene.push("agent0.1700000002.data");
        scene.publish();
        let planned = scene.queue.next_look().unwrap() - scene.now;
        assert!(planned >= soonest && planned <= soonest + LATEST_LOOK, "{agents}: {planned:?}");
        // Counted down again as they are taken.
        let names: Vec<FileName> = scene.directory.iter().cloned().collect();
        for name in names {
            scene.take(&name.to_string());
        }
        assert_eq!(scene.look(), ["agent0.1700000002.data"]);
        scene.take("agent0.1700000002.data");
        scene.push("agent0.1700000003.data");
        scene.push("agent0.1700000004.data");
        assert_eq!(scene.publish(), ["agent0.1700000003.data"]);
        assert!(scene.queue.next_look().unwrap() - scene.now <= FIRST_LOOK, "{agents}");
    }
}

#[test]
fn a_name_that_another_program_has_taken_is_waited_for_no_longer_than_others() {
    let mut scene = Scene::new(Publish::Paced);
    let taken: FileName = "a.1700000001.data".parse().unwrap();
    scene.directory.insert(taken.clone());
    scene.push("a.1700000001.data");
    assert_eq!(scene.publish(), Vec::<String>::new());
    scene.take("a.1700000001.data");
    let before = scene.now;
    assert_eq!(scene.look(), ["a.1700000001.data"]);
    assert!(scene.now - before <= LATEST_LOOK, "{:?}", scene.now - before);
}
