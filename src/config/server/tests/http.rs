//! The status port.

use super::*;

const CERT: &str = "http_cert /c\nhttp_key /k\n";

fn http(keys: &str) -> HttpSettings {
    config(keys, &["-s/x"]).http
}

#[test]
fn it_is_served_where_that_is_asked_for_alone() {
    assert_eq!(config("", &["-s/x"]).http, HttpSettings::default());
    for key in ["http_token_file /run/token", "http_cert /c", "http_key /k", "http_client_ca /ca", "http_hosts a"] {
        let file = format!("{key}\n");
        let warnings = warnings(&file, &["-s/x"]);
        let name = key.split(' ').next().unwrap();
        assert_eq!(warnings, [format!("c:1: {name}: has no effect without http_listen: no status port is served")]);
    }
}

#[test]
fn loopback_is_open_to_this_machine_and_all_else_asks_who_comes() {
    for address in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80"] {
        assert_eq!(http(&format!("http_listen {address}\n")).listen, address.parse().ok());
    }
    for address in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:127.0.0.1]:80"] {
        let listen = format!("http_listen {address}\n");
        for keys in ["", CERT] {
            let error = error(&format!("{listen}{keys}"), &["-s/x"]);
            assert!(error.starts_with("c:1: http_listen: it can be reached from elsewhere"), "{error}");
        }
        let token = "http_token_file /run/token\n";
        assert_eq!(http(&format!("{listen}{token}{CERT}")).token.unwrap().expose(), b"0123456789abcdef");
        assert!(http(&format!("{listen}http_client_ca /ca\n{CERT}")).client_ca.is_some());
        let warnings = warnings(&format!("{listen}{token}"), &["-s/x"]);
        assert!(warnings[0].contains("the token goes over the network in the clear"), "{warnings:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    const LISTEN: &str = "http_listen 127.0.0.1:80\n";
    for (keys, words) in [
        ("http_listen 80\n", "c:1: http_listen: expected an address and a port such as 127.0.0.1:41123"),
        ("http_listen localhost:80\n", "c:1: http_listen: expected an address and a port"),
        ("http_listen 127.0.0.1:0\n", "c:1: http_listen: expected an address and a port"),
        (&format!("{LISTEN}http_token_file /run/secret\n"), "c:2: http_token_file: expected 16 or more letters"),
        (&format!("{LISTEN}http_token_file /missing\n"), "c:2: http_token_file: cannot read /missing: no such file"),
        (&format!("{LISTEN}http_client_ca /ca\n"), "c:2: http_client_ca: without http_cert"),
        (&format!("{LISTEN}http_hosts a:80\n"), "c:2: http_hosts: expected host names without ports"),
    ] {
        let error = error(keys, &["-s/x"]);
        assert!(error.contains(words), "{keys}: {error}");
    }
    let hosts = http(&format!("{LISTEN}http_hosts Buffer.Example.org., ::1\n")).hosts;
    assert_eq!(hosts, ["buffer.example.org", "::1"]);
    let identity = http(&format!("{LISTEN}http_cert both.pem\n")).identity.unwrap();
    assert_eq!((identity.cert, identity.key), ("/run/both.pem".into(), "/run/both.pem".into()));
}

#[test]
fn a_reload_takes_nothing_away_that_keeps_others_out() {
    const LISTEN: &str = "http_listen 127.0.0.1:80\n";
    let protected = format!("{LISTEN}http_token_file /run/token\nhttp_client_ca /ca\n{CERT}");
    let [open, protected, none] = [LISTEN, &protected, ""].map(|keys| config(keys, &["-s/x"]));
    assert_eq!(open.unprotected(&protected), ["http_token_file"]);
    assert_eq!(protected.unprotected(&open), [""; 0]);
    assert_eq!(none.unprotected(&protected), [""; 0], "nobody is let in");
    let files: Vec<_> = protected.pem_files();
    assert_eq!(files, ["/c", "/k", "/ca"].map(Path::new));
}
