use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::super::journal::Record;
use super::super::testing::{AT_ONCE, Disk, file, killed, results, staged};
use super::*;
use crate::store::fs::answering::Wait;
use crate::store::fs::setup::{FILE_MODE, Staging};
use crate::store::fs::sink::SinkKind;

#[test]
fn a_thread_that_panics_is_noticed() {
    let (disk, has_panicked) = (Disk::new(), AtomicBool::new(false));
    let spool = disk.spool();
    let (ended, end) = mpsc::channel();
    let notify = move || {
        assert!(has_panicked.swap(true, Ordering::Relaxed), "the first call panics");
        ended.send(()).unwrap();
    };
    let started = Committer::start(&disk.state(), AT_ONCE, std::slice::from_ref(&spool), Arc::new(notify));
    let (committer, _) = started.unwrap();
    assert!(committer.is_alive());
    committer.publish(file(1, "a.1.data", staged(&spool, "x")));
    end.recv().unwrap();
    assert!(!committer.is_alive());
}

#[test]
fn a_thread_that_panics_while_it_stages_is_noticed() {
    let disk = Disk::new();
    let dir = SpoolDir::open(&disk.incoming(), FILE_MODE, Staging::Collector).unwrap().answering_beside(None).unwrap();
    let spool = Spool { dir: Arc::new(dir) };
    let (called, calls) = mpsc::channel();
    let notify = Arc::new(move || called.send(()).unwrap());
    let (committer, _) = Committer::start(&disk.state(), AT_ONCE, std::slice::from_ref(&spool), notify).unwrap();
    assert!(committer.is_alive());
    spool.dir().tell(|_| panic!("staging panics"));
    while committer.is_alive() {
        calls.recv_timeout(Duration::from_secs(30)).expect("the loop is called");
    }
}

#[test]
fn files_are_published_whole_in_order_and_told() {
    for sink in [SinkKind::Append, SinkKind::Mapped] {
        publish_fifty(sink);
    }
}

fn publish_fifty(sink: SinkKind) {
    let disk = Disk::new();
    let spool = Spool::open_with(&disk.incoming(), Arc::new(sink)).unwrap();
    let (sender, calls) = mpsc::channel();
    let (committer, before) = Committer::start(
        &disk.state(),
        AT_ONCE,
        std::slice::from_ref(&spool),
        Arc::new(move || sender.send(()).unwrap()),
    )
    .unwrap();
    assert_eq!(before, []);
    for ticket in 0..50 {
        committer.publish(file(ticket, &format!("a.{ticket}.data"), staged(&spool, &format!("bytes {ticket}"))));
    }
    assert_eq!(committer.pending(), 50);
    let mut completions = Vec::new();
    while committer.pending() > 0 {
        calls.recv().unwrap();
        completions.extend(committer.completions());
    }
    let tickets: Vec<u64> = completions.iter().map(|completion| completion.ticket).collect();
    assert_eq!(tickets, (0..50).collect::<Vec<_>>());
    assert!(completions.iter().all(|completion| completion.result.is_ok()));
    assert_eq!(committer.stop(), (vec![], Waiting::default()));
    assert_eq!(disk.published().len(), 50);
    assert!(disk.published().contains(&("a.17.data".to_owned(), "bytes 17".to_owned())));
    assert_eq!(disk.staged(), 0);
}

#[test]
fn what_is_not_forgotten_is_outstanding_after_a_restart() {
    let disk = Disk::new();
    let spool = disk.spool();
    let (committer, _) = disk.start(&spool);
    committer.publish(file(1, "a.1.data", staged(&spool, "one")));
    committer.publish(file(2, "a.2.data", staged(&spool, "two")));
    while committer.completions().len() + committer.pending() > 0 {
        thread::yield_now();
    }
    committer.forget("north".into(), "a.1.data".parse().unwrap(), Fingerprint::of(b"one"));
    committer.stop();
    let (site, name) = ("north".to_owned(), "a.2.data".parse().unwrap());
    let two = Outstanding { site, name, fingerprint: Fingerprint::of(b"two") };
    for durability in [Durability::None, Durability::Fsync] {
        let policy = CommitPolicy { durability, publish: Publish::AtOnce };
        let started = Committer::start(&disk.state(), policy, std::slice::from_ref(&spool), Arc::new(|| {}));
        let (committer, outstanding) = started.unwrap();
        assert_eq!(outstanding, std::slice::from_ref(&two));
        committer.stop();
    }
}

#[test]
fn nothing_is_ever_overwritten() {
    let disk = Disk::new();
    let spool = disk.spool();
    for name in ["file.1.data", "same.1.data"] {
        fs::write(disk.incoming().join(name), name).unwrap();
    }
    fs::create_dir(disk.incoming().join("dir.1.data")).unwrap();
    symlink("nowhere", disk.incoming().join("link.1.data")).unwrap();
    let (committer, _) = disk.start(&spool);
    for (ticket, name) in ["file.1.data", "same.1.data", "dir.1.data", "link.1.data"].iter().enumerate() {
        committer.publish(file(ticket as u64, name, staged(&spool, "same.1.data")));
    }
    let (completions, waiting) = committer.stop();
    assert_eq!((results(completions), waiting), (vec![Ok(()); 4], Waiting::default()));
    for fresh in ["file.101.data", "same.101.data", "dir.101.data", "link.101.data"] {
        assert_eq!(fs::read_to_string(disk.incoming().join(fresh)).unwrap(), "same.1.data", "{fresh}");
    }
    assert_eq!(fs::read_to_string(disk.incoming().join("file.1.data")).unwrap(), "file.1.data");
    assert_eq!(disk.staged(), 0);
}

#[test]
fn a_spool_that_fails_does_not_touch_the_others() {
    let (disk, other) = (Disk::new(), Disk::new());
    let (spool, broken) = (disk.spool(), other.spool());
    let (committer, _) = disk.start(&spool);
    let files = [file(1, "a.1.data", staged(&spool, "one")), file(2, "a.2.data", staged(&broken, "two"))];
    fs::remove_dir_all(other.incoming()).unwrap();
    for file in files {
        committer.publish(file);
    }
    committer.publish(file(3, "a.3.data", staged(&spool, "three")));
    let results = results(committer.stop().0);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(StoreError::Displaced(_))), "{results:?}");
    let (committer, outstanding) = disk.start(&spool);
    assert_eq!(outstanding.len(), 2);
    committer.stop();
}

#[test]
fn a_file_that_cannot_be_committed_is_not_overtaken_by_those_of_its_chain() {
    let (disk, broken) = (Disk::new(), Disk::new());
    let (spool, gone) = (disk.spool(), broken.spool());
    let (committer, _) = disk.start(&spool);
    let chain = PublishOrder::default();
    let queue = |ticket: u64, name: &str, spool: &Spool, chain: &PublishOrder| {
        let file = file(ticket, name, staged(spool, name));
        committer.publish(Publication { chain: Some(chain.clone()), ..file });
    };
    let completed = |count: usize| {
        let mut completions = Vec::new();
        while completions.len() < count {
            completions.extend(committer.completions());
            thread::yield_now();
        }
        results(completions)
    };
    queue(1, "a.0.data", &spool, &chain);
    assert!(completed(1)[0].is_ok());
    let unstored = file(2, "a.1.data", staged(&gone, "a.1.data"));
    fs::remove_dir_all(broken.incoming()).unwrap();
    committer.publish(Publication { chain: Some(chain.clone()), ..unstored });
    assert!(completed(1)[0].is_err());
    // What was on its way when that was reported.
    queue(3, "a.2.data", &spool, &chain);
    queue(4, "b.1.data", &spool, &PublishOrder::default());
    let after = completed(2);
    assert_eq!(after, [Err(StoreError::Blocked), Ok(())]);
    queue(5, "a.2.data", &spool, &PublishOrder::default());
    assert!(completed(1)[0].is_ok());
    committer.stop();
    assert_eq!((disk.published().len(), disk.staged()), (3, 0));
}

#[test]
fn a_file_without_a_free_name_waits_for_one() {
    let disk = Disk::new();
    let spool = disk.spool();
    // Taken, and too long for a fresh name.
    let taken = format!("{}.1.data", "a".repeat(248));
    fs::write(disk.incoming().join(&taken), "another").unwrap();
    let (committer, _) = disk.start(&spool);
    committer.publish(file(1, &taken, staged(&spool, "one")));
    let (completions, waiting) = committer.stop();
    assert_eq!((results(completions), waiting), (vec![Ok(())], Waiting { files: 1, bytes: 3 }), "it is safe");
    fs::remove_file(disk.incoming().join(&taken)).unwrap();
    let (committer, _) = disk.start(&spool);
    assert_eq!(committer.stop().1, Waiting::default());
    assert_eq!(disk.published(), [(taken, "one".to_owned())]);
}

#[test]
fn one_file_of_an_agent_at_a_time_is_published_and_a_restart_goes_on_where_it_was() {
    let disk = Disk::new();
    let policy = CommitPolicy { durability: Durability::Fsync, publish: Publish::Paced };
    let start =
        || Committer::start(&disk.state(), policy, std::slice::from_ref(&disk.spool()), Arc::new(|| {})).unwrap().0;
    let spool = disk.spool();
    let committer = Committer::start(&disk.state(), policy, std::slice::from_ref(&spool), Arc::new(|| {})).unwrap().0;
    // The first is published at once, whichever of the others are queued by then.
    let queued = ["a.1700000001.data", "a.1700000003.data", "a.1700000002.data", "a.1700000002.data", "b.7.data"];
    for (ticket, name) in queued.iter().enumerate() {
        committer.publish(file(ticket as u64, name, staged(&spool, &format!("{ticket}"))));
    }
    let (completions, waiting) = committer.stop();
    assert_eq!((completions.len(), waiting.files), (5, 3));
    drop(spool);
    let names = |disk: &Disk| disk.published().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let mut taken = Vec::new();
    while start().stop().1.files > 0 {
        let published = disk.published().into_iter().find(|(name, _)| name.starts_with("a.")).unwrap();
        assert_eq!(names(&disk).iter().filter(|name| name.starts_with("a.")).count(), 1);
        fs::remove_file(disk.incoming().join(&published.0)).unwrap();
        taken.push(published);
    }
    taken.extend(disk.published());
    let expected = [
        ("a.1700000001.data", "0"),
        ("a.1700000002.data", "2"),
        ("a.1700000002.data", "3"),
        ("a.1700000003.data", "1"),
        ("b.7.data", "4"),
    ];
    assert_eq!(taken, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_owned())));
}

#[test]
fn what_was_committed_just_now_is_not_taken_to_be_published() {
    for _ in 0..20 {
        let disk = Disk::new();
        let spool = disk.spool();
        let policy = CommitPolicy { durability: Durability::None, publish: Publish::Paced };
        let start = Committer::start(&disk.state(), policy, std::slice::from_ref(&spool), Arc::new(|| {}));
        let (committer, _) = start.unwrap();
        for name in ["a.1.data", "a.2.data"] {
            committer.publish(file(1, name, staged(&spool, name)));
        }
        let mut known = 0;
        while known < 2 {
            known += committer.completions().len();
        }
        assert!(!committer.is_all_published(), "the second waits for the first to be taken");
        committer.stop();
    }
}

#[test]
fn nothing_is_published_in_a_directory_that_was_moved_away() {
    let disk = Disk::new();
    let spool = disk.spool();
    let policy = CommitPolicy { durability: Durability::Fsync, publish: Publish::Paced };
    let start = |spool: &Spool| Committer::start(&disk.state(), policy, std::slice::from_ref(spool), Arc::new(|| {}));
    let (committer, _) = start(&spool).unwrap();
    for name in ["a.1.data", "a.2.data"] {
        committer.publish(file(1, name, staged(&spool, name)));
    }
    while disk.published().is_empty() || committer.waiting().files != 1 {
        thread::yield_now();
    }
    let away = disk.root.path().join("away");
    fs::rename(disk.incoming(), &away).unwrap();
    fs::remove_file(away.join("a.1.data")).unwrap();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(committer.stop().1.files, 1, "it waits");
    drop(spool);
    fs::rename(&away, disk.incoming()).unwrap();
    assert_eq!(start(&disk.spool()).unwrap().0.stop().1, Waiting::default());
    assert_eq!(disk.published(), [("a.2.data".to_owned(), "a.2.data".to_owned())]);
}

#[test]
fn a_published_file_has_the_time_of_its_measurement() {
    let disk = Disk::new();
    let spool = disk.spool();
    let (committer, _) = disk.start(&spool);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (known, unknown, ancient) = (format!("a.{}.data", now - 5000), "a.1234.data", "b.1100000000.data");
    for name in [known.as_str(), unknown, ancient] {
        committer.publish(file(1, name, staged(&spool, name)));
    }
    committer.stop();
    let age = |name: &str| {
        let modified = fs::metadata(disk.incoming().join(name)).unwrap().modified().unwrap();
        now - modified.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs().min(now)
    };
    assert_eq!(age(&known), 5000);
    assert!(age(unknown) < 1000 && age(ancient) < 1000, "a random serial is no time");
}

#[test]
fn one_process_at_a_time() {
    let disk = Disk::new();
    let spool = disk.spool();
    let (committer, _) = disk.start(&spool);
    let start = |state: &Path, spools: &[Spool]| Committer::start(state, AT_ONCE, spools, Arc::new(|| {})).err();
    let is_busy = |error, at: &Path| matches!(error, Some(StoreError::Busy { path, .. }) if path == at);
    assert!(is_busy(start(&disk.state(), &[]), &disk.state()));
    let staging = spool.incoming().join(".tentacle-sync");
    assert!(is_busy(start(&disk.root.path().join("other"), &[disk.spool()]), &staging));
    committer.stop();
    assert_eq!(start(&disk.state(), &[spool]), None);
}

#[test]
fn a_copied_incoming_directory_is_refused() {
    let (disk, copy) = (Disk::new(), Disk::new());
    let spool = disk.spool();
    copy.spool();
    let id = |disk: &Disk| disk.incoming().join(".tentacle-sync/id");
    fs::copy(id(&disk), id(&copy)).unwrap();
    let started = Committer::start(&disk.state(), AT_ONCE, &[spool, copy.spool()], Arc::new(|| {}));
    let paths = [copy.incoming(), disk.incoming()].map(|path| path.canonicalize().unwrap());
    let [copied, original] = paths;
    assert_eq!(started.err(), Some(StoreError::CopiedSpool(copied, original)));
}

#[test]
fn what_is_being_staged_survives_a_change_of_committers() {
    let disk = Disk::new();
    let spool = disk.spool();
    let half = spool.stage(0).unwrap();
    disk.start(&spool).0.stop();
    let (committer, _) = disk.start(&spool);
    committer.publish(file(1, "a.1.data", half.finish().unwrap()));
    assert!(results(committer.stop().0)[0].is_ok());
}

#[test]
fn a_state_directory_that_is_a_file_or_of_a_later_version_is_refused() {
    let disk = Disk::new();
    fs::write(disk.state(), "").unwrap();
    let start = || Committer::start(&disk.state(), AT_ONCE, &[], Arc::new(|| {})).err().unwrap();
    assert!(matches!(start(), StoreError::Io { errno: Errno::EXIST | Errno::NOTDIR, .. }), "{}", start());
    fs::remove_file(disk.state()).unwrap();
    killed(&disk, &[Record::Journal(9)], b"");
    assert!(matches!(start(), StoreError::JournalFormat { found: 9, known: 2, .. }), "{}", start());
}

#[test]
fn a_directory_that_does_not_answer_keeps_no_other_waiting() {
    let (disk, frozen) = (Disk::new(), Disk::new());
    let spool = disk.spool();
    // On another filesystem than the journal's, by its word.
    let silent = Spool::open_beside(&frozen.incoming(), Path::new("/proc")).unwrap();
    let (mut committer, _) = disk.start(&spool);
    committer.take_in(silent.clone());
    let late = file(0, "late.1.data", staged(&silent, "late"));
    let (go_on, hang) = mpsc::channel::<()>();
    let spool_dir = Arc::clone(silent.dir());
    let asking = thread::spawn(move || spool_dir.ask(Wait::Commit, move |_| Ok(hang.recv().is_ok())));
    committer.publish(late);
    let mut completed = Vec::new();
    for ticket in 1..=20 {
        committer.publish(file(ticket, &format!("a.{ticket}.data"), staged(&spool, "beside")));
        while completed.last() != Some(&ticket) {
            completed.extend(committer.completions().iter().map(|completion| completion.ticket));
        }
    }
    assert_eq!(completed, (1..=20).collect::<Vec<_>>());
    drop(go_on);
    drop(asking.join());
    let (completions, _) = committer.stop();
    assert_eq!(completions.iter().map(|completion| completion.ticket).collect::<Vec<_>>(), [0]);
    assert_eq!(disk.published().len(), 20);
}
