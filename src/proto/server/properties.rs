use proptest::prelude::*;

use super::super::extension::ContentHash;
use super::super::fuzzing::{
    ServerSession as Session, client_against_server, compressed_client_against_server, pipelined_client_against_server,
    pipelined_session,
};
use super::*;

/// A client's lines, and the letters of [`Session`]'s script that answer them.
type Exchange = (Vec<u8>, &'static str);

fn asking() -> impl Strategy<Value = Exchange> {
    let verbs = prop_oneof![Just("LS"), Just("RECV"), Just("ZRECV"), Just("MV")];
    let outcomes = prop_oneof![Just("r"), Just("a"), Just("e")];
    (verbs, outcomes, prop_oneof![3 => Just("OK"), 1 => Just("NO")], any::<bool>()).prop_map(
        |(verb, outcome, answer, pipelined)| {
            let answer = if outcome == "r" { String::new() } else { format!("{verb} {answer}\n") };
            let letters = match (outcome, pipelined) {
                ("a", true) if verb == "MV" && answer == "MV OK\n" => "ap",
                ("a", false) if verb == "MV" && answer == "MV OK\n" => "aa",
                (outcome, _) => outcome,
            };
            (format!("{verb} <a.data>\n{answer}").into(), letters)
        },
    )
}

fn offering() -> impl Strategy<Value = Exchange> {
    let verbs = prop_oneof![Just("SEND"), Just("ZSEND")];
    let outcomes = prop_oneof![1 => Just("r"), 1 => Just("gr"), 3 => Just("gs")];
    (verbs, outcomes, proptest::collection::vec(any::<u8>(), 1..200)).prop_map(|(verb, outcome, body)| {
        let body = if outcome == "r" { &[] } else { body.as_slice() };
        let size = body.len().max(1);
        ([format!("{verb} <a.data> SIZE {size}\n").as_bytes(), body].concat(), outcome)
    })
}

fn refused_at_once() -> impl Strategy<Value = Exchange> {
    let lines = prop_oneof![Just("RECV <?>\n"), Just("SEND <a> SIZE 0\n"), Just("MV <..>\n"), Just("LS <*>\n")];
    lines.prop_map(|line| (line.into(), ""))
}

fn extended() -> impl Strategy<Value = Exchange> {
    let drop = format!("DROP <a.data> SIZE 1 BLAKE3 {}\n", ContentHash::of(b"a"));
    let twice = format!("{drop}{drop}RECV <?>\n");
    let put = |condition: &str| format!("PUT <a.data> SIZE 3{condition}\nabc");
    prop_oneof![
        Just(("RECV <?caps>\n".into(), "")),
        prop_oneof![Just("a"), Just("e"), Just("r")].prop_map(|letters| ("GET <a.data>\n".into(), letters)),
        prop_oneof![Just("a"), Just("e"), Just("r")].prop_map(|letters| ("LIST <> LIMIT 3\n".into(), letters)),
        prop_oneof![Just("rr"), Just("aaaa"), Just("arr"), Just("aaar")]
            .prop_map(move |letters| (twice.clone().into_bytes(), letters)),
        prop_oneof![Just("r"), Just("gs"), Just("gr")].prop_map(move |letters| (put("").into_bytes(), letters)),
        Just((put(" IF ABSENT").into_bytes(), "gs")),
        Just(("PUT <a*> SIZE 3\nabc".into(), "")),
        Just(("PUT <a> SIZE 0\n".into(), "")),
        Just(("GET <?>\n".into(), "")),
        // Consented to, it would be no question the next time.
        Just(("DEFLATE\n".into(), "r")),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    prop_oneof![3 => asking(), 2 => offering(), 1 => refused_at_once(), 3 => extended()]
}

proptest! {
    #[test]
    fn a_session_goes_the_same_way_in_any_pieces(
        exchanges in proptest::collection::vec(exchange(), 0..8),
        piece in 1_usize..300,
    ) {
        let script: String = exchanges.iter().map(|(_, letters)| *letters).collect();
        let mut stream: Vec<u8> = exchanges.into_iter().flat_map(|(bytes, _)| bytes).collect();
        stream.extend_from_slice(b"QUIT\n");
        let whole = Session::run(script.as_bytes(), &stream, usize::MAX);
        prop_assert_eq!((whole.understood, &whole.ending), (stream.len(), &Some(CloseReason::Quit)));
        prop_assert_eq!(Session::run(script.as_bytes(), &stream, piece), whole);
    }

    #[test]
    fn a_session_cut_anywhere_ends_alike_in_any_pieces(
        exchanges in proptest::collection::vec(exchange(), 1..4),
        cut in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..4),
        piece in 1_usize..100,
    ) {
        let script: String = exchanges.iter().map(|(_, letters)| *letters).collect();
        let mut stream: Vec<u8> = exchanges.into_iter().flat_map(|(bytes, _)| bytes).collect();
        stream.truncate(cut.index(stream.len()));
        stream.extend(noise);
        let whole = Session::run(script.as_bytes(), &stream, usize::MAX);
        prop_assert_eq!(Session::run(script.as_bytes(), &stream, piece), whole);
    }

    #[test]
    fn a_client_that_sends_ahead_and_our_server_understand_each_other(
        dice in proptest::collection::vec(any::<u8>(), 0..1500),
    ) {
        pipelined_client_against_server(&dice);
    }

    #[test]
    fn a_client_that_sends_ahead_hears_the_same_in_any_pieces(
        script in "[CGLDPQ]{0,12}",
        answers in proptest::collection::vec(prop_oneof![
            Just("CAPS 1 GET\n"), Just("GET SIZE 3 MTIME 5\nabc"), Just("GET ERR (not allowed)\n"), Just("DROP OK\n"),
            Just("LIST SIZE 0 END\n"), Just("LIST SIZE 2 MORE 1 1\nab"), Just("PUT OK\n"), Just("RECV ERR\n"), Just("x"),
        ], 0..12),
    ) {
        pipelined_session(format!("{script}\n{}", answers.concat()).as_bytes());
    }

    #[test]
    fn our_client_and_our_server_understand_each_other(dice in proptest::collection::vec(any::<u8>(), 0..1500)) {
        client_against_server(&dice);
    }
}

proptest! {
    // A compressor is made anew after each flush, of which there are many.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_client_that_is_compressed_and_our_server_understand_each_other(
        dice in proptest::collection::vec(any::<u8>(), 0..1000),
    ) {
        compressed_client_against_server(&dice);
    }
}
