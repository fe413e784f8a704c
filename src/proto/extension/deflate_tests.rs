use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::super::ContentHash;
use super::*;

/// All that comes out of `stream` in pieces of that size, of which never more is held than the bound.
fn inflate(inflater: &mut Inflater, stream: &[u8], piece: usize) -> Result<Vec<u8>, InflateError> {
    let mut all = Vec::new();
    for mut bytes in stream.chunks(piece) {
        while !bytes.is_empty() || inflater.may_have_more() {
            let taken = inflater.handle_input(bytes)?;
            bytes = &bytes[taken..];
            assert!(inflater.output().len() <= OUTPUT);
            all.extend_from_slice(inflater.output());
            inflater.taken(usize::MAX);
        }
    }
    Ok(all)
}

/// What leaves for these pushes, with a flush after each for which `flushes` holds.
fn deflate(deflater: &mut Deflater, pushes: &[(Vec<u8>, bool)]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (bytes, is_flushed) in pushes {
        deflater.push(bytes);
        if *is_flushed {
            deflater.flush();
        }
        stream.extend_from_slice(deflater.transmit());
        deflater.transmitted(usize::MAX);
    }
    stream
}

fn pushes() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let text = proptest::collection::vec(proptest::sample::select(b"<data>1\n".to_vec()), 0..2_000);
    let noise = proptest::collection::vec(any::<u8>(), 0..200);
    let zeros = (0..200_000_usize).prop_map(|count| vec![0; count]);
    proptest::collection::vec((prop_oneof![4 => text, 4 => noise, 1 => zeros], any::<bool>()), 0..20)
}

fn histories() -> impl Strategy<Value = History> {
    prop_oneof![Just(History::Kept), Just(History::SinceFlush)]
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_in_any_pieces(pushes in pushes(), history in histories(), piece in 1..5_000_usize) {
        let stream = deflate(&mut Deflater::new(history), &[pushes.clone(), vec![(Vec::new(), true)]].concat());
        let whole: Vec<u8> = pushes.into_iter().flat_map(|(bytes, _)| bytes).collect();
        prop_assert_eq!(inflate(&mut Inflater::new(), &stream, piece), Ok(whole));
    }

    /// Or a peer that waits for an answer to them would wait for ever.
    #[test]
    fn what_was_flushed_is_all_there(pushes in pushes(), history in histories()) {
        let (mut deflater, mut inflater) = (Deflater::new(history), Inflater::new());
        for (bytes, _) in pushes {
            let stream = deflate(&mut deflater, &[(bytes.clone(), true)]);
            prop_assert!(deflater.is_flushed());
            prop_assert_eq!(inflate(&mut inflater, &stream, usize::MAX), Ok(bytes));
        }
    }

    #[test]
    fn any_bytes_are_a_stream_or_an_error_and_the_pieces_do_not_matter(
        stream in proptest::collection::vec(any::<u8>(), 0..2_000),
        piece in 1..100_usize,
    ) {
        let whole = inflate(&mut Inflater::new(), &stream, usize::MAX);
        prop_assert_eq!(inflate(&mut Inflater::new(), &stream, piece), whole);
    }
}

#[test]
fn a_flush_of_nothing_sends_nothing_and_an_idle_sender_without_history_holds_nothing() {
    let mut deflater = Deflater::new(History::SinceFlush);
    deflater.flush();
    assert!(deflater.transmit().is_empty() && deflater.is_flushed());
    deflater.push(b"GET <a>\n");
    assert!(!deflater.is_flushed() && deflater.transmit().is_empty(), "it waits for what may follow");
    deflater.flush();
    assert!(!deflater.is_flushed() && deflater.compress.is_none());
    assert!(deflater.transmit().ends_with(b"\x00\x00\xff\xff"));
    deflater.transmitted(usize::MAX);
    assert!(deflater.is_flushed());
    let before = deflater.outbox.capacity();
    assert_eq!(before, 0);
}

#[test]
fn what_is_alike_costs_little_the_second_time() {
    let line = |number| format!("<data>{}</data>\n", ContentHash::of(&[number])).into_bytes();
    let file: Vec<u8> = (0..50).flat_map(line).collect();
    let sizes = |history| {
        let mut deflater = Deflater::new(history);
        [(); 2].map(|()| deflate(&mut deflater, &[(file.clone(), true)]).len())
    };
    let ([first, second], [again, fresh]) = (sizes(History::Kept), sizes(History::SinceFlush));
    assert!(second * 10 < first, "{first} and {second} bytes");
    assert_eq!((again, fresh), (first, first));
}

#[test]
fn a_little_that_unfolds_into_much_comes_out_in_bounded_pieces() {
    let mut compress = Compress::new(Compression::best(), false);
    let mut bomb = Vec::with_capacity(1 << 20);
    compress.compress_vec(&vec![0; 64 << 20], &mut bomb, FlushCompress::Sync).unwrap();
    assert!(bomb.len() < 100_000);
    let mut inflater = Inflater::new();
    let (mut position, mut turns, mut came) = (0, 0, 0);
    while came < 64 << 20 {
        position += inflater.handle_input(&bomb[position..]).unwrap();
        assert_eq!(inflater.handle_input(&bomb[position..]), Ok(0), "before it is taken, no more comes");
        came += inflater.output().len();
        inflater.taken(usize::MAX);
        turns += 1;
    }
    assert_eq!((came, position), (64 << 20, bomb.len()));
    assert!(turns >= (64 << 20) / OUTPUT);
}

#[test]
fn what_is_no_stream_is_an_error_and_so_is_its_end() {
    for plain in [&b"GET <a.data>\n"[..], b"DROP OK\n", b"\x07"] {
        assert_eq!(inflate(&mut Inflater::new(), plain, 1), Err(InflateError::Damaged), "{plain:?}");
    }
    let mut compress = Compress::new(Compression::fast(), false);
    let mut whole = Vec::with_capacity(100);
    compress.compress_vec(b"QUIT\n", &mut whole, FlushCompress::Finish).unwrap();
    assert_eq!(inflate(&mut Inflater::new(), &whole, usize::MAX), Err(InflateError::Ended));
}
