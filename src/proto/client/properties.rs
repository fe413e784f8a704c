use proptest::prelude::*;

use super::super::fuzzing::Session;
use super::*;

/// Letters of [`Session`]'s script, the peer's part, and the events that must come of them.
type Exchange = (String, Vec<u8>, Vec<Event>);

fn incoming() -> impl Strategy<Value = Exchange> {
    let verbs =
        prop_oneof![Just(("L", Verb::Ls)), Just(("R", Verb::Recv)), Just(("Z", Verb::Zrecv)), Just(("M", Verb::Mv)),];
    (verbs, any::<Option<bool>>(), proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
        |((letter, verb), outcome, body)| {
            let size = body.len() as u64;
            let announced = Event::Announced { verb, size };
            match outcome {
                None => {
                    let refused = Event::Refused { verb, refusal: Refusal::Unspecified };
                    (letter.into(), format!("{verb} ERR\n").into(), vec![refused])
                }
                Some(false) => (format!("{letter}d"), format!("{verb} SIZE {size}\n").into(), vec![announced]),
                Some(true) => (
                    format!("{letter}a"),
                    [format!("{verb} SIZE {size}\n").as_bytes(), &body].concat(),
                    vec![announced, Event::BodyComplete { verb }],
                ),
            }
        },
    )
}

fn outgoing() -> impl Strategy<Value = Exchange> {
    let verb = Verb::Send;
    let refused = Event::Refused { verb, refusal: Refusal::Exists };
    prop_oneof![
        Just(("S".into(), b"SEND OK\nSEND OK\n".to_vec(), vec![Event::Go { verb }, Event::Stored { verb }])),
        Just(("s".into(), b"SEND ERR (file already exists)\n".to_vec(), vec![refused])),
    ]
}

proptest! {
    #[test]
    fn a_session_goes_the_same_way_in_any_pieces(
        exchanges in proptest::collection::vec(prop_oneof![3 => incoming(), 1 => outgoing()], 0..8),
        piece in 1_usize..300,
    ) {
        let script: String = exchanges.iter().map(|(letters, ..)| letters.as_str()).collect();
        let stream: Vec<u8> = exchanges.iter().flat_map(|(_, bytes, _)| bytes.clone()).collect();
        let events: Vec<Event> = exchanges.into_iter().flat_map(|(.., events)| events).collect();
        let whole = Session::run(script.as_bytes(), &stream, usize::MAX);
        prop_assert_eq!(&whole.events, &events);
        prop_assert_eq!((whole.understood, &whole.error), (stream.len(), &None));
        prop_assert_eq!(Session::run(script.as_bytes(), &stream, piece), whole);
    }

    #[test]
    fn a_session_cut_anywhere_ends_alike_in_any_pieces(
        exchanges in proptest::collection::vec(prop_oneof![3 => incoming(), 1 => outgoing()], 1..4),
        cut in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..4),
        piece in 1_usize..100,
    ) {
        let script: String = exchanges.iter().map(|(letters, ..)| letters.as_str()).collect();
        let mut stream: Vec<u8> = exchanges.into_iter().flat_map(|(_, bytes, _)| bytes).collect();
        stream.truncate(cut.index(stream.len()));
        stream.extend(noise);
        let whole = Session::run(script.as_bytes(), &stream, usize::MAX);
        prop_assert_eq!(Session::run(script.as_bytes(), &stream, piece), whole);
    }
}
