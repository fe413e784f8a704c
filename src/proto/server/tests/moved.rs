//! When a moved file may go.

use super::*;

/// A session in which a moved body has left.
fn moved(pipelined: bool) -> Server {
    let mut server = supplying(Verb::Mv);
    server.body_transferred(4).unwrap();
    server.body_flushed(pipelined).unwrap();
    server
}

#[test]
fn a_moved_file_goes_with_the_next_command_before_that_is_done() {
    let mut server = moved(false);
    assert_eq!(events(&mut server), []);
    assert_eq!(server.handle_input(b"MV <a.da"), Ok(8));
    assert_eq!(events(&mut server), [], "half a command shows nothing");
    answer_to(&mut server, "ta>\n");
    assert_eq!(events(&mut server), [Event::MovesConfirmed, Event::Asked { verb: Verb::Mv, name: name() }]);
}

#[test]
fn any_command_shows_that_a_body_arrived_and_garbage_does_not() {
    for line in ["QUIT\n", "RECV <?>\n", "SEND <a> SIZE 0\n", "LS <>\n"] {
        let mut server = moved(false);
        answer_to(&mut server, line);
        assert_eq!(server.poll_event(), Some(Event::MovesConfirmed), "{line}");
    }
    let digest = "PASS 703b089710823916d4bb7ff2deff4d8f\n";
    for line in ["FOO\n", "\n", digest, &"x".repeat(MAX_LINE)] {
        let mut server = moved(false);
        server.handle_input(line.as_bytes()).unwrap_err();
        server.handle_eof(true).unwrap_err();
        assert_eq!(events(&mut server), [], "{line}");
    }
}

#[test]
fn a_command_that_was_already_waiting_shows_nothing() {
    let mut server = moved(true);
    answer_to(&mut server, "MV <a.data>\n");
    assert_eq!(events(&mut server), [Event::Asked { verb: Verb::Mv, name: name() }]);
    give(&mut server, Verb::Mv);
    server.body_transferred(4).unwrap();
    server.body_flushed(false).unwrap();
    answer_to(&mut server, "LS <>\n");
    assert_eq!(server.poll_event(), Some(Event::MovesConfirmed), "of both files");
}

#[test]
fn a_command_shows_what_one_sent_ahead_did_not_once_there_was_a_pause() {
    let mut server = moved(false);
    server.sent_ahead();
    assert_eq!(server.handle_input(b"RECV <?>\n"), Ok(9));
    server.caught_up();
    flush(&mut server);
    assert_eq!(server.handle_input(b"REC"), Ok(3));
    server.caught_up();
    answer_to(&mut server, "V <?>\n");
    assert!(
        !events(&mut server).contains(&Event::MovesConfirmed),
        "our reply had not left, nor the second command ended"
    );
    server.caught_up();
    answer_to(&mut server, "RECV <?>\n");
    assert_eq!(server.poll_event(), Some(Event::MovesConfirmed));
}

#[test]
fn a_moved_file_goes_with_an_orderly_close_and_stays_with_any_other() {
    for pipelined in [false, true] {
        let mut orderly = moved(pipelined);
        assert_eq!(orderly.handle_eof(true), Ok(()));
        assert_eq!(events(&mut orderly), [Event::MovesConfirmed]);
        assert_eq!(orderly.handle_eof(true), Ok(()));
        assert_eq!(events(&mut orderly), [], "it goes once");
        let mut other = moved(pipelined);
        assert_eq!(other.handle_eof(false), Ok(()));
        assert_eq!(events(&mut other), []);
    }
    let mut after_quit = moved(true);
    answer_to(&mut after_quit, "QUIT\n");
    assert_eq!(events(&mut after_quit), []);
    assert_eq!(after_quit.handle_eof(true), Ok(()));
    assert_eq!((events(&mut after_quit), after_quit.ending()), (vec![Event::MovesConfirmed], Some(&CloseReason::Quit)));
}

#[test]
fn an_end_inside_anything_shows_nothing() {
    let mut in_a_line = moved(false);
    in_a_line.handle_input(b"MV <").unwrap();
    let mut in_a_body = moved(true);
    answer_to(&mut in_a_body, "MV <a.data>\n");
    events(&mut in_a_body);
    give(&mut in_a_body, Verb::Mv);
    in_a_body.body_transferred(3).unwrap();
    let mut unflushed = moved(true);
    answer_to(&mut unflushed, "MV <a.data>\n");
    events(&mut unflushed);
    give(&mut unflushed, Verb::Mv);
    unflushed.body_transferred(4).unwrap();
    for (server, ending) in [
        (&mut in_a_line, CloseReason::LineCut { excerpt: excerpt("MV <") }),
        (&mut in_a_body, CloseReason::Unsent { verb: Verb::Mv, remaining: 1 }),
        (&mut unflushed, CloseReason::Unsent { verb: Verb::Mv, remaining: 0 }),
    ] {
        assert_eq!(server.handle_eof(true), Err(ending));
        assert_eq!(events(server), []);
    }
}

#[test]
fn an_empty_moved_file_goes_once_it_is_wanted() {
    let mut server = after_line("MV <a.data>\n");
    server.announce(0).unwrap();
    assert_eq!(flush(&mut server), "MV SIZE 0\n");
    answer_to(&mut server, "MV OK\n");
    assert_eq!(events(&mut server), [Event::Accepted { verb: Verb::Mv }, Event::MovesConfirmed]);
    assert_eq!(server.want(), Want::Line);
    let mut after_another = moved(true);
    answer_to(&mut after_another, "MV <a.data>\n");
    after_another.announce(0).unwrap();
    flush(&mut after_another);
    events(&mut after_another);
    answer_to(&mut after_another, "MV OK\n");
    assert_eq!(events(&mut after_another), [Event::Accepted { verb: Verb::Mv }], "the other one is still unshown");
}
