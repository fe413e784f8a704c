use super::super::super::{FileName, MAX_LINE, Secret};
use super::super::{Capability, Condition, ContentHash};
use super::*;

fn name() -> FileName {
    "a.data".parse().unwrap()
}

fn get() -> ExtensionCommand {
    ExtensionCommand::Get(name())
}

fn list() -> ExtensionCommand {
    ExtensionCommand::List { word: "".parse().unwrap(), after: None, limit: None }
}

fn drop_it() -> ExtensionCommand {
    ExtensionCommand::Drop { name: name(), size: 3, hash: ContentHash::of(b"abc") }
}

fn put(size: u64) -> ExtensionCommand {
    ExtensionCommand::Put { name: name(), size, condition: Condition::None }
}

fn flush(client: &mut PipelinedClient) -> String {
    let sent = String::from_utf8(client.transmit().to_vec()).unwrap();
    client.transmitted(sent.len());
    sent
}

/// A session in which these were sent.
fn asked(commands: &[ExtensionCommand]) -> PipelinedClient {
    let mut client = PipelinedClient::new();
    for command in commands {
        client.command(command).unwrap();
    }
    flush(&mut client);
    client
}

/// Takes lines and bodies out of `bytes`; what came of it.
fn receive(client: &mut PipelinedClient, mut bytes: &[u8]) -> Result<Vec<PipelinedEvent>, Error> {
    while !bytes.is_empty() {
        let taken = match client.want() {
            Want::Body(remaining) => {
                let n = bytes.len().min(usize::try_from(remaining).unwrap());
                client.body_transferred(n as u64)?;
                n
            }
            _ => client.handle_input(bytes)?,
        };
        bytes = &bytes[taken..];
    }
    Ok(std::iter::from_fn(|| client.poll_event()).collect())
}

#[test]
fn commands_go_ahead_and_answers_come_in_their_order() {
    let mut client = asked(&[list(), get(), get(), drop_it(), drop_it()]);
    assert_eq!((client.want(), client.due()), (Want::Line, 5));
    let answers =
        b"LIST SIZE 4 MORE 2 30\n1 2\nGET SIZE 3 MTIME 17\nabcGET ERR (file does not exist)\nDROP OK\nDROP ERR (file has changed)\n";
    let events = receive(&mut client, answers).unwrap();
    let refused = |verb, refusal| PipelinedEvent::Refused { verb, refusal };
    assert_eq!(
        events,
        [
            PipelinedEvent::Page { size: 4, remaining: Some(Remaining { files: 2, bytes: 30 }) },
            PipelinedEvent::BodyComplete { verb: Verb::List },
            PipelinedEvent::File { size: 3, mtime: 17 },
            PipelinedEvent::BodyComplete { verb: Verb::Get },
            refused(Verb::Get, Refusal::Missing),
            PipelinedEvent::Done { verb: Verb::Drop },
            refused(Verb::Drop, Refusal::Changed),
        ]
    );
    assert_eq!((client.want(), client.due()), (Want::Command, 0));
    client.quit().unwrap();
    assert_eq!(flush(&mut client), "QUIT\n");
    assert!(matches!(client.command(&get()), Err(Error::Misuse { .. })));
    assert_eq!(client.handle_eof(), Ok(()));
    assert_eq!(client.want(), Want::Closed);
}

#[test]
fn a_peer_that_is_known_is_asked_without_waiting() {
    let mut client = PipelinedClient::new();
    client.login(PasswordDigest::of(&Secret::new(b"s3cret".to_vec()))).unwrap();
    client.command(&ExtensionCommand::Capabilities).unwrap();
    client.command(&list()).unwrap();
    assert!(!format!("{client:?}").contains("703b"), "{client:?}");
    assert_eq!(flush(&mut client), "PASS 703b089710823916d4bb7ff2deff4d8f\nRECV <?caps>\nLIST <>\n");
    let events = receive(&mut client, b"PASS OK\nCAPS 1 GET LIST SPLICE\nLIST SIZE 0 END\n").unwrap();
    let capabilities = Capabilities::default().with(Capability::Get).with(Capability::List);
    assert_eq!(
        events,
        [
            PipelinedEvent::PasswordAccepted,
            PipelinedEvent::Capabilities(capabilities),
            PipelinedEvent::Page { size: 0, remaining: None },
            PipelinedEvent::BodyComplete { verb: Verb::List },
        ]
    );
}

#[test]
fn a_peer_that_has_become_stock_again_ends_the_session_and_is_not_at_fault() {
    let mut client = asked(&[ExtensionCommand::Capabilities, list(), put(5)]);
    let events = receive(&mut client, b"RECV ERR (file has an invalid file name)\n").unwrap();
    assert_eq!(events, [PipelinedEvent::NotSpoken(Refusal::InvalidName)]);
    assert_eq!((client.want(), client.supply(), client.due()), (Want::Closed, 0, 0));
    assert!(client.transmit().is_empty());
    assert!(matches!(client.command(&get()), Err(Error::Misuse { want: Want::Closed, .. })));
    assert_eq!(client.handle_eof(), Ok(()));
}

#[test]
fn the_bytes_of_a_put_go_behind_it_and_before_the_next_command() {
    let mut client = PipelinedClient::new();
    client.command(&get()).unwrap();
    client.command(&put(5)).unwrap();
    assert_eq!(client.supply(), 5);
    assert!(matches!(client.command(&get()), Err(Error::Misuse { .. })));
    assert!(client.body_supplied(1).is_err(), "the command has not left");
    assert_eq!(flush(&mut client), "GET <a.data>\nPUT <a.data> SIZE 5\n");
    client.body_supplied(2).unwrap();
    assert_eq!(client.supply(), 3);
    assert!(client.body_supplied(4).is_err());
    receive(&mut client, b"GET SIZE 1 MTIME 1\nx").unwrap();
    client.body_supplied(3).unwrap();
    client.command(&drop_it()).unwrap();
    flush(&mut client);
    let done = |verb| PipelinedEvent::Done { verb };
    assert_eq!(receive(&mut client, b"PUT OK\nDROP OK\n").unwrap(), [done(Verb::Put), done(Verb::Drop)]);
}

#[test]
fn an_answer_before_its_command_or_body_has_left_is_not_believed() {
    let mut early = PipelinedClient::new();
    early.command(&get()).unwrap();
    early.command(&drop_it()).unwrap();
    let first = early.transmit().iter().position(|&byte| byte == b'\n').unwrap() + 1;
    early.transmitted(first + 3);
    assert_eq!(receive(&mut early, b"GET ERR (not allowed)\n").unwrap().len(), 1);
    let unsolicited = |error: Error| matches!(error, Error::Unsolicited { after: Some(_), .. });
    assert!(unsolicited(early.handle_input(b"DROP OK\n").unwrap_err()));
    assert!(early.transmit().is_empty(), "nothing more is said in a failed session");
    let mut without_its_body = asked(&[put(5)]);
    without_its_body.body_supplied(4).unwrap();
    assert!(unsolicited(without_its_body.handle_input(b"PUT OK\n").unwrap_err()));
    assert!(matches!(PipelinedClient::new().handle_input(b"DROP OK\n"), Err(Error::Unsolicited { after: None, .. })));
}

#[test]
fn what_is_no_answer_to_the_oldest_command_fails_the_session() {
    for (command, line) in [
        (get(), "DROP OK\n"),
        (get(), "GET OK\n"),
        (list(), "LIST SIZE 5\n"),
        (drop_it(), "DROP SIZE 5\n"),
        (drop_it(), "GET SIZE 5 MTIME 1\n"),
        (ExtensionCommand::Capabilities, "RECV SIZE 5\n"),
        (ExtensionCommand::Capabilities, "CAPS OK\n"),
    ] {
        let mut client = asked(&[command, get()]);
        let error = client.handle_input(line.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Garbage { .. }), "{line}: {error}");
        assert_eq!((client.want(), client.due()), (Want::Closed, 0));
        assert_eq!(client.handle_input(b"DROP OK\n"), Err(error.clone()));
        assert_eq!(client.command(&get()), Err(error.clone()));
        assert_eq!(client.handle_eof(), Err(error));
    }
    let mut endless = asked(&[get()]);
    assert!(matches!(endless.handle_input(&[b'x'; MAX_LINE]), Err(Error::LineTooLong { verb: Verb::Get, .. })));
    let mut huge = asked(&[get()]);
    assert!(matches!(huge.handle_input(b"GET SIZE 9223372036854775808 MTIME 1\n"), Err(Error::Size { .. })));
}

#[test]
fn an_end_says_what_was_missing() {
    let mut client = asked(&[drop_it()]);
    assert_eq!(client.handle_eof(), Err(Error::ClosedAfter { verb: Verb::Drop }));
    let mut client = asked(&[get(), drop_it()]);
    receive(&mut client, b"GET SIZE 3 MTIME 1\nab").unwrap();
    assert_eq!(client.handle_eof(), Err(Error::Truncated { verb: Verb::Get, remaining: 1 }));
    let mut client = asked(&[get()]);
    client.handle_input(b"GET SI").unwrap();
    assert!(matches!(client.handle_eof(), Err(Error::ReplyCut { verb: Verb::Get, .. })));
    let mut client = asked(&[put(2)]);
    client.body_supplied(2).unwrap();
    assert_eq!(client.handle_eof(), Err(Error::Unconfirmed { verb: Verb::Put }));
    let mut client = asked(&[put(2)]);
    assert_eq!(client.handle_eof(), Err(Error::ClosedAfter { verb: Verb::Put }));
}

#[test]
fn nothing_stands_behind_the_wish_for_compression_and_nothing_is_taken_before_it_is_fulfilled() {
    let mut client = asked(&[get()]);
    assert!(matches!(client.command(&ExtensionCommand::Deflate), Err(Error::Misuse { .. })), "an answer is due");
    receive(&mut client, b"GET ERR (not allowed)\n").unwrap();
    client.command(&ExtensionCommand::Deflate).unwrap();
    assert_eq!((flush(&mut client).as_str(), client.due()), ("DEFLATE\n", 1));
    for _ in 0..2 {
        assert!(matches!(client.command(&get()), Err(Error::Misuse { .. })));
        assert!(matches!(client.command(&ExtensionCommand::Deflate), Err(Error::Misuse { .. })));
        assert!(client.quit().is_err() && client.compressed().is_err());
        assert!(!client.is_to_be_compressed());
    }
    assert_eq!(client.handle_input(b"DEFLATE OK\nDROP OK\n"), Ok(11));
    assert_eq!(client.poll_event(), Some(PipelinedEvent::Done { verb: Verb::Deflate }));
    assert!(client.is_to_be_compressed() && client.transmit().is_empty());
    assert_eq!(client.handle_input(b"DROP OK\n"), Ok(0), "what stands behind it is compressed");
    assert!(client.command(&get()).is_err());
    client.compressed().unwrap();
    assert!(!client.is_to_be_compressed() && client.compressed().is_err());
    client.command(&get()).unwrap();
    assert_eq!(flush(&mut client), "GET <a.data>\n");
    receive(&mut client, b"GET SIZE 0 MTIME 1\n").unwrap();
    assert_eq!(client.handle_eof(), Ok(()));
}

#[test]
fn a_refused_wish_for_compression_leaves_the_session_as_it_was() {
    for (answer, refusal) in [("not allowed", Refusal::NotAllowed), ("no room for compression", Refusal::NoRoom)] {
        let mut client = asked(&[ExtensionCommand::Deflate]);
        let events = receive(&mut client, format!("DEFLATE ERR ({answer})\n").as_bytes()).unwrap();
        assert_eq!(events, [PipelinedEvent::Refused { verb: Verb::Deflate, refusal }]);
        assert!(!client.is_to_be_compressed());
        client.command(&get()).unwrap();
        assert_eq!(flush(&mut client), "GET <a.data>\n");
    }
    let mut client = asked(&[ExtensionCommand::Deflate]);
    assert_eq!(client.handle_eof(), Err(Error::ClosedAfter { verb: Verb::Deflate }));
}
