use std::fs::{self as files, Permissions, metadata, read};
use std::mem::forget;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::process::umask;

use super::super::testing::{Incoming, configuration};
use super::*;

const BYTES: &[u8] = b"agent_name web01\n";

fn publish(directories: &Directories, item: &Item, content: &[u8]) -> Result<(), StoreError> {
    publish_all(directories, &[Pair { item, content }]).remove(0)
}

/// The pair of the first item, with its MD5.
fn with_targets<T>(directories: &Directories, then: impl FnOnce(&Targets<'_>) -> T) -> T {
    let (item, text) = (configuration(1), md5_text(Md5Sum::of(BYTES).md5));
    then(&Targets::new(directories, &Pair { item: &item, content: BYTES }, &text).unwrap())
}

fn expected() -> [String; 2] {
    let item = configuration(1);
    [item.content_name(), item.md5_name()].map(|name| name.to_string())
}

/// Fails unless both files are there, whole, and nothing else is.
#[track_caller]
fn assert_published(incoming: &Incoming) {
    let item = configuration(1);
    assert_eq!(incoming.names(), expected());
    assert_eq!(read(incoming.content(&item)).unwrap(), BYTES);
    assert_eq!(read(incoming.md5(&item)).unwrap(), md5_text(Md5Sum::of(BYTES).md5).into_bytes());
}

#[test]
fn a_pair_has_the_rights_that_the_console_needs_whatever_the_umask() {
    let incoming = Incoming::new();
    let path = incoming.path().to_owned();
    let is_root = ["conf", "md5"].iter().all(|name| {
        let directory = path.join(name);
        let is_given = chown(&directory, None, Some(4321)).is_ok();
        files::set_permissions(&directory, Permissions::from_mode(0o2770)).unwrap();
        is_given
    });
    let item = configuration(1);
    let publishing = thread::spawn(move || {
        // The mask of this thread alone.
        unshare(CloneFlags::CLONE_FS).unwrap();
        umask(Mode::from_raw_mode(0o077));
        publish(&Directories::open(&path).unwrap(), &item, BYTES)
    });
    assert_eq!(publishing.join().unwrap(), Ok(()));
    assert_published(&incoming);
    for path in [incoming.content(&configuration(1)), incoming.md5(&configuration(1))] {
        let found = metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o660);
        assert!(!is_root || found.gid() == 4321);
    }
}

#[test]
fn a_pair_gets_the_group_of_a_directory_that_does_not_give_it() {
    let incoming = Incoming::new();
    if ["conf", "md5"].iter().any(|name| chown(incoming.path().join(name), None, Some(4321)).is_err()) {
        println!("SKIPPED: only root gives a directory to another group");
        return;
    }
    publish(&incoming.open(), &configuration(1), BYTES).unwrap();
    assert_eq!(metadata(incoming.content(&configuration(1))).unwrap().gid(), 4321);
    assert_eq!(metadata(incoming.md5(&configuration(1))).unwrap().gid(), 4321);
}

#[test]
fn no_file_is_replaced_and_nothing_is_left_beside_it() {
    let item = configuration(1);
    for (is_content, other) in [(true, "other"), (true, ""), (false, "other"), (false, "")] {
        let incoming = Incoming::new();
        let path = if is_content { incoming.content(&item) } else { incoming.md5(&item) };
        files::write(&path, other).unwrap();
        assert_eq!(publish(&incoming.open(), &item, BYTES), Err(StoreError::Exists(path.clone())));
        assert_eq!((read(&path).unwrap(), incoming.names().len()), (other.as_bytes().to_vec(), 1));
    }
    let incoming = Incoming::new();
    std::os::unix::fs::symlink("/nowhere", incoming.content(&item)).unwrap();
    assert_eq!(publish(&incoming.open(), &item, BYTES), Err(StoreError::Exists(incoming.content(&item))));
}

#[test]
fn a_file_that_appears_meanwhile_stays_and_the_other_is_taken_back() {
    let item = configuration(1);
    for is_content in [true, false] {
        let incoming = Incoming::new();
        let path = if is_content { incoming.content(&item) } else { incoming.md5(&item) };
        let outcome = with_targets(&incoming.open(), |targets| {
            let mut publications = [targets.begin()];
            // After both were found to be absent.
            files::write(&path, "edited").unwrap();
            finish(&mut publications);
            publications.into_iter().next().unwrap().map(drop)
        });
        assert_eq!(outcome, Err(StoreError::Exists(path.clone())));
        assert_eq!((read(path).unwrap(), incoming.names().len()), (b"edited".to_vec(), 1));
    }
}

#[test]
fn a_file_that_was_edited_just_now_is_not_taken_back() {
    let incoming = Incoming::new();
    let (directories, item) = (incoming.open(), configuration(1));
    let content = Target::new(&directories.configurations, item.content_name(), BYTES);
    let draft = content.draft().unwrap();
    let held = draft.file().try_clone().unwrap();
    draft.rename(OnConflict::Refuse).unwrap();
    incoming.write_content(&item, b"agent_name web02\n");
    content.take_back(&held);
    assert_eq!(read(&content.path).unwrap(), b"agent_name web02\n");
    incoming.write_content(&item, BYTES);
    content.take_back(&held);
    assert!(incoming.names().is_empty());
}

#[test]
fn of_several_at_once_one_publishes_both_files() {
    let incoming = Incoming::new();
    let bytes = |number: u8| [number; 100];
    let outcomes = thread::scope(|scope| {
        let publish = |number| publish(&Directories::open(incoming.path()).unwrap(), &configuration(1), &bytes(number));
        let threads: Vec<_> = (1..=8).map(|number| scope.spawn(move || publish(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(StoreError::Exists(_)))), "{outcomes:?}");
    assert_eq!(incoming.names(), expected());
    let content = read(incoming.content(&configuration(1))).unwrap();
    let md5 = read(incoming.md5(&configuration(1))).unwrap();
    assert_eq!(md5, md5_text(Md5Sum::of(&content).md5).into_bytes());
}

#[test]
fn a_content_of_the_same_bytes_gets_its_md5_and_a_pair_that_is_there_is_published() {
    let (incoming, item) = (Incoming::new(), configuration(1));
    incoming.write_content(&item, BYTES);
    for _ in 0..2 {
        assert_eq!(publish(&incoming.open(), &item, BYTES), Ok(()));
        assert_published(&incoming);
    }
}

#[test]
fn nothing_empty_is_published_and_nothing_where_there_is_no_directory() {
    let (incoming, item) = (Incoming::new(), configuration(1));
    let error = publish(&incoming.open(), &item, b"").unwrap_err().to_string();
    assert!(error.contains("cannot publish it empty"), "{error}");
    files::remove_dir(incoming.path().join("collections")).unwrap();
    let error = publish(&incoming.open(), &Item::collection("fc_1").unwrap(), BYTES).unwrap_err();
    assert!(error.is_missing() && error.path() == Some(&incoming.path().join("collections")), "{error}");
    assert!(files::read_dir(incoming.path().join("conf")).unwrap().next().is_none());
}

/// What a publication came to before the crash.
#[derive(Clone, Copy, Debug)]
enum Crash {
    OneDraft,
    BothDrafts,
    ContentNamed,
}

fn publish_until(crash: Crash, incoming: &Incoming) {
    with_targets(&incoming.open(), |targets| {
        if let Crash::OneDraft = crash {
            return forget(targets.md5.draft().unwrap());
        }
        let mut begun = targets.begin().unwrap();
        if let Crash::ContentNamed = crash {
            begun.name_content().unwrap();
        }
        forget((begun.content.take(), begun.md5.take()));
    });
}

#[test]
fn after_a_crash_a_pair_is_there_or_gone() {
    for crash in [Crash::OneDraft, Crash::BothDrafts] {
        let incoming = Incoming::new();
        publish_until(crash, &incoming);
        assert!(!incoming.names().is_empty());
        recover(&incoming.open()).unwrap();
        assert!(incoming.names().is_empty(), "{crash:?}");
    }
    let incoming = Incoming::new();
    publish_until(Crash::ContentNamed, &incoming);
    recover(&incoming.open()).unwrap();
    assert_published(&incoming);
}

#[test]
fn after_a_crash_what_was_edited_since_is_left_alone() {
    let item = configuration(1);
    let incoming = Incoming::new();
    publish_until(Crash::ContentNamed, &incoming);
    incoming.write_content(&item, b"edited");
    recover(&incoming.open()).unwrap();
    assert_eq!(incoming.names(), [item.content_name().to_string()]);
    let incoming = Incoming::new();
    publish_until(Crash::ContentNamed, &incoming);
    incoming.put(1, b"edited");
    recover(&incoming.open()).unwrap();
    assert_eq!(incoming.names(), expected());
    assert_eq!(read(incoming.content(&item)).unwrap(), b"edited");
}

#[test]
fn drafts_of_a_crash_are_in_nobodys_way() {
    for crash in [Crash::OneDraft, Crash::BothDrafts, Crash::ContentNamed] {
        let incoming = Incoming::new();
        publish_until(crash, &incoming);
        publish(&incoming.open(), &configuration(1), BYTES).unwrap();
        recover(&incoming.open()).unwrap();
        assert_published(&incoming);
    }
}

#[test]
fn many_are_published_at_once_and_one_that_cannot_be_keeps_no_other() {
    let incoming = Incoming::new();
    let contents: Vec<(Item, Vec<u8>)> =
        (1..=40).map(|number| (configuration(number), format!("agent_name a{number}\n").into_bytes())).collect();
    incoming.write_content(&contents[3].0, b"edited");
    incoming.put(5, &contents[4].1);
    let mut pairs: Vec<_> = contents.iter().map(|(item, content)| Pair { item, content }).collect();
    let collection = Item::collection("fc_1").unwrap();
    pairs.push(Pair { item: &collection, content: b"zip" });
    pairs.push(Pair { item: &collection, content: b"" });
    let outcomes = publish_all(&incoming.open(), &pairs);
    let failed: Vec<usize> = (0..outcomes.len()).filter(|number| outcomes[*number].is_err()).collect();
    assert_eq!(failed, [3, 41], "{outcomes:?}");
    assert_eq!(incoming.names().len(), 2 * 41 - 1);
    for (number, (item, content)) in contents.iter().enumerate().filter(|(number, _)| *number != 3) {
        assert_eq!(read(incoming.content(item)).unwrap(), *content, "{number}");
        assert_eq!(read(incoming.md5(item)).unwrap(), md5_text(Md5Sum::of(content).md5).into_bytes());
    }
}
