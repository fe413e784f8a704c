//! What is refused, and in which words.

use super::*;

fn assert_errors(text: &str, errors: &[&str]) {
    let expected: Vec<String> = errors.iter().map(|error| format!("/etc/t/c.toml{error}")).collect();
    match read(text) {
        Err(found) => assert_eq!(found, expected.join("\n"), "{text}"),
        Ok(_) => panic!("read without an error: {text}"),
    }
}

/// The errors of a site with one more key, which stands in line 3.
fn assert_error_of(key: &str, error: &str) {
    assert_errors(&format!("[[site]]\naddress = \"a\"\n{key}\n"), &[&format!(":3: {error}")]);
}

#[test]
fn an_unknown_key_finds_the_one_that_was_meant() {
    let known = Section::Defaults.keys().join(", ");
    assert_errors(
        "[snyc]\n[sync]\nstatedir = \"/x\"\ninterval = 3\n[tls]\nca = \"/ca\"\nverfy = \"chain\"\n[defaults]\nname = \"x\"\n\
         colour = 1\n[[site]]\naddress = \"a\"\nadress = \"b\"\nproxy = { host = \"h\", port = 1, pasword = \"hunter2\" }\n\
         [[sites]]\n",
        &[
            ":1: unknown key \"snyc\" in the file; did you mean \"sync\"?",
            ":3: unknown key \"statedir\" in [sync]; did you mean \"state_dir\"?",
            ":4: unknown key \"interval\" in [sync]; it belongs in [defaults]",
            ":7: unknown key \"verfy\" in [tls]; did you mean \"verify\"?",
            ":9: unknown key \"name\" in [defaults]; it belongs in [[site]]",
            &format!(":10: unknown key \"colour\" in [defaults]; known are {known}"),
            ":13: unknown key \"adress\" in [[site]]; did you mean \"address\"?",
            ":14: unknown key \"pasword\" in proxy; did you mean \"password\"?",
            ":15: unknown key \"sites\" in the file; did you mean \"site\"?",
        ],
    );
}

#[test]
fn a_wrong_value_says_what_was_expected_and_found() {
    let duration = "expected a duration such as \"30s\", \"5m\" or \"1h\", or a number of seconds, from";
    let size = "expected a size such as \"2MB\" or \"64KiB\", or a number of bytes,";
    for (key, error) in [
        ("port = 0", "port: expected a whole number from 1 to 65535, found 0"),
        ("port = 65536", "port: expected a whole number from 1 to 65535, found 65536"),
        ("port = \"41121\"", "port: expected a whole number from 1 to 65535, found \"41121\""),
        ("port = 1.5", "port: expected a whole number from 1 to 65535, found 1.5"),
        ("connections = 65", "connections: expected a whole number from 1 to 64, found 65"),
        ("connections = -1", "connections: expected a whole number from 1 to 64, found -1"),
        ("interval = 0", &format!("interval: {duration} 1s to 365d, found 0")),
        ("interval = \"900ms\"", &format!("interval: {duration} 1s to 365d, found \"900ms\"")),
        ("timeout = true", &format!("timeout: {duration} 1s to 365d, found true")),
        ("keep_open = \"soon\"", &format!("keep_open: {duration} 0s to 365d, found \"soon\"")),
        ("round_limit = 1979-05-27", &format!("round_limit: {duration} 1s to 365d, found a date")),
        ("max_file_size = 0", &format!("max_file_size: {size} 1 or more, found 0")),
        ("min_rate = \"1MBit\"", &format!("min_rate: {size} 0 or more, found \"1MBit\"")),
        ("retries = 1001", "retries: expected a whole number from 0 to 1000, found 1001"),
        ("delivery = \"saf\"", "delivery: expected \"safe\" or \"move\", found \"saf\""),
        ("enabled = \"yes\"", "enabled: expected true or false, found \"yes\""),
        ("quickack = 1", "quickack: expected true or false, found 1"),
        ("incoming_dir = \"\"", "incoming_dir: expected a path in quotes, found \"\""),
        ("incoming_dir = \"a\\u0000b\"", "incoming_dir: expected a path in quotes, found \"a\\0b\""),
        ("include = \"*.data\"", "include: expected a list of texts such as [\"*.data\"], found \"*.data\""),
        ("exclude = [1]", "exclude: expected a list of texts such as [\"*.data\"], found a list"),
        ("exclude = [\"[\"]", "exclude: \"[\" is no pattern: unclosed character class; missing ']'"),
        ("name = \"\"", "name: expected a name of 1 to 128 bytes that can be printed, found \"\""),
        ("name = \" a\"", "name: expected a name of 1 to 128 bytes that can be printed, found \" a\""),
        ("name = \"a\\nb\"", "name: expected a name of 1 to 128 bytes that can be printed, found \"a\\nb\""),
        ("name = \"a\\u202Eb\"", "name: expected a name of 1 to 128 bytes that can be printed, found \"a\\u{202e}b\""),
        ("tls = true", "tls: expected a table like [tls], or false for none; found true"),
    ] {
        assert_error_of(key, error);
    }
}

#[test]
fn addresses_that_are_none() {
    for (address, error) in [
        ("\"10.0.0.1:4000\"", "expected a host name or an address, and its port as `port`, found \"10.0.0.1:4000\""),
        ("\"10.0.0.300\"", "expected a host name or an address, found \"10.0.0.300\""),
        ("\"a b\"", "expected a host name or an address, found \"a b\""),
        ("7", "expected a host name or an address, found 7"),
    ] {
        assert_errors(&format!("[[site]]\naddress = {address}\n"), &[&format!(":2: address: {error}")]);
    }
}

#[test]
fn tls_that_cannot_work_is_refused() {
    let pins =
        "expected a list of SHA-256 fingerprints: 64 hexadecimal digits each, with or without colons, found a list";
    let together = "a certificate and its key are used together";
    let no_ca = "tls: there is no CA to check the site's certificate against; name it with ca, or choose verify = \"pin\" \
                 with pins, or verify = \"none\"";
    for (key, error) in [
        ("tls = {}", no_ca.to_owned()),
        ("tls = { verify = \"chain+name\" }", no_ca.to_owned()),
        (
            "tls = { verify = \"name\" }",
            "verify: expected \"chain\" or \"chain+name\" or \"pin\" or \"none\", found \"name\"".to_owned(),
        ),
        ("tls = { ca = \"/ca\", cert = \"/c\" }", format!("cert without key: {together}; add key")),
        ("tls = { ca = \"/ca\", key = \"/k\" }", format!("key without cert: {together}; add cert")),
        (
            "tls = { verify = \"pin\" }",
            "verify = \"pin\" without pins; list the SHA-256 of the site's certificate: pins = [\"…\"]".to_owned(),
        ),
        ("tls = { verify = \"pin\", pins = [] }", format!("pins: {pins}")),
        ("tls = { verify = \"pin\", pins = [\"00ff\"] }", format!("pins: {pins}")),
        (
            "tls = { ca = \"/ca\", pins = [\"00ff\"] }",
            "pins: they count with verify = \"pin\" only; add it, or remove them".to_owned(),
        ),
        (
            "tls = { ca = \"/ca\", offer_client_cert = \"no\" }",
            "offer_client_cert: expected true, false or \"auto\", found \"no\"".to_owned(),
        ),
        (
            "tls = { ca = \"/ca\", verfy = \"none\" }",
            "unknown key \"verfy\" in [tls]; did you mean \"verify\"?".to_owned(),
        ),
    ] {
        assert_error_of(key, &error);
    }
}

#[test]
fn secrets_that_cannot_be_had_and_none_is_told() {
    let url = "proxy: expected \"http://host:port\" or \"http://user:password@host:port\"";
    for (key, error) in [
        ("password_env = \"NONE\"", "password_env: the environment variable NONE is not set, or empty"),
        (
            "password_env = \"hunter2\"",
            "password_env: expected the name of an environment variable, such as SITE_PASSWORD",
        ),
        ("password = 12345", "password: expected text in quotes, not empty; found a number"),
        ("password = \"\"", "password: expected text in quotes, not empty; found text"),
        ("proxy = \"http://me:hunter2@proxy\"", url),
        ("proxy = \"https://me:hunter2@proxy:1\"", url),
        ("proxy = \"http://hunter2@proxy:1\"", url),
        ("proxy = 5", "proxy: expected \"http://host:port\", a table, or false for none; found a number"),
        ("proxy = { port = 1 }", "proxy: host is missing"),
        (
            "proxy = { host = \"http://me:hunter2@proxy\", port = 1 }",
            "host: expected a host name or an address, found text that may hold a password",
        ),
        ("proxy = { host = \"h\" }", "proxy: port is missing"),
        (
            "proxy = { host = \"h\", port = 1, user = \"u\" }",
            "proxy: user and password go together; give both, or none",
        ),
        (
            "proxy = { host = \"h\", port = 1, user = \"u:v\", password = \"p\" }",
            "user: expected a user's name without colons and control characters, found \"u:v\"",
        ),
    ] {
        assert_error_of(key, error);
    }
    assert_errors(
        "[[site]]\naddress = \"a\"\npassword = \"hunter2\"\npassword_file = \"pw\"\n",
        &[":4: password_file and password: one of them is enough; remove the other"],
    );
}

#[test]
fn what_is_wrong_in_defaults_is_told_once_and_even_if_overridden() {
    assert_errors(
        "[defaults]\nport = 0\ninterval = \"x\"\n[[site]]\naddress = \"a\"\nport = 1\n[[site]]\naddress = \"b\"\nport = 1\n",
        &[
            ":2: port: expected a whole number from 1 to 65535, found 0",
            ":3: interval: expected a duration such as \"30s\", \"5m\" or \"1h\", or a number of seconds, from 1s to 365d, \
             found \"x\"",
        ],
    );
}

#[test]
fn sites_have_an_address_and_a_name_of_their_own() {
    assert_errors(
        "[[site]]\nname = \"a\"\n",
        &[":1: site: address is missing: the host name or address of its Tentacle server"],
    );
    assert_errors(
        "[[site]]\naddress = \"a\"\n\n[[site]]\nname = \"a\"\naddress = \"b\"\n",
        &[":4: site \"a\": the name is taken by the site of line 1; names are unique"],
    );
}

#[test]
fn tables_that_are_none() {
    assert_errors(
        "sync = 1\ntls = \"x\"\nsite = [3]\n[[defaults]]\n",
        &[
            ":1: [sync]: expected a table, found a number",
            ":2: [tls]: expected a table, found text",
            ":3: site: expected a table, found a number",
            ":4: [defaults]: expected a table, found a list",
        ],
    );
    assert_errors(
        "[site]\naddress = \"a\"\n",
        &[":1: [[site]]: expected a list of tables, found a table; write [[site]]"],
    );
}

#[test]
fn every_slip_of_syntax_is_told_without_the_line_it_is_in() {
    let error = read("[[site]]\nname = a\npassword = \"hunter2\n[[site]]\naddress =\n").unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.len() >= 3 && lines.iter().all(|line| line.starts_with("/etc/t/c.toml:")), "{error}");
    assert_errors("[[site]]\naddress = \"a\"\naddress = \"b\"\n", &[":3: duplicate key"]);
}

#[test]
fn other_bytes_than_utf8_are_told_by_line() {
    let error = parse_only(b"[sync]\nstate_dir = \"\xff\"\n", "c.toml", ENVIRONMENT).unwrap_err();
    assert_eq!(error.to_string(), "c.toml:2: expected UTF-8, found other bytes; save the file as UTF-8");
}
