//! Whether deletions at one centre are held back, kept across restarts.
//!
//! A line `holds`, if they are; then `confirmed` and the name of the file with the content for each item that an operator has
//! said was deleted.

use std::path::Path;

use super::directories::Folder;
use super::state_file::StateFile;
use crate::proto::quoted;
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::Guard;

const DIRECTORY: &str = "remote-config-guard";

const HOLDS: &[u8] = b"holds";

const CONFIRMED: &[u8] = b"confirmed ";

/// A centre's file in the state directory. Its methods wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardFile(StateFile);

impl GuardFile {
    /// That of the directories in `incoming`.
    pub fn new(state_dir: &Path, incoming: &Path) -> Self {
        Self(StateFile::new(state_dir, DIRECTORY, &quoted(incoming).to_string(), incoming))
    }

    /// What was saved last; without the lines that cannot be read.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub fn load(&self) -> Result<Guard, StoreError> {
        Ok(parse(&self.0.load()?))
    }

    /// The same, and changes nothing.
    ///
    /// # Errors
    /// The same.
    pub fn look_at(&self) -> Result<Guard, StoreError> {
        Ok(parse(&self.0.look_at()?))
    }

    /// Replaces what was saved, durably.
    ///
    /// # Errors
    /// Whatever the disk refuses: what was saved before is there then.
    pub fn save(&self, guard: &Guard) -> Result<(), StoreError> {
        let holds = if guard.holds { [HOLDS, b"\n"].concat() } else { Vec::new() };
        let confirmed =
            guard.confirmed.iter().flat_map(|item| [CONFIRMED, item.content_name().as_bytes(), b"\n"].concat());
        self.0.save(&holds.into_iter().chain(confirmed).collect::<Vec<u8>>())
    }
}

fn parse(lines: &[u8]) -> Guard {
    let mut guard = Guard::default();
    for line in lines.split(|byte| *byte == b'\n') {
        guard.holds |= line == HOLDS;
        guard.confirmed.extend(line.strip_prefix(CONFIRMED).and_then(Folder::item_of_content));
    }
    guard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::remote_config::Item;

    #[test]
    fn what_was_saved_is_loaded() {
        let state = tempfile::tempdir().unwrap();
        let file = |incoming| GuardFile::new(state.path(), Path::new(incoming));
        assert_eq!(file("/in").load(), Ok(Guard::default()));
        let configuration = Item::configuration(format!("{:032x}.conf", 7).as_bytes()).unwrap();
        let confirmed = [configuration, Item::collection("f c").unwrap()].into();
        for guard in [Guard { holds: true, confirmed }, Guard { holds: true, ..Guard::default() }, Guard::default()] {
            file("/in").save(&guard).unwrap();
            assert_eq!((file("/in").load(), file("/in").look_at()), (Ok(guard.clone()), Ok(guard)));
            assert_eq!(file("/other").load(), Ok(Guard::default()));
        }
    }
}
