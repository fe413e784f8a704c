//! The files that come with the program.

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
    for (name, _) in key::Key::all() {
        let has = uncommented.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(has, "{name}");
    }
    for line in uncommented.lines() {
        let word = line.split(' ').next().unwrap();
        assert!(key::Key::named(word.as_bytes()).is_some(), "{line}");
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
    for (name, _) in key::Key::all() {
        assert!(has(&["Ic"], name), "{name}");
    }
    for option in "a b c d e F f g h I i k l m o p q r S s T t u V v w x z".split(' ') {
        assert!(has(&[".It Fl"], option), "-{option}");
    }
}
