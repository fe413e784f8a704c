use super::super::{FileName, ListArg, MAX_LINE, MAX_SIZE, PasswordDigest, RawName, Secret};
use super::*;

fn name() -> FileName {
    "a.data".parse().unwrap()
}

fn pass() -> Command {
    Command::Pass(PasswordDigest::of(&Secret::new(b"s3cret".to_vec())))
}

fn list() -> Command {
    Command::List(ListArg::root())
}

fn receive() -> Command {
    Command::Receive(name())
}

fn mv() -> Command {
    Command::Move(name())
}

fn send(size: u64) -> Command {
    Command::Send { name: name(), size }
}

fn flush(client: &mut Client) -> String {
    let sent = String::from_utf8(client.transmit().to_vec()).unwrap();
    client.transmitted(sent.len());
    sent
}

/// A session in which `command` has just been sent.
fn asked(command: &Command) -> Client {
    let mut client = Client::new();
    client.command(command).unwrap();
    flush(&mut client);
    client
}

/// A session in which the peer has answered `command` with `reply`, and we have taken note.
fn answered(command: &Command, reply: &str) -> Client {
    let mut client = asked(command);
    assert_eq!(client.handle_input(reply.as_bytes()), Ok(reply.len()));
    client.poll_event().expect("an answer is an event");
    client
}

/// A session in which the peer has announced so many bytes and we have asked for them.
fn accepted(command: &Command, reply: &str) -> Client {
    let mut client = answered(command, reply);
    client.accept().unwrap();
    flush(&mut client);
    client
}

fn excerpt_of(text: &str) -> Excerpt {
    Excerpt::of(text.as_bytes())
}

/// The exchanges recorded from stock, one line each: what is sent, what comes back, what that means.
#[test]
fn stock_s_answers_mean_what_stock_meant() {
    let announced = |verb, size| (Event::Announced { verb, size }, Want::Decision);
    let refused = |verb, refusal| (Event::Refused { verb, refusal }, Want::Command);
    let send_zip = Command::SendZip { name: name(), size: 190 };
    for (command, sent, reply, (event, want)) in [
        (pass(), "PASS 703b089710823916d4bb7ff2deff4d8f\n", "PASS OK\n", (Event::PasswordAccepted, Want::Command)),
        (list(), "LS <>\n", "LS SIZE 26\n", announced(Verb::Ls, 26)),
        (list(), "LS <>\n", "LS ERR\n", refused(Verb::Ls, Refusal::Unspecified)),
        (receive(), "RECV <a.data>\n", "RECV SIZE 102\n", announced(Verb::Recv, 102)),
        (receive(), "RECV <a.data>\n", "RECV SIZE 0\n", announced(Verb::Recv, 0)),
        (
            receive(),
            "RECV <a.data>\n",
            "RECV ERR (file has an invalid file name)\n",
            refused(Verb::Recv, Refusal::InvalidName),
        ),
        (receive(), "RECV <a.data>\n", "RECV ERR (file does not exist)\n", refused(Verb::Recv, Refusal::Missing)),
        (Command::ReceiveZip(name()), "ZRECV <a.data>\n", "ZRECV SIZE 288\n", announced(Verb::Zrecv, 288)),
        (mv(), "MV <a.data>\n", "MV SIZE 4\n", announced(Verb::Mv, 4)),
        (mv(), "MV <a.data>\n", "MV ERR\n", refused(Verb::Mv, Refusal::Unspecified)),
        (send(10), "SEND <a.data> SIZE 10\n", "SEND OK\n", (Event::Go { verb: Verb::Send }, Want::Supply(10))),
        (send(3), "SEND <a.data> SIZE 3\n", "SEND ERR (file already exists)\n", refused(Verb::Send, Refusal::Exists)),
        (send(0), "SEND <a.data> SIZE 0\n", "SEND ERR (file is too big)\n", refused(Verb::Send, Refusal::TooBig)),
        (send_zip, "ZSEND <a.data> SIZE 190\n", "ZSEND OK\n", (Event::Go { verb: Verb::Zsend }, Want::Supply(190))),
    ] {
        let mut client = Client::new();
        client.command(&command).unwrap();
        assert_eq!(flush(&mut client), sent);
        assert_eq!(client.want(), Want::Line);
        assert_eq!(client.handle_input(reply.as_bytes()), Ok(reply.len()));
        assert_eq!((client.poll_event(), client.poll_event()), (Some(event), None), "{sent}{reply}");
        assert_eq!(client.want(), want);
    }
}

#[test]
fn a_file_is_moved_and_the_next_one_too() {
    let mut client = Client::new();
    for size in [102, 17] {
        client.command(&mv()).unwrap();
        assert_eq!(flush(&mut client), "MV <a.data>\n");
        client.handle_input(format!("MV SIZE {size}\n").as_bytes()).unwrap();
        assert_eq!(client.poll_event(), Some(Event::Announced { verb: Verb::Mv, size }));
        client.accept().unwrap();
        assert_eq!(flush(&mut client), "MV OK\n");
        client.body_transferred(10).unwrap();
        assert_eq!((client.want(), client.poll_event()), (Want::Body(size - 10), None));
        client.body_transferred(size - 10).unwrap();
        assert_eq!(client.poll_event(), Some(Event::BodyComplete { verb: Verb::Mv }));
    }
    client.command(&Command::Quit).unwrap();
    assert_eq!(client.want(), Want::Closed);
    assert_eq!(flush(&mut client), "QUIT\n");
    assert_eq!(client.handle_eof(), Ok(()));
}

#[test]
fn a_file_is_stored_once_the_peer_says_so_again() {
    let mut client = answered(&send(5), "SEND OK\n");
    client.body_transferred(2).unwrap();
    assert_eq!(client.want(), Want::Supply(3));
    client.body_transferred(3).unwrap();
    assert_eq!((client.want(), client.poll_event()), (Want::Line, None));
    client.handle_input(b"SEND OK\n").unwrap();
    assert_eq!((client.want(), client.poll_event()), (Want::Command, Some(Event::Stored { verb: Verb::Send })));
}

#[test]
fn a_body_can_be_refused_after_it_was_sent() {
    let mut client = answered(&Command::SendZip { name: name(), size: 5 }, "ZSEND OK\n");
    client.body_transferred(5).unwrap();
    client.handle_input(b"ZSEND ERR\n").unwrap();
    assert_eq!(client.poll_event(), Some(Event::Refused { verb: Verb::Zsend, refusal: Refusal::BadArchive }));
    assert_eq!(client.want(), Want::Command);
}

#[test]
fn an_empty_body_is_complete_once_it_is_accepted() {
    let mut client = answered(&mv(), "MV SIZE 0\n");
    client.accept().unwrap();
    assert_eq!((client.want(), flush(&mut client).as_str()), (Want::Command, "MV OK\n"));
    assert_eq!(client.poll_event(), Some(Event::BodyComplete { verb: Verb::Mv }));
}

#[test]
fn an_empty_body_a_peer_takes_needs_no_supply() {
    let client = answered(&send(0), "SEND OK\n");
    assert_eq!(client.want(), Want::Line);
}

#[test]
fn a_declined_body_stays_and_the_session_goes_on() {
    let mut client = answered(&mv(), "MV SIZE 4\n");
    client.decline().unwrap();
    assert_eq!((client.want(), flush(&mut client).as_str()), (Want::Command, "MV NO\n"));
    client.command(&list()).unwrap();
    assert_eq!(client.poll_event(), None);
}

#[test]
fn two_commands_are_never_in_one_write() {
    let mut client = answered(&mv(), "MV SIZE 4\n");
    client.decline().unwrap();
    client.transmitted(2);
    assert!(matches!(client.command(&list()), Err(Error::Misuse { want: Want::Command, .. })));
    assert_eq!(flush(&mut client), " NO\n");
    assert_eq!(client.command(&list()), Ok(()));
}

#[test]
fn a_call_out_of_turn_is_refused_and_harms_nothing() {
    let mut client = asked(&list());
    let misuse = |call, want| Err(Error::Misuse { call, want });
    assert_eq!(client.command(&list()), misuse("command()", Want::Line));
    assert_eq!(client.accept(), misuse("accept()", Want::Line));
    assert_eq!(client.decline(), misuse("decline()", Want::Line));
    assert_eq!(client.body_transferred(1), misuse("body_transferred()", Want::Line));
    client.handle_input(b"LS SIZE 5\n").unwrap();
    client.accept().unwrap();
    assert_eq!(client.body_transferred(6), misuse("body_transferred()", Want::Body(5)));
    client.body_transferred(5).unwrap();
    client.transmitted(usize::MAX);
    assert_eq!((client.want(), client.transmit()), (Want::Command, b"".as_slice()));
}

#[test]
fn no_byte_of_a_body_is_taken() {
    let mut client = asked(&mv());
    let bytes = b"MV SIZE 4\nMV ERR\n";
    assert_eq!(client.handle_input(bytes), Ok(10));
    assert_eq!(client.handle_input(&bytes[10..]), Ok(0));
    client.accept().unwrap();
    assert_eq!(client.handle_input(&bytes[10..]), Ok(0));
    client.body_transferred(4).unwrap();
    assert!(matches!(client.handle_input(b"RR\n"), Err(Error::Unsolicited { after: Some(Verb::Mv), .. })));
}

#[test]
fn a_reply_may_come_byte_by_byte_and_no_empty_read_is_an_end() {
    let mut client = asked(&list());
    for byte in b"LS SIZE 26" {
        assert_eq!(client.handle_input(&[*byte]), Ok(1));
        assert_eq!(client.handle_input(b""), Ok(0));
        assert_eq!((client.want(), client.poll_event()), (Want::Line, None));
    }
    client.handle_input(b"\n").unwrap();
    assert_eq!(client.poll_event(), Some(Event::Announced { verb: Verb::Ls, size: 26 }));
}

#[test]
fn more_than_was_announced_is_a_fault() {
    let mut client = accepted(&mv(), "MV SIZE 4\n");
    client.body_transferred(4).unwrap();
    let unsolicited = Error::Unsolicited { after: Some(Verb::Mv), excerpt: excerpt_of("more") };
    assert_eq!(client.handle_input(b"more"), Err(unsolicited.clone()));
    assert_eq!(unsolicited.to_string(), "the peer sent \"more\" unasked, after MV");
}

#[test]
fn a_peer_that_speaks_first_is_a_fault() {
    let greeting = Error::Unsolicited { after: None, excerpt: excerpt_of("220 mail") };
    assert_eq!(Client::new().handle_input(b"220 mail"), Err(greeting.clone()));
    assert_eq!(greeting.to_string(), "the peer sent \"220 mail\" unasked, before any command");
    let mut client = Client::new();
    client.command(&list()).unwrap();
    client.transmitted(3);
    assert!(matches!(client.handle_input(b"LS SIZE 5\n"), Err(Error::Unsolicited { after: Some(Verb::Ls), .. })));
    assert!(client.transmit().is_empty(), "nothing more is said in a failed session");
}

#[test]
fn a_confirmation_before_the_body_is_not_believed() {
    let mut client = asked(&send(5));
    let bytes = b"SEND OK\nSEND OK\n";
    assert_eq!(client.handle_input(bytes), Ok(8));
    assert!(matches!(client.handle_input(&bytes[8..]), Err(Error::Unsolicited { after: Some(Verb::Send), .. })));
}

#[test]
fn bytes_after_quit_are_a_fault() {
    let mut client = asked(&Command::Quit);
    assert!(matches!(client.handle_input(b"x"), Err(Error::Unsolicited { after: None, .. })));
}

#[test]
fn a_reply_to_something_else_is_garbage() {
    for (command, line) in [
        (list(), "MV SIZE 5"),
        (list(), "LS OK"),
        (send(5), "SEND SIZE 5"),
        (pass(), "PASS SIZE 1"),
        (mv(), ""),
        (list(), "HTTP/1.1 400 Bad Request\r"),
        (list(), "LS <>"),
    ] {
        let verb = command.verb().unwrap();
        let garbage = Error::Garbage { verb, excerpt: excerpt_of(line) };
        assert_eq!(asked(&command).handle_input(format!("{line}\n").as_bytes()), Err(garbage), "{line:?}");
    }
    let error = asked(&list()).handle_input(b"SSH-2.0-x\r\n").unwrap_err();
    assert_eq!(error.to_string(), r#"expected a reply to LS, but the peer sent "SSH-2.0-x\r""#);
}

#[test]
fn a_peer_that_echoes_the_password_digest_does_not_bring_it_into_a_log() {
    let echo = b"PASS 703b089710823916d4bb7ff2deff4d8f\n";
    let mut unsolicited = answered(&pass(), "PASS OK\n");
    let mut cut = asked(&pass());
    cut.handle_input(&echo[..37]).unwrap();
    let mut too_long = asked(&pass());
    for error in [
        asked(&pass()).handle_input(echo).unwrap_err(),
        unsolicited.handle_input(echo).unwrap_err(),
        cut.handle_eof().unwrap_err(),
        too_long.handle_input(&[&echo[..37], &[b' '; MAX_LINE]].concat()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("\"PASS ****"), "{error}");
        assert!(!format!("{error} {error:?}").contains("703b"), "{error:?}");
    }
}

#[test]
fn a_client_about_to_send_its_password_does_not_show_it() {
    let mut client = Client::new();
    client.command(&pass()).unwrap();
    assert!(!format!("{client:?}").contains("703b"), "{client:?}");
}

#[test]
fn a_huge_size_is_announced_and_an_impossible_one_is_a_fault() {
    let mut client = asked(&mv());
    client.handle_input(format!("MV SIZE {MAX_SIZE}\n").as_bytes()).unwrap();
    assert_eq!(client.poll_event(), Some(Event::Announced { verb: Verb::Mv, size: MAX_SIZE }));
    for digits in ["9223372036854775808", "18446744073709551616", &"9".repeat(30)] {
        let error = Error::Size { verb: Verb::Mv, digits: excerpt_of(digits) };
        assert_eq!(asked(&mv()).handle_input(format!("MV SIZE {digits}\n").as_bytes()), Err(error.clone()));
        assert!(error.to_string().contains(digits), "{error}");
    }
}

#[test]
fn a_line_without_end_is_a_fault_and_costs_no_memory() {
    let mut client = asked(&list());
    assert_eq!(client.handle_input(&[b'x'; MAX_LINE - 1]), Ok(MAX_LINE - 1));
    let error = Error::LineTooLong { verb: Verb::Ls, excerpt: Excerpt::of(&[b'x'; MAX_LINE]) };
    assert_eq!(client.handle_input(b"xxx"), Err(error.clone()));
    assert_eq!(asked(&list()).handle_input(&vec![b'x'; 100_000]), Err(error));
}

#[test]
fn an_end_between_two_exchanges_is_orderly() {
    let mut gone_before_we_spoke = Client::new();
    let mut gone_after_a_body = accepted(&receive(), "RECV SIZE 0\n");
    let mut gone_after_a_refusal = answered(&mv(), "MV ERR\n");
    let mut gone_after_quit = asked(&Command::Quit);
    let clients = [&mut gone_before_we_spoke, &mut gone_after_a_body, &mut gone_after_a_refusal, &mut gone_after_quit];
    for client in clients {
        assert_eq!(client.handle_eof(), Ok(()));
        assert_eq!(client.want(), Want::Closed);
        assert_eq!(client.handle_eof(), Ok(()));
        assert!(matches!(client.command(&list()), Err(Error::Misuse { want: Want::Closed, .. })));
    }
}

#[test]
fn an_end_anywhere_else_says_what_was_missing() {
    for command in [pass(), list(), mv(), send(5)] {
        let verb = command.verb().unwrap();
        assert_eq!(asked(&command).handle_eof(), Err(Error::ClosedAfter { verb }));
    }
    let mut inside_a_reply = asked(&list());
    inside_a_reply.handle_input(b"LS SI").unwrap();
    assert_eq!(inside_a_reply.handle_eof(), Err(Error::ReplyCut { verb: Verb::Ls, excerpt: excerpt_of("LS SI") }));
    let truncated = |verb, remaining| Err(Error::Truncated { verb, remaining });
    assert_eq!(answered(&mv(), "MV SIZE 4\n").handle_eof(), truncated(Verb::Mv, 4));
    let mut inside_a_body = accepted(&mv(), "MV SIZE 4\n");
    inside_a_body.body_transferred(3).unwrap();
    assert_eq!(inside_a_body.handle_eof(), truncated(Verb::Mv, 1));
    let mut inside_our_body = answered(&send(5), "SEND OK\n");
    inside_our_body.body_transferred(3).unwrap();
    assert_eq!(inside_our_body.handle_eof(), truncated(Verb::Send, 2));
    let mut after_our_body = answered(&send(5), "SEND OK\n");
    after_our_body.body_transferred(5).unwrap();
    assert_eq!(after_our_body.handle_eof(), Err(Error::Unconfirmed { verb: Verb::Send }));
}

#[test]
fn a_failed_session_stays_failed_with_the_same_error() {
    let mut client = asked(&list());
    let error = client.handle_input(b"garbage\n").unwrap_err();
    assert_eq!(client.want(), Want::Closed);
    assert_eq!(client.handle_input(b"LS SIZE 5\n"), Err(error.clone()));
    assert_eq!(client.handle_input(b""), Err(error.clone()));
    assert_eq!(client.handle_eof(), Err(error.clone()));
    assert_eq!(client.command(&list()), Err(error.clone()));
    assert_eq!(client.accept(), Err(error.clone()));
    assert_eq!(client.decline(), Err(error.clone()));
    assert_eq!(client.body_transferred(1), Err(error));
    assert_eq!(client.poll_event(), None);
    assert!(client.transmit().is_empty());
}

#[test]
fn a_request_with_a_raw_name_is_a_command_like_any_other() {
    let mut client = Client::new();
    let name = RawName::new(b"a+b").unwrap();
    client.request(&Request::Send { name: name.clone(), zip: false, size: 2 }).unwrap();
    assert_eq!(client.transmit(), b"SEND <a+b> SIZE 2\n");
    let receive = Request::Receive { name, zip: true };
    assert!(matches!(client.request(&receive), Err(Error::Misuse { .. })));
    client.transmitted(client.transmit().len());
    client.handle_input(b"SEND ERR (invalid file name)\n").unwrap();
    let refused = Event::Refused { verb: Verb::Send, refusal: Refusal::InvalidName };
    assert_eq!(client.poll_event(), Some(refused));
    client.request(&receive).unwrap();
    assert_eq!(client.transmit(), b"ZRECV <a+b>\n");
}
