//! What must hold for any bytes whatever: no panic, one outcome, and settings only if they can be run by.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::load::parse;
use super::source::{Env, Source};

/// Nothing outside of the bytes is touched.
const NOWHERE: Env =
    Env { var: |_| None, read_secret: |_| Err(io::ErrorKind::NotFound.into()), can_keep_state_in: |_| false };

/// Reads `data` as the file `name`, twice.
pub(super) fn read_twice(data: &[u8], name: &str) {
    let path = Path::new("/etc").join(name);
    let source = Source::new(&path, false, NOWHERE);
    let outcome = parse(data, &source);
    assert_eq!(outcome, parse(data, &source), "the same bytes, the same outcome");
    match outcome {
        Err(error) => assert!(!error.to_string().is_empty(), "an error says what is wrong"),
        Ok((draft, _)) => {
            let names: HashSet<&str> = draft.sites.iter().map(|site| site.name.as_str()).collect();
            assert_eq!(names.len(), draft.sites.len(), "names are unique");
            assert!(!names.is_empty() && draft.sites.iter().all(|site| site.port != 0), "sites can be connected to");
            assert!(
                draft.sites.iter().all(|site| site.connections > 0 && !site.interval.is_zero()),
                "and are collected"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replay(corpus: &str, target: fn(&[u8])) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
        let seeds: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(seeds.len() > 3, "{corpus} has seeds");
        for seed in seeds {
            target(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_corpus_of_pandora_conf_holds() {
        replay("pandora_conf", super::super::fuzz_pandora_conf);
    }

    #[test]
    fn the_corpus_of_toml_conf_holds() {
        replay("toml_conf", super::super::fuzz_toml_conf);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(data: Vec<u8>) {
            read_twice(&data, "fuzz.conf");
            read_twice(&data, "fuzz.toml");
        }

        #[test]
        fn anything_that_looks_like_a_configuration_is_survived(
            data in "((sync_address|sync_port|sync_ca|\\[tls\\]|\\[\\[site\\]\\]|name|port|tls|pins|proxy)[ =\"'{}\\[\\]0-9a-f:,.#%@]{0,12}\n){0,12}",
        ) {
            read_twice(data.as_bytes(), "fuzz.conf");
            read_twice(data.as_bytes(), "fuzz.toml");
        }
    }
}
