//! The files that come with the program.

use super::key::Key;
use super::*;

const SHIPPED: &str = include_str!("../../../../config/tentacle_server.conf");
const MANUAL: &str = include_str!("../../../../config/tentacle_server.1");

#[test]
fn the_shipped_file_is_right() {
    let config = config(SHIPPED, &[]);
    assert!(matches!(config.mode, Mode::Store(_)));
}

#[test]
fn the_shipped_file_has_every_key_and_no_other() {
    let commented =
        |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    let uncommented: String = SHIPPED
        .lines()
        .filter(|line| commented(line) || line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .flat_map(|line| [line.trim_start_matches('#'), "\n"])
        .collect();
    for (name, _) in Key::all() {
        let has = uncommented.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(has, "{name}");
    }
    for line in uncommented.lines() {
        let word = line.split(' ').next().unwrap();
        assert!(Key::named(word.as_bytes()).is_some(), "{line}");
    }
}

#[test]
fn the_defaults_in_the_shipped_file_are_the_defaults() {
    let uncomment = |name: &str| {
        let prefix = format!("#{name} ");
        SHIPPED.lines().find(|line| line.starts_with(&prefix)).unwrap_or_else(|| panic!("{name}"))[1..].to_owned()
    };
    let names = [
        "addresses",
        "port",
        "max_connections",
        "timeout",
        "retries",
        "max_size",
        "insecure",
        "overwrite",
        "extension",
        "compression",
        "quiet",
        "verbose",
        "daemon",
        "use_libwrap",
        "umask",
        "durability",
        "max_spool_bytes",
        "max_spool_files",
        "min_free",
        "idle_timeout",
        "body_min_rate",
        "max_connections_per_client",
        "unzip_ratio",
        "unzip_max",
        "control_mode",
    ];
    for name in names {
        let said = format!("{}\n", uncomment(name));
        assert_eq!(config(&said, &["-s/x"]), config("", &["-s/x"]), "{said}");
    }
}

#[test]
fn the_manual_page_has_every_key_and_option() {
    let has = |macros: &[&str], word: &str| {
        macros
            .iter()
            .any(|name| MANUAL.contains(&format!("{name} {word} ")) || MANUAL.contains(&format!("{name} {word}\n")))
    };
    for (name, _) in Key::all() {
        assert!(has(&["Ic"], name), "{name}");
    }
    for option in "a b c d e F f g h I i k l m o p q r S s T t u V v w x z".split(' ') {
        assert!(has(&[".It Fl"], option), "-{option}");
    }
}

/// A value of `key` that is not the default.
fn value_of(key: Key) -> &'static str {
    match key {
        Key::Addresses => "127.0.0.1",
        Key::Allow => "send from any",
        Key::Daemon | Key::Insecure | Key::Overwrite | Key::Quiet | Key::UseLibwrap | Key::Verbose => "1",
        Key::Durability | Key::UpstreamSslVerify => "none",
        Key::Filters => "a:b",
        Key::BodyMinRate | Key::MaxSize | Key::MaxSpoolBytes | Key::MinFree | Key::UnzipMax => "7MB",
        Key::BlockSize
        | Key::IdleTimeout
        | Key::MaxConnections
        | Key::MaxConnectionsPerClient
        | Key::MaxSpoolFiles
        | Key::Port
        | Key::ProxyPort
        | Key::Retries
        | Key::Timeout
        | Key::UnzipRatio => "7",
        Key::InvalidChars => r"?\[\]\/\\=+<>:;',*~",
        Key::ControlMode => "0666",
        Key::ControlSocket
        | Key::Directory
        | Key::HttpCert
        | Key::HttpClientCa
        | Key::HttpKeyFile
        | Key::LogFile
        | Key::SslCa
        | Key::SslCert
        | Key::SslKeyFile
        | Key::UpstreamSslCa
        | Key::UpstreamSslCert
        | Key::UpstreamSslKeyFile => "/other",
        Key::HttpHosts => "buffer.example.org",
        Key::HttpListen => "127.0.0.1:41123",
        Key::HttpTokenFile => "/run/token",
        Key::HttpPassphraseFile | Key::SslPasswordFile | Key::UpstreamSslPasswordFile => "/run/secret",
        Key::SslVersion => "TLSv1_3",
        Key::Umask => "0027",
        Key::Compression | Key::Extension | Key::UpstreamSsl => "0",
        Key::UpstreamSslPin => "0000000000000000000000000000000000000000000000000000000000000000",
        Key::ControlGroup | Key::Password | Key::ProxyIp | Key::SslCipher | Key::SslPassword | Key::User => "other",
    }
}

#[test]
fn each_key_is_read_and_shown() {
    const STORE: &str = "directory /x\nssl_cert /c\n";
    const HTTP: &str = "http_listen 127.0.0.1:41124\n";
    const RELAY: &str = "proxy_ip a\nupstream_ssl 1\nupstream_ssl_cert /c\n";
    for (name, key) in Key::all() {
        let line = format!("{name} {}\n", value_of(key));
        let (without, with) = match key {
            // Without TLS there is nothing to check it by.
            Key::UpstreamSsl => (format!("{RELAY}upstream_ssl_ca /ca\n"), format!("proxy_ip a\n{line}")),
            Key::UpstreamSslPin => (format!("{RELAY}upstream_ssl_ca /ca\n"), format!("{RELAY}{line}")),
            _ if name.starts_with("upstream_") || name.starts_with("proxy_") => {
                let relay = format!("{RELAY}upstream_ssl_ca /ca\n");
                (relay.clone(), relay + &line)
            }
            Key::HttpListen => (STORE.to_owned(), format!("{STORE}{line}")),
            Key::HttpCert => (format!("{STORE}{HTTP}"), format!("{STORE}{HTTP}{line}")),
            _ if name.starts_with("http_") => {
                let served = format!("{STORE}{HTTP}http_cert /c\n");
                (served.clone(), served + &line)
            }
            _ => (STORE.to_owned(), format!("{STORE}{line}")),
        };
        let [without, with] = [without, with].map(|file| {
            let config = read(&file, &[]).unwrap_or_else(|error| panic!("{error}\n{file}"));
            ServerConfig { warnings: Vec::new(), ..config }
        });
        let shown_as = match key {
            // They mean nothing here.
            Key::BlockSize | Key::InvalidChars => {
                assert_eq!(with, without, "{name}");
                continue;
            }
            Key::Retries | Key::Timeout => "idle_timeout",
            Key::SslPasswordFile => "ssl_password",
            // Of an encrypted key no more is shown.
            Key::UpstreamSslPasswordFile => "upstream_ssl_key",
            _ => name,
        };
        assert_ne!(with, without, "{name} is read");
        let shown = with.to_string();
        assert!(shown.lines().any(|line| line.split(' ').next() == Some(shown_as)), "--check shows {name}:\n{shown}");
    }
}
