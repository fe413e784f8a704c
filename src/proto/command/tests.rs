use proptest::prelude::*;

use super::super::{MAX_LINE, MAX_SIZE, Secret};
use super::*;

fn name(name: &str) -> FileName {
    name.parse().unwrap()
}

fn digest() -> PasswordDigest {
    PasswordDigest::of(&Secret::new(b"s3cret".to_vec()))
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    out
}

/// The commands in the recordings of stock.
#[test]
fn commands_are_the_bytes_stock_takes() {
    for (command, line) in [
        (Command::Pass(digest()), "PASS 703b089710823916d4bb7ff2deff4d8f\n"),
        (Command::List(ListArg::root()), "LS <>\n"),
        (Command::List("x.conf".parse().unwrap()), "LS <x.conf>\n"),
        (Command::Receive(name("a.data")), "RECV <a.data>\n"),
        (Command::ReceiveZip(name("a.data")), "ZRECV <a.data>\n"),
        (Command::Move(name("1.conf")), "MV <1.conf>\n"),
        (Command::Send { name: name("a b.data"), size: 3 }, "SEND <a b.data> SIZE 3\n"),
        (Command::SendZip { name: name("f.data"), size: 190 }, "ZSEND <f.data> SIZE 190\n"),
        (Command::Quit, "QUIT\n"),
    ] {
        assert_eq!(encoded(&command), line.as_bytes());
        assert_eq!(Command::parse(line.trim_end_matches('\n').as_bytes()), Ok(command));
    }
}

#[test]
fn the_longest_command_fits_a_line() {
    let command = Command::SendZip { name: FileName::new(&[b'a'; 255]).unwrap(), size: MAX_SIZE };
    assert!(encoded(&command).len() <= MAX_LINE);
}

#[test]
fn what_is_no_command_ends_the_session() {
    for line in [
        "",
        "FOO",
        "ls <>",
        "LS <>\r",
        "LS",
        "LS ",
        "LS *",
        "LS <",
        "LS >",
        "QUIT ",
        "RECV a",
        "SEND <a>",
        "SEND <a> SIZE -1",
        "SEND <a> SIZE ",
        "SEND <a> SIZE 1 ",
        "SEND a SIZE 1",
        "PASS",
        "PASS x",
    ] {
        let unknown = CommandError::Unknown(Excerpt::of(line.as_bytes()));
        assert_eq!(Command::parse(line.as_bytes()), Err(unknown), "{line:?}");
    }
}

#[test]
fn a_bad_name_is_refused_and_not_the_session() {
    let refused = |verb, error| Err(CommandError::Name { verb, error, size: None });
    for forbidden in b"?[]/\\=+<>:;',*~" {
        let line = [b"SEND <a", [*forbidden].as_slice(), b"> SIZE 3"].concat();
        let error = NameError::Forbidden(*forbidden);
        assert_eq!(Command::parse(&line), Err(CommandError::Name { verb: Verb::Send, error, size: Some(3) }));
    }
    assert_eq!(Command::parse(b"RECV <?>"), refused(Verb::Recv, NameError::Forbidden(b'?')));
    assert_eq!(Command::parse(b"MV <..>"), refused(Verb::Mv, NameError::Dots));
    assert_eq!(Command::parse(b"ZRECV <>"), refused(Verb::Zrecv, NameError::Empty));
    assert_eq!(Command::parse(b"LS <*.conf>"), refused(Verb::Ls, NameError::Forbidden(b'*')));
    let long = [b"RECV <".as_slice(), &[b'a'; 900], b">"].concat();
    assert_eq!(Command::parse(&long), refused(Verb::Recv, NameError::TooLong(900)));
}

#[test]
fn a_size_no_file_can_have_is_too_big_not_unknown() {
    for size in ["9223372036854775808", &"9".repeat(30)] {
        let line = format!("SEND <a> SIZE {size}");
        assert_eq!(Command::parse(line.as_bytes()), Err(CommandError::Size { verb: Verb::Send }));
    }
}

#[test]
fn a_bad_character_counts_before_the_size_and_other_bad_names_after_it() {
    let error = NameError::Forbidden(b'?');
    let huge = "9".repeat(30);
    let bad_character = Err(CommandError::Name { verb: Verb::Send, error, size: None });
    assert_eq!(Command::parse(format!("SEND <?> SIZE {huge}").as_bytes()), bad_character);
    let too_big = Err(CommandError::Size { verb: Verb::Send });
    assert_eq!(Command::parse(format!("SEND <..> SIZE {huge}").as_bytes()), too_big);
}

#[test]
fn a_name_may_look_like_the_size_behind_it() {
    let command = Command::Send { name: name("a SIZE 3"), size: 4 };
    assert_eq!(Command::parse(b"SEND <a SIZE 3> SIZE 4"), Ok(command));
}

#[test]
fn a_mistyped_password_line_does_not_show_its_digest() {
    let error = Command::parse(b"PASS 703b089710823916d4bb7ff2deff4d8f ").unwrap_err();
    assert!(!error.to_string().contains("703b"), "{error}");
}

#[test]
fn a_word_is_checked_like_a_name_but_may_be_empty_or_dots() {
    for word in ["", ".", "..", ".conf", "whatever"] {
        assert_eq!(word.parse::<ListArg>().unwrap().as_bytes(), word.as_bytes());
    }
    assert_eq!("*".parse::<ListArg>(), Err(NameError::Forbidden(b'*')));
    assert_eq!(ListArg::new(b"a\nQUIT"), Err(NameError::Control(b'\n')));
    assert_eq!(ListArg::new(&[b'a'; 256]), Err(NameError::TooLong(256)));
}

#[test]
fn all_but_the_exact_ok_declines() {
    assert_eq!(Answer::parse(Verb::Mv, b"MV OK"), Answer::Accept);
    for line in ["MV NO", "MV OK ", "MV ok", "RECV OK", "", "MV OK\r"] {
        assert_eq!(Answer::parse(Verb::Mv, line.as_bytes()), Answer::Decline, "{line:?}");
    }
    for answer in [Answer::Accept, Answer::Decline] {
        let mut line = Vec::new();
        answer.encode(Verb::Zrecv, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert_eq!(Answer::parse(Verb::Zrecv, &line), answer);
    }
}

fn any_name() -> impl Strategy<Value = FileName> {
    let likely = proptest::string::string_regex("[a-z .]{1,40}( SIZE [0-9])?").expect("a valid pattern");
    let bytes = prop_oneof![likely.prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 1..60)];
    bytes.prop_filter_map("no name", |bytes| FileName::new(&bytes).ok())
}

pub(in super::super) fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any::<Vec<u8>>().prop_map(|password| Command::Pass(PasswordDigest::of(&Secret::new(password)))),
        prop_oneof![Just(ListArg::root()), any_name().prop_map(|name| ListArg::new(name.as_bytes()).unwrap())]
            .prop_map(Command::List),
        any_name().prop_map(Command::Receive),
        any_name().prop_map(Command::ReceiveZip),
        any_name().prop_map(Command::Move),
        (any_name(), 0..=MAX_SIZE).prop_map(|(name, size)| Command::Send { name, size }),
        (any_name(), 0..=MAX_SIZE).prop_map(|(name, size)| Command::SendZip { name, size }),
        Just(Command::Quit),
    ]
}

proptest! {
    #[test]
    fn every_command_reads_back_as_itself(command in any_command()) {
        let line = encoded(&command);
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(Command::parse(&line[..line.len() - 1]), Ok(command));
    }

    #[test]
    fn any_line_is_a_command_or_an_error(line in any::<Vec<u8>>()) {
        if let Ok(command) = Command::parse(&line) {
            let _ = encoded(&command);
        }
    }
}

#[test]
fn a_name_that_only_the_server_judges_goes_as_it_is_but_for_the_end_of_the_line() {
    let name = |bytes: &[u8]| RawName::new(bytes).unwrap();
    let encoded = |request: Request| {
        let mut out = Vec::new();
        request.encode(&mut out);
        out
    };
    let receive = |zip| encoded(Request::Receive { name: name(b"sub/a b~?.data"), zip });
    assert_eq!(receive(false), b"RECV <sub/a b~?.data>\n");
    assert_eq!(receive(true), b"ZRECV <sub/a b~?.data>\n");
    let send = |zip| encoded(Request::Send { name: name(b"\xffa.data"), zip, size: 7 });
    assert_eq!(send(false), b"SEND <\xffa.data> SIZE 7\n");
    assert_eq!(send(true), b"ZSEND <\xffa.data> SIZE 7\n");
    assert_eq!(RawName::new(b"a\nQUIT"), Err(NameError::Control(b'\n')));
}
