use proptest::prelude::*;

use super::super::{FileName, ListArg, Refusal};
use super::*;

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn receive(text: &str) -> Command {
    Command::Receive(name(text))
}

fn mv(text: &str) -> Command {
    Command::Move(name(text))
}

/// Its messages, all of which have left then.
fn messages(client: &mut AheadClient) -> Vec<String> {
    let next = |client: &mut AheadClient| {
        let message = String::from_utf8(client.transmit().to_vec()).unwrap();
        client.transmitted(message.len());
        Some(message).filter(|message| !message.is_empty())
    };
    std::iter::from_fn(|| next(client)).collect()
}

/// A session in which these commands have been sent.
fn asked(commands: &[Command]) -> AheadClient {
    let mut client = AheadClient::new();
    for command in commands {
        client.command(command).unwrap();
    }
    messages(&mut client);
    client
}

/// What a session makes of this, in pieces of so many bytes: the bodies, and what happens; how it fails, if it does.
fn hear(client: &mut AheadClient, text: &[u8], piece: usize) -> (Vec<Event>, Vec<u8>, Result<(), Error>) {
    let (mut events, mut bodies, mut rest) = (Vec::new(), Vec::new(), text);
    while !rest.is_empty() {
        let piece = &rest[..piece.min(rest.len())];
        let taken = if let Want::Body(left) = client.want() {
            let body = &piece[..piece.len().min(usize::try_from(left).unwrap())];
            bodies.extend(body);
            client.body_received(body).map(|()| body.len())
        } else {
            client.handle_input(piece)
        };
        events.extend(std::iter::from_fn(|| client.poll_event()));
        match taken {
            Ok(taken) => rest = &rest[taken..],
            Err(error) => return (events, bodies, Err(error)),
        }
    }
    (events, bodies, Ok(()))
}

fn announced(verb: Verb, size: u64) -> Event {
    Event::Announced { verb, size }
}

fn complete(verb: Verb) -> Event {
    Event::BodyComplete { verb }
}

#[test]
fn each_request_and_each_confirmation_is_a_message() {
    let mut client = AheadClient::new();
    client.command(&receive("a.1.data")).unwrap();
    client.command(&mv("b.2.data")).unwrap();
    client.transmitted(3);
    assert_eq!(client.transmit(), b"V <a.1.data>\n", "what is left of one");
    assert_eq!(messages(&mut client), ["V <a.1.data>\n", "RECV OK\n", "MV <b.2.data>\n", "MV OK\n"]);
    assert_eq!((client.due(), client.want()), (2, Want::Line));
}

#[test]
fn a_body_is_complete_once_an_answer_follows_or_nothing_is_due() {
    let mut client = asked(&[receive("a.1.data"), mv("b.2.data")]);
    let (events, _, heard) = hear(&mut client, b"RECV SIZE 5\n12345", 100);
    assert_eq!((events, heard), (vec![announced(Verb::Recv, 5)], Ok(())));
    let (events, bodies, heard) = hear(&mut client, b"MV SIZE 2\n67", 100);
    assert_eq!(events, [complete(Verb::Recv), announced(Verb::Mv, 2), complete(Verb::Mv)]);
    assert_eq!((bodies, heard, client.want()), (b"67".to_vec(), Ok(()), Want::Command));
    assert_eq!(client.handle_eof(), Ok(()));
}

#[test]
fn a_refusal_completes_what_came_before_it_as_well() {
    let mut client = asked(&[receive("a.1.data"), receive("b.2.data"), receive("c.3.data")]);
    let (events, _, _) = hear(&mut client, b"RECV SIZE 1\n1RECV ERR (file does not exist)\n", 7);
    let refused = Event::Refused { verb: Verb::Recv, refusal: Refusal::Missing };
    assert_eq!(events, [announced(Verb::Recv, 1), complete(Verb::Recv), refused]);
    assert_eq!(client.handle_eof(), Err(Error::ClosedAfter { verb: Verb::Recv }));
}

#[test]
fn an_empty_file_is_whole_at_once() {
    let mut client = asked(&[receive("a.1.data"), receive("b.2.data")]);
    let (events, _, _) = hear(&mut client, b"RECV SIZE 0\n", 100);
    assert_eq!(events, [announced(Verb::Recv, 0), complete(Verb::Recv)]);
}

#[test]
fn a_body_of_another_size_than_announced_is_not_whole() {
    for text in ["RECV SIZE 3\n12345RECV SIZE 2\n67", "RECV SIZE 9\n12345RECV SIZE 2\n67"] {
        let mut client = asked(&[receive("a.1.data"), receive("b.2.data"), receive("c.3.data")]);
        let (events, _, heard) = hear(&mut client, text.as_bytes(), 100);
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(matches!(heard, Err(Error::Garbage { .. })), "{heard:?}");
        assert_eq!(client.want(), Want::Closed);
    }
}

#[test]
fn an_answer_where_a_body_is_due_is_none() {
    // What has met: RECV OK, RECV <b>, RECV OK. And 18 bytes are those of the next answer and its body.
    let mut client = asked(&[receive("a.1.data"), receive("b.2.data"), receive("c.3.data"), receive("d.4.data")]);
    let (events, _, heard) = hear(&mut client, b"RECV SIZE 18\nRECV SIZE 6\n123456RECV SIZE 1\n1", 5);
    assert_eq!(events, [announced(Verb::Recv, 18)]);
    assert!(matches!(heard, Err(Error::Garbage { .. })), "{heard:?}");
}

#[test]
fn an_archive_s_answer_where_a_body_is_due_is_none() {
    let zip = |text: &str| Command::ReceiveZip(name(text));
    for body in ["ZRECV SIZE 6\n123456", "ZRECV ERR (file does not exist)\n"] {
        let mut client = asked(&[zip("a.1.data"), receive("b.2.data"), zip("c.3.data")]);
        let text = format!("ZRECV SIZE {}\n{body}RECV SIZE 1\n1", body.len());
        let (events, _, heard) = hear(&mut client, text.as_bytes(), 5);
        assert_eq!(events, [announced(Verb::Zrecv, body.len() as u64)]);
        assert!(matches!(heard, Err(Error::Garbage { .. })), "{heard:?}");
    }
}

#[test]
fn what_is_not_due_fails_it() {
    let mut client = AheadClient::new();
    client.command(&receive("a.1.data")).unwrap();
    let early = hear(&mut client, b"RECV SIZE 1\n", 100).2;
    assert!(matches!(early, Err(Error::Unsolicited { after: Some(Verb::Recv), .. })), "{early:?}");
    let mut client = asked(&[receive("a.1.data")]);
    let more = hear(&mut client, b"RECV SIZE 1\n12", 100).2;
    assert!(matches!(more, Err(Error::Unsolicited { after: None, .. })), "{more:?}");
    assert!(matches!(client.command(&receive("b.2.data")), Err(Error::Unsolicited { .. })));
}

#[test]
fn only_files_are_asked_for_ahead() {
    let mut client = AheadClient::new();
    for command in [Command::List(ListArg::root()), Command::Quit, Command::Send { name: name("a.1.data"), size: 1 }] {
        assert!(matches!(client.command(&command), Err(Error::Misuse { .. })));
    }
    assert_eq!((client.transmit(), client.due()), (&b""[..], 0));
}

/// A server as stock is one, as far as this goes: it takes each read for one message.
fn stock(reads: &[Vec<u8>], files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reads = reads.iter().map(|read| read.strip_suffix(b"\n").expect("whole messages"));
    while let Some(read) = reads.next() {
        let verb = ["MV", "ZRECV"].into_iter().find(|verb| read.starts_with(verb.as_bytes())).unwrap_or("RECV");
        let name = read.get(verb.len() + 2..).and_then(|rest| rest.strip_suffix(b">")).unwrap_or(b"\n");
        if !read.starts_with(format!("{verb} <").as_bytes()) || name.contains(&b'\n') {
            return out;
        }
        let Some((_, bytes)) = files.iter().find(|(file, _)| file.as_bytes() == name) else {
            out.extend(format!("{verb} ERR\n").bytes());
            continue;
        };
        out.extend(format!("{verb} SIZE {}\n", bytes.len()).bytes());
        match reads.next() {
            Some(answer) if answer == format!("{verb} OK").as_bytes() => out.extend(bytes),
            Some(_) => {}
            None => return out,
        }
    }
    out
}

proptest! {
    /// However messages meet, a body that counts as whole is that of the file that was asked for.
    #[test]
    fn no_file_is_taken_for_another_whatever_meets(
        sizes in prop::collection::vec(1_usize..60, 1..12),
        missing in any::<prop::sample::Index>(),
        meets in prop::collection::vec(prop::bool::weighted(0.2), 24),
        piece in 1_usize..80,
    ) {
        let file = |(number, size): (usize, &usize)| {
            (format!("a.{number}.data"), std::iter::repeat_n(b'a' + u8::try_from(number).unwrap(), *size).collect())
        };
        let mut files: Vec<(String, Vec<u8>)> = sizes.iter().enumerate().map(file).collect();
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let commands = names.iter().enumerate().map(|(at, file)| match at % 4 {
            1 => Command::ReceiveZip(name(file)),
            2 => mv(file),
            _ => receive(file),
        });
        let mut client = AheadClient::new();
        commands.for_each(|command| client.command(&command).unwrap());
        if let Some(missing) = missing.index(2 * files.len()).checked_sub(files.len()) {
            files.remove(missing);
        }
        let mut reads: Vec<Vec<u8>> = Vec::new();
        for (message, meets) in messages(&mut client).into_iter().zip(meets) {
            match reads.last_mut() {
                Some(last) if meets => last.extend(message.bytes()),
                _ => reads.push(message.into_bytes()),
            }
        }
        let (events, bodies, _) = hear(&mut client, &stock(&reads, &files), piece);
        let (mut at, mut start, mut end) = (0, 0, 0);
        for event in events {
            match event {
                Event::Announced { size, .. } => (start, end) = (end, end + usize::try_from(size).unwrap()),
                Event::BodyComplete { .. } => {
                    let file = files.iter().find(|(name, _)| *name == names[at]);
                    prop_assert_eq!(Some(&bodies[start..end]), file.map(|(_, bytes)| &bytes[..]));
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }
}
