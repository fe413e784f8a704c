use std::path::Path;
use std::time::Duration;

use super::super::settings::ProxySettings;
use super::*;
use crate::proto::Secret;

/// Files whose names begin so are there.
fn is_file(path: &Path) -> bool {
    path.to_str().unwrap().starts_with("there")
}

fn parse(args: &[&str]) -> Result<Invocation, ClientUsageError> {
    parse_args(args.iter().map(Into::into), is_file)
}

#[track_caller]
fn settings(args: &[&str]) -> ClientSettings {
    match parse(args) {
        Ok(Invocation::Transfer(settings)) => *settings,
        other => panic!("{args:?}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_stocks() {
    let expected = ClientSettings {
        server: Server { host: "127.0.0.1".into(), port: 41121 },
        local: None,
        proxy: None,
        tls: None,
        password: None,
        timeout: Duration::from_secs(4),
        direction: Direction::Send,
        zip: false,
        files: vec!["a.data".into()],
        verbosity: Verbosity::default(),
    };
    assert_eq!(settings(&["a.data"]), expected);
}

#[test]
fn every_option_has_its_effect() {
    let all = settings(&[
        "-vzg",
        "-a",
        "Site.example.org",
        "-p4000",
        "-b",
        "10.0.0.1",
        "-t",
        "5",
        "-r",
        "2",
        "-qx",
        "s3cret",
        "-y",
        "u:p@proxy:3128",
        "-e",
        "there.pem",
        "-kthere.key",
        "-f",
        "there.ca",
        "-w",
        "a",
        "-b",
    ]);
    let identity = ClientIdentity { cert: "there.pem".into(), key: "there.key".into(), ask_passphrase: true };
    let expected = ClientSettings {
        server: Server { host: "site.example.org".into(), port: 4000 },
        local: Some("10.0.0.1".into()),
        proxy: Some(ProxySettings {
            host: "proxy".into(),
            port: 3128,
            credentials: Some(("u".into(), Secret::new(b"p".to_vec()))),
        }),
        tls: Some(ClientTls { ca: Some("there.ca".into()), identity: Some(identity) }),
        password: Some(Secret::new(b"s3cret".to_vec())),
        timeout: Duration::from_secs(15),
        direction: Direction::Get,
        zip: true,
        files: vec!["a".into(), "-b".into()],
        verbosity: Verbosity { quiet: true, verbose: true },
    };
    assert_eq!(all, expected);
}

#[test]
fn tls_comes_in_three_ways_and_a_fourth() {
    let tls = |args: &[&str]| settings(&[args, &["file"]].concat()).tls;
    assert_eq!(tls(&["-c"]), Some(ClientTls { ca: None, identity: None }));
    let identity = ClientIdentity { cert: "there".into(), key: "there".into(), ask_passphrase: false };
    assert_eq!(tls(&["-e", "there"]), Some(ClientTls { ca: None, identity: Some(identity.clone()) }));
    let with_key = ClientIdentity { key: "there.key".into(), ..identity };
    assert_eq!(
        tls(&["-e", "there", "-k", "there.key", "-f", "there.ca"]),
        Some(ClientTls { ca: Some("there.ca".into()), identity: Some(with_key) })
    );
    assert_eq!(tls(&["-c", "-f", "there.ca"]), Some(ClientTls { ca: Some("there.ca".into()), identity: None }));
}

#[test]
fn a_proxys_password_may_hold_anything() {
    let credentials = |proxy| settings(&["-y", proxy, "file"]).proxy.unwrap().credentials;
    let pair = |user: &str, password: &str| Some((user.to_owned(), Secret::new(password.as_bytes().to_vec())));
    assert_eq!(credentials("proxy:3128"), None);
    assert_eq!(credentials(":@proxy:3128"), None);
    assert_eq!(credentials("u:@proxy:3128"), pair("u", ""));
    assert_eq!(credentials("u:p@ss:w@proxy:3128"), pair("u", "p@ss:w"));
}

#[test]
fn a_get_without_files_only_says_hello() {
    assert_eq!(settings(&["-g"]).files, Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_empty_password_is_none() {
    assert_eq!(settings(&["-x", "", "file"]).password, None);
}

#[test]
fn help_and_version_win() {
    assert_eq!(parse(&["-p0", "-h"]), Ok(Invocation::Help { exit_code: 1 }));
    assert_eq!(parse(&["--help"]), Ok(Invocation::Help { exit_code: 0 }));
    assert_eq!(parse(&["-v", "--version"]), Ok(Invocation::Version));
}

#[test]
fn mistakes_are_told_in_stocks_words() {
    for (args, message) in [
        (&[][..], "No files to send."),
        (&["-a", "bad_host!", "f"], "Address bad_host! is not valid."),
        (&["-a", "host:41121", "f"], "Address host:41121 is not valid."),
        (&["-a", "10.0.0.256", "f"], "Address 10.0.0.256 is not valid."),
        (&["-b", "x y", "f"], "Local address x y is not valid."),
        (&["-c", "-e", "there", "f"], "Flags -c and -e can not be used at the same time."),
        (&["-e", "gone", "f"], "File gone does not exist."),
        (&["-f", "there", "f"], "Flag -e must be set to enable peer certificate verify."),
        (&["-e", "there", "-f", "gone", "f"], "File gone does not exist."),
        (&["-k", "there", "f"], "Flag -e must be set to use a private key file."),
        (&["-e", "there", "-k", "gone.key", "f"], "File gone.key does not exist."),
        (&["-p", "0", "f"], "Port 0 is not valid."),
        (&["-p", "65536", "f"], "Port 65536 is not valid."),
        (&["-p", "+1", "f"], "Port +1 is not valid."),
        (&["-p", "", "f"], "Port  is not valid."),
        (&["-r", "0", "f"], "Invalid number of retries for network operations."),
        (&["-r", "-1", "f"], "Invalid number of retries for network operations."),
        (&["-t", "1.5", "f"], "Invalid timeout for network operations."),
        (&["-w", "f"], "Flag -k must be set to provide a private key password."),
        (&["-y", "proxy", "f"], "Invalid proxy string: proxy"),
        (&["-y", "user@proxy:1", "f"], "Invalid proxy string: ***@proxy:1"),
        (&["-y", "proxy:99999", "f"], "Proxy port 99999 is not valid."),
        (&["-j", "f"], "Unknown option: j"),
        (&["--port=5", "f"], "Unknown option: --port"),
        (&["--hlep", "f"], "Unknown option: --hlep, did you mean --help?"),
        (&["-p"], "Option -p needs a value."),
    ] {
        assert_eq!(parse(args).unwrap_err().to_string(), message, "{args:?}");
    }
}

#[test]
fn of_several_mistakes_stocks_first_is_reported() {
    assert_eq!(parse(&["-y", "x", "-p", "0", "-a", "!"]), Err(ClientUsageError::Address("!".into())));
    assert_eq!(parse(&["-p", "0", "-e", "gone"]), Err(ClientUsageError::NoFile("gone".into())));
}

#[test]
fn no_password_is_shown() {
    let shown = format!("{:?}", settings(&["-x", "s3cret", "-y", "u:s3cret@proxy:1", "f"]));
    assert!(!shown.contains("s3cret"), "{shown}");
    let error = parse(&["-y", "u:s3cret@proxy", "f"]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
}
