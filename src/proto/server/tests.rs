use super::super::{Excerpt, FileName, MAX_LINE, PasswordDigest, Secret};
use super::*;

mod moved;

fn policy() -> Policy {
    Policy { insecure: true, max_size: 100, ..Policy::default() }
}

fn with_password() -> Policy {
    Policy { password: Some(PasswordDigest::of(&Secret::new(b"s3cret".to_vec()))), ..policy() }
}

fn server(policy: Policy) -> Server {
    Server::new(Arc::new(policy))
}

fn name() -> FileName {
    "a.data".parse().unwrap()
}

/// A server's answer to `line`, all of it at once.
fn answer_to(server: &mut Server, line: &str) -> String {
    assert_eq!(server.handle_input(line.as_bytes()), Ok(line.len()), "{line:?}");
    flush(server)
}

fn flush(server: &mut Server) -> String {
    let said = String::from_utf8(server.transmit().to_vec()).unwrap();
    server.transmitted(said.len());
    said
}

fn events(server: &mut Server) -> Vec<Event> {
    std::iter::from_fn(|| server.poll_event()).collect()
}

/// A session that was given `line`, and whose caller has taken its events.
fn after_line(line: &str) -> Server {
    let mut server = server(policy());
    answer_to(&mut server, line);
    events(&mut server);
    server
}

/// A session in which a body of 4 bytes is on its way out.
fn supplying(verb: Verb) -> Server {
    let mut server = after_line(&format!("{verb} <a.data>\n"));
    give(&mut server, verb);
    server
}

/// Announces 4 bytes and has them accepted.
fn give(server: &mut Server, verb: Verb) {
    server.announce(4).unwrap();
    assert_eq!(flush(server), format!("{verb} SIZE 4\n"));
    assert_eq!(answer_to(server, &format!("{verb} OK\n")), "");
    assert_eq!(events(server), [Event::Accepted { verb }]);
    assert_eq!(server.want(), Want::Supply(4));
}

fn excerpt(text: &str) -> Excerpt {
    Excerpt::of_command(text.as_bytes())
}

#[test]
fn a_file_is_taken_and_confirmed_once_it_is_stored() {
    for verb in [Verb::Send, Verb::Zsend] {
        let mut server = server(policy());
        assert_eq!(server.want(), Want::Line);
        assert_eq!(answer_to(&mut server, &format!("{verb} <a.data> SIZE 5\n")), "");
        assert_eq!(events(&mut server), [Event::Offered { verb, name: name(), size: 5 }]);
        assert_eq!(server.want(), Want::Decision);
        server.accept().unwrap();
        assert_eq!(flush(&mut server), format!("{verb} OK\n"));
        assert_eq!(server.want(), Want::Body(5));
        server.body_transferred(2).unwrap();
        assert_eq!((server.want(), events(&mut server)), (Want::Body(3), vec![]));
        server.body_transferred(3).unwrap();
        assert_eq!((server.want(), events(&mut server)), (Want::Decision, vec![Event::BodyComplete { verb }]));
        assert_eq!(flush(&mut server), "", "nothing is promised before it is true");
        server.stored().unwrap();
        assert_eq!((flush(&mut server), server.want()), (format!("{verb} OK\n"), Want::Line));
    }
}

#[test]
fn a_body_is_refused_before_or_after_it_came() {
    let mut before = after_line("SEND <a.data> SIZE 5\n");
    before.refuse(Refusal::Exists).unwrap();
    assert_eq!((flush(&mut before), before.want()), ("SEND ERR (file already exists)\n".into(), Want::Line));
    let mut after = after_line("ZSEND <a.data> SIZE 5\n");
    after.accept().unwrap();
    assert_eq!(flush(&mut after), "ZSEND OK\n");
    after.body_transferred(5).unwrap();
    after.refuse(Refusal::BadArchive).unwrap();
    assert_eq!((flush(&mut after), after.want()), ("ZSEND ERR\n".into(), Want::Line));
}

#[test]
fn a_file_is_given_to_a_client_that_wants_it() {
    for verb in [Verb::Recv, Verb::Zrecv] {
        let mut server = supplying(verb);
        server.body_transferred(1).unwrap();
        assert_eq!(server.want(), Want::Supply(3));
        server.body_transferred(3).unwrap();
        assert_eq!((server.want(), events(&mut server)), (Want::Line, vec![]));
        assert_eq!(server.handle_eof(true), Ok(()));
        assert_eq!((events(&mut server), server.ending()), (vec![], Some(&CloseReason::Closed)));
    }
}

#[test]
fn a_listing_is_given_for_any_word() {
    let mut server = server(policy());
    answer_to(&mut server, "LS <.conf>\n");
    assert_eq!(events(&mut server), [Event::ListAsked { word: ".conf".parse().unwrap() }]);
    give(&mut server, Verb::Ls);
    server.body_transferred(4).unwrap();
    assert_eq!(server.want(), Want::Line);
}

#[test]
fn all_but_the_exact_ok_declines_and_the_session_goes_on() {
    for (verb, answer) in [(Verb::Mv, "MV NO\n"), (Verb::Recv, "MV OK\n"), (Verb::Zrecv, "\n"), (Verb::Mv, "QUIT\n")] {
        let mut server = after_line(&format!("{verb} <a.data>\n"));
        server.announce(4).unwrap();
        flush(&mut server);
        assert_eq!(answer_to(&mut server, answer), "");
        assert_eq!((events(&mut server), server.want()), (vec![Event::Declined { verb }], Want::Line));
    }
}

#[test]
fn what_a_caller_refuses_is_said_in_stock_s_words() {
    for (line, refusal, reply) in [
        ("RECV <a>\n", Refusal::Missing, "RECV ERR (file does not exist)\n"),
        ("ZRECV <a>\n", Refusal::Missing, "ZRECV ERR (file does not exist)\n"),
        ("MV <a>\n", Refusal::Missing, "MV ERR\n"),
        ("LS <>\n", Refusal::Failed, "LS ERR\n"),
        ("MV <a>\n", Refusal::NotAllowed, "MV ERR\n"),
        ("SEND <a> SIZE 1\n", Refusal::NoRoom, "SEND ERR (no room for the file)\n"),
        ("SEND <a> SIZE 1\n", Refusal::NotAllowed, "SEND ERR (not allowed)\n"),
        ("ZSEND <a> SIZE 1\n", Refusal::Failed, "ZSEND ERR (file cannot be stored)\n"),
    ] {
        let mut server = after_line(line);
        server.refuse(refusal).unwrap();
        assert_eq!((flush(&mut server), server.want()), (reply.into(), Want::Line), "{line}");
    }
}

#[test]
fn what_no_caller_need_decide_is_refused_at_once() {
    let nines = "9".repeat(30);
    for (line, refusal, reply) in [
        ("SEND <a?> SIZE 3", Refusal::InvalidName, "SEND ERR (invalid file name)\n"),
        ("SEND <a?> SIZE 0", Refusal::InvalidName, "SEND ERR (invalid file name)\n"),
        ("SEND <a> SIZE 0", Refusal::TooBig, "SEND ERR (file is too big)\n"),
        ("SEND <..> SIZE 0", Refusal::TooBig, "SEND ERR (file is too big)\n"),
        ("ZSEND <a> SIZE 101", Refusal::TooBig, "ZSEND ERR (file is too big)\n"),
        (&format!("SEND <a> SIZE {nines}"), Refusal::TooBig, "SEND ERR (file is too big)\n"),
        ("RECV <?>", Refusal::InvalidName, "RECV ERR (file has an invalid file name)\n"),
        ("RECV <..>", Refusal::Missing, "RECV ERR (file does not exist)\n"),
        ("ZRECV <>", Refusal::Missing, "ZRECV ERR (file does not exist)\n"),
        ("MV <../x>", Refusal::InvalidName, "MV ERR\n"),
        ("MV <.>", Refusal::Missing, "MV ERR\n"),
        ("LS <*.conf>", Refusal::InvalidName, "LS ERR\n"),
    ] {
        let mut server = server(policy());
        assert_eq!(answer_to(&mut server, &format!("{line}\n")), reply, "{line}");
        let verb = line.split(' ').next().unwrap();
        let refused = events(&mut server);
        assert!(
            matches!(&refused[..], [Event::Refused { verb: v, refusal: r, line: l }]
                if v.as_str() == verb && *r == refusal && *l == excerpt(line)),
            "{line}: {refused:?}"
        );
        assert_eq!(server.want(), Want::Line);
    }
}

#[test]
fn a_name_with_a_forbidden_character_is_refused_in_the_words_of_its_command() {
    let mut server = server(policy());
    assert_eq!(answer_to(&mut server, "SEND <a?b> SIZE 3\n"), "SEND ERR (invalid file name)\n");
    assert_eq!(answer_to(&mut server, "LS <a?b>\n"), "LS ERR\n");
    assert_eq!(answer_to(&mut server, "RECV <a?b>\n"), "RECV ERR (file has an invalid file name)\n");
}

/// Stock takes the body and stumbles when it opens the file.
#[test]
fn a_body_under_a_name_no_file_can_have_is_asked_for_and_ends_the_session() {
    for (name, error) in [("..", NameError::Dots), ("", NameError::Empty), (&"n".repeat(300), NameError::TooLong(300))]
    {
        let mut server = server(policy());
        assert_eq!(answer_to(&mut server, &format!("SEND <{name}> SIZE 3\n")), "SEND OK\n");
        assert_eq!((server.want(), events(&mut server)), (Want::Line, vec![]));
        assert_eq!(server.handle_input(b"ab"), Ok(2));
        assert_eq!(server.handle_input(b"cQUIT\n"), Err(CloseReason::Unstorable { verb: Verb::Send, error }));
        assert_eq!(server.want(), Want::Closed);
    }
}

#[test]
fn the_password_comes_first_and_once() {
    let right = "PASS 703b089710823916d4bb7ff2deff4d8f\n";
    let mut server = server(with_password());
    assert_eq!(answer_to(&mut server, right), "PASS OK\n");
    assert_eq!(events(&mut server), [Event::PasswordAccepted]);
    answer_to(&mut server, "LS <>\n");
    server.refuse(Refusal::Unspecified).unwrap();
    flush(&mut server);
    assert_eq!(server.handle_input(right.as_bytes()), Err(CloseReason::PasswordUnasked));
}

#[test]
fn any_other_password_ends_the_session() {
    let missing = |text| CloseReason::PasswordMissing { excerpt: excerpt(text) };
    for (line, ending) in [
        ("PASS 2bf264580840ca3048772c9da58349f4", CloseReason::PasswordWrong),
        ("PASS s3cret", CloseReason::PasswordWrong),
        ("LS <>", missing("LS <>")),
        ("", missing("")),
        ("QUIT", missing("QUIT")),
    ] {
        let mut server = server(with_password());
        assert_eq!(server.handle_input(format!("{line}\n").as_bytes()), Err(ending), "{line}");
        assert_eq!((server.transmit(), server.want()), (b"".as_slice(), Want::Closed));
    }
    for line in ["PASS 703b089710823916d4bb7ff2deff4d8f\n", "PASS x\n"] {
        assert_eq!(server(policy()).handle_input(line.as_bytes()), Err(CloseReason::PasswordUnasked));
    }
}

#[test]
fn a_password_digest_is_never_shown() {
    let digest = "703b089710823916d4bb7ff2deff4d8f";
    let shown = |bytes: &str, policy: Policy| {
        let mut server = server(policy);
        let result = server.handle_input(bytes.as_bytes());
        let before = format!("{result:?} {server:?}");
        let ending = server.handle_eof(true).unwrap_err();
        format!("{before} {ending} {ending:?} {server:?}")
    };
    for line in [&format!("PASS {digest} \n"), &format!("PASS {digest}"), &format!("pass {digest}\n")] {
        for policy in [policy(), with_password()] {
            let shown = shown(line, policy);
            assert!(!shown.contains("703b") && !shown.contains("55, 48, 51"), "{shown}");
        }
    }
}

#[test]
fn ls_and_mv_end_the_session_where_they_are_allowed_to_nobody() {
    let policy = Policy { insecure: false, ..policy() };
    for (line, verb) in [("LS <>\n", Verb::Ls), ("LS <*>\n", Verb::Ls), ("MV <a>\n", Verb::Mv), ("MV <?>\n", Verb::Mv)]
    {
        let mut server = server(policy.clone());
        assert_eq!(server.handle_input(line.as_bytes()), Err(CloseReason::NotAllowed { verb }), "{line}");
    }
    assert_eq!(server(policy).handle_input(b"RECV <a>\n"), Ok(9));
}

#[test]
fn a_line_that_is_no_command_ends_the_session_without_a_word() {
    for line in ["FOO", "ls <>", "LS <>\r", "QUIT ", "SEND <a>", "SEND <a> SIZE -1", "RECV a", "LS *"] {
        let mut server = server(policy());
        let unknown = CloseReason::Unknown { excerpt: excerpt(line) };
        assert_eq!(server.handle_input(format!("{line}\nQUIT\n").as_bytes()), Err(unknown.clone()), "{line}");
        assert_eq!((server.transmit(), server.want()), (b"".as_slice(), Want::Closed));
        assert_eq!(server.handle_input(b"QUIT\n"), Err(unknown.clone()), "a failed session stays failed");
        assert_eq!(server.handle_eof(true), Err(unknown.clone()));
        assert_eq!(server.ending(), Some(&unknown));
    }
    assert_eq!(server(policy()).handle_input(b"\n"), Err(CloseReason::EmptyLine));
}

#[test]
fn a_line_without_end_ends_the_session_and_costs_no_memory() {
    let too_long = Err(CloseReason::LineTooLong { excerpt: Excerpt::of_command(&[b'x'; MAX_LINE]) });
    assert_eq!(server(policy()).handle_input(&vec![b'x'; 100_000]), too_long);
    let mut in_pieces = server(policy());
    assert_eq!(in_pieces.handle_input(&[b'x'; MAX_LINE - 1]), Ok(MAX_LINE - 1));
    assert_eq!(in_pieces.handle_input(b"xx"), too_long);
}

#[test]
fn commands_sent_ahead_wait_for_their_turn() {
    let stream = b"SEND <a.data> SIZE 3\nabcRECV <?>\nQUIT\n";
    let mut server = server(policy());
    assert_eq!(server.handle_input(stream), Ok(21));
    assert_eq!(server.handle_input(&stream[21..]), Ok(0), "the caller has not decided");
    server.accept().unwrap();
    assert_eq!(server.handle_input(&stream[21..]), Ok(0), "the body goes around the machine");
    server.body_transferred(3).unwrap();
    assert_eq!(server.handle_input(&stream[24..]), Ok(0), "the caller has not stored it");
    server.stored().unwrap();
    assert_eq!(server.handle_input(&stream[24..]), Ok(0), "the replies are not written");
    assert_eq!(flush(&mut server), "SEND OK\nSEND OK\n");
    assert_eq!(server.handle_input(&stream[24..]), Ok(9));
    assert_eq!(server.handle_input(&stream[33..]), Ok(0));
    assert_eq!(flush(&mut server), "RECV ERR (file has an invalid file name)\n");
    assert_eq!(server.handle_input(&stream[33..]), Ok(5));
    assert_eq!((server.want(), server.ending()), (Want::Closed, Some(&CloseReason::Quit)));
    assert_eq!(server.handle_input(b"LS <>\n"), Ok(0), "nothing is heard after QUIT");
}

#[test]
fn an_end_says_what_was_missing() {
    let during = |verb| Err(CloseReason::ClosedDuring { verb });
    assert_eq!(server(policy()).handle_eof(true), Ok(()));
    assert_eq!(server(with_password()).handle_eof(false), Ok(()));
    assert_eq!(after_line("LS <>\n").handle_eof(true), during(Verb::Ls));
    let mut offered = after_line("SEND <a> SIZE 5\n");
    assert_eq!(offered.handle_eof(true), during(Verb::Send));
    assert_eq!(offered.accept(), Err(Misuse { call: "accept()", want: Want::Closed }));
    let mut in_a_body = after_line("SEND <a> SIZE 5\n");
    in_a_body.accept().unwrap();
    in_a_body.body_transferred(2).unwrap();
    assert_eq!(in_a_body.handle_eof(true), Err(CloseReason::Truncated { verb: Verb::Send, remaining: 3 }));
    assert!(in_a_body.transmit().is_empty(), "there is nobody left to tell");
}

#[test]
fn a_call_out_of_turn_is_ignored_and_says_so() {
    let mut server = server(policy());
    let misuse = |call, want| Err(Misuse { call, want });
    assert_eq!(server.accept(), misuse("accept()", Want::Line));
    assert_eq!(server.stored(), misuse("stored()", Want::Line));
    assert_eq!(server.announce(1), misuse("announce()", Want::Line));
    assert_eq!(server.refuse(Refusal::Missing), misuse("refuse()", Want::Line));
    assert_eq!(server.body_transferred(0), misuse("body_transferred()", Want::Line));
    assert_eq!(server.body_flushed(false), misuse("body_flushed()", Want::Line));
    answer_to(&mut server, "SEND <a> SIZE 5\n");
    assert_eq!(server.announce(1), misuse("announce()", Want::Decision));
    assert_eq!(server.stored(), misuse("stored()", Want::Decision));
    server.accept().unwrap();
    assert_eq!(server.body_transferred(6), misuse("body_transferred()", Want::Body(5)));
    assert_eq!(server.refuse(Refusal::Failed), misuse("refuse()", Want::Body(5)));
    assert_eq!(flush(&mut server), "SEND OK\n");
}

#[test]
fn an_idle_session_is_small_and_holds_no_buffers() {
    assert!(size_of::<Server>() <= 168, "{} bytes", size_of::<Server>());
    let mut server = supplying(Verb::Mv);
    server.body_transferred(4).unwrap();
    server.body_flushed(false).unwrap();
    assert_eq!(server.handle_input(b"MV <"), Ok(4));
    assert_eq!(answer_to(&mut server, "?>\n"), "MV ERR\n");
    assert_eq!(events(&mut server).len(), 2);
    assert_eq!(server.events.capacity(), 0);
    assert_eq!(server.outbox.capacity(), 0);
    assert!(matches!(&server.state, State::Awaiting { line, .. } if line.capacity() == 0));
}

#[test]
fn every_ending_has_one_word() {
    let endings = [
        CloseReason::Quit,
        CloseReason::Closed,
        CloseReason::ClosedDuring { verb: Verb::Mv },
        CloseReason::EmptyLine,
        CloseReason::PasswordWrong,
        CloseReason::NotAllowed { verb: Verb::Ls },
        CloseReason::Unstorable { verb: Verb::Send, error: NameError::Dots },
    ];
    let words = endings.each_ref().map(CloseReason::reason);
    assert_eq!(words, ["quit", "closed", "cut", "protocol", "password", "forbidden", "name"]);
    assert_eq!(endings.iter().filter(|ending| ending.is_orderly()).count(), 2);
}

#[test]
fn the_time_is_told_where_there_is_a_clock() {
    for (clock, time) in [
        (Some((|| Some(1_700_000_000_123_456_789)) as Clock), " TIME=1700000000123456789"),
        (Some((|| None) as Clock), ""),
        (Some((|| Some(u64::MAX)) as Clock), ""),
        (None, ""),
    ] {
        let mut server = server(Policy { extension: true, clock, ..policy() });
        let answer = answer_to(&mut server, "RECV <?caps>\n");
        assert_eq!(answer, format!("CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3{time}\n"));
    }
}

fn extended() -> Server {
    server(Policy { extension: true, compression: true, ..policy() })
}

#[test]
fn what_stands_behind_the_consent_to_compression_is_taken_once_the_consent_is_written() {
    let mut server = extended();
    assert_eq!(answer_to(&mut server, "RECV <?caps>\n"), "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3 DEFLATE\n");
    assert_eq!(server.handle_input(b"DEFLATE\n\x4b\x75"), Ok(8));
    assert_eq!((server.want(), events(&mut server)), (Want::Decision, vec![Event::CompressionAsked]));
    assert!(server.compressed().is_err());
    server.consent().unwrap();
    assert_eq!((server.want(), server.handle_input(b"QUIT\n")), (Want::Compression, Ok(0)));
    assert!(server.compressed().is_err(), "the consent is not written");
    assert_eq!(flush(&mut server), "DEFLATE OK\n");
    assert_eq!(server.handle_input(b"QUIT\n"), Ok(0), "it is not decompressed");
    server.compressed().unwrap();
    assert_eq!(server.want(), Want::Line);
    assert_eq!(answer_to(&mut server, "DEFLATE\n"), "DEFLATE ERR (not allowed)\n", "once is enough");
    assert_eq!(answer_to(&mut server, "RECV <?caps>\n"), "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3\n");
    assert_eq!(answer_to(&mut server, "QUIT\n"), "");
    assert_eq!(server.ending(), Some(&CloseReason::Quit));
}

#[test]
fn compression_is_refused_and_the_session_goes_on() {
    let mut server = extended();
    answer_to(&mut server, "DEFLATE\n");
    server.refuse(Refusal::NoRoom).unwrap();
    assert_eq!(flush(&mut server), "DEFLATE ERR (no room for compression)\n");
    events(&mut server);
    let mut without = self::server(Policy { extension: true, ..policy() });
    assert_eq!(answer_to(&mut without, "RECV <?caps>\n"), "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3\n");
    assert_eq!(answer_to(&mut without, "DEFLATE\n"), "DEFLATE ERR (not allowed)\n");
    for server in [&mut server, &mut without] {
        assert_eq!(server.want(), Want::Line);
        assert_eq!(answer_to(server, "RECV <?>\n"), "RECV ERR (file has an invalid file name)\n");
    }
}

#[test]
fn compression_waits_for_the_answers_before_it() {
    let mut server = extended();
    answer_to(&mut server, &format!("DROP <a> SIZE 1 BLAKE3 {}\n", "0".repeat(64)));
    server.dropping().unwrap();
    events(&mut server);
    assert_eq!((answer_to(&mut server, "DEFLATE\n").as_str(), events(&mut server)), ("", vec![]));
    server.dropped(Ok(())).unwrap();
    server.resume().unwrap();
    assert_eq!((flush(&mut server).as_str(), events(&mut server)), ("DROP OK\n", vec![Event::CompressionAsked]));
    server.consent().unwrap();
    assert_eq!(server.handle_eof(true), Err(CloseReason::ClosedDuring { verb: Verb::Deflate }));
}
