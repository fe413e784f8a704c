//! What is made once for all, and how much of it is held.

use std::sync::mpsc;

use serde_json::json;

use super::*;

/// All of what is being made is looked at in one turn.
const ALL: usize = 100;

fn daemon() -> DaemonAnswer {
    let nothing = json!({ "files": 0, "bytes": 0 });
    serde_json::from_value(json!({
        "program_version": "1.2.3", "pid": 1, "time": 1_700_000_000, "uptime_seconds": 5, "sites": 2, "failing": 0, "rounds": 0,
        "connections": 0, "max_connections": 9, "longest_loop_wait_microseconds": 1, "committing": 0, "unpublished": nothing,
    }))
    .unwrap()
}

fn site(key: usize) -> SiteAnswer {
    let nothing = json!({ "files": 0, "bytes": 0 });
    serde_json::from_value(json!({
        "name": format!("site {key}"), "address": "a:1", "state": "waiting", "state_seconds": 0, "is_failing": false,
        "collected": nothing, "here": nothing, "connections": 0,
    }))
    .unwrap()
}

/// Answers, and who is told that one is made.
struct Maker {
    pages: Pages,
    made: Receiver<()>,
    now: Instant,
}

impl Maker {
    #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
    fn new(most_held: usize) -> Self {
        let (notify, made) = mpsc::channel();
        let notify = std::sync::Mutex::new(notify);
        let notify = Arc::new(move || crate::mutex::lock(&notify).send(()).unwrap());
        Self { pages: Pages::with_bound(notify, most_held).unwrap(), made, now: Instant::now() }
    }

    fn ask(&mut self, subject: &Subject, client: usize) -> Asked {
        let begin = || (daemon(), VecDeque::from([0, 1]));
        self.pages.ask(subject.clone(), ConnId::new(client, 0), self.now, begin)
    }

    /// Makes what is asked for.
    fn make(&mut self) -> Vec<Made> {
        self.pages.gather(ALL, |key, _| Some(site(key)));
        self.made.recv_timeout(Duration::from_secs(60)).unwrap();
        self.pages.made(self.now)
    }
}

fn clients(made: &[Made]) -> Vec<ConnId> {
    made.iter().flat_map(|made| made.clients.clone()).collect()
}

fn single() -> Subject {
    Subject::Status(Some(vec![0]))
}

#[test]
fn answers_that_are_being_sent_have_a_bound_and_those_that_are_sent_make_room() {
    let mut maker = Maker::new(100);
    assert!(matches!(maker.ask(&single(), 1), Asked::Later));
    let made = maker.make();
    let body = made[0].body.as_ref().unwrap();
    assert!(body.len() > 100, "{}", body.len());
    for subject in [single(), Subject::Metrics, Subject::Status(None)] {
        assert!(matches!(maker.ask(&subject, 2), Asked::Busy));
    }
    assert!(!maker.pages.is_gathering());
    drop(made);
    assert!(matches!(maker.ask(&single(), 2), Asked::Later));
    assert_eq!(clients(&maker.make()), [ConnId::new(2, 0)]);
}

#[test]
fn what_is_asked_for_meanwhile_is_made_once_and_given_to_all() {
    let mut maker = Maker::new(MOST_HELD);
    for client in 1..=3 {
        assert!(matches!(maker.ask(&Subject::Metrics, client), Asked::Later));
    }
    maker.pages.forget(ConnId::new(2, 0));
    let made = maker.make();
    assert_eq!((made.len(), clients(&made)), (1, vec![ConnId::new(1, 0), ConnId::new(3, 0)]));
    assert_eq!(made[0].content, Content::Metrics);
    let body = Arc::clone(made[0].body.as_ref().unwrap());
    assert!(String::from_utf8_lossy(&body).contains("tentacle_sync_site_failing{site=\"site 1\"} 0"));
    // So it is for a second, and costs nothing more.
    assert!(matches!(maker.ask(&Subject::Metrics, 4), Asked::Made(same) if Arc::ptr_eq(&same, &body)));
    maker.now += FRESH;
    assert!(matches!(maker.ask(&Subject::Metrics, 4), Asked::Later));
}

#[test]
fn what_nobody_waits_for_is_not_made_and_single_sites_are_looked_at_anew() {
    let mut maker = Maker::new(MOST_HELD);
    maker.ask(&Subject::Status(None), 1);
    assert!(maker.pages.is_gathering());
    maker.pages.forget(ConnId::new(1, 0));
    assert!(!maker.pages.is_gathering());
    maker.ask(&single(), 1);
    assert_eq!(maker.make()[0].content, Content::Json);
    assert!(matches!(maker.ask(&single(), 1), Asked::Later));
}

#[test]
fn sites_are_looked_at_in_slices() {
    let mut maker = Maker::new(MOST_HELD);
    maker.ask(&Subject::Status(None), 1);
    maker.pages.gather(1, |key, is_in_full| {
        assert!(key == 0 && !is_in_full);
        Some(site(key))
    });
    assert!(maker.pages.is_gathering());
    // One that is gone by now is left out.
    maker.pages.gather(1, |_, _| None);
    assert!(!maker.pages.is_gathering());
    maker.made.recv_timeout(Duration::from_secs(60)).unwrap();
    let made = maker.pages.made(maker.now);
    let text = String::from_utf8(made[0].body.as_ref().unwrap().to_vec()).unwrap();
    assert!(text.contains("site 0") && !text.contains("site 1"), "{text}");
}
