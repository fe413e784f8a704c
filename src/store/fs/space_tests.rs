use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::store::StorageDir;

const GIB: u64 = 1 << 30;

fn storage(quota: Quota) -> (TempDir, StorageDir, SpaceAccount) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("there"), [0; 10]).unwrap();
    let storage = StorageDir::open(dir.path(), 0o660).unwrap();
    let space = SpaceAccount::open(&storage, quota).unwrap();
    (dir, storage, space)
}

#[expect(clippy::disallowed_methods, reason = "tests need some instant to count from")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn without_limits_everything_is_let_in() {
    let (_dir, storage, space) = storage(Quota::default());
    space.admit(&storage, u64::MAX, None, now()).unwrap().resize(u64::MAX).unwrap();
}

#[test]
fn sizes_whose_sum_is_beyond_all_disks_are_counted() {
    let (_dir, storage, space) = storage(Quota { max_files: Some(9), ..Quota::default() });
    let admit = || {
        let mut reservation = space.admit(&storage, u64::MAX, None, now()).unwrap();
        reservation.resize(u64::MAX).unwrap();
        reservation
    };
    drop([admit(), admit(), admit()]);
    space.set_quota(Quota { max_bytes: Some(100), ..Quota::default() });
    space.recount().unwrap();
    space.admit(&storage, 90, None, now()).expect("what was dropped counts no more");
}

#[test]
fn what_is_announced_takes_no_room_and_what_has_come_does_until_it_is_given_back() {
    let (_dir, storage, space) = storage(Quota { max_bytes: Some(100), ..Quota::default() });
    let admit = |size| space.admit(&storage, size, None, now());
    let [mut first, mut second] = [admit(90).unwrap(), admit(90).unwrap()];
    let never = Full::Bytes { storage: storage.path().to_owned(), asked: 91, used: 10, max: 100 };
    assert_eq!(admit(91).unwrap_err(), never);
    first.resize(60).unwrap();
    let full = Full::Bytes { storage: storage.path().to_owned(), asked: 31, used: 70, max: 100 };
    assert_eq!((admit(31).unwrap_err(), second.resize(31).unwrap_err()), (full.clone(), full));
    second.resize(30).unwrap();
    assert!(admit(1).is_err() && first.resize(61).is_err());
    drop(first);
    assert!(admit(61).is_err());
    second.resize(90).unwrap();
}

#[test]
fn files_count_once_they_are_whole_until_they_are_given_back() {
    let (_dir, storage, space) = storage(Quota { max_files: Some(2), ..Quota::default() });
    let admit = || space.admit(&storage, 5, None, now());
    let [mut first, mut second] = [admit().unwrap(), admit().unwrap()];
    first.complete().unwrap();
    first.complete().unwrap();
    let full = Full::Files { storage: storage.path().to_owned(), used: 2, max: 2 };
    assert_eq!((admit().unwrap_err(), second.complete().unwrap_err()), (full.clone(), full.clone()));
    first.commit(5, None);
    assert_eq!((second.complete().unwrap_err(), space.stored()), (full, (2, 15)));
    space.removed(5);
    second.complete().unwrap();
    drop(second);
    assert!(admit().is_ok());
}

#[test]
fn a_file_that_replaces_another_counts_alone() {
    let (_dir, storage, space) = storage(Quota { max_files: Some(5), ..Quota::default() });
    space.admit(&storage, 7, None, now()).unwrap().commit(7, Some(10));
    assert_eq!(space.stored(), (1, 7));
}

#[test]
fn a_file_that_replaces_another_takes_what_it_is_larger() {
    let (_dir, storage, space) = storage(Quota { max_bytes: Some(15), max_files: Some(1), ..Quota::default() });
    let admit = |size, replaced| space.admit(&storage, size, replaced, now());
    assert!(admit(1, None).is_err());
    assert!(matches!(admit(16, Some(10)), Err(Full::Bytes { asked: 6, used: 10, .. })));
    let mut first = admit(15, Some(10)).unwrap();
    let mut second = admit(15, Some(10)).unwrap();
    first.resize(13).unwrap();
    assert!(second.resize(13).is_err(), "3 of 5 bytes are taken");
    second.resize(12).unwrap();
    second.complete().unwrap();
    second.commit(12, Some(10));
    assert!(first.resize(14).is_err());
    first.complete().unwrap();
    first.commit(13, Some(12));
    assert_eq!(space.stored(), (1, 13));
    // Over the limit already, what does not grow is let in.
    space.set_quota(Quota { max_bytes: Some(5), max_files: Some(1), ..Quota::default() });
    assert!(admit(14, Some(13)).is_err());
    let mut third = admit(13, Some(13)).unwrap();
    third.resize(13).unwrap();
    third.complete().unwrap();
}

#[test]
fn a_reservation_grows_only_as_far_as_there_is_room() {
    let (_dir, storage, space) = storage(Quota { max_bytes: Some(100), max_files: Some(2), ..Quota::default() });
    let mut reservation = space.admit(&storage, 10, None, now()).unwrap();
    reservation.resize(10).unwrap();
    assert!(matches!(reservation.resize(91), Err(Full::Bytes { asked: 81, used: 20, .. })));
    reservation.resize(90).unwrap();
    reservation.resize(5).unwrap();
    reservation.resize(90).unwrap();
    drop(reservation);
    assert!(space.admit(&storage, 90, None, now()).is_ok());
}

#[test]
fn what_others_did_shows_in_a_recount() {
    let (dir, storage, space) = storage(Quota { max_bytes: Some(100), ..Quota::default() });
    std::fs::write(dir.path().join("theirs"), [0; 85]).unwrap();
    assert!(space.admit(&storage, 10, None, now()).is_ok());
    space.recount().unwrap();
    assert!(space.admit(&storage, 10, None, now()).is_err());
    std::fs::remove_file(dir.path().join("theirs")).unwrap();
    space.recount().unwrap();
    assert!(space.admit(&storage, 10, None, now()).is_ok());
}

#[test]
fn where_no_more_is_let_in_another_count_is_due_but_not_at_once() {
    let (dir, storage, space) = storage(Quota { max_files: Some(1), ..Quota::default() });
    let counted = now();
    assert_eq!(space.recount_due(), None);
    std::fs::remove_file(dir.path().join("there")).unwrap();
    assert!(space.admit(&storage, 1, None, now()).is_err());
    let due = space.recount_due().unwrap();
    assert!(due > counted, "as soon as it was found full");
    space.recount_queued();
    assert!(space.admit(&storage, 1, None, now()).is_err());
    assert_eq!(space.recount_due(), None, "one is under way");
    space.recount().unwrap();
    assert_eq!(space.recount_due(), None);
    let mut found = space.admit(&storage, 1, None, now()).unwrap();
    let mut late = space.admit(&storage, 1, None, now()).unwrap();
    found.complete().unwrap();
    assert!(late.complete().is_err());
    assert!(space.recount_due().unwrap() > due, "also for what finds no room at its end");
    space.set_quota(Quota::default());
    assert_eq!(space.recount_due(), None, "there is nothing to be counted for");
}

#[test]
fn over_the_limit_already_nothing_is_let_in() {
    let (_dir, storage, space) = storage(Quota { max_bytes: Some(5), ..Quota::default() });
    assert!(space.admit(&storage, 1, None, now()).is_err());
    space.set_quota(Quota { max_bytes: Some(11), ..Quota::default() });
    assert!(space.admit(&storage, 1, None, now()).is_ok());
}

#[test]
fn free_space_is_looked_up_now_and_then_and_what_has_come_since_is_not_free() {
    let (_dir, storage, space) = storage(Quota::default());
    let (start, free) = (now(), free(storage.dir()));
    // Others write to that filesystem too: their writes may change it by a GiB.
    let slack = GIB.min(free / 4);
    space.set_quota(Quota { min_free: Some(slack), ..Quota::default() });
    let mut most = space.admit(&storage, free - 2 * slack, None, start).unwrap();
    most.resize(free - 2 * slack).unwrap();
    let refused = space.admit(&storage, 2 * slack, None, start).unwrap_err();
    assert!(matches!(refused, Full::Free { asked, min, .. } if asked == 2 * slack && min == slack), "{refused}");
    drop(most);
    assert!(space.admit(&storage, 2 * slack, None, start).is_err(), "it may have been written");
    assert!(space.admit(&storage, 2 * slack, None, start + FREE_SPACE_AGE).is_ok());
}

#[test]
fn a_full_storage_says_which_limit_and_its_figures() {
    let path = || Path::new("/buffer").to_owned();
    let full = [
        Full::Bytes { storage: path(), asked: 5, used: 98, max: 100 },
        Full::Files { storage: path(), used: 7, max: 6 },
        Full::Free { dir: path(), asked: 5, free: 8, min: 4 },
    ];
    for (full, key) in full.into_iter().zip(["max_spool_bytes 100", "max_spool_files 6", "min_free 4"]) {
        let text = full.to_string();
        assert!(text.starts_with("/buffer: ") && text.contains(key), "{text}");
    }
}
