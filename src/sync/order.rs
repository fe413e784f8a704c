//! In which order files are taken: one agent's measurements oldest first.

use crate::proto::FileName;

/// What an agent data file's name says: `<agent>.<serial>.data`, or with `_` before the serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentFile<'a> {
    /// The agent's name, or the MD5 of it.
    pub agent: &'a [u8],
    /// The number before `.data`: the epoch second at Unix agents, random at Windows agents.
    pub serial: u64,
}

impl<'a> AgentFile<'a> {
    /// Reads a name as the data server does; `None` where it is no agent's.
    pub fn parse(name: &'a FileName) -> Option<Self> {
        let stem = name.as_bytes().strip_suffix(b".data")?;
        let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (agent, serial) = stem.split_at(stem.len() - digits);
        let agent = agent.strip_suffix(b".").or_else(|| agent.strip_suffix(b"_"))?;
        let serial = std::str::from_utf8(serial).ok()?.parse().ok()?;
        Some(Self { agent, serial })
    }

    /// The serial, where it can be an epoch second: ten digits, September 2001 to June 2128.
    fn epoch(&self) -> Option<u64> {
        (1_000_000_000..5_000_000_000).contains(&self.serial).then_some(self.serial)
    }
}

/// The agent a file belongs to; a file that is no agent's is on its own.
pub(crate) fn agent(name: &FileName) -> &[u8] {
    AgentFile::parse(name).map_or(name.as_bytes(), |file| file.agent)
}

/// Sorts names oldest first; those whose age is not to be known come first and stay as they were listed.
pub(super) fn oldest_first(names: &mut [FileName]) {
    names.sort_by_key(|name| AgentFile::parse(name).and_then(|file| file.epoch()).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_the_data_server_reads_them() {
        let read = |text: &str| AgentFile::parse(&name(text)).map(|file| (file.agent.to_vec(), file.serial));
        assert_eq!(read("web01.1700000000.data"), Some((b"web01".to_vec(), 1_700_000_000)));
        assert_eq!(read("a.b_17.data"), Some((b"a.b".to_vec(), 17)));
        assert_eq!(read(".5.data"), Some((Vec::new(), 5)));
        assert_eq!(read("web01.data"), None);
        assert_eq!(read("web01.17x.data"), None);
        assert_eq!(read("web01-17.data"), None);
        assert_eq!(read("web01.99999999999999999999999.data"), None);
    }

    #[test]
    fn epochs_sort_and_the_rest_stays_as_listed() {
        let mut names: Vec<_> =
            ["b.1700000002.data", "z.9.data", "b.1700000001.data", "z.4.data", "odd"].map(name).into();
        oldest_first(&mut names);
        let expected: Vec<_> =
            ["z.9.data", "z.4.data", "odd", "b.1700000001.data", "b.1700000002.data"].map(name).into();
        assert_eq!(names, expected);
    }
}
