use std::io::{Cursor, Write};

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};
use proptest::prelude::*;

use super::*;

const MAX: u64 = 1 << 20;
const GREETING: &[u8] = b"hello hello hello hello\n";

/// As stock sends them: an agent's file, an empty one, and one that does not shrink.
const STOCK: [&[u8]; 3] = [
    include_bytes!("../../../fuzz/corpus/unpack/stock-web01"),
    include_bytes!("../../../fuzz/corpus/unpack/stock-empty"),
    include_bytes!("../../../fuzz/corpus/unpack/stock-noise"),
];

fn unpacked_in(archive: &[u8], max: u64, pieces: &[usize]) -> Result<Vec<u8>, UnpackError> {
    let (mut unpacker, mut out, mut rest) = (Unpacker::new(max), Vec::new(), archive);
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(pieces.next().unwrap().clamp(1, rest.len()));
        unpacker.take(piece, &mut |bytes| out.extend_from_slice(bytes))?;
        assert!(out.len() as u64 <= max);
        rest = behind;
    }
    assert_eq!(unpacker.finish()?, out.len() as u64);
    Ok(out)
}

fn unpacked(archive: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let whole = unpacked_in(archive, MAX, &[]);
    let byte_by_byte = unpacked_in(archive, MAX, &vec![1; archive.len()]);
    assert_eq!(byte_by_byte.is_ok(), whole.is_ok(), "{byte_by_byte:?}, {whole:?}");
    whole
}

/// An archive by another writer.
fn archive(entries: &[&[u8]], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (number, bytes) in entries.iter().enumerate() {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{number}.data"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// By one that does not go back, and says the sizes behind the data.
fn streamed(bytes: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new_stream(Vec::new());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file("a.data", options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap().into_inner()
}

fn patched(archive: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut patched = archive.to_vec();
    patched[at..at + bytes.len()].copy_from_slice(bytes);
    patched
}

fn find(archive: &[u8], signature: [u8; 4]) -> usize {
    archive.windows(4).rposition(|window| *window == signature).unwrap()
}

fn without(archive: &[u8], at: usize, count: usize) -> Vec<u8> {
    [&archive[..at], &archive[at + count..]].concat()
}

#[test]
fn what_stock_sends_unpacks() {
    let [agent, empty, noise] = STOCK.map(|archive| unpacked(archive).unwrap());
    assert!(agent.starts_with(b"<?xml") && agent.ends_with(b"</agent_data>\n") && agent.len() == 4_759);
    assert_eq!((empty.len(), noise.len()), (0, 700));
}

#[test]
fn what_others_make_unpacks_whether_the_sizes_come_first_or_last() {
    let long: Vec<u8> = (0..100_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    for bytes in [b"".as_slice(), b"x", GREETING, &long] {
        for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
            assert_eq!(unpacked(&archive(&[bytes], method)).unwrap(), bytes, "{method}");
        }
        assert_eq!(unpacked(&streamed(bytes)).unwrap(), bytes);
    }
}

#[test]
fn the_descriptor_may_lack_its_signature() {
    for archive in STOCK {
        let bare = without(archive, find(archive, *b"PK\x07\x08"), 4);
        // The directory has moved by as much.
        let end = bare.len() - END;
        let at = u32::from_le_bytes(bare[end + 16..end + 20].try_into().unwrap()) - 4;
        assert_eq!(unpacked(&patched(&bare, end + 16, &at.to_le_bytes())), unpacked(archive));
    }
}

#[test]
fn anything_but_one_file_is_refused() {
    let deflated = |entries: &[&[u8]]| archive(entries, CompressionMethod::Deflated);
    let refused = |archive: &[u8]| unpacked(archive).unwrap_err();
    let one = deflated(&[GREETING]);
    assert_eq!(refused(&deflated(&[])), malformed("it is too short"));
    assert_eq!(refused(&deflated(&[b"1", b"2"])), malformed("no directory follows its entry"));
    assert_eq!(
        refused(b"<agent_data>no archive, but the file itself</agent_data>\n"),
        malformed("it begins with no entry")
    );
    assert_eq!(refused(&[&*one, b"\0"].concat()), malformed("something follows its end record"));
    assert_eq!(unpacked(b""), Err(malformed("it is too short")));
}

#[test]
fn methods_flags_and_extensions_we_do_not_know_are_refused_by_name() {
    let one = archive(&[GREETING], CompressionMethod::Deflated);
    let refused = |at: usize, bytes: &[u8]| unpacked(&patched(&one, at, bytes)).unwrap_err();
    assert_eq!(refused(8, &[12, 0]), ZipError::Method(12).into());
    assert_eq!(refused(6, &[1, 0]), ZipError::Encrypted.into());
    assert_eq!(refused(18, &[0xff; 8]), ZipError::Zip64.into());
    let stored = archive(&[GREETING], CompressionMethod::Stored);
    let endless = unpacked(&patched(&stored, 6, &[8, 0])).unwrap_err();
    assert_eq!(endless, malformed("its entry is stored, and does not say where it ends"));
}

#[test]
fn no_more_comes_out_than_may_whatever_it_says() {
    let zeros = vec![0; 5_000_000];
    for bomb in [archive(&[&zeros], CompressionMethod::Deflated), streamed(&zeros)] {
        for pieces in [&[][..], &vec![1; bomb.len()]] {
            assert_eq!(unpacked_in(&bomb, MAX, pieces), Err(UnpackError::TooLarge { max: MAX }));
            let just_enough = zeros.len() as u64;
            assert_eq!(unpacked_in(&bomb, just_enough, pieces).map(|bytes| bytes.len()), Ok(zeros.len()));
            assert!(unpacked_in(&bomb, just_enough - 1, pieces).is_err());
        }
    }
}

#[test]
fn a_damaged_archive_gives_the_same_bytes_or_none() {
    let ours = archive(&[GREETING], CompressionMethod::Deflated);
    for archive in [STOCK[0], STOCK[1], &ours, &streamed(GREETING)] {
        let sound = unpacked(archive).unwrap();
        for at in 0..archive.len() {
            for bit in 0..8 {
                if let Ok(bytes) = unpacked(&patched(archive, at, &[archive[at] ^ 1 << bit])) {
                    assert_eq!(bytes, sound, "bit {bit} of byte {at}");
                }
            }
            assert!(unpacked(&archive[..at]).is_err(), "cut at {at}");
        }
    }
}

proptest! {
    #[test]
    fn how_it_is_cut_into_pieces_is_of_no_matter(
        bytes in prop::collection::vec(0_u8..4, 0..60_000),
        pieces in prop::collection::vec(1_usize..3_000, 0..50),
        is_streamed: bool,
    ) {
        let archive = if is_streamed { streamed(&bytes) } else { archive(&[&bytes], CompressionMethod::Deflated) };
        prop_assert_eq!(unpacked_in(&archive, MAX, &pieces), Ok(bytes));
    }
}
