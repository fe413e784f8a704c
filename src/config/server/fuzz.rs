//! What must hold for any bytes whatever in the file and what it refers to.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::args::CommandLine;
use super::error::Diagnostics;
use super::load::load_text;
use super::settings::{Mode, ServerConfig};
use super::{Env, Filters, HostsAccess, Who};
use crate::proto::Verb;

/// Nothing outside of the bytes is touched.
fn nowhere() -> Env {
    Env {
        working_directory: "/nowhere".into(),
        hosts_allow: "allow".into(),
        hosts_deny: "deny".into(),
        is_notified: false,
        read: |_| Err(io::ErrorKind::NotFound.into()),
        read_secret: |_| Err(io::ErrorKind::NotFound.into()),
    }
}

/// The body of the fuzz target of the same name.
#[doc(hidden)]
pub fn fuzz_server_conf(data: &[u8]) {
    let surroundings = nowhere();
    let read = || load_text(&CommandLine::default(), &surroundings, Some((Path::new("fuzz.conf"), data)));
    let outcome = read();
    assert_eq!(outcome, read(), "the same bytes, the same outcome");
    match outcome {
        Err(error) => assert!(!error.to_string().is_empty(), "an error says what is wrong"),
        Ok(config) => check(&config, &surroundings),
    }
    if let Ok((filters, _)) = Filters::parse(data) {
        assert!(filters.directories().all(is_inside), "no filter leads out");
        filters.directory_of(data);
    }
    let files = (Path::new("allow"), Path::new("deny"));
    HostsAccess::parse((files.0, data), (files.1, data), &mut Diagnostics::default())
        .admits(Ipv4Addr::LOCALHOST.into());
}

fn is_inside(directory: &Path) -> bool {
    directory.is_relative() && directory.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn check(config: &ServerConfig, surroundings: &Env) {
    assert!(config.port != 0 && !config.listen.is_empty(), "it can listen");
    assert!(config.limits.max_connections > 0 && !config.limits.idle_timeout.is_zero(), "and serve");
    if let Mode::Store(store) = &config.mode {
        assert!(store.directory.is_absolute() && store.filters.directories().all(is_inside), "inside a directory");
        let who = Who { address: IpAddr::from([10, 0, 0, 1]), cert_names: &[], pin: None };
        assert!(!store.rules.is_empty() || store.rules.permits(&who, Verb::Mv, None), "no rules, no limits");
    }
    read_back(config, surroundings);
}

/// What `--check` shows reads back as what it was, but for secrets and what they stand in.
fn read_back(config: &ServerConfig, surroundings: &Env) {
    let shown = config.to_string();
    let again = load_text(&CommandLine::default(), surroundings, Some((Path::new("shown.conf"), shown.as_bytes())));
    let is_same = again.is_ok_and(|again| again.to_string() == shown);
    // Paths and filters need not be text.
    assert!(is_same || shown.contains('\u{fffd}'), "{shown}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_corpus_holds() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/server_conf");
        let seeds: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(seeds.len() > 3, "there are seeds");
        for seed in seeds {
            fuzz_server_conf(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_shipped_file_holds() {
        fuzz_server_conf(include_bytes!("../../../config/tentacle_server.conf"));
    }

    #[test]
    fn a_directory_that_ends_in_a_blank_reads_back() {
        for filters in ["}:a /", "a:b\t/./", "a: /;", "a:b\r/", "a:b /;c:d\u{c}//"] {
            fuzz_server_conf(format!("directory a\nfilters {filters}\n").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(data: Vec<u8>) {
            fuzz_server_conf(&data);
        }

        #[test]
        fn anything_that_looks_like_a_configuration_is_survived(
            data in "(directory a\n)?((addresses|port|filters|allow|umask|timeout|ssl_cert|upstream_ssl|min_free|proxy_ip|verbose) [a-z0-9 ,.:;/*+\\[\\]()\\\\\"'{}^$-]{0,24}\n){0,12}",
        ) {
            fuzz_server_conf(data.as_bytes());
        }

        #[test]
        fn anything_that_looks_like_a_filter_is_survived(
            data in "directory a\nfilters ([a.*\\[\\]()\\\\^ ]{1,3}:[a./\t ]{1,5};?){1,3}\n",
        ) {
            fuzz_server_conf(data.as_bytes());
        }

        #[test]
        fn anything_that_looks_like_a_rule_is_survived(
            data in "directory a\n(allow ((send|ls|all|in|from|any|cert|pin|10\\.0\\.0\\.1|/|,|\"| )[ ,]?){0,12}\n){0,4}",
        ) {
            fuzz_server_conf(data.as_bytes());
        }
    }
}
