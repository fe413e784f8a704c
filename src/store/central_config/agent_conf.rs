//! What is read of an agent's configuration. Its bytes are of any encoding.

use std::collections::BTreeSet;

use crate::sync::remote_config::Item;

/// The most collections that one configuration has: what more it asks for is left out.
const MOST_COLLECTIONS: usize = 1_000;

/// The longest name of an agent that is shown, in bytes.
const LONGEST_AGENT: usize = 255;

/// What matters here of an agent's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AgentConf {
    /// `agent_name`.
    pub(super) agent: Option<Box<str>>,
    /// Each `file_collection`.
    pub(super) collections: BTreeSet<Item>,
}

/// Reads a configuration. Lines that mean nothing here are skipped, and so are collections that no agent would take, or no
/// file can be called by.
pub(super) fn parse(bytes: &[u8]) -> AgentConf {
    let mut conf = AgentConf::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(name) = value(line, b"file_collection") {
            if conf.collections.len() < MOST_COLLECTIONS {
                conf.collections.extend(collection(name));
            }
        } else if let Some(name) = value(line, b"agent_name").filter(|name| name.len() <= LONGEST_AGENT) {
            conf.agent = Some(String::from_utf8_lossy(name).into());
        }
    }
    conf
}

/// What a line gives to this key.
fn value<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let rest = line.trim_ascii_start().strip_prefix(key)?;
    let value = rest.trim_ascii();
    (rest.first().is_some_and(u8::is_ascii_whitespace) && !value.is_empty()).then_some(value)
}

fn collection(name: &[u8]) -> Option<Item> {
    std::str::from_utf8(name).ok().filter(|name| !name.contains("..")).and_then(Item::collection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collections(text: &[u8]) -> Vec<String> {
        parse(text).collections.iter().map(|item| item.stem().to_owned()).collect()
    }

    #[test]
    fn collections_are_those_an_agent_would_take() {
        let text = b"server_ip 10.0.0.1\nfile_collection fc_2\n \tfile_collection\tfc_1 \r\n# file_collection fc_3\n\
            file_collections fc_4\nfile_collection\nfile_collection ../fc_5\nfile_collection a/b\nfile_collection a..b\n\
            file_collection caf\xe9\nxfile_collection fc_6\nfile_collection fc 7";
        assert_eq!(collections(text), ["fc 7", "fc_1", "fc_2"]);
    }

    #[test]
    fn the_last_agent_name_counts_in_whatever_encoding() {
        let agent = |text: &[u8]| parse(text).agent;
        assert_eq!(agent(b"agent_name a\nagent_name_cmd x\n  agent_name web 01\r\n").as_deref(), Some("web 01"));
        assert_eq!(agent(b"agent_name caf\xe9").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(agent(b"#agent_name a\nagent_name\n\0\xff\xfe"), None);
        assert_eq!(agent(&[b"agent_name ".as_slice(), &[b'x'; 256]].concat()), None);
    }

    #[test]
    fn what_one_configuration_asks_for_is_bounded() {
        let lines: Vec<String> = (0..2_000).map(|number| format!("file_collection fc_{number}\n")).collect();
        assert_eq!(collections(lines.concat().as_bytes()).len(), MOST_COLLECTIONS);
    }
}
