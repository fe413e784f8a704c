use std::path::Path;

use super::*;

const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn rules(lines: &[&str]) -> Rules {
    Rules::new(lines.iter().map(|line| line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))).collect())
}

fn error(line: &str) -> String {
    line.parse::<Rule>().unwrap_err().to_string()
}

fn from(address: &str) -> Who<'static> {
    Who { address: address.parse().unwrap(), cert_names: &[], pin: None }
}

#[test]
fn without_rules_everything_is_allowed() {
    for verb in [Verb::Send, Verb::Recv, Verb::Ls, Verb::Mv] {
        assert!(Rules::default().permits(&from("10.0.0.1"), verb, None));
    }
}

#[test]
fn what_no_rule_allows_is_refused() {
    let rules = rules(&["send from any", "recv, ls ,mv from 10.1.0.0/16, fd00::1"]);
    for (address, verb, permitted) in [
        ("192.0.2.1", Verb::Send, true),
        ("192.0.2.1", Verb::Zsend, true),
        ("192.0.2.1", Verb::Recv, false),
        ("192.0.2.1", Verb::Zrecv, false),
        ("192.0.2.1", Verb::Mv, false),
        ("192.0.2.1", Verb::Pass, true),
        ("10.1.2.3", Verb::Zrecv, true),
        ("::ffff:10.1.2.3", Verb::Ls, true),
        ("fd00::1", Verb::Mv, true),
        ("fd00::2", Verb::Mv, false),
    ] {
        assert_eq!(rules.permits(&from(address), verb, None), permitted, "{verb} from {address}");
        assert_eq!(rules.permits(&from(address), verb, Some(Path::new("conf"))), permitted, "{verb} from {address}");
    }
}

#[test]
fn a_rule_can_be_for_a_directory() {
    let who = from("10.1.2.3");
    let in_conf = rules(&["all in conf, a/b/ from 10.1.2.3"]);
    assert!(in_conf.permits(&who, Verb::Ls, Some(Path::new("conf"))));
    assert!(in_conf.permits(&who, Verb::Ls, Some(Path::new("a/b"))));
    assert!(!in_conf.permits(&who, Verb::Ls, Some(Path::new("conf2"))));
    assert!(!in_conf.permits(&who, Verb::Ls, None));
    let in_root = rules(&["all in / from 10.1.2.3"]);
    assert!(in_root.permits(&who, Verb::Ls, None));
    assert!(!in_root.permits(&who, Verb::Ls, Some(Path::new("conf"))));
}

#[test]
fn a_rule_can_be_for_a_certificate() {
    let subject = ["centre".to_owned(), "centre.example.org".to_owned()];
    let pin = Sha256(super::super::super::pin::parse_pin(PIN).unwrap());
    let bare = from("10.1.2.3");
    let named = Who { cert_names: &subject, ..bare };
    let pinned = Who { pin: Some(pin), ..bare };
    let both = Who { pin: Some(pin), ..named };
    let other = Who { pin: Some(Sha256([7; 32])), ..bare };
    for (rule, permitted) in [
        ("mv from any cert \"CN=centre\"", [false, true, false, true, false]),
        ("mv from any cert other,centre.example.org", [false, true, false, true, false]),
        ("mv from any cert Centre", [false; 5]),
        (&format!("mv pin {PIN} from any"), [false, false, true, true, false]),
        (&format!("mv cert centre from any pin {PIN}"), [false, false, false, true, false]),
        (&format!("mv from 10.9.9.9 pin {PIN}"), [false; 5]),
    ] {
        let rules = rules(&[rule]);
        assert!(rules.look_at_certificates());
        let found = [bare, named, pinned, both, other].map(|who| rules.permits(&who, Verb::Mv, None));
        assert_eq!(found, permitted, "{rule}");
    }
    assert!(!rules(&["all from any"]).look_at_certificates());
}

#[test]
fn what_is_written_reads_back() {
    let lines = [
        "send from any".to_owned(),
        "send,recv,ls,mv in conf,\"a b\",/ from 10.1.0.0/16,::1 cert CN=centre,\"CN=a, b\"".to_owned(),
        format!("ls from 10.0.0.1 pin {PIN}"),
    ];
    for line in &lines {
        let rule: Rule = line.parse().unwrap();
        assert_eq!(rule.to_string(), *line);
    }
    assert_eq!(rules(&["all from any"]).to_string(), "allow send,recv,ls,mv from any\n");
}

#[test]
fn what_is_no_rule_is_refused_with_what_was_expected() {
    const EXPECTED: &str = "expected: allow VERBS [in DIRECTORY] from ADDRESSES [cert NAME] [pin SHA256]";
    for (line, message) in [
        ("", format!("there is nothing after \"allow\"; {EXPECTED}")),
        ("send, from any", "\"from\" is nothing to allow; expected send, recv, ls, mv or all".to_owned()),
        (
            "snd from any",
            "\"snd\" is nothing to allow, did you mean send?; expected send, recv, ls, mv or all".to_owned(),
        ),
        ("send form any", format!("\"form\" is out of place, did you mean from?; {EXPECTED}")),
        ("send recv from any", format!("\"recv\" is out of place; {EXPECTED}")),
        ("send from", format!("there is nothing after \"from\"; {EXPECTED}")),
        ("send from any from any", "from stands there twice; separate several by commas".to_owned()),
        ("send", "it names no client; add \"from any\", or addresses as in \"from 10.1.0.0/16\"".to_owned()),
        (
            "send from centre",
            "from: \"centre\" is no address; expected one such as 10.1.2.3, fd00::1, or a range such as 10.1.0.0/16, \
             or any"
                .to_owned(),
        ),
        ("send from any,10.0.0.1", "from: any and addresses exclude each other; remove one of them".to_owned()),
        (
            "send in ../x from any",
            "in: \"../x\" is not inside the storage directory; expected a directory that filters lead to, or /"
                .to_owned(),
        ),
        (
            "send from any cert O=us",
            "cert: \"O=us\" is no name; expected a CN or a SAN of the client's certificate, such as \"CN=centre\""
                .to_owned(),
        ),
        (
            "send from any pin 0011",
            "pin: expected the certificate's SHA-256, 64 hexadecimal digits, with or without colons; found \"0011\""
                .to_owned(),
        ),
        ("send from any cert \"x", "a quote is left open; put \" at both ends".to_owned()),
    ] {
        assert_eq!(error(line), message, "{line}");
    }
    for line in [
        ",",
        "send from 10.0.0.1/8",
        "send from any,",
        "send from any cert CN=",
        "send in \"\" from any",
        "all from any \"x\"",
    ] {
        assert!(line.parse::<Rule>().is_err(), "{line}");
    }
}
