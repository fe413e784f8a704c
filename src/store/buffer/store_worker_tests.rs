use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;
use crate::store::fs::space::Quota;

use OnConflict::{Refuse, Replace};

fn storage() -> (TempDir, StorageDir) {
    let dir = tempfile::tempdir().unwrap();
    let storage = StorageDir::open(dir.path(), 0o660).unwrap();
    (dir, storage)
}

fn started(storage: &StorageDir) -> StoreWorker {
    let space = SpaceAccount::open(storage, Quota::default()).unwrap();
    StoreWorker::start(Durability::Fsync, space, Box::new(|| {})).unwrap()
}

fn name(name: &str) -> FileName {
    name.parse().unwrap()
}

fn written(storage: &StorageDir, bytes: &str) -> ClosedTemp {
    let mut temp = storage.create_temp(bytes.len() as u64).unwrap();
    temp.write(bytes.as_bytes()).unwrap();
    temp.finish().unwrap()
}

fn file(storage: &StorageDir, text: &str, bytes: &str, on_conflict: OnConflict) -> StoreRequest {
    StoreRequest { ticket: 1, name: name(text), written: written(storage, bytes), on_conflict, expected: None }
}

fn results(completions: Vec<Concluded>) -> Vec<Result<(), StoreError>> {
    let result = |done| match done {
        Concluded::Stored(stored) => stored.result,
        Concluded::Dropped { result, .. } => result.map(drop),
    };
    completions.into_iter().map(result).collect()
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

fn assert_nothing_is_staged(dir: &Path) {
    assert_eq!(fs::read_dir(dir.join(".tentacle-server")).unwrap().count(), 0);
}

#[test]
fn files_are_stored_whole_in_order_and_told() {
    for durability in [Durability::Fsync, Durability::None] {
        let (dir, storage) = storage();
        let (sender, calls) = mpsc::channel();
        let space = SpaceAccount::open(&storage, Quota::default()).unwrap();
        let worker = StoreWorker::start(durability, space, Box::new(move || sender.send(()).unwrap())).unwrap();
        for ticket in 0..50 {
            let request = file(&storage, &format!("a.{ticket}.data"), &format!("bytes {ticket}"), Refuse);
            worker.store(StoreRequest { ticket, ..request });
        }
        let mut stored = Vec::new();
        while worker.pending() > 0 {
            calls.recv().unwrap();
            stored.extend(worker.completions());
        }
        assert_eq!(
            stored,
            (0..50).map(|ticket| Concluded::Stored(StoreResult { ticket, result: Ok(()) })).collect::<Vec<_>>()
        );
        assert_eq!(read(dir.path(), "a.17.data"), "bytes 17");
        assert_nothing_is_staged(dir.path());
        assert_eq!(worker.stop(), []);
    }
}

#[test]
fn a_taken_name_is_refused_whoever_took_it() {
    let (dir, storage) = storage();
    fs::write(dir.path().join("file"), "older").unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    symlink("nowhere", dir.path().join("link")).unwrap();
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let worker = started(&storage);
    let names = ["file", "dir", "link", "fifo"];
    for text in names {
        worker.store(file(&storage, text, "newer", Refuse));
    }
    // Two clients at once.
    worker.store(file(&storage, "race", "first", Refuse));
    worker.store(file(&storage, "race", "second", Refuse));
    let exists = |name: &str| Err(StoreError::Exists(storage.path().join(name)));
    let mut wanted: Vec<_> = names.iter().map(|name| exists(name)).collect();
    wanted.extend([Ok(()), exists("race")]);
    assert_eq!(results(worker.stop()), wanted);
    assert_eq!((read(dir.path(), "file"), read(dir.path(), "race")), ("older".into(), "first".into()));
    assert_nothing_is_staged(dir.path());
}

#[test]
fn replacing_takes_files_links_and_fifos_themselves_and_no_directory() {
    let (dir, storage) = storage();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(dir.path().join("file"), "older").unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let worker = started(&storage);
    for text in ["file", "link", "fifo", "dir", "file"] {
        worker.store(file(&storage, text, text, Replace));
    }
    let results = results(worker.stop());
    assert_eq!([&results[..3], &results[4..]].concat(), [Ok(()), Ok(()), Ok(()), Ok(())]);
    assert!(matches!(results[3], Err(StoreError::Io { errno: Errno::ISDIR | Errno::NOTEMPTY, .. })), "{results:?}");
    for text in ["file", "link", "fifo"] {
        assert_eq!(read(dir.path(), text), text);
        assert!(storage.find(&name(text)).unwrap().is_some());
    }
    assert_eq!(fs::read(outside.path()).unwrap(), b"");
    assert_nothing_is_staged(dir.path());
}

#[test]
fn of_one_name_the_last_to_replace_stays() {
    let (dir, storage) = storage();
    let worker = started(&storage);
    (0..20).for_each(|version| worker.store(file(&storage, "a", &version.to_string(), Replace)));
    assert!(results(worker.stop()).iter().all(Result::is_ok));
    assert_eq!(read(dir.path(), "a"), "19");
}

#[test]
fn a_removal_takes_the_file_that_was_meant_and_no_newer_one() {
    let (dir, storage) = storage();
    for text in ["same", "replaced", "touched", "grown", "gone"] {
        fs::write(dir.path().join(text), "older").unwrap();
    }
    let identity = |text: &str| storage.find(&name(text)).unwrap().unwrap().identity();
    let meant = ["same", "replaced", "touched", "grown", "gone"].map(|text| (name(text), identity(text)));
    fs::File::options()
        .write(true)
        .open(dir.path().join("touched"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    fs::write(dir.path().join("grown"), "older and longer").unwrap();
    fs::remove_file(dir.path().join("gone")).unwrap();
    let worker = started(&storage);
    worker.store(file(&storage, "replaced", "newer", Replace));
    for (name, identity) in meant {
        worker.remove(storage.clone(), name, identity);
    }
    worker.store(file(&storage, "same", "sent again", Refuse));
    assert_eq!(results(worker.stop()), [Ok(()), Ok(())]);
    let found = ["same", "replaced", "touched", "grown"].map(|text| read(dir.path(), text));
    assert_eq!(found, ["sent again", "newer", "older", "older and longer"]);
}

#[test]
fn a_folder_that_fails_does_not_touch_the_others() {
    let ((dir, storage), (other, broken)) = (storage(), storage());
    let worker = started(&storage);
    let files =
        [file(&storage, "a", "one", Refuse), file(&broken, "b", "two", Refuse), file(&storage, "c", "3", Refuse)];
    fs::remove_dir_all(other.path()).unwrap();
    for file in files {
        worker.store(file);
    }
    let results = results(worker.stop());
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(StoreError::Io { errno: Errno::NOENT, .. })), "{results:?}");
    assert_eq!(read(dir.path(), "c"), "3");
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn the_room_knows_what_is_stored_replaced_and_removed() {
    let (dir, storage) = storage();
    let sub = {
        fs::create_dir(dir.path().join("conf")).unwrap();
        storage.open_inside(Path::new("conf"), 0o660).unwrap()
    };
    fs::write(dir.path().join("before"), "1234567890").unwrap();
    let quota = Quota { max_files: Some(100), ..Quota::default() };
    let space = SpaceAccount::open(&storage, quota).unwrap();
    let (sender, calls) = mpsc::channel();
    let worker =
        StoreWorker::start(Durability::Fsync, space.clone(), Box::new(move || sender.send(()).unwrap())).unwrap();
    let store = |text: &str, bytes: &str, on_conflict| {
        let reservation = space.admit(&sub, bytes.len() as u64, None, now()).unwrap();
        let mut temp = sub.create_temp(bytes.len() as u64).unwrap().with_reservation(reservation);
        temp.make_room(bytes.len() as u64).unwrap();
        temp.write(bytes.as_bytes()).unwrap();
        temp.complete().unwrap();
        let written = temp.finish().unwrap();
        worker.store(StoreRequest { ticket: 1, name: name(text), written, on_conflict, expected: None });
        calls.recv().unwrap();
        space.stored()
    };
    assert_eq!(store("a", "12345", Refuse), (2, 15));
    assert_eq!(store("a", "123", Replace), (2, 13));
    assert_eq!(store("a", "1", Refuse), (2, 13));
    assert_eq!(store("b", "", Refuse), (3, 13));
    worker.remove(sub.clone(), name("a"), sub.find(&name("a")).unwrap().unwrap().identity());
    worker.stop();
    assert_eq!(space.stored(), (2, 10));
    space.recount().unwrap();
    assert_eq!(space.stored(), (2, 10), "a count finds the same");
}
