//! From command lines and files to what is in force.

mod http;
mod problems;
mod shipped;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::source::FileText;
use crate::config::{HttpSettings, SecretFile};
use crate::proto::Secret;
use crate::store::Durability;
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

/// `/run/secret` is a passphrase file.
fn surroundings() -> Env {
    Env {
        working_directory: "/run".into(),
        hosts_allow: "/etc/hosts.allow".into(),
        hosts_deny: "/etc/hosts.deny".into(),
        is_notified: false,
        read: |path| match path.to_str() {
            Some("/etc/hosts.deny") => Ok(FileText { bytes: b"ALL: 10.9.".to_vec(), world_readable: true }),
            Some("/run/open.conf") => {
                Ok(FileText { bytes: b"directory a\npassword x\n".to_vec(), world_readable: true })
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        read_secret: |path| match path.to_str() {
            Some("/run/secret") => Ok(SecretFile { bytes: b"phrase\n".to_vec(), world_readable: false }),
            Some("/run/token") => Ok(SecretFile { bytes: b"0123456789abcdef\n".to_vec(), world_readable: false }),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
    }
}

fn command_line(args: &[&str]) -> CommandLine {
    match parse_args(args.iter().map(OsString::from)).unwrap() {
        Invocation::Serve(line) => line,
        other => panic!("{args:?} asks for {other:?}"),
    }
}

fn read(file: &str, args: &[&str]) -> Result<ServerConfig, ServerConfigError> {
    load::load_text(&command_line(args), &surroundings(), Some((Path::new("c"), file.as_bytes())))
}

/// Without a warning.
fn config(file: &str, args: &[&str]) -> ServerConfig {
    let config = read(file, args).unwrap_or_else(|error| panic!("{error}\n{file} {args:?}"));
    assert_eq!(config.warnings, Vec::<String>::new(), "{file} {args:?}");
    config
}

fn store(file: &str, args: &[&str]) -> StoreSettings {
    match config(file, args).mode {
        Mode::Store(store) => store,
        Mode::Relay(relay) => panic!("relays: {relay:?}"),
    }
}

fn relay(file: &str) -> RelaySettings {
    match config(file, &[]).mode {
        Mode::Relay(relay) => relay,
        Mode::Store(store) => panic!("stores: {store:?}"),
    }
}

fn warnings(file: &str, args: &[&str]) -> Vec<String> {
    read(file, args).unwrap_or_else(|error| panic!("{error}\n{file} {args:?}")).warnings
}

fn error(file: &str, args: &[&str]) -> String {
    read(file, args).err().unwrap_or_else(|| panic!("no error: {file} {args:?}")).to_string()
}

#[test]
fn a_directory_is_enough_and_the_defaults_are_stocks() {
    assert_eq!(
        config("", &["-s", "data"]),
        ServerConfig {
            listen: vec![ListenAddress::Any],
            port: 41121,
            mode: Mode::Store(StoreSettings {
                directory: "/run/data".into(),
                filters: Filters::default(),
                overwrite: false,
                insecure: false,
                extension: true,
                compression: true,
                rules: Rules::default(),
                password: None,
                max_size: 2_000_000,
                durability: Durability::Fsync,
                quota: Quota::default(),
                unzip: UnzipLimits { ratio: 200, max_bytes: 64 << 20 },
            }),
            tls: None,
            hosts_access: None,
            limits: Limits {
                max_connections: 10,
                max_connections_per_client: None,
                idle_timeout: Duration::from_secs(4),
                body_min_rate: 64,
            },
            process: ProcessSettings { daemon: false, user: None, allow_root: false, umask: 0o007 },
            log: LogSettings { file: None, verbosity: Verbosity::Normal },
            http: HttpSettings::default(),
            control: ControlSettings { socket: None, mode: 0o660, group: None },
            warnings: Vec::new(),
        }
    );
}

#[test]
fn what_needs_no_command_line_has_the_same_defaults() {
    let [address, other] = ["127.0.0.1", "127.0.0.2"].map(|address| address.parse().unwrap());
    let built = ServerConfig::storing("/run/data".into(), address, 41121);
    assert_eq!(built, config("", &["-s", "data", "-a", "127.0.0.1"]));
    assert_ne!(built, ServerConfig::storing("/run/data".into(), other, 41121));
}

#[test]
fn every_option_arrives() {
    let args = [
        "-a127.0.0.1,::1",
        "-c5",
        "-d",
        "-ecert",
        "-fca",
        "-ia:b",
        "-Io",
        "-kkey",
        "-llog",
        "-m1MB",
        "-p1",
        "-r2",
        "-sdata",
        "-t3",
        "-T",
        "-uECDHE",
        "-vV",
        "-w",
        "-xpw",
        "-zTLSv1_3",
        "--user=tentacle",
        "--allow-root",
    ];
    let config = config("", &args);
    assert_eq!(config.listen, ["127.0.0.1", "::1"].map(|address| ListenAddress::Ip(address.parse().unwrap())));
    assert_eq!((config.port, config.limits.max_connections), (1, 5));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(9));
    let tls = ServerTls {
        cert: "/run/cert".into(),
        key: "/run/key".into(),
        passphrase: Passphrase::Ask,
        client_ca: Some("/run/ca".into()),
        versions: Some("TLSv1_3".to_owned()),
        ciphers: Some("ECDHE".to_owned()),
    };
    assert_eq!(config.tls, Some(tls));
    let process = ProcessSettings { daemon: true, user: Some("tentacle".into()), allow_root: true, umask: 0o007 };
    assert_eq!(config.process, process);
    assert_eq!(config.log, LogSettings { file: Some("/run/log".into()), verbosity: Verbosity::Everything });
    let access = config.hosts_access.unwrap();
    assert!(!access.admits([10, 9, 0, 1].into()) && access.admits([10, 8, 0, 1].into()));
    let Mode::Store(store) = config.mode else { panic!("stores") };
    assert!(store.insecure && store.overwrite);
    assert_eq!((store.max_size, store.password), (1_000_000, Some(Secret::new(b"pw".to_vec()))));
    assert_eq!(store.filters.directory_of(b"a"), Some(Path::new("b")));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let file = "port 5\ndirectory /x\nfilters a:b\ninsecure 1\ntimeout nonsense\nuser file\n";
    let config = config(file, &["-p6", "-ic:d", "-t2", "--user=line"]);
    assert_eq!((config.port, config.limits.idle_timeout), (6, Duration::from_secs(8)));
    assert_eq!(config.process.user.as_deref(), Some("line"));
    let Mode::Store(store) = config.mode else { panic!("stores") };
    assert!(store.insecure);
    assert_eq!(store.directory, Path::new("/x"));
    assert_eq!(store.filters.to_string(), "c:d");
}

#[test]
fn our_keys_arrive() {
    let file = "directory /x\numask 0027\ndurability none\nmax_spool_bytes 10GiB\nmax_spool_files 100000\n\
                min_free 1GB\nidle_timeout 1m\nbody_min_rate 1kB\nmax_connections_per_client 3\nunzip_ratio 50\n\
                unzip_max 8MB\nallow send from any\n";
    let config = config(file, &[]);
    assert_eq!(config.process.umask, 0o027);
    assert_eq!(
        config.limits,
        Limits {
            max_connections: 10,
            max_connections_per_client: Some(3),
            idle_timeout: Duration::from_secs(60),
            body_min_rate: 1000,
        }
    );
    let store = store(file, &[]);
    assert_eq!(store.durability, Durability::None);
    assert_eq!(store.quota, Quota { max_bytes: 10 << 30, max_files: 100_000, min_free: 1_000_000_000 });
    assert_eq!(store.unzip, UnzipLimits { ratio: 50, max_bytes: 8_000_000 });
    assert!(!store.rules.is_empty());
}

#[test]
fn what_may_be_sent_may_also_be_unzipped() {
    assert_eq!(store("", &["-sx", "-m", "1GiB"]).unzip.max_bytes, 1 << 30);
}

#[test]
fn a_switch_is_on_at_exactly_1() {
    for value in ["0", "2", "yes", "1 ", "01"] {
        let file = format!("directory /x\ninsecure {value}\n");
        let config = read(&file, &[]).unwrap();
        let Mode::Store(store) = config.mode else { panic!("stores") };
        assert!(!store.insecure, "{value}");
        assert_eq!(config.warnings.is_empty(), value == "0", "{value}");
    }
    assert!(store("directory /x\ninsecure 1\n", &[]).insecure);
    assert_eq!(
        warnings("directory /x\ninsecure yes\n", &[]),
        ["c:2: insecure: off, as at stock, for anything but 1, found \"yes\""]
    );
    assert_eq!(warnings("directory /x\nverbose 3", &[]), ["c:2: verbose: 0, as at stock, for anything but 1 and 2"]);
}

#[test]
fn addresses_as_stock_takes_them() {
    let any = || vec![ListenAddress::Any];
    let name = |name: &str| ListenAddress::Name(name.to_owned());
    for (text, expected) in [
        ("0,0.0.0.0", any()),
        ("::", any()),
        ("0.0.0.0", vec![ListenAddress::Ip([0, 0, 0, 0].into())]),
        ("127.0.0.1, ::1,", vec![ListenAddress::Ip([127, 0, 0, 1].into()), ListenAddress::Ip("::1".parse().unwrap())]),
        ("localhost,localhost", vec![name("localhost")]),
        ("[::1]", vec![ListenAddress::Ip("::1".parse().unwrap())]),
    ] {
        assert_eq!(config("", &["-s/x", "-a", text]).listen, expected, "{text}");
    }
    let expected = "expected addresses to listen on, separated by commas, such as 0 (all) or 10.0.0.1,::1";
    for text in ["10.0.0.1 10.0.0.2", "999.1.1.1", "10.0.0.1:5"] {
        assert_eq!(error("", &["-s/x", "-a", text]), format!("-a: {expected}, found {text:?}"));
    }
}

#[test]
fn a_relay_needs_an_address_only() {
    assert_eq!(
        relay("proxy_ip centre.example.org"),
        RelaySettings { host: "centre.example.org".to_owned(), port: 41121, tls: None }
    );
    let tls = TlsSettings {
        ca: Some("/ca".into()),
        identity: Some(IdentitySettings {
            cert: "/run/c".into(),
            key: "/run/k".into(),
            passphrase: Some(Secret::new(b"phrase".to_vec())),
        }),
        verify: Verify::ChainAndName,
        offer: ClientCertPolicy::Auto,
    };
    let file = "proxy_ip ::1\nproxy_port 5\nupstream_ssl 1\nupstream_ssl_ca /ca\nupstream_ssl_cert c\n\
                upstream_ssl_key k\nupstream_ssl_password_file secret\nupstream_ssl_verify chain+name\n";
    assert_eq!(relay(file), RelaySettings { host: "::1".to_owned(), port: 5, tls: Some(tls) });
    let pin = "ab".repeat(32);
    let pinned = relay(&format!("proxy_ip a\nupstream_ssl 1\nupstream_ssl_pin {pin}\n"));
    assert_eq!(pinned.tls.unwrap().verify, Verify::Pin(vec![[0xab; 32]]));
}

#[test]
fn a_relay_wins_over_a_directory_as_at_stock() {
    let config = read("", &["-s/x", "-b10.0.0.1", "-xpw"]).unwrap();
    assert!(matches!(config.mode, Mode::Relay(_)));
    assert_eq!(
        config.warnings,
        [
            "-s: has no effect with proxy_ip (-b): connections are relayed, as at stock",
            "-x: has no effect with proxy_ip (-b): the server relayed to asks for its own",
        ]
    );
}

#[test]
fn tls_begins_with_a_certificate() {
    assert_eq!(warnings("", &["-sx", "-f/ca"]), ["-f: has no effect without ssl_cert (-e): clients speak plain TCP"]);
    let tls = config("directory x\nssl_cert c.pem\nssl_password_file secret\n", &[]).tls.unwrap();
    assert_eq!(tls.key, Path::new("/run/c.pem"));
    assert_eq!(tls.passphrase, Passphrase::Known(Secret::new(b"phrase".to_vec())));
    assert_eq!(
        error("directory x\nssl_cert c\nssl_password a\nssl_password_file secret\n", &[]),
        "c:4: ssl_password_file: there is ssl_password too; one of them is enough, remove the other"
    );
    assert_eq!(
        error("directory x\nssl_cert c\nssl_password_file none\n", &[]),
        "c:3: ssl_password_file: cannot read /run/none: no such file"
    );
}

#[test]
fn ssl_password_is_a_passphrase_and_1_and_0_are_stocks_switch() {
    let passphrase = |lines: &str| config(&format!("directory x\nssl_cert c\n{lines}"), &[]).tls.unwrap().passphrase;
    let known = |text: &[u8]| Passphrase::Known(Secret::new(text.to_vec()));
    assert_eq!(passphrase("ssl_password secret\n"), known(b"secret"));
    assert_eq!(passphrase("ssl_password 1\n"), Passphrase::Ask);
    assert_eq!(passphrase("ssl_password 0\n"), Passphrase::None);
    for switch in ["1", "0"] {
        assert_eq!(passphrase(&format!("ssl_password {switch}\nssl_password_file secret\n")), known(b"phrase"));
    }
}

#[test]
fn secrets_are_taken_as_they_stand_and_never_shown() {
    let file = "directory x\npassword  q z \nssl_cert c\nssl_password hidden\n";
    let config = read(file, &[]).unwrap();
    assert_eq!(config.warnings, ["c:2: password: ends with a blank, which is part of it, as at stock"]);
    let Mode::Store(store) = &config.mode else { panic!("stores") };
    assert_eq!(store.password, Some(Secret::new(b"q z ".to_vec())));
    for shown in [config.to_string(), format!("{config:?}")] {
        assert!(!shown.contains("q z") && !shown.contains("hidden"), "{shown}");
    }
    assert_eq!(warnings("", &["-sx", "-x", ""]), ["-x: empty, so there is none"]);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let error = load(&command_line(&["-sx", "-Fnone.conf"]), &surroundings()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "-F: cannot read /run/none.conf: no such file; write it, make it readable for this user, or leave -F out"
    );
}

#[test]
fn a_file_with_a_password_is_nobody_elses_business() {
    let config = load(&command_line(&["-F", "open.conf"]), &surroundings()).unwrap();
    assert_eq!(
        config.warnings,
        ["/run/open.conf:2: password: every user of this machine can read this file; chmod o-r /run/open.conf"]
    );
}

#[test]
fn what_is_in_force_reads_back() {
    let file = "directory /x\nfilters a:b;c:.\ninsecure 1\nallow ls in b from 10.0.0.0/8\nssl_cert /c\nssl_ca /d\n\
                user u\nlog_file /l\nquiet 1\naddresses ::1\nmin_free 1GB\n";
    let first = config(file, &[]);
    assert_eq!(config(&first.to_string(), &[]), first);
}

#[test]
fn the_characters_no_name_may_hold_are_fixed() {
    for (class, is_ours) in [
        (r"][?/\\=+<>:;',*~", true),
        (r"~\*\,';:><\+=\\/?[\]", true),
        ("?", false),
        (r"][?/\\=+<>:;',*~ ", true),
        (r"][?/\\=+<>:;',*~a", false),
        ("\\", false),
    ] {
        let found = warnings(&format!("directory /x\ninvalid_chars {class}\n"), &[]);
        assert_eq!(found.is_empty(), is_ours, "{class}: {found:?}");
    }
}

#[test]
fn the_upstream_is_checked_no_less_after_a_reload() {
    let read = |keys: &str| read(&format!("proxy_ip a\n{keys}"), &[]).unwrap();
    let [plain, none, chain, name] = ["", "none", "chain", "chain+name"].map(|verify| match verify {
        "" => read(""),
        "none" => read("upstream_ssl 1\nupstream_ssl_verify none\n"),
        verify => read(&format!("upstream_ssl 1\nupstream_ssl_ca ca.pem\nupstream_ssl_verify {verify}\n")),
    });
    assert_eq!(plain.unprotected(&none), ["upstream_ssl"]);
    assert_eq!(none.unprotected(&chain), ["upstream_ssl_verify as strict"]);
    assert_eq!(chain.unprotected(&name), ["upstream_ssl_verify as strict"]);
    for (now, before) in [(&name, &chain), (&chain, &none), (&none, &plain), (&chain, &chain)] {
        assert!(now.unprotected(before).is_empty());
    }
}
