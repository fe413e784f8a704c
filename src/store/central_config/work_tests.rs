use std::fs;

use super::super::directories::draft_name;
use super::super::testing::{Incoming, configuration};
use super::*;
use crate::sync::remote_config::Centre;

/// The thread's work, without the thread.
struct Working {
    incoming: Incoming,
    work: CentralWork,
    now: Instant,
}

impl Working {
    fn new() -> Self {
        let incoming = Incoming::new();
        let view = Arc::new(Mutex::new(CentralView::Starting));
        let work = CentralWork::new(incoming.path().to_owned(), Some(Watch::new().unwrap()), view);
        #[expect(clippy::disallowed_methods, reason = "a test begins somewhere")]
        let now = Instant::now();
        Self { incoming, work, now }
    }

    fn after(&mut self, time: Duration) -> Pause {
        self.now += time;
        self.work.go_on(self.now)
    }

    fn carry_out(&mut self, order: Order) -> Option<CentralCompletion> {
        self.work.carry_out(vec![order], self.now).pop()
    }

    fn centre(&self) -> Option<Arc<Centre>> {
        match &*lock(&self.work.view) {
            CentralView::Seen { centre, .. } => Some(Arc::clone(centre)),
            _ => None,
        }
    }

    /// How many pairs fit.
    fn fit(&self) -> Option<usize> {
        Some(self.centre()?.items.values().filter(|item| item.current().is_some()).count())
    }
}

#[test]
fn what_changed_is_looked_at_after_a_pause_and_news_are_told_once() {
    let mut working = Working::new();
    let item = working.incoming.put(1, b"one");
    assert!(working.after(Duration::ZERO).has_news);
    assert!(!working.after(Duration::ZERO).has_news);
    let waiting = working.work.watch.as_ref().unwrap().waiting();
    let (told, calls) = std::sync::mpsc::channel();
    let _watcher = waiting.start(move || told.send(()).unwrap_or(())).unwrap();
    working.incoming.write_content(&item, b"two");
    calls.recv().unwrap();
    working.carry_out(Order::Changed);
    assert!(!working.after(Duration::ZERO).has_news, "the edit goes on");
    working.incoming.write_md5(&item, b"two");
    while working.centre().unwrap().items[&item].current() != Some(Md5Sum::of(b"two")) {
        working.carry_out(Order::Changed);
        working.after(EDIT);
    }
    assert!(working.now < working.work.next.unwrap(), "before all are looked at");
}

#[test]
fn directories_that_are_not_there_are_found_when_they_are() {
    let mut working = Working::new();
    working.incoming.put(1, b"one");
    let (path, aside) = (working.incoming.path().join("conf"), working.incoming.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    let pause = working.after(Duration::ZERO);
    assert_eq!((pause.has_news, working.fit()), (true, None));
    assert_eq!(pause.until, Some(working.now + UNWATCHED));
    fs::rename(&aside, &path).unwrap();
    assert!(working.after(UNWATCHED).has_news);
    assert_eq!(working.fit(), Some(1));
    fs::rename(&path, &aside).unwrap();
    working.after(WATCHED);
    assert_eq!(working.fit(), None, "nothing is known any more, and nothing is missing");
}

#[test]
fn a_directory_that_is_replaced_is_watched_and_read_instead() {
    let mut working = Working::new();
    working.incoming.put(1, b"one");
    working.after(Duration::ZERO);
    assert_eq!(working.fit(), Some(1));
    let before = working.work.watch.as_ref().unwrap().watched();
    for name in ["conf", "md5", "collections"] {
        fs::rename(working.incoming.path().join(name), working.incoming.path().join(format!("{name}.old"))).unwrap();
    }
    working.incoming.make_directories();
    let item = working.incoming.put(2, b"two");
    working.incoming.put(3, b"three");
    // As if only one of them had been heard of.
    assert!(working.work.look_at(&BTreeSet::from([item]), working.now));
    assert_eq!(working.fit(), Some(2));
    assert_eq!(working.centre().unwrap().items.len(), 2);
    let after = working.work.watch.as_ref().unwrap().watched();
    assert!(before.iter().zip(&after).all(|(before, after)| after.is_some() && before != after));
}

#[test]
fn what_is_read_fits_by_the_bytes_that_were_read() {
    let mut working = Working::new();
    let item = working.incoming.put(1, b"one");
    working.after(Duration::ZERO);
    let read = |working: &mut Working| match working.carry_out(Order::Read { ticket: 7, item: item.clone() }) {
        Some(CentralCompletion::Read { ticket: 7, content }) => content.map(|(bytes, _)| bytes.to_vec()),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&mut working), Some(b"one".to_vec()));
    working.incoming.write_content(&item, b"two");
    assert_eq!(read(&mut working), None, "though it fitted when it was looked at");
    working.incoming.write_md5(&item, b"two");
    assert_eq!(read(&mut working), Some(b"two".to_vec()), "though it was not looked at yet");
    working.incoming.put(1, b"");
    assert_eq!(read(&mut working), None);
    fs::remove_file(working.incoming.md5(&item)).unwrap();
    assert_eq!(read(&mut working), None);
    fs::remove_dir_all(working.incoming.path().join("conf")).unwrap();
    assert_eq!(read(&mut working), None);
}

#[test]
fn what_is_published_is_seen_at_once_and_so_is_what_was_in_its_way() {
    let mut working = Working::new();
    working.after(Duration::ZERO);
    let mut publish = |number, bytes: &[u8]| {
        let order = Order::Publish { ticket: 7, item: configuration(number), content: bytes.into() };
        let Some(CentralCompletion::Published { ticket: 7, result }) = working.carry_out(order) else { panic!() };
        result
    };
    assert_eq!(publish(1, b"one"), Ok(()));
    let path = working.incoming.content(&working.incoming.put(2, b"two"));
    let order = Order::Publish { ticket: 8, item: configuration(2), content: b"other".as_slice().into() };
    let Some(CentralCompletion::Published { result, .. }) = working.carry_out(order) else { panic!() };
    assert_eq!((result, working.fit()), (Err(StoreError::Exists(path)), Some(2)));
}

#[test]
fn a_look_at_all_ends_what_a_crash_has_interrupted() {
    let mut working = Working::new();
    let item = working.incoming.put(1, b"one");
    let md5 = working.incoming.md5(&item);
    fs::rename(&md5, md5.with_file_name(draft_name(&item.md5_name()))).unwrap();
    working.after(Duration::ZERO);
    assert_eq!(working.fit(), Some(1));
}

#[test]
fn what_is_in_step_is_saved_and_loaded_and_what_cannot_be_read_is_nothing() {
    let mut working = Working::new();
    let state = working.incoming.path().join("state");
    let file = InStepFile::new(&state, "site", Path::new("/incoming"));
    let in_step = InStep::from_iter([(configuration(1), [1; 16])]);
    assert!(working.carry_out(Order::Save { file: file.clone(), in_step: in_step.clone() }).is_none());
    let load = |working: &mut Working| match working.carry_out(Order::Load { ticket: 7, file: file.clone() }) {
        Some(CentralCompletion::Loaded { ticket: 7, in_step }) => in_step,
        other => panic!("{other:?}"),
    };
    assert_eq!(load(&mut working), in_step);
    fs::remove_file(file.path()).unwrap();
    fs::create_dir(file.path()).unwrap();
    assert_eq!(load(&mut working), InStep::default());
    assert!(working.carry_out(Order::Save { file: file.clone(), in_step }).is_none(), "that is logged");
}
