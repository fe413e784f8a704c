use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn arb_copy() -> impl Strategy<Value = SiteFile> {
    let name = vec(any::<u8>(), 1..20).prop_filter_map("a file name", |bytes| FileName::new(&bytes).ok());
    let fingerprint = (0..3u64, 0..3u8, any::<bool>()).prop_map(|(size, byte, is_old)| {
        let old = Fingerprint::of_md5(Md5Sum { size, md5: [byte; 16] });
        if is_old { old } else { Fingerprint::new(size, ContentHash::of(&[byte])) }
    });
    ("[a-c é%\n]{0,2}", name, fingerprint).prop_map(|(site, name, fingerprint)| SiteFile {
        site: site.into(),
        name,
        fingerprint,
    })
}

fn arb_record() -> impl Strategy<Value = Record> {
    let spool = || (0..3u128).prop_map(SpoolId);
    let stage = || (0..2u64, 0..9u64).prop_map(|(session, number)| StageId { session, number });
    prop_oneof![
        Just(Record::Journal(FORMAT)),
        (spool(), vec(1..=255u8, 0..9)).prop_map(|(id, path)| Record::Spool(id, OsStr::from_bytes(&path).into())),
        (spool(), stage(), arb_copy()).prop_map(|(spool, stage, copy)| Record::Intent(Intent { spool, stage, copy })),
        (spool(), stage(), arb_copy()).prop_map(|(spool, stage, copy)| Record::Only(Intent { spool, stage, copy })),
        stage().prop_map(Record::Published),
        (spool(), arb_copy()).prop_map(|(spool, copy)| Record::Held(spool, copy)),
        arb_copy().prop_map(Record::Gone),
    ]
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        record.encode(&mut out);
    }
    out
}

fn added_up(records: &[Record]) -> State {
    let mut state = State::default();
    for record in records {
        state.apply(record.clone());
    }
    state
}

fn line_feeds(bytes: &[u8]) -> usize {
    bytes.split(|&byte| byte == b'\n').count() - 1
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in vec(arb_record(), 0..30)) {
        let replay = replay(&encoded(&records)).unwrap();
        prop_assert_eq!(replay, Replay { state: added_up(&records), ..Replay::default() });
    }

    #[test]
    fn a_cut_loses_the_tail_and_nothing_else(records in vec(arb_record(), 1..20), at in any::<prop::sample::Index>()) {
        let whole = encoded(&records);
        let cut = at.index(whole.len() + 1);
        let kept = line_feeds(&whole[..cut]);
        let replay = replay(&whole[..cut]).unwrap();
        let torn_line = (cut > 0 && whole[cut - 1] != b'\n').then_some(kept + 1);
        prop_assert_eq!(replay, Replay { state: added_up(&records[..kept]), bad_lines: vec![], torn_line });
    }

    #[test]
    fn a_changed_byte_costs_its_line_and_is_told(
        records in vec(arb_record(), 1..10),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut journal = encoded(&records);
        let at = at.index(journal.len());
        prop_assume!(journal[at] != b'\n' && journal[at] ^ flip != b'\n');
        let line = line_feeds(&journal[..at]);
        journal[at] ^= flip;
        let others = [&records[..line], &records[line + 1..]].concat();
        let replay = replay(&journal).unwrap();
        prop_assert_eq!(replay, Replay { state: added_up(&others), bad_lines: vec![line + 1], torn_line: None });
    }

    #[test]
    fn no_bytes_make_it_panic(data in vec(any::<u8>(), 0..300)) {
        fuzz_journal(&data);
    }

    #[test]
    fn a_rewritten_journal_says_the_same(records in vec(arb_record(), 0..30)) {
        fuzz_journal(&encoded(&records));
    }
}

#[test]
fn the_format_is_as_documented() {
    let copy = SiteFile {
        site: "north pole".into(),
        name: "web 01.17.data".parse().unwrap(),
        fingerprint: Fingerprint::of(b""),
    };
    let stage = StageId { session: 0xfe, number: 7 };
    let intent = Record::Intent(Intent { spool: SpoolId(1), stage, copy: copy.clone() });
    let line = "intent 00000000000000000000000000000001 00000000000000fe-7 north%20pole web%2001.17.data 0 \
                af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(intent.to_string(), line);
    let line = "gone north%20pole web%2001.17.data 0 d41d8cd98f00b204e9800998ecf8427e";
    let gone = Record::Gone(SiteFile { fingerprint: Fingerprint::of_md5(Md5Sum::of(b"")), ..copy });
    assert_eq!(gone.to_string(), line, "as format 1 has it");
    assert_eq!(replay(&encoded(&[Record::Journal(1), gone])), Ok(Replay::default()));
    assert_eq!(encoded(&[Record::Journal(1)]), b"4e1efb44dc4f31a2 journal 1\n");
}

#[test]
fn a_later_format_is_not_read() {
    assert_eq!(replay(&encoded(&[Record::Journal(FORMAT + 1)])), Err(FORMAT + 1));
}

#[test]
fn fields_too_many_too_few_or_malformed_make_no_record() {
    for text in [
        "journal",
        "journal 1 1",
        "journal one",
        "spool 1 /x",
        "spool 00000000000000000000000000000001 %2",
        "spool 00000000000000000000000000000001 %+1",
        "published 00000000000000fe-07",
        "published +0000000000000fe-7",
        "gone a ../b 0 d41d8cd98f00b204e9800998ecf8427e",
        "gone a b 0 d41d8cd98f00b204e9800998ecf8427",
        "gone %FF b 0 d41d8cd98f00b204e9800998ecf8427e",
        "erased 1",
        "",
    ] {
        let line = format!("{} {text}", checksum(text.as_bytes()));
        assert_eq!(Record::decode(line.as_bytes()), None, "{text}");
    }
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/journal");
    let seeds: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        fuzz_journal(&std::fs::read(seed).unwrap());
    }
}

#[test]
fn what_is_committed_after_a_site_let_an_equal_file_go_is_not_forgotten() {
    let (mut state, file) = (State::default(), StageId { session: 1, number: 2 });
    let name = "a.1.data".parse().unwrap();
    let copy = SiteFile { site: "north".into(), name, fingerprint: Fingerprint::of(b"one") };
    let intent = Intent { spool: SpoolId(7), stage: file, copy: copy.clone() };
    state.commit(intent.clone(), 5);
    assert!(state.forget(&copy, 6) && !state.forget(&copy, 7));
    // Ordered from another committer, which comes to it only now.
    state.commit(intent, 9);
    assert!(!state.forget(&copy, 8));
    assert_eq!(state.held.spool_of(&copy), Some(SpoolId(7)));
}
