//! What is refused, and with which message.

use super::*;

#[test]
fn something_must_be_asked_for() {
    let error = read("directory=/x\n", &["-p5"]).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert_eq!(
        error.to_string(),
        "c:1: directory has no blank after it, for which the line is ignored, as by stock; write \"directory value\" \
         at the start of the line\n\
         nothing to do: name the storage directory with -s, or the server to relay to with -b"
    );
}

#[test]
fn what_cannot_be_understood_is_named_with_its_place() {
    for (line, message) in [
        ("port abc", "port: expected a whole number from 1 to 65535, found \"abc\""),
        ("port 0", "port: expected a whole number from 1 to 65535, found \"0\""),
        (
            "port = 5",
            "port: expected a whole number from 1 to 65535, found \"= 5\"; there is no `=` between key and value",
        ),
        (
            "port 5 # x",
            "port: expected a whole number from 1 to 65535, found \"5 # x\"; comments stand in lines of their own",
        ),
        (
            "max_size 2M",
            "max_size: expected a size such as 2MB or 64KiB, or a number of bytes, 1 or more, found \"2M\"",
        ),
        ("timeout 0", "timeout: expected a whole number from 1 to 1000000, found \"0\""),
        ("retries +1", "retries: expected a whole number from 1 to 1000000, found \"+1\""),
        ("umask 9", "umask: expected three or four octal digits such as 0007, found \"9\""),
        ("durability all", "durability: expected fsync or none, found \"all\""),
        (
            "idle_timeout 0",
            "idle_timeout: expected a duration such as 30s, 5m or 1h, or a number of seconds, from 100ms to 30d, found \"0\"",
        ),
        ("log_file \"/x\"", "log_file: expected a path without quotes, found \"\\\"/x\\\"\""),
        ("filters (:a", "filters: \"(:a\": the regex cannot be used: unclosed group"),
        (
            "filters a:../b",
            "filters: \"a:../b\" leads out of the storage directory; name a directory inside it, without `..` and leading `/`",
        ),
        ("allow send", "allow: it names no client; add \"from any\", or addresses as in \"from 10.1.0.0/16\""),
        ("upstream_ssl yes", ""),
    ] {
        let file = format!("directory /x\n{line}\n");
        if message.is_empty() {
            assert!(read(&file, &[]).is_ok_and(|config| !config.warnings.is_empty()), "{line}");
        } else {
            let error = read(&file, &[]).unwrap_err();
            assert_eq!((error.to_string(), error.exit_code()), (format!("c:2: {message}"), 2), "{line}");
        }
    }
    let several = error("port x\nretries x\n", &["-s/x", "-p", "y"]);
    assert_eq!(
        several,
        "-p: expected a whole number from 1 to 65535, found \"y\"\n\
         c:2: retries: expected a whole number from 1 to 1000000, found \"x\""
    );
}

#[test]
fn relays_refuse_what_they_cannot_keep() {
    for (line, message) in [
        (
            "allow send from any",
            "allow: cannot be kept with proxy_ip (-b): bytes are relayed without a look at the commands",
        ),
        ("upstream_ssl yes", "upstream_ssl: expected 1 or 0, found \"yes\""),
        ("upstream_ssl_ca /x", "upstream_ssl_ca: needs upstream_ssl 1, or the other server is spoken to in plain TCP"),
        (
            "upstream_ssl 1",
            "upstream_ssl: there is no CA to check the other server's certificate against; name it with upstream_ssl_ca, or the certificate's SHA-256 with upstream_ssl_pin",
        ),
    ] {
        assert_eq!(error(&format!("proxy_ip a\n{line}\n"), &[]), format!("c:2: {message}"), "{line}");
    }
    assert!(error("proxy_ip a:5\n", &[]).starts_with("c:1: proxy_ip: expected an address or a host name; the port"));
    let unpinned = error("proxy_ip a\nupstream_ssl 1\nupstream_ssl_verify pin\n", &[]);
    assert_eq!(
        unpinned,
        "c:3: upstream_ssl_verify: there is no pin; add upstream_ssl_pin with the certificate's SHA-256"
    );
}

#[test]
fn rules_are_held_against_the_rest() {
    let rule = |rule: &str, more: &str| format!("directory /x\nallow {rule}\n{more}");
    let pin = "0".repeat(64);
    for (file, message) in [
        (
            rule("mv from any cert a", ""),
            "cert needs ssl_cert (-e) and ssl_ca (-f) too, or no client's certificate is verified",
        ),
        (
            rule("mv from any cert a", "ssl_cert /c"),
            "cert needs ssl_cert (-e) and ssl_ca (-f) too, or no client's certificate is verified",
        ),
        (
            rule(&format!("mv from any pin {pin}"), ""),
            "pin needs ssl_cert (-e) too, or there is no TLS and no client shows a certificate",
        ),
    ] {
        assert_eq!(error(&file, &[]), format!("c:2: allow: {message}"));
    }
    assert_eq!(
        warnings(&rule("ls,send in conf,md5 from any", "filters a:conf"), &[]),
        [
            "c:2: allow: ls and mv need insecure 1 (-I) as well",
            "c:2: allow: no filter leads to md5, so it allows nothing there",
        ]
    );
    let right = rule(&format!("all in conf from any cert a pin {pin}"), "filters a:conf\nssl_cert c\nssl_ca d\n");
    assert!(store(&right, &[]).rules.look_at_certificates());
}

#[test]
fn a_file_that_is_not_saved_as_plain_text_says_how_to_convert_it() {
    let load = |bytes: &[u8]| {
        let line = command_line(&[]);
        load::load_text(&line, &surroundings(), Some((Path::new("c"), bytes))).unwrap_err().to_string()
    };
    let text = "directory /x\nport 41121\n";
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = load(&utf16);
    assert!(error.starts_with("c: the file is saved as UTF-16") && error.contains("`iconv -f UTF-16LE"), "{error}");
    let error = load(text.replace('\n', "\r").as_bytes());
    assert!(error.contains("`tr '\\r' '\\n' < c > c.new`"), "{error}");
    assert!(load(b"directory /x\npassword a\0b\n").starts_with("c:2: there is a NUL byte"));
}
