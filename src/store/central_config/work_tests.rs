use std::fs;

use super::super::directories::draft_name;
use super::super::testing::{Incoming, configuration};
use super::*;
use crate::proto::Md5Sum;
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
        let view = SharedView::new();
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
        Some(self.work.view.seen()?.centre)
    }

    fn directories(&self) -> u64 {
        self.work.view.seen().map_or(0, |seen| seen.directories)
    }

    fn upload(&self, number: u32, bytes: &[u8]) -> Order {
        let (item, content, directories) = (configuration(number), bytes.into(), self.directories());
        Order::Publish { ticket: number.into(), upload: Upload { item, content, min_free: 0, directories } }
    }

    /// How the publications of a group ended.
    fn publish(&mut self, group: Vec<Order>) -> Vec<(u64, Result<(), StoreError>)> {
        let published = |completion| match completion {
            CentralCompletion::Published { ticket, result } => (ticket, result),
            other => panic!("{other:?}"),
        };
        self.work.carry_out(group, self.now).into_iter().map(published).collect()
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
    assert_eq!(pause.until, Some(working.now + IDENTIFIED));
    fs::rename(&aside, &path).unwrap();
    assert!(working.after(IDENTIFIED).has_news);
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
    let read = |working: &mut Working| match working.carry_out(Order::Read {
        ticket: 7,
        item: item.clone(),
        directories: working.directories(),
    }) {
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
    let order = working.upload(1, b"one");
    assert_eq!(working.publish(vec![order]), [(1, Ok(()))]);
    assert_eq!(working.fit(), Some(1));
    let path = working.incoming.content(&working.incoming.put(2, b"two"));
    let order = working.upload(2, b"other");
    assert_eq!(working.publish(vec![order]), [(2, Err(StoreError::Exists(path)))]);
    assert_eq!(working.fit(), Some(2));
}

#[test]
fn what_is_published_at_once_is_shown_at_once_and_completed_in_order() {
    let mut working = Working::new();
    working.after(Duration::ZERO);
    let group =
        [(1, b"one"), (2, b"two"), (1, b"one"), (1, b"uno")].map(|(number, bytes)| working.upload(number, bytes));
    let exists = Err(StoreError::Exists(working.incoming.content(&configuration(1))));
    assert_eq!(working.publish(group.into()), [(1, Ok(())), (2, Ok(())), (1, Ok(())), (1, exists)]);
    assert_eq!(working.fit(), Some(2));
}

#[test]
fn nothing_is_published_where_too_little_would_stay_free() {
    let mut working = Working::new();
    working.after(Duration::ZERO);
    let (mut order, fits) = (working.upload(1, b"one"), working.upload(2, b"two"));
    if let Order::Publish { upload, .. } = &mut order {
        upload.min_free = u64::MAX;
    }
    let outcomes = working.publish(vec![order, fits]);
    let [(1, Err(error @ StoreError::NoRoom { .. })), (2, Ok(()))] = &outcomes[..] else { panic!("{outcomes:?}") };
    let text = error.to_string();
    assert!(text.contains("/conf: ") && text.contains("remote_config_min_free"), "{text}");
    assert_eq!(working.incoming.names().len(), 2);
}

#[test]
fn what_is_asked_on_the_strength_of_other_directories_is_not_done() {
    let mut working = Working::new();
    let item = working.incoming.put(1, b"one");
    working.after(Duration::ZERO);
    let before = working.directories();
    // As a mount would: nothing changes in the directory that is watched.
    let (path, aside) = (working.incoming.path().join("conf"), working.incoming.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    working.work.watch = None;
    fs::remove_file(working.incoming.md5(&item)).unwrap();
    let (upload, other) = (working.upload(2, b"two"), working.upload(3, b"three"));
    let confirm = |item: &Item, directories| Order::Confirm { ticket: 7, item: item.clone(), directories };
    let is_missing = |working: &mut Working, order| match working.carry_out(order) {
        Some(CentralCompletion::Confirmed { ticket: 7, is_missing }) => is_missing,
        other => panic!("{other:?}"),
    };
    for _ in 0..2 {
        assert!(!is_missing(&mut working, confirm(&item, before)), "the round has seen others");
    }
    let outcomes = working.publish(vec![upload, other]);
    let replaced = || Err(StoreError::Replaced(working.incoming.path().to_owned()));
    assert_eq!(outcomes, [(2, replaced()), (3, replaced())]);
    let read = working.carry_out(Order::Read { ticket: 7, item: item.clone(), directories: before });
    assert!(matches!(read, Some(CentralCompletion::Read { content: None, .. })), "{read:?}");
    assert_eq!((working.fit(), working.directories()), (Some(0), before + 1));
    assert!(is_missing(&mut working, confirm(&item, before + 1)));
    working.incoming.put(1, b"once more");
    assert!(!is_missing(&mut working, confirm(&item, before + 1)), "it is there by now");
}

#[test]
fn directories_that_are_others_are_noticed_though_nothing_changes_in_them() {
    let mut working = Working::new();
    working.incoming.put(1, b"one");
    working.after(Duration::ZERO);
    let (path, aside) = (working.incoming.path().join("conf"), working.incoming.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    let pause = working.after(IDENTIFIED);
    assert_eq!((pause.has_news, working.fit()), (true, Some(0)));
    assert!(pause.until <= Some(working.now + IDENTIFIED));
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

/// What taking up pairs costs, one at a time and many at once:
/// `cargo test --release --lib central_config -- --ignored --nocapture`.
#[test]
#[ignore = "takes a while, and is there for its figures"]
fn what_taking_up_costs() {
    for group in [1, 64] {
        for count in [1_000, 3_000] {
            let mut working = Working::new();
            working.after(Duration::ZERO);
            #[expect(clippy::disallowed_methods, reason = "it measures")]
            let start = Instant::now();
            let numbers: Vec<u32> = (0..count).collect();
            for numbers in numbers.chunks(group) {
                let publish =
                    |number: &u32| working.upload(*number, format!("agent_name a{number}\n").repeat(100).as_bytes());
                let group = numbers.iter().map(publish).collect();
                working.work.carry_out(group, working.now);
                // Whoever looks at it lets go of it again.
                working.centre();
            }
            assert_eq!(working.fit(), Some(numbers.len()));
            println!("{count} pairs, {group} at a time: {:.1} s", start.elapsed().as_secs_f64());
        }
    }
}
