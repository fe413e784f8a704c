use std::fs;
use std::io::Cursor;
use std::os::unix::fs::MetadataExt;

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipArchive, ZipWriter};
use tempfile::TempDir;

use super::super::fair_queue::Wanted;
use super::*;
use crate::store::fs::space::{Quota, SpaceAccount};

const GENEROUS: UnpackLimits = UnpackLimits { max_size: 1 << 30, max_ratio: 2000 };

/// What a streaming writer makes of [`GREETING`]: an absolute path, times and owners, a data descriptor.
const STREAMED: &[u8] = b"PK\x03\x04\x14\0\x08\0\x08\0Fdw]\0\0\0\0\0\0\0\0\0\0\0\0\x0c\0\x1c\0/tmp/zz.dataUT\x09\0\x03\
    \xc4\x32\x04k\xc4\x32\x04kux\x0b\0\x01\x04\0\0\0\0\x04\0\0\0\0\xcbH\xcd\xc9\xc9W\xc8@'\xb9\0PK\x07\x08\0\x88Y\x0b\
    \x0b\0\0\0\x18\0\0\0PK\x01\x02\x14\x03\x14\0\x08\0\x08\0Fdw]\0\x88Y\x0b\x0b\0\0\0\x18\0\0\0\x0c\0\x18\0\0\0\0\0\
    \x01\0\0\0\xa4\x81\0\0\0\0/tmp/zz.dataUT\x05\0\x01\xc4\x32\x04kux\x0b\0\x01\x04\0\0\0\0\x04\0\0\0\0PK\x05\x06\0\0\0\
    \0\x01\0\x01\0R\0\0\0a\0\0\0\0\0";
const GREETING: &[u8] = b"hello hello hello hello\n";

fn storage() -> (TempDir, StorageDir) {
    let dir = tempfile::tempdir().unwrap();
    let storage = StorageDir::open(dir.path(), 0o660).unwrap();
    (dir, storage)
}

fn written(storage: &StorageDir, bytes: &[u8]) -> ClosedTemp {
    let mut temp = storage.create_temp(0).unwrap();
    temp.write(bytes).unwrap();
    temp.finish().unwrap()
}

fn unpacked(storage: &StorageDir, archive: &[u8], limits: UnpackLimits) -> Result<Vec<u8>, ArchiveError> {
    let written = unpack(written(storage, archive), limits, &Wanted::new().1)?;
    let bytes = fs::read(written.path()).unwrap();
    assert_eq!(bytes.len() as u64, written.size());
    Ok(bytes)
}

/// An archive by another writer.
fn archive(entries: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

fn patched(archive: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut patched = archive.to_vec();
    patched[at..at + bytes.len()].copy_from_slice(bytes);
    patched
}

fn central(archive: &[u8]) -> usize {
    archive.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap()
}

#[test]
fn what_stock_sends_unpacks() {
    let (_dir, storage) = storage();
    let recording: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/server/zsend-one.json")).unwrap();
    let latin1 = |text: &serde_json::Value| text.as_str().unwrap().chars().map(|c| c as u8).collect::<Vec<u8>>();
    let (sent, stored) = (latin1(&recording["steps"][1]["send"]), latin1(&recording["files_after"]["f.data"]));
    assert_eq!(unpacked(&storage, &sent, GENEROUS), Ok(stored));
    assert_eq!(unpacked(&storage, STREAMED, GENEROUS), Ok(GREETING.to_vec()));
    let corrupt = latin1(
        &serde_json::from_str::<serde_json::Value>(include_str!("../../../tests/vectors/server/zsend-corrupt.json"))
            .unwrap()["steps"][1]["send"],
    );
    assert_eq!(unpacked(&storage, &corrupt, GENEROUS), Err(ArchiveError::Zip(ZipError::Malformed("it is too short"))));
}

#[test]
fn what_others_make_unpacks_whatever_its_entry_is_named() {
    let (dir, storage) = storage();
    let long: Vec<u8> = (0..300_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    for bytes in [b"".as_slice(), b"x", GREETING, &long] {
        for name in ["a.data", "/etc/passwd", "../../up", "a\nb"] {
            for options in [options(), options().compression_method(CompressionMethod::Stored)] {
                assert_eq!(unpacked(&storage, &archive(&[(name, bytes)], options), GENEROUS).unwrap(), bytes, "{name}");
            }
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(dir.path().join(".tentacle-server")).unwrap().count(), 0);
}

#[test]
fn anything_but_one_file_is_refused() {
    let (_dir, storage) = storage();
    let refused = |archive: &[u8]| unpacked(&storage, archive, GENEROUS).unwrap_err();
    assert_eq!(refused(&archive(&[], options())), ArchiveError::Zip(ZipError::Entries(0)));
    assert_eq!(refused(&archive(&[("a", b"1"), ("b", b"2")], options())), ArchiveError::Zip(ZipError::Entries(2)));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_directory("dir", options()).unwrap();
    assert_eq!(refused(&writer.finish().unwrap().into_inner()), ArchiveError::Zip(ZipError::Directory));
    let one = archive(&[("a", GREETING)], options());
    // Two in the directory whose count is one; another archive before this one, behind it, and in its comment.
    let two = archive(&[("a", b"1"), ("b", b"2")], options());
    let end = two.len() - END;
    for odd in [patched(&two, end + 8, &[1, 0, 1, 0]), [&*two, &*one].concat(), [&*one, b"\0"].concat()] {
        assert!(matches!(refused(&odd), ArchiveError::Zip(ZipError::Malformed(_))));
    }
}

#[test]
fn methods_flags_and_extensions_we_do_not_know_are_refused_by_name() {
    let (_dir, storage) = storage();
    let refused = |archive: &[u8]| unpacked(&storage, archive, GENEROUS).unwrap_err();
    let one = archive(&[("a", GREETING)], options());
    let central = central(&one);
    assert_eq!(refused(&patched(&one, central + 10, &[12, 0])), ArchiveError::Zip(ZipError::Method(12)));
    for (headers, flags) in [(&[central + 8, 6][..], 1), (&[central + 8], 1 << 6), (&[6], 1)] {
        let encrypted = headers.iter().fold(one.clone(), |archive, &at| patched(&archive, at, &[flags, 0]));
        assert_eq!(refused(&encrypted), ArchiveError::Zip(ZipError::Encrypted));
    }
    for at in [central + 20, central + 24, central + 42, one.len() - END + 16] {
        assert_eq!(refused(&patched(&one, at, &[0xff; 4])), ArchiveError::Zip(ZipError::Zip64));
    }
}

#[test]
fn what_says_it_becomes_too_large_is_refused_before_it_does() {
    let (_dir, storage) = storage();
    let zeros = vec![0; 5_000_000];
    let bomb = archive(&[("a", &zeros)], options());
    let (archive, size) = (bomb.len() as u64, zeros.len() as u64);
    let unpacked = |max_size, max_ratio| unpacked(&storage, &bomb, UnpackLimits { max_size, max_ratio });
    assert_eq!(unpacked(size - 1, 2000), Err(ArchiveError::TooLarge { size, max: size - 1 }));
    assert_eq!(unpacked(size, 100), Err(ArchiveError::Bomb { archive, size, max_ratio: 100 }));
    assert_eq!(unpacked(size, 2000), Ok(zeros));
}

#[test]
fn what_lies_about_its_size_or_bytes_is_refused() {
    let (_dir, storage) = storage();
    let central = central(STREAMED);
    let cases = [
        (24, [23, 0, 0, 0], "its entry is longer than declared"),
        (24, [25, 0, 0, 0], "its entry is shorter than declared"),
        (16, [1, 2, 3, 4], "its checksum is wrong"),
        (20, [10, 0, 0, 0], "its entry is damaged"),
        (20, [200, 0, 0, 0], "its entry reaches into its directory"),
        (42, [1, 0, 0, 0], "its entry and its directory disagree"),
    ];
    for (field, bytes, why) in cases {
        let refused = unpacked(&storage, &patched(STREAMED, central + field, &bytes), GENEROUS);
        assert_eq!(refused, Err(ArchiveError::Zip(ZipError::Malformed(why))), "{field}");
    }
}

#[test]
fn a_damaged_archive_gives_the_same_bytes_or_none() {
    let (_dir, storage) = storage();
    let ours = archive(&[("a", GREETING)], options());
    for archive in [STREAMED, &ours] {
        for at in 0..archive.len() {
            for bit in 0..8 {
                let damaged = patched(archive, at, &[archive[at] ^ 1 << bit]);
                if let Ok(bytes) = unpacked(&storage, &damaged, GENEROUS) {
                    assert_eq!(bytes, GREETING, "bit {bit} of byte {at}");
                }
            }
            assert!(unpacked(&storage, &archive[..at], GENEROUS).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn the_room_set_aside_grows_with_what_comes_out() {
    let (_dir, storage) = storage();
    let space = SpaceAccount::open(&storage, Quota { max_bytes: Some(1000), ..Quota::default() }).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    let now = std::time::Instant::now();
    let unpack = |bytes: usize| {
        let archive = archive(&[("a", &vec![0; bytes])], options());
        let reservation = space.admit(&storage, archive.len() as u64, None, now).unwrap();
        let mut temp = storage.create_temp(0).unwrap().with_reservation(reservation);
        temp.make_room(archive.len() as u64).unwrap();
        temp.write(&archive).unwrap();
        unpack(temp.finish().unwrap(), GENEROUS, &Wanted::new().1)
    };
    let unpacked = unpack(900).unwrap();
    assert!(space.admit(&storage, 101, None, now).is_err());
    drop(unpacked);
    assert!(matches!(unpack(1001), Err(ArchiveError::Full(Full::Bytes { .. }))));
    assert!(space.admit(&storage, 1000, None, now).is_ok());
}

#[test]
fn what_we_pack_others_read_and_so_do_we() {
    let (dir, storage) = storage();
    let long: Vec<u8> = (0..300_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    for (name, bytes) in [("empty", b"".as_slice()), ("one.data", b"x"), ("odd name.data", GREETING), ("long", &long)] {
        fs::write(dir.path().join(name), bytes).unwrap();
        let source = storage.find(&name.parse().unwrap()).unwrap().unwrap();
        let Packed { file, size } = pack(&storage, &source, &Wanted::new().1).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.nlink(), metadata.len()), (0, size));
        let mut archive = ZipArchive::new(&file).unwrap();
        let mut entry = archive.by_index(0).unwrap();
        let mut read = Vec::new();
        entry.read_to_end(&mut read).unwrap();
        assert_eq!((entry.name(), read.as_slice()), (name, bytes));
        let mut packed = vec![0; usize::try_from(size).unwrap()];
        file.read_exact_at(&mut packed, 0).unwrap();
        assert_eq!(unpacked(&storage, &packed, GENEROUS).unwrap(), bytes);
    }
    assert_eq!(fs::read_dir(dir.path().join(".tentacle-server")).unwrap().count(), 0);
}

#[test]
fn a_file_that_shrinks_meanwhile_is_packed_as_far_as_it_goes() {
    let (dir, storage) = storage();
    fs::write(dir.path().join("a"), GREETING).unwrap();
    let source = storage.find(&"a".parse().unwrap()).unwrap().unwrap();
    File::options().write(true).open(dir.path().join("a")).unwrap().set_len(5).unwrap();
    let Packed { file, size } = pack(&storage, &source, &Wanted::new().1).unwrap();
    let mut packed = vec![0; usize::try_from(size).unwrap()];
    file.read_exact_at(&mut packed, 0).unwrap();
    assert_eq!(unpacked(&storage, &packed, GENEROUS), Ok(GREETING[..5].to_vec()));
}
