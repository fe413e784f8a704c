use std::path::Path;
use std::time::Duration;

use super::super::load::parse_only;
use super::super::settings::SiteSettings;
use super::super::source::Env;
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

/// The sites and the warnings of a file, or its errors.
fn read(text: impl AsRef<[u8]>) -> Result<(Vec<SiteSettings>, Vec<String>), String> {
    let settings =
        parse_only(text.as_ref(), "/etc/pandora/p.conf", Env::of_process()).map_err(|error| error.to_string())?;
    Ok((settings.sites, settings.warnings))
}

fn sites(text: &str) -> Vec<SiteSettings> {
    read(text).unwrap().0
}

const MANUAL: &str = "\
syncserver 0
sync_address 10.142.50.10,20.152.50.20
sync_port 41121
sync_ca /home/cacert.pem
sync_cert /home/tentaclecert.pem
sync_key /home/tentaclekey.pem
";

#[test]
fn the_manuals_example_is_two_sites_with_tls() {
    let identity = IdentitySettings {
        cert: "/home/tentaclecert.pem".into(),
        key: "/home/tentaclekey.pem".into(),
        passphrase: None,
    };
    let tls = TlsSettings {
        ca: Some("/home/cacert.pem".into()),
        identity: Some(identity),
        verify: Verify::Chain,
        offer: ClientCertPolicy::Auto,
    };
    let site = |address: &str| SiteSettings { tls: Some(tls.clone()), ..SiteSettings::new(address, address) };
    let (sites, warnings) = read(MANUAL).unwrap();
    assert_eq!(sites, [site("10.142.50.10"), site("20.152.50.20")]);
    assert_eq!(sites[0].retries, 3);
    assert_eq!(sites[0].timeout, Duration::from_secs(10));
    assert_eq!(warnings, Vec::<String>::new());
    let dos = MANUAL.replace('\n', "\r\n");
    assert_eq!(read(dos).unwrap(), (sites, warnings));
}

#[test]
fn every_token_arrives() {
    let text = "SyncServer 0\nSYNC_ADDRESS 10.0.0.1, site.example.org ,,\nsync_port 4000x\nsync_retries 0\nsync_timeout 7\n\
                sync_block_size 1024\nserver_threshold 5\nincomingdir /spool\ndbname pandora\nsync_port 4001\n";
    let (sites, warnings) = read(text).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let site = |address: &str| SiteSettings {
        port: 4001,
        retries: 0,
        timeout: Duration::from_secs(7),
        interval: Duration::from_secs(5),
        incoming_dir: "/spool".into(),
        ..SiteSettings::new(address, address)
    };
    assert_eq!(sites, [site("10.0.0.1"), site("site.example.org")]);
}

#[test]
fn what_was_meant_is_taken_and_warned_of() {
    let does_not = "Pandora FMS does not understand";
    for (line, warning) in [
        ("sync_port  4000", format!("sync_port: {does_not} more than one blank before the value; read as \"4000\"")),
        ("sync_port=4000", format!("sync_port: {does_not} `=` after the token; read as \"4000\"")),
        ("sync_port = 4000", format!("sync_port: {does_not} `=` after the token; read as \"4000\"")),
        ("  sync_port 4000", format!("sync_port: {does_not} a blank before the token; read as \"4000\"")),
        ("sync_ca \"/ca.pem\"", format!("sync_ca: {does_not} quotes around the value; read as \"/ca.pem\"")),
        ("sync_ca /ca.pem # ours", format!("sync_ca: {does_not} a comment after the value; read as \"/ca.pem\"")),
        ("sync_timeout 10s", "sync_timeout: only the leading digits count; \"10s\" is read as 10".to_owned()),
        ("sync_port 4000 1", "sync_port: only the leading digits count; \"4000 1\" is read as 4000".to_owned()),
        ("sync_port 4000x", "sync_port: only the leading digits count; \"4000x\" is read as 4000".to_owned()),
        ("sync_ca ca.pem", "sync_ca is relative; taken from /etc/pandora".to_owned()),
        ("sync_adress 10.0.0.2", "unknown token \"sync_adress\", ignored; did you mean sync_address?".to_owned()),
        ("synchronous 1", "unknown token \"synchronous\", ignored".to_owned()),
    ] {
        let (sites, warnings) = read(format!("syncserver 0\nsync_address 10.0.0.1\n{line}\n")).unwrap();
        assert_eq!(warnings, [format!("/etc/pandora/p.conf:3: {warning}")], "{line}");
        let plain = !line.contains("port") || sites[0].port == 4000;
        let tls = !line.contains("_ca") || sites[0].tls.as_ref().unwrap().ca.as_ref().unwrap().is_absolute();
        assert!(plain && tls, "{line}: {:?}", sites[0]);
    }
}

#[test]
fn a_comment_after_a_number_is_no_slip() {
    let (sites, warnings) = read("syncserver 0\nsync_address 10.0.0.1\nsync_timeout 7 # seconds\n").unwrap();
    assert_eq!((sites[0].timeout, warnings), (Duration::from_secs(7), Vec::new()));
}

#[test]
fn addresses_in_every_notation() {
    for (value, name, address, port, warnings) in [
        ("site:4000", "site:4000", "site", 4000, vec!["\"site:4000\" read as address site, port 4000"]),
        ("site:41121", "site", "site", 41121, vec!["\"site:41121\" read as address site, port 41121"]),
        (
            "fe80::1%eth0",
            "fe80::1%eth0",
            "fe80::1%eth0",
            41121,
            vec!["\"fe80::1%eth0\" read as the IPv6 address fe80::1%eth0"],
        ),
        (
            "[2001:DB8::1]:4000",
            "[2001:db8::1]:4000",
            "2001:db8::1",
            4000,
            vec![
                "\"[2001:DB8::1]:4000\" read as address 2001:db8::1, port 4000",
                "Pandora FMS does not understand the first character of the value; read as \"[2001:DB8::1]:4000\"",
            ],
        ),
        (
            "::1",
            "::1",
            "::1",
            41121,
            vec![
                "\"::1\" read as the IPv6 address ::1",
                "Pandora FMS does not understand the first character of the value; read as \"::1\"",
            ],
        ),
    ] {
        let (sites, said) = read(format!("syncserver 0\nsync_address {value}\n")).unwrap();
        assert_eq!(sites, [SiteSettings { port, ..SiteSettings::new(name, address) }], "{value}");
        let expected: Vec<String> =
            warnings.iter().map(|warning| format!("/etc/pandora/p.conf:2: sync_address: {warning}")).collect();
        assert_eq!(said, expected, "{value}");
    }
}

#[test]
fn addresses_separated_otherwise_are_still_several() {
    let (sites, warnings) = read("syncserver 0\nsync_address 10.0.0.1; 10.0.0.2 10.0.0.3\n").unwrap();
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let warning = "sync_address: Pandora FMS separates addresses by commas only; read as if there were one";
    assert_eq!(warnings, [format!("/etc/pandora/p.conf:2: {warning}")]);
}

#[test]
fn a_line_that_stock_reads_beats_one_that_it_drops() {
    for text in [
        "syncserver 0\nsync_address a\nsync_port 1\nsync_port=2\n",
        "syncserver 0\nsync_address a\nsync_port=2\nsync_port 1\n",
    ] {
        let (sites, warnings) = read(text).unwrap();
        assert_eq!(sites[0].port, 1);
        let (dropped, counts) = if text.ends_with("2\n") { (4, 3) } else { (3, 4) };
        let warning = format!("sync_port: Pandora FMS ignores this line for `=` after the token; line {counts} counts");
        assert_eq!(warnings, [format!("/etc/pandora/p.conf:{dropped}: {warning}")]);
    }
}

#[test]
fn what_the_data_server_ignores_is_ignored_here_too() {
    let (sites, warnings) = read("syncserver 0\nsync_address a\nincomingdir  /elsewhere\n").unwrap();
    assert_eq!(sites[0].incoming_dir, Path::new("/var/spool/pandora/data_in"));
    let warning = "incomingdir: Pandora FMS ignores this line for more than one blank before the value; \
                   so do we, to agree with Pandora FMS's other servers";
    assert_eq!(warnings, [format!("/etc/pandora/p.conf:3: {warning}")]);
}

#[test]
fn a_sync_server_beside_us_is_warned_of() {
    let advice = "set it to 0 and restart the Pandora FMS server, or both collect from the same sites";
    for (text, line) in [("sync_address a\nsyncserver 1\n", 2), ("syncserver 1\nsync_address a\n", 1)] {
        assert_eq!(read(text).unwrap().1, [format!("/etc/pandora/p.conf:{line}: syncserver is on: {advice}")]);
    }
    for text in ["sync_address a\n", "sync_address a\nsyncserver 0\n", "sync_address a\nsyncserver yes\n"] {
        assert_eq!(read(text).unwrap().1, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn tls_is_on_when_any_of_it_is_there() {
    let tls = |lines: &str| sites(&format!("sync_address a\n{lines}"))[0].tls.clone();
    assert_eq!(tls(""), None);
    assert_eq!(tls("sync_ca \n"), None);
    let alone = tls("sync_ca /ca.pem\n").unwrap();
    assert_eq!((alone.verify, alone.identity), (Verify::Chain, None));
}

#[test]
fn a_certificate_without_a_ca_is_warned_of_loudly() {
    let (sites, warnings) = read("syncserver 0\nsync_address a\nsync_cert /c.pem\nsync_key /k.pem\n").unwrap();
    assert_eq!(sites[0].tls.as_ref().unwrap().verify, Verify::None);
    let warning = "sync_cert without sync_ca: the sites' certificates are not checked, and anyone on the way can pose as a \
                   site; name the CA with sync_ca";
    assert_eq!(warnings, [format!("/etc/pandora/p.conf:3: {warning}")]);
}

#[test]
fn paths_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let (sites, _) = read(b"sync_address a\nsync_ca /home/\xff\xfe.pem\n".as_slice()).unwrap();
    let ca = sites[0].tls.as_ref().unwrap().ca.clone().unwrap();
    assert_eq!(ca.as_os_str().as_bytes(), b"/home/\xff\xfe.pem");
}

#[test]
fn an_address_that_stands_there_twice_is_taken_once() {
    for (addresses, names, repeated) in [
        ("a,b,A", &["a", "b"][..], "a"),
        ("10.0.0.1,10.0.0.1:41121", &["10.0.0.1"], "10.0.0.1"),
        ("a b,a a", &["a", "b"], "a"),
    ] {
        let (sites, warnings) = read(format!("sync_address {addresses}\n")).unwrap();
        assert_eq!(sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>(), names);
        let warning = format!("/etc/pandora/p.conf:1: sync_address: {repeated} stands there twice, taken once");
        assert!(warnings.iter().any(|found| found.starts_with(&warning)), "{warnings:?}");
    }
}

#[test]
fn errors_say_where_and_what_to_do() {
    for (text, errors) in [
        ("", vec![": there is no sync_address; name the Tentacle servers: sync_address 10.0.0.1,10.0.0.2"]),
        (
            "# sites\nsync_adress 10.0.0.1",
            vec![": there is no sync_address; did you mean it in line 2, with sync_adress?"],
        ),
        ("sync_address ,,\nsync_address ,", vec![":2: sync_address: there is no address in it"]),
        (
            "sync_address 10.0.0.300,a",
            vec![
                ":1: sync_address: \"10.0.0.300\" is no address; expected a host name or an address, and separate several by commas",
            ],
        ),
        ("sync_address a\nsync_port 0", vec![":2: sync_port: expected a number from 1 to 65535, found \"0\""]),
        ("sync_address a\nsync_port 65536", vec![":2: sync_port: expected a number from 1 to 65535, found \"65536\""]),
        (
            "sync_address a\nsync_timeout none",
            vec![":2: sync_timeout: expected a number from 1 to 86400, found \"none\""],
        ),
        (
            "sync_address a\nsync_cert /c.pem",
            vec![":2: sync_cert without sync_key: a certificate and its key are used together; add sync_key"],
        ),
        (
            "sync_key /k.pem\nsync_address a",
            vec![":1: sync_key without sync_cert: a certificate and its key are used together; add sync_cert"],
        ),
        (
            "sync_address a\nsync_ca /a\0b",
            vec![":2: there is a NUL byte in this line: the file is damaged, or no text file"],
        ),
        (
            "sync_retries x\nsync_address a b,a\nserver_threshold 0",
            vec![
                ":1: sync_retries: expected a number from 0 to 1000, found \"x\"",
                ":3: server_threshold: expected a number from 1 to 86400, found \"0\"",
            ],
        ),
    ] {
        let expected: Vec<String> = errors.iter().map(|error| format!("/etc/pandora/p.conf{error}")).collect();
        assert_eq!(read(text).unwrap_err(), expected.join("\n"), "{text}");
    }
}
