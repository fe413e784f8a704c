//! What a start makes of what the run before has left.

use std::fs;
use std::path::PathBuf;
use std::thread;

use rustix::io::Errno;

use super::super::committing::{Committing, Order};
use super::super::engines::Engines;
use super::super::journal::{Intent, Record};
use super::super::testing::{AT_ONCE, Disk, file, killed, now, results, staged};
use super::*;
use crate::store::fs::ids::SpoolId;
use crate::testing::refused_calls::{Refused, without};

#[test]
fn what_waits_is_published_though_its_journal_is_lost_or_damaged() {
    for damage in ["nothing", "a record", "all of it"] {
        let disk = Disk::new();
        let policy = CommitPolicy { durability: Durability::Fsync, publish: Publish::Paced };
        let start = |spool: &Spool| {
            Committer::start(&disk.state(), policy, std::slice::from_ref(spool), Arc::new(|| {})).unwrap().0
        };
        let spool = disk.spool();
        let committer = start(&spool);
        for name in ["a.1.data", "a.2.data", "a.3.data"] {
            committer.publish(file(1, name, staged(&spool, name)));
        }
        assert_eq!(committer.stop().1.files, 2);
        drop(spool);
        let journal = disk.state().join("journal");
        match damage {
            "a record" => {
                let text = fs::read_to_string(&journal).unwrap();
                fs::write(&journal, text.replacen("intent", "intend", 2)).unwrap();
            }
            "all of it" => fs::remove_dir_all(disk.state()).unwrap(),
            _ => {}
        }
        let mut taken = Vec::new();
        for _scan in 0..3 {
            for (name, bytes) in disk.published() {
                fs::remove_file(disk.incoming().join(name)).unwrap();
                taken.push(bytes);
            }
            start(&disk.spool()).stop();
        }
        taken.sort();
        assert_eq!(taken, ["a.1.data", "a.2.data", "a.3.data"], "{damage}");
        assert_eq!(disk.staged(), 0);
    }
}

#[test]
fn what_waits_is_published_though_an_older_journal_is_kept_again() {
    for is_other_there in [true, false] {
        let disk = Disk::new();
        let policy = CommitPolicy { durability: Durability::Fsync, publish: Publish::Paced };
        let run = |state: &str, names: &[&str]| {
            let (spool, state) = (disk.spool(), disk.root.path().join(state));
            let committer = Committer::start(&state, policy, std::slice::from_ref(&spool), Arc::new(|| {})).unwrap().0;
            for name in names {
                committer.publish(file(1, name, staged(&spool, name)));
            }
            committer.stop().1.files
        };
        assert_eq!(run("service", &["a.1.data"]), 0);
        assert_eq!(run("by-hand", &["a.2.data", "a.3.data"]), 2);
        if !is_other_there {
            fs::remove_dir_all(disk.root.path().join("by-hand")).unwrap();
        }
        let mut taken = Vec::new();
        for _scan in 0..3 {
            for (name, bytes) in disk.published() {
                fs::remove_file(disk.incoming().join(name)).unwrap();
                taken.push(bytes);
            }
            run("service", &[]);
        }
        taken.sort();
        assert_eq!(taken, ["a.1.data", "a.2.data", "a.3.data"], "{is_other_there}");
    }
}

fn intent(spool: &Spool, name: &str, bytes: &str) -> Intent {
    let (spool_dir, stage) = staged(spool, bytes).hand_over().unwrap();
    let copy =
        SiteFile { site: "north".into(), name: name.parse().unwrap(), fingerprint: Fingerprint::of(bytes.as_bytes()) };
    Intent { spool: spool_dir.id, stage, copy }
}

fn spool_record(spool: &Spool) -> Record {
    Record::Spool(spool.dir().id, spool.dir().path().to_owned())
}

/// A kill that leaves one committed file: its journal in `journal`'s state directory, the file in `incoming`'s spool.
fn killed_with_a_file(journal: &Disk, incoming: &Disk) {
    let dying = incoming.spool();
    let waiting = intent(&dying, "a.1.data", "one");
    killed(journal, &[spool_record(&dying), Record::Only(waiting)], b"");
}

#[test]
fn what_a_kill_left_is_finished_once() {
    let disk = Disk::new();
    let dying = disk.spool();
    let whole = intent(&dying, "whole.1.data", "whole");
    let placed = intent(&dying, "placed.1.data", "placed");
    let damaged = intent(&dying, "damaged.1.data", "damaged");
    let spool_dir = dying.dir();
    fs::rename(spool_dir.staged_path(placed.stage), disk.incoming().join("placed.1.data")).unwrap();
    fs::write(spool_dir.staged_path(damaged.stage), "dam").unwrap();
    staged(&dying, "of no record").hand_over().unwrap();
    let intents = [whole, placed, damaged].map(Record::Intent);
    killed(&disk, &[&[spool_record(&dying)][..], &intents].concat(), b"0123456789abcdef intent torn");
    drop(dying);
    for _restart in 0..2 {
        let (committer, outstanding) = disk.start(&disk.spool());
        let mut names: Vec<String> = outstanding.iter().map(|file| file.name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["placed.1.data", "whole.1.data"]);
        committer.stop();
        assert_eq!(disk.published().len(), 2);
        assert_eq!(disk.staged(), 0);
        // The data server takes what it found.
        fs::remove_file(disk.incoming().join("whole.1.data")).ok();
        fs::write(disk.incoming().join("whole.2.data"), "another").unwrap();
    }
}

#[test]
fn what_a_kill_left_in_a_directory_that_is_opened_later_is_finished_then() {
    for opened_with_a_file in [false, true] {
        let disk = Disk::new();
        let dying = disk.spool();
        let (whole, damaged) = (intent(&dying, "whole.1.data", "whole"), intent(&dying, "damaged.1.data", "damaged"));
        fs::write(dying.dir().staged_path(damaged.stage), "dam").unwrap();
        staged(&dying, "of no record").hand_over().unwrap();
        killed(&disk, &[spool_record(&dying), Record::Intent(whole), Record::Intent(damaged)], b"");
        drop(dying);
        // Not mounted yet.
        let aside = disk.root.path().join("aside");
        fs::rename(disk.incoming(), &aside).unwrap();
        let (mut committer, outstanding) = Committer::start(&disk.state(), AT_ONCE, &[], Arc::new(|| {})).unwrap();
        fs::rename(&aside, disk.incoming()).unwrap();
        assert_eq!(outstanding.len(), 2);
        if opened_with_a_file {
            committer.publish(file(1, "other.1.data", staged(&disk.spool(), "other")));
        } else {
            committer.take_in(disk.spool());
        }
        let (completions, waiting) = committer.stop();
        assert!(results(completions).iter().all(Result::is_ok));
        assert_eq!(waiting, Waiting::default());
        let published = disk.published();
        assert!(published.contains(&("whole.1.data".to_owned(), "whole".to_owned())), "{published:?}");
        assert_eq!((published.len(), disk.staged()), (1 + usize::from(opened_with_a_file), 0));
        // The data server takes it: no later start may bring it again, or take the damaged one for published.
        fs::remove_file(disk.incoming().join("whole.1.data")).unwrap();
        let (committer, outstanding) = disk.start(&disk.spool());
        committer.stop();
        assert!(outstanding.iter().all(|file| file.name.as_bytes() != b"damaged.1.data"), "{outstanding:?}");
        assert_eq!(disk.published().len(), usize::from(opened_with_a_file));
    }
}

#[test]
fn what_waits_in_a_directory_that_no_site_has_any_more_is_published_all_the_same() {
    let (disk, old) = (Disk::new(), Disk::new());
    killed_with_a_file(&disk, &old);
    let (mut committer, _) = disk.start(&disk.spool());
    while old.published().is_empty() {
        thread::yield_now();
    }
    // A reload brings the directory back: it is the one that is open.
    let again = old.spool();
    committer.take_in(again.clone());
    committer.publish(file(1, "a.2.data", staged(&again, "two")));
    let (completions, waiting) = committer.stop();
    assert_eq!((results(completions), waiting), (vec![Ok(())], Waiting::default()));
    let expected = [("a.1.data", "one"), ("a.2.data", "two")];
    assert_eq!(old.published(), expected.map(|(name, bytes)| (name.to_owned(), bytes.to_owned())));
}

#[test]
fn a_directory_that_no_site_has_any_more_and_that_is_another_one_by_now_is_left_alone() {
    let (disk, old) = (Disk::new(), Disk::new());
    killed_with_a_file(&disk, &old);
    let aside = old.root.path().join("aside");
    fs::rename(old.incoming(), &aside).unwrap();
    for is_there in [false, true] {
        if is_there {
            fs::create_dir(old.incoming()).unwrap();
        }
        disk.start(&disk.spool()).0.stop();
        assert!(!old.incoming().join(".tentacle-sync").exists());
    }
    // It is back in its place: what waits there is still known.
    fs::remove_dir(old.incoming()).unwrap();
    fs::rename(&aside, old.incoming()).unwrap();
    disk.start(&disk.spool()).0.stop();
    assert_eq!(old.published(), [("a.1.data".to_owned(), "one".to_owned())]);
}

#[test]
fn a_file_that_fails_in_a_group_holds_back_the_later_ones_of_its_chain_in_that_group() {
    let disk = Disk::new();
    let spool = disk.spool();
    let (_, opened) = Engines::open(&disk.state(), AT_ONCE, std::slice::from_ref(&spool)).unwrap();
    let mut committing = Committing::new(opened.main);
    let chain = PublishOrder::default();
    let [first, second] = [(1, "a.1.data"), (2, "a.2.data")]
        .map(|(ticket, name)| Publication { chain: Some(chain.clone()), ..file(ticket, name, staged(&spool, name)) });
    let staging = disk.incoming().join(".tentacle-sync");
    let files = fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().path());
    let is_first = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text == "a.1.data");
    fs::remove_file(files.into_iter().find(is_first).unwrap()).unwrap();
    let completions = committing.carry_out(vec![Order::Publish(first, 1), Order::Publish(second, 2)], now());
    let results = results(completions);
    assert!(matches!(results[0], Err(StoreError::Io { errno: Errno::NOENT, .. })), "{results:?}");
    assert_eq!(results[1], Err(StoreError::Blocked));
    committing.go_on(now());
    assert_eq!((disk.published(), disk.staged()), (vec![], 0));
}

/// The reading of a staged file that is compared with what it should be: so much at once is asked of no other.
fn reading_staged(errno: Errno) -> Refused {
    Refused { call: libc::SYS_read, only: Some((2, 256 << 10)), errno }
}

/// A committed file is the only one there is, as soon as its site has let it go.
#[test]
fn a_committed_file_that_cannot_be_read_just_now_is_not_given_up() {
    for opened_later in [false, true] {
        let disk = Disk::new();
        killed_with_a_file(&disk, &disk);
        without(&[reading_staged(Errno::ACCESS)], || {
            if opened_later {
                let (mut committer, _) = Committer::start(&disk.state(), AT_ONCE, &[], Arc::new(|| {})).unwrap();
                committer.take_in(disk.spool());
                committer.publish(file(1, "a.2.data", staged(&disk.spool(), "two")));
                let failed = results(committer.stop().0);
                assert!(matches!(failed[..], [Err(StoreError::Io { errno: Errno::ACCESS, .. })]), "{failed:?}");
            } else {
                let started = Committer::start(&disk.state(), AT_ONCE, &[disk.spool()], Arc::new(|| {}));
                assert!(matches!(started, Err(StoreError::Io { errno: Errno::ACCESS, .. })));
            }
        });
        assert_eq!(disk.published(), []);
        disk.start(&disk.spool()).0.stop();
        assert_eq!(disk.published(), [("a.1.data".to_owned(), "one".to_owned())]);
        assert_eq!(disk.staged(), 0);
    }
}

#[test]
fn a_start_publishes_what_is_whole_and_forgets_what_is_damaged() {
    let disk = Disk::new();
    let dying = disk.spool();
    let damaged = intent(&dying, "a.1.data", "damaged");
    let late = intent(&dying, "a.2.data", "late");
    let only = intent(&dying, "a.3.data", "the only copy");
    let other = intent(&dying, "b.1.data", "another agent's");
    fs::write(dying.dir().staged_path(damaged.stage), "dam").unwrap();
    let records = [Record::Intent(damaged), Record::Intent(late), Record::Only(only), Record::Intent(other)];
    killed(&disk, &records, b"");
    drop(dying);
    let (committer, outstanding) = disk.start(&disk.spool());
    committer.stop();
    let mut names: Vec<String> = outstanding.iter().map(|file| file.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["a.2.data", "b.1.data"], "the damaged one is fetched again; the site has the only copy no more");
    assert_eq!((disk.published().len(), disk.staged()), (3, 0));
}

#[test]
fn of_two_files_that_were_committed_of_one_name_the_later_is_known() {
    for [older, newer] in [["one", "two"], ["two", "one"]] {
        let disk = Disk::new();
        {
            let spool = disk.spool();
            let [first, second] = [older, newer].map(|bytes| intent(&spool, "a.1.data", bytes));
            killed(&disk, &[spool_record(&spool), Record::Intent(first), Record::Intent(second)], b"");
        }
        for start in ["after the kill", "once more"] {
            let (committer, outstanding) = disk.start(&disk.spool());
            committer.stop();
            let known: Vec<Fingerprint> = outstanding.iter().map(|file| file.fingerprint).collect();
            assert_eq!(known, [Fingerprint::of(newer.as_bytes())], "{older}, {newer}, {start}");
        }
        let published: Vec<_> = disk.published().into_iter().map(|(_, bytes)| bytes).collect();
        assert!(published.contains(&older.into()) && published.contains(&newer.into()), "both are measurements");
    }
}

#[test]
fn a_record_of_the_journal_that_a_kill_has_left_half_written_is_swept() {
    let disk = Disk::new();
    let draft = disk.spool().incoming().join(crate::proto::COLLECTOR_STAGING).join("journal.0123456789abcdef");
    fs::write(&draft, "/va").unwrap();
    let (committer, _) = disk.start(&disk.spool());
    committer.stop();
    assert!(!draft.exists());
    assert!(draft.with_extension("").exists(), "the record itself");
}

#[test]
fn a_journal_beside_another_spool_is_not_believed() {
    let disk = Disk::new();
    let copy = intent(&disk.spool(), "a.1.data", "one").copy;
    let path = disk.incoming().canonicalize().unwrap();
    let elsewhere = SiteFile { name: "b.1.data".parse().unwrap(), ..copy.clone() };
    killed(
        &disk,
        &[
            Record::Spool(SpoolId(1), path),
            Record::Held(SpoolId(1), copy),
            Record::Spool(SpoolId(2), "/not/configured/now".into()),
            Record::Held(SpoolId(2), elsewhere),
        ],
        b"",
    );
    let (committer, outstanding) = disk.start(&disk.spool());
    committer.stop();
    let names: Vec<String> = outstanding.iter().map(|file| file.name.to_string()).collect();
    assert_eq!(names, ["b.1.data"], "what went elsewhere is still known");
}
