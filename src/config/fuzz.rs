//! What must hold for any bytes whatever: no panic, one outcome, and settings only if they can be run by.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::load::{is_toml, parse_only};
use super::source::Env;
use super::{ConfigError, Settings};

/// Nothing outside of the bytes is touched.
const NOWHERE: Env =
    Env { var: |_| None, read_secret: |_| Err(io::ErrorKind::NotFound.into()), can_keep_state_in: |_| false };

/// The body of the fuzz target of the same name.
#[doc(hidden)]
pub fn fuzz_pandora_conf(data: &[u8]) {
    let outcome = read_twice(data, "fuzz.conf");
    // What reads like TOML is taken as such, whatever its name.
    if let Ok(settings) = &outcome
        && !is_toml(Path::new("fuzz.conf"), data)
    {
        assert!(!settings.sites.is_empty(), "without a site it is another file");
    }
}

/// The body of the fuzz target of the same name.
#[doc(hidden)]
pub fn fuzz_toml_conf(data: &[u8]) {
    // One without a site is taken: sites may be added later.
    let _ = read_twice(data, "fuzz.toml");
}

/// Reads `data` as the file `name`, twice.
fn read_twice(data: &[u8], name: &str) -> Result<Settings, ConfigError> {
    let read = || parse_only(data, &format!("/etc/{name}"), NOWHERE);
    let outcome = read();
    assert_eq!(outcome, read(), "the same bytes, the same outcome");
    match &outcome {
        Err(error) => assert!(!error.to_string().is_empty(), "an error says what is wrong"),
        Ok(Settings { sites, .. }) => {
            let names: HashSet<&str> = sites.iter().map(|site| site.name.as_str()).collect();
            assert_eq!(names.len(), sites.len(), "names are unique");
            assert!(sites.iter().all(|site| site.port != 0), "sites can be connected to");
            assert!(sites.iter().all(|site| site.connections > 0 && !site.interval.is_zero()), "and are collected");
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::toml_conf::schema::Section;
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
        replay("pandora_conf", fuzz_pandora_conf);
    }

    #[test]
    fn the_corpus_of_toml_conf_holds() {
        replay("toml_conf", fuzz_toml_conf);
    }

    /// Tables' headers, and the keys of all of them.
    fn any_word() -> impl Strategy<Value = String> {
        let headers = ["sync_address", "sync_port", "sync_ca", "[sync]", "[tls]", "[defaults]", "[[site]]"];
        let keys = Section::TABLES.iter().flat_map(|section| section.keys());
        prop::sample::select(headers.into_iter().chain(keys).map(str::to_owned).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(data: Vec<u8>) {
            fuzz_pandora_conf(&data);
            fuzz_toml_conf(&data);
        }

        #[test]
        fn anything_that_looks_like_a_configuration_is_survived(
            lines in prop::collection::vec((any_word(), "[ =\"'{}\\[\\]0-9a-f:,.#%@]{0,12}\n"), 0..12),
        ) {
            let data: String = lines.into_iter().map(|(word, rest)| word + &rest).collect();
            fuzz_pandora_conf(data.as_bytes());
            fuzz_toml_conf(data.as_bytes());
        }
    }
}
