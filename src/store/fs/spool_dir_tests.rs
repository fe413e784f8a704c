use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::process::umask;

use super::super::compare::Comparison;
use super::super::ids::StageId;
use super::*;
use crate::proto::{FileName, Fingerprint};
use crate::store::{SinkKind, Spool};
use crate::testing::refused_calls::{Refused, exclusive_rename, refused, without};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_directory_that_is_none_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Spool::open(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(absent.contains("absent: cannot open the directory: No such file"), "{absent}");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = Spool::open(&file).unwrap_err().to_string();
    assert!(text.contains("Not a directory") && text.ends_with(": a directory belongs there"), "{text}");
}

#[test]
fn a_staging_area_that_is_a_file_or_a_link_is_refused() {
    for link in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let staging = dir.path().join(".tentacle-sync");
        if link {
            symlink("/tmp", &staging).unwrap();
        } else {
            std::fs::write(&staging, "").unwrap();
        }
        let error = Spool::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Io { errno: Errno::NOTDIR | Errno::LOOP, .. }), "{error}");
    }
}

#[test]
fn the_identity_stays_until_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap().id;
    assert_eq!(SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap().id, first);
    let id_file = dir.path().join(".tentacle-sync").join("id");
    std::fs::write(&id_file, "damaged").unwrap();
    let second = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap().id;
    assert_ne!(second, first);
    assert_eq!(std::fs::read_to_string(&id_file).unwrap(), format!("{second}\n"));
    assert_eq!(std::fs::read_dir(dir.path().join(".tentacle-sync")).unwrap().count(), 1, "no drafts are left");
}

#[test]
fn rights_are_the_groups_and_the_incoming_directory_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let set = |bits| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(bits)).unwrap();
    set(0o755);
    Spool::open(dir.path()).unwrap();
    assert_eq!((mode(dir.path()), mode(&dir.path().join(".tentacle-sync"))), (0o755, 0o700));
    set(0o2770);
    let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    assert_eq!((mode(dir.path()), mode(&dir.path().join(".tentacle-sync"))), (0o2770, 0o2700));
    let (stage, _) = spool_dir.create().unwrap();
    assert_eq!(mode(&spool_dir.staged_path(stage)), 0o660);
}

#[test]
fn rights_are_set_afterwards_only_where_the_umask_takes_some() {
    for (mask, is_given) in [(0o007, true), (0o002, true), (0o022, false), (0o077, false)] {
        let dir = tempfile::tempdir().unwrap();
        let making = std::thread::spawn(move || {
            // The mask of this thread alone.
            unshare(CloneFlags::CLONE_FS).unwrap();
            umask(Mode::from_raw_mode(mask));
            let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
            let (stage, _) = spool_dir.create().unwrap();
            assert_eq!(mode(&spool_dir.staged_path(stage)), 0o660, "{mask:o}");
            let made = without(&[refused(libc::SYS_fchmod, Errno::IO)], || spool_dir.create());
            assert_eq!(made.is_ok(), is_given, "{mask:o}");
        });
        making.join().unwrap();
    }
}

#[test]
fn a_stage_dropped_at_any_time_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for sink in [SinkKind::Append, SinkKind::Mapped] {
        let spool = Spool::open_with(dir.path(), Arc::new(sink)).unwrap();
        let mut stage = spool.stage(10).unwrap();
        stage.write(b"half a").unwrap();
        assert_eq!(stage.size(), 6);
        drop(stage);
        let staged = spool.stage(0).unwrap().finish().unwrap();
        assert_eq!(staged.fingerprint(), Fingerprint::of(b""));
        drop(staged);
        assert_eq!(std::fs::read_dir(dir.path().join(".tentacle-sync")).unwrap().count(), 1, "but the identity");
    }
}

/// Filesystems by what they lack: NFS, FAT and some of FUSE.
fn without_exclusive_renames() -> [Vec<Refused>; 3] {
    let link = |errno| refused(libc::SYS_linkat, errno);
    [
        vec![exclusive_rename(Errno::INVAL)],
        vec![exclusive_rename(Errno::INVAL), link(Errno::PERM)],
        vec![exclusive_rename(Errno::NOSYS), link(Errno::OPNOTSUPP)],
    ]
}

#[test]
fn without_exclusive_renames_and_links_nothing_is_overwritten_either() {
    for (index, calls) in without_exclusive_renames().iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        without(calls, || {
            let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
            assert_eq!(spool_dir.lacks(), if index == 0 { &[][..] } else { &[Lack::ExclusiveNames] });
            let name: FileName = "web01.17.data".parse().unwrap();
            let (first, _) = spool_dir.create().unwrap();
            assert_eq!(spool_dir.rename_into(first, &name), Ok(true));
            assert!(!spool_dir.staged_path(first).exists());
            std::fs::write(spool_dir.published_path(&name), "taken").unwrap();
            std::fs::create_dir(dir.path().join("dir")).unwrap();
            symlink("absent", dir.path().join("link")).unwrap();
            let (second, _) = spool_dir.create().unwrap();
            for taken in ["web01.17.data", "dir", "link"] {
                assert_eq!(spool_dir.rename_into(second, &taken.parse().unwrap()), Ok(false), "{taken}");
                assert!(spool_dir.staged_path(second).exists());
            }
            assert_eq!(std::fs::read(spool_dir.published_path(&name)).unwrap(), b"taken");
            if index == 0 {
                // A kill came between the link and the removal of the staged name.
                std::fs::hard_link(spool_dir.published_path(&name), spool_dir.staged_path(first)).unwrap();
                assert_eq!(spool_dir.rename_into(first, &name), Ok(true));
                assert!(!spool_dir.staged_path(first).exists());
                assert_eq!(std::fs::read(spool_dir.published_path(&name)).unwrap(), b"taken");
            }
        });
    }
}

#[test]
fn where_no_rights_can_be_set_files_are_stored_with_those_they_get() {
    for errno in [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS] {
        let dir = tempfile::tempdir().unwrap();
        without(&[refused(libc::SYS_fchmod, errno)], || {
            let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
            assert_eq!(spool_dir.lacks(), [Lack::Rights(errno)]);
            assert!(spool_dir.create().is_ok());
        });
    }
}

#[test]
fn a_directory_that_cannot_be_flushed_is_done_without_and_a_failing_disk_is_not() {
    for errno in [Errno::INVAL, Errno::OPNOTSUPP, Errno::BADF] {
        let dir = tempfile::tempdir().unwrap();
        without(&[refused(libc::SYS_fsync, errno)], || {
            let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
            assert_eq!(spool_dir.lacks(), [Lack::DirectoryFlush(errno)]);
            assert_eq!((spool_dir.sync_names(), spool_dir.sync_staging()), (Ok(()), Ok(())));
            assert_eq!(spool_dir.set_last_journal(Path::new("/journal")), Ok(()));
        });
    }
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    for errno in [Errno::IO, Errno::NOSPC] {
        let failed = without(&[refused(libc::SYS_fsync, errno)], || spool_dir.sync_names());
        assert!(matches!(failed, Err(StoreError::Io { errno: found, .. }) if found == errno), "{failed:?}");
    }
}

#[test]
fn without_locks_work_goes_on_but_not_without_the_lock_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    let lock_without = |errno| without(&[refused(libc::SYS_flock, errno)], || spool_dir.lock());
    assert_eq!((lock_without(Errno::NOSYS), lock_without(Errno::OPNOTSUPP)), (Ok(()), Ok(())));
    let text = lock_without(Errno::NOLCK).unwrap_err().to_string();
    assert!(text.contains("cannot lock: No locks available") && text.contains("rpc.statd"), "{text}");
}

#[test]
fn only_a_plain_file_with_the_same_bytes_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    let staging = dir.path().join(".tentacle-sync");
    let stage = |number| StageId { session: 7, number };
    let at = |number| staging.join(stage(number).to_string());
    std::fs::write(at(1), "bytes").unwrap();
    std::fs::create_dir(at(2)).unwrap();
    symlink(at(1), at(3)).unwrap();
    let compare = |number, bytes: &[u8]| spool_dir.compare_staged(stage(number), &Fingerprint::of(bytes));
    assert_eq!(compare(1, b"bytes"), Ok(Comparison::Same));
    assert_eq!(compare(1, b"other"), Ok(Comparison::Different));
    assert_eq!(compare(1, b"longer"), Ok(Comparison::Different));
    assert_eq!(compare(2, b"bytes"), Ok(Comparison::Different));
    assert_eq!(compare(3, b"bytes"), Ok(Comparison::Different));
    assert_eq!(compare(4, b"bytes"), Ok(Comparison::Absent));
}

#[test]
fn a_voided_file_is_never_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    for bytes in [&b""[..], b"x", b"bytes"] {
        let (stage, _) = spool_dir.create().unwrap();
        std::fs::write(spool_dir.staged_path(stage), bytes).unwrap();
        let was = Fingerprint::of(bytes);
        assert_eq!(spool_dir.compare_staged(stage, &was), Ok(Comparison::Same));
        spool_dir.invalidate(stage, &was).unwrap();
        assert_eq!(spool_dir.compare_staged(stage, &was), Ok(Comparison::Different));
    }
}

/// Does `work` on a thread of its own, and gives up on it when it takes for ever.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(Duration::from_secs(30)).expect("it does not hang")
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_fifo_in_the_place_of_a_state_file_is_an_error_and_keeps_nobody_waiting() {
    type Look = fn(&Path, &SpoolDir) -> Option<StoreError>;
    let looks: [(&str, Look); 3] = [
        ("id", |path, _| SpoolDir::open(path, setup::FILE_MODE, Staging::Collector).err()),
        ("id", |path, spool_dir| SpoolDir::reopen(path, spool_dir.id).err()),
        ("journal", |_, spool_dir| spool_dir.last_journal().err()),
    ];
    for (name, look) in looks {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let spool_dir = SpoolDir::open(&path, setup::FILE_MODE, Staging::Collector).unwrap();
        let file = path.join(".tentacle-sync").join(name);
        std::fs::remove_file(&file).ok();
        make_fifo(&file);
        let error = in_time(move || look(&path, &spool_dir)).unwrap().to_string();
        assert!(error.contains(&format!("{name}: is a FIFO")) && error.contains("remove it"), "{error}");
    }
}

#[test]
fn a_fifo_in_the_place_of_a_staged_file_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    let (stage, file) = spool_dir.create().unwrap();
    drop(file);
    spool_dir.discard(stage).unwrap();
    make_fifo(&spool_dir.staged_path(stage));
    in_time(move || {
        let looks: [fn(&SpoolDir, StageId) -> Option<StoreError>; 3] = [
            |spool_dir, stage| spool_dir.open_staged(stage).err(),
            |spool_dir, stage| spool_dir.invalidate(stage, &Fingerprint::of(b"x")).err(),
            |spool_dir, stage| spool_dir.sync_staged_file(stage).err(),
        ];
        for look in looks {
            assert!(look(&spool_dir, stage).is_some_and(|error| error.to_string().contains("is a FIFO")));
        }
        assert_eq!(spool_dir.compare_staged(stage, &Fingerprint::of(b"")), Ok(Comparison::Different));
    });
}

/// Lets it be another user's, which root alone can do.
fn give_away(path: &Path) -> bool {
    let is_given = std::os::unix::fs::chown(path, Some(4321), Some(4321)).is_ok();
    if !is_given {
        println!("SKIPPED: only root gives a directory to another user");
    }
    is_given
}

#[test]
fn a_staging_area_that_another_user_has_made_is_refused() {
    for kind in [Staging::Collector, Staging::Server] {
        let dir = tempfile::tempdir().unwrap();
        let staging = dir.path().join(kind.name());
        std::fs::create_dir(&staging).unwrap();
        if !give_away(&staging) {
            return;
        }
        let error = SpoolDir::open(dir.path(), setup::FILE_MODE, kind).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("{}: belongs to user 4321", kind.name())), "{text}");
        assert!(text.contains("remove it") && error.is_lasting(), "{text}");
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0, "nothing was put there");
        // The owner of the directory around it can replace it in any case.
        assert!(give_away(dir.path()));
        SpoolDir::open(dir.path(), setup::FILE_MODE, kind).unwrap();
    }
}

#[test]
fn a_staging_area_that_others_may_write_to_is_made_private() {
    for bits in [0o777, 0o2770, 0o702] {
        let dir = tempfile::tempdir().unwrap();
        let staging = dir.path().join(".tentacle-sync");
        std::fs::create_dir(&staging).unwrap();
        std::fs::set_permissions(&staging, std::fs::Permissions::from_mode(bits)).unwrap();
        SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
        assert_eq!(mode(&staging) & 0o777, 0o700);
    }
}

#[test]
fn where_rights_cannot_be_changed_a_staging_area_that_others_may_write_to_is_used_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let staging = dir.path().join(".tentacle-sync");
    std::fs::create_dir(&staging).unwrap();
    std::fs::set_permissions(&staging, std::fs::Permissions::from_mode(0o777)).unwrap();
    without(&[refused(libc::SYS_fchmod, Errno::PERM)], || {
        SpoolDir::open(dir.path(), setup::FILE_MODE, Staging::Collector).unwrap();
    });
}
