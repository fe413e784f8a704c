//! What was in step at each site, and which configurations are its own, kept across restarts.
//!
//! The first line names the incoming directory: beside another one, what the site has is compared anew. Then there is a line for
//! each item: the MD5 of what both had, or behind a `?` those of which the site has one or a part of one; those of what the site
//! has uploaded; and the name of the file with the content. There are commas between MD5s, and two blanks between the columns. Where
//! there is no MD5 stands `-`. A line that cannot be read costs a comparison, and so does the whole file; and an operator's word,
//! where the centre has something else by then than the site.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::directories::Folder;
use super::state_file::StateFile;
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::{InStep, Item, SiteHas, Standing, md5_text, parse_md5};

const DIRECTORY: &str = "remote-config";

/// Between the columns.
const BLANKS: &str = "  ";

/// In place of an MD5.
const NO_MD5: &[u8] = b"-";

/// Before the MD5s of which the site has one or a part of one.
const ONE_OF: u8 = b'?';

/// A site's file in the state directory. Its methods wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InStepFile(StateFile);

impl InStepFile {
    /// That of the site of this name, whatever characters it has, and of the centre's directories in `incoming`.
    pub fn new(state_dir: &Path, site: &str, incoming: &Path) -> Self {
        Self(StateFile::new(state_dir, DIRECTORY, site, incoming))
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// What was saved last; nothing if that never was, and without the lines that cannot be read.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub fn load(&self) -> Result<InStep, StoreError> {
        Ok(parse(&self.0.load()?))
    }

    /// The same, and changes nothing, not even the rights of a directory that others may write to.
    ///
    /// # Errors
    /// The same.
    pub fn look_at(&self) -> Result<InStep, StoreError> {
        Ok(parse(&self.0.look_at()?))
    }

    /// Replaces what was saved, durably.
    ///
    /// # Errors
    /// Whatever the disk refuses: what was saved before is there then.
    pub fn save(&self, in_step: &InStep) -> Result<(), StoreError> {
        let mut lines = Vec::new();
        for (item, Standing { has, uploads }) in in_step.standings() {
            let none = BTreeSet::new();
            let has = match has {
                SiteHas::Unknown => column(&none),
                SiteHas::InStep(md5) => column([md5]),
                SiteHas::OneOf(md5s) => [vec![ONE_OF], column(md5s)].concat(),
            };
            for column in [has, column(uploads)] {
                lines.extend(column);
                lines.extend(BLANKS.as_bytes());
            }
            lines.extend(item.content_name().as_bytes());
            lines.push(b'\n');
        }
        self.0.save(&lines)
    }
}

fn parse(lines: &[u8]) -> InStep {
    lines.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn column<'a>(md5s: impl IntoIterator<Item = &'a [u8; 16]>) -> Vec<u8> {
    let texts: Vec<String> = md5s.into_iter().map(|md5| md5_text(*md5)).collect();
    if texts.is_empty() { NO_MD5.into() } else { texts.join(",").into_bytes() }
}

fn parse_line(line: &[u8]) -> Option<(Item, Standing)> {
    let one_of = line.strip_prefix(&[ONE_OF]);
    let (has, rest) = parse_column(one_of.unwrap_or(line))?;
    let (uploads, name) = parse_column(rest)?;
    let item = Folder::item_of_content(name)?;
    let has = match has.first() {
        None => SiteHas::Unknown,
        Some(_) if one_of.is_some() => SiteHas::OneOf(has),
        Some(md5) => SiteHas::InStep(*md5),
    };
    Some((item, Standing { has, uploads }))
}

/// The MD5s of a column, and what follows it.
fn parse_column(line: &[u8]) -> Option<(BTreeSet<[u8; 16]>, &[u8])> {
    let end = line.windows(BLANKS.len()).position(|bytes| bytes == BLANKS.as_bytes())?;
    let (column, rest) = (&line[..end], &line[end + BLANKS.len()..]);
    let md5s = || column.split(|byte| *byte == b',').map(parse_md5).collect();
    let md5s = if column == NO_MD5 { Some(BTreeSet::new()) } else { md5s() };
    Some((md5s?, rest))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn configuration(number: u8) -> Item {
        Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
    }

    #[test]
    fn what_was_saved_is_loaded_and_the_last_time_counts() {
        let state = tempfile::tempdir().unwrap();
        let state_dir = state.path().join("state");
        let incoming = Path::new("/incoming");
        let (here, other) =
            (InStepFile::new(&state_dir, "plant/7", incoming), InStepFile::new(&state_dir, "plant-7", incoming));
        assert_eq!(here.load(), Ok(InStep::default()));
        let satellite = Item::configuration(format!("{:032x}.srv.md5", 9).as_bytes()).unwrap();
        let standing = |in_step: u8, uploaded: u8| {
            let md5 = |byte: u8| Some([byte; 16]).filter(|_| byte > 0);
            let has = md5(in_step).map_or(SiteHas::Unknown, SiteHas::InStep);
            Standing { has, uploads: md5(uploaded).into_iter().collect() }
        };
        let sent = Standing { has: SiteHas::OneOf([[4; 16], [5; 16]].into()), uploads: [[6; 16]].into() };
        let items = [
            (configuration(1), standing(7, 0)),
            (configuration(2), standing(0, 0)),
            (configuration(3), standing(0, 6)),
            (satellite, standing(8, 8)),
            (configuration(4), sent.clone()),
            (Item::collection("fc_3").unwrap(), Standing { uploads: BTreeSet::new(), ..sent }),
            (Item::collection("f c_2.md5").unwrap(), standing(9, 0)),
        ];
        let in_step = InStep::from_iter(items.clone());
        here.save(&in_step).unwrap();
        assert_eq!((here.load(), other.load()), (Ok(in_step.clone()), Ok(InStep::default())));
        let elsewhere = InStepFile::new(&state_dir, "plant/7", Path::new("/another"));
        assert_eq!(elsewhere.load(), Ok(InStep::default()), "of another incoming directory");
        let in_step: InStep = items[1..].iter().cloned().collect();
        std::fs::write(state_dir.join(DIRECTORY).join(".plant%2f7"), "left by a crash").unwrap();
        here.save(&in_step).unwrap();
        assert_eq!(here.load(), Ok(in_step));
        let names: Vec<_> =
            std::fs::read_dir(here.0.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["plant%2f7"]);
        for (path, mode) in [(here.0.directory(), 0o700), (here.path(), 0o600)] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_damaged_line_costs_that_line() {
        let state = tempfile::tempdir().unwrap();
        let file = InStepFile::new(state.path(), "site", Path::new("/incoming"));
        file.save(&InStep::from_iter([(configuration(1), [1; 16]), (configuration(2), [2; 16])])).unwrap();
        let text = std::fs::read(file.path()).unwrap();
        let items = file.0.header_len();
        for index in items..text.len() {
            for byte in [b'\0', b'\n', b' ', b'z', 0xff] {
                let mut damaged = text.clone();
                damaged[index] = byte;
                std::fs::write(file.path(), &damaged).unwrap();
                let loaded = file.load().unwrap();
                let other = if index < items + (text.len() - items) / 2 {
                    (configuration(2), [2; 16])
                } else {
                    (configuration(1), [1; 16])
                };
                let is_end = text[index] == b'\n';
                assert!(is_end || loaded.get(&other.0) == Some(other.1), "{index}: {loaded:?}");
            }
            std::fs::write(file.path(), &text[..index]).unwrap();
            assert_eq!(file.load().unwrap().len(), 2 * (index + 1 - items) / (text.len() - items));
        }
        std::fs::remove_file(file.path()).unwrap();
        std::fs::create_dir(file.path()).unwrap();
        assert!(file.load().unwrap_err().to_string().contains("is a directory"));
    }
}
