use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, RenameFlags, mknodat, renameat_with};
use tempfile::TempDir;

use super::super::lister::Progress;
use super::*;
use crate::budget::Budget;

const MODE: u32 = 0o660;

fn storage() -> (TempDir, StorageDir) {
    let dir = tempfile::tempdir().unwrap();
    let storage = StorageDir::open(dir.path(), MODE).unwrap();
    (dir, storage)
}

fn name(name: &str) -> FileName {
    name.parse().unwrap()
}

/// Everything that can stand in a file's place.
fn make_impostors(dir: &Path) {
    fs::write(dir.join("target"), "secret").unwrap();
    fs::create_dir(dir.join("dir")).unwrap();
    symlink("target", dir.join("link")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    drop(UnixListener::bind(dir.join("socket")).unwrap());
}

fn list(storage: &StorageDir, max_entries: usize) -> Vec<u8> {
    let mut lister = storage.list(ListingKind::Names, &Budget::new(1 << 20)).unwrap();
    loop {
        match lister.step(max_entries, false).unwrap() {
            Progress::More(rest) => lister = rest,
            Progress::Short(_) => panic!("there is memory"),
            Progress::Whole(listing) => return listing.as_bytes().to_vec(),
        }
    }
}

fn listed(storage: &StorageDir, max_entries: usize) -> BTreeSet<String> {
    String::from_utf8(list(storage, max_entries)).unwrap().lines().map(str::to_owned).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_file_that_goes_is_gone_though_it_is_still_there_and_a_newer_one_is_not() {
    let (dir, storage) = storage();
    fs::write(dir.path().join("a"), "old").unwrap();
    let going = storage.find(&name("a")).unwrap().unwrap().identity();
    storage.removal_ordered(&name("a"), going);
    assert!(storage.find(&name("a")).unwrap().is_none());
    assert!(!storage.exists(&name("a")).unwrap());
    assert_eq!(listed(&storage, 10), set(&[".", "..", "a"]), "a listing says what is there");
    assert!(!storage.pending_removals(None).are_done());
    fs::write(dir.path().join("new"), "newer").unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("a")).unwrap();
    assert_eq!(storage.find(&name("a")).unwrap().unwrap().size(), 5);
    assert!(storage.exists(&name("a")).unwrap());
    assert_eq!(listed(&storage, 10), set(&[".", "..", "a"]));
    storage.removal_done(&name("a"), &going);
    assert!(storage.pending_removals(None).are_done() && storage.removals() == 0);
}

#[test]
fn a_file_is_found_with_its_size_and_bytes() {
    let (dir, storage) = storage();
    fs::write(dir.path().join("a.data"), "bytes").unwrap();
    let source = storage.find(&name("a.data")).unwrap().unwrap();
    let mut bytes = String::new();
    source.file().read_to_string(&mut bytes).unwrap();
    assert_eq!((source.size(), bytes.as_str(), source.name()), (5, "bytes", &name("a.data")));
    fs::write(dir.path().join("empty"), "").unwrap();
    assert_eq!(storage.find(&name("empty")).unwrap().unwrap().size(), 0);
}

#[test]
fn only_files_are_found_and_everything_exists() {
    let (dir, storage) = storage();
    make_impostors(dir.path());
    for impostor in ["dir", "link", "dangling", "fifo", "socket"] {
        assert!(storage.find(&name(impostor)).unwrap().is_none(), "{impostor}");
        assert!(storage.exists(&name(impostor)).unwrap(), "{impostor}");
    }
    assert!(storage.find(&name("absent")).unwrap().is_none());
    assert!(!storage.exists(&name("absent")).unwrap());
    assert!(storage.exists(&name("target")).unwrap());
}

#[test]
fn what_was_found_stays_what_it_is_when_its_name_goes_to_another() {
    let (dir, storage) = storage();
    let path = dir.path().join("a.data");
    fs::write(&path, "older").unwrap();
    let source = storage.find(&name("a.data")).unwrap().unwrap();
    fs::write(dir.path().join("b"), "newer").unwrap();
    fs::rename(dir.path().join("b"), &path).unwrap();
    let mut bytes = String::new();
    source.file().read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "older");
    assert_ne!(storage.find(&name("a.data")).unwrap().unwrap().identity(), source.identity());
}

#[test]
fn a_file_written_to_since_is_another() {
    let (dir, storage) = storage();
    let path = dir.path().join("a.data");
    fs::write(&path, "one").unwrap();
    let identity = || storage.find(&name("a.data")).unwrap().unwrap().identity();
    let first = identity();
    assert_eq!(identity(), first);
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_ne!(identity(), first);
}

#[test]
fn a_listing_has_files_and_directories_and_nothing_that_cannot_be_asked_for() {
    let (dir, storage) = storage();
    make_impostors(dir.path());
    for odd in ["has=equals.data", "has~tilde", "two\nlines", "odd name.data", "caf\u{e9}", ".hidden"] {
        fs::write(dir.path().join(odd), "").unwrap();
    }
    let wanted = set(&[".", "..", "target", "dir", "odd name.data", "caf\u{e9}", ".hidden"]);
    assert_eq!(listed(&storage, 1000), wanted);
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    assert!(list(&storage, 1000).split(|&byte| byte == b'\n').any(|line| line == b"\xff"));
}

#[test]
fn an_empty_storage_lists_itself_and_its_parent() {
    let (_dir, storage) = storage();
    assert_eq!(listed(&storage, 10), set(&[".", ".."]));
    assert!(list(&storage, 10).ends_with(b"\n"));
}

#[test]
fn a_listing_in_steps_is_the_listing() {
    let (dir, storage) = storage();
    (0..1000).for_each(|serial| fs::write(dir.path().join(format!("web.{serial}.data")), "").unwrap());
    let whole = list(&storage, 10_000);
    for max_entries in [1, 7, 1003, 1004] {
        assert_eq!(list(&storage, max_entries), whole);
    }
    assert!(matches!(
        storage.list(ListingKind::Names, &Budget::new(1 << 20)).unwrap().step(10, false).unwrap(),
        Progress::More(_)
    ));
}

#[test]
fn a_folder_is_opened_once_at_a_time_and_swept() {
    let (dir, storage) = storage();
    let mut temp = storage.create_temp(0).unwrap();
    temp.write(b"half").unwrap();
    let staging = storage.path().join(".tentacle-server");
    let error = StorageDir::open(dir.path(), MODE).unwrap_err();
    assert!(matches!(&error, StoreError::Busy { path, .. } if *path == staging), "{error}");
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 1);
    // What a kill would leave.
    temp.finish().unwrap().hand_over();
    drop(storage);
    let _folder = StorageDir::open(dir.path(), MODE).unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
}

#[test]
fn files_get_the_permissions_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let storage = StorageDir::open(dir.path(), 0o640).unwrap();
    let (spool_dir, stage) = storage.create_temp(0).unwrap().finish().unwrap().hand_over();
    assert_eq!(spool_dir.staged_path(stage).metadata().unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn directories_inside_are_opened_and_others_are_refused() {
    let (dir, storage) = storage();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    symlink(elsewhere.path(), dir.path().join("out")).unwrap();
    symlink("a", dir.path().join("alias")).unwrap();
    let open = |path: &str| storage.open_inside(Path::new(path), MODE);
    assert_eq!(open("a/b").unwrap().path(), storage.path().join("a/b"));
    assert_eq!(open("alias").unwrap().path(), storage.path().join("a"));
    assert!(Arc::ptr_eq(open("a/..").unwrap().dir(), storage.dir()));
    for path in ["..", "out", "a/../..", "/", elsewhere.path().to_str().unwrap()] {
        assert!(matches!(open(path), Err(StoreError::Outside { .. })), "{path}");
    }
    assert!(matches!(open("absent"), Err(StoreError::Io { errno: Errno::NOENT, .. })));
    assert!(!elsewhere.path().join(".tentacle-server").exists());
}

/// Two storages, and a directory of the first that somebody swaps with a link into the second, over and over.
#[test]
fn a_directory_swapped_for_a_link_while_it_is_opened_never_leads_out() {
    let (dir, storage) = storage();
    let elsewhere = tempfile::tempdir().unwrap();
    let [real, link] = ["conf", "link"].map(|name| dir.path().join(name));
    fs::create_dir(&real).unwrap();
    symlink(elsewhere.path(), &link).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..2_000 {
            if let Ok(conf) = storage.open_inside(Path::new("conf"), MODE) {
                drop(conf.create_temp(0).unwrap().finish().unwrap());
            }
            if elsewhere.path().join(".tentacle-server").exists() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_moved_out_is_not_in_place_though_a_link_leads_to_it() {
    let (dir, storage) = storage();
    let elsewhere = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("conf"), elsewhere.path().join("conf"));
    fs::create_dir(&inside).unwrap();
    let conf = storage.open_inside(Path::new("conf"), MODE).unwrap();
    assert!(conf.is_in_place());
    fs::rename(&inside, &outside).unwrap();
    symlink(&outside, &inside).unwrap();
    assert!(!conf.is_in_place());
    assert!(matches!(storage.open_inside(Path::new("conf"), MODE), Err(StoreError::Outside { .. })));
}
