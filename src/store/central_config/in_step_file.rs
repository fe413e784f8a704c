//! What was in step at each site, kept across restarts.
//!
//! The first line names the incoming directory: beside another one, what the site has is compared anew. Then there is a line for
//! each item, as `md5sum` writes them: the MD5, two blanks, the name of the file with the content. A line that cannot be read
//! costs a comparison, and so does the whole file.

use std::fmt::Write;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};

use super::directories::Folder;
use crate::proto::{Md5Sum, quoted};
use crate::store::fs::error::StoreError;
use crate::store::fs::on_conflict::OnConflict;
use crate::store::fs::open::make_private;
use crate::store::fs::whole_file::{read_whole, write_whole};
use crate::sync::remote_config::{InStep, Item, md5_text, parse_md5};

const DIRECTORY: &str = "remote-config";

/// Between the MD5 and the name.
const BLANKS: &[u8] = b"  ";

/// The most bytes that are read of a file.
const MOST: u64 = 16 << 20;

/// The longest name of a file, in bytes; a draft's has one more.
const LONGEST_NAME: usize = 254;

/// A site's file in the state directory. Its methods wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InStepFile {
    state_dir: PathBuf,
    name: String,
    /// The first line.
    header: String,
}

impl InStepFile {
    /// That of the site of this name, whatever characters it has, and of the centre's directories in `incoming`.
    pub fn new(state_dir: &Path, site: &str, incoming: &Path) -> Self {
        Self { state_dir: state_dir.to_owned(), name: file_name(site), header: format!("# {}\n", quoted(incoming)) }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory().join(&self.name)
    }

    fn directory(&self) -> PathBuf {
        self.state_dir.join(DIRECTORY)
    }

    /// What was saved last; nothing if that never was, and without the lines that cannot be read.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub fn load(&self) -> Result<InStep, StoreError> {
        self.load_from(self.open())
    }

    /// The same, and changes nothing, not even the rights of a directory that others may write to.
    ///
    /// # Errors
    /// The same.
    pub fn look_at(&self) -> Result<InStep, StoreError> {
        self.load_from(self.open_as_it_is().map(|(_, directory)| directory))
    }

    fn load_from(&self, opened: Result<OwnedFd, StoreError>) -> Result<InStep, StoreError> {
        let directory = match opened {
            Err(error) if error.is_missing() => return Ok(InStep::default()),
            opened => opened?,
        };
        let bytes = read_whole(&directory, &self.path(), MOST)?.unwrap_or_default();
        let items = bytes.strip_prefix(self.header.as_bytes()).unwrap_or_default();
        Ok(items.split(|byte| *byte == b'\n').filter_map(parse).collect())
    }

    /// Replaces what was saved, durably.
    ///
    /// # Errors
    /// Whatever the disk refuses: what was saved before is there then.
    pub fn save(&self, in_step: &InStep) -> Result<(), StoreError> {
        let path = self.directory();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(StoreError::std("make the directory", &path))?;
        let line = |(item, md5): (&Item, [u8; 16])| {
            let name = item.content_name();
            [md5_text(md5).as_bytes(), BLANKS, name.as_bytes(), b"\n"].concat()
        };
        let mut text = self.header.clone().into_bytes();
        text.extend(in_step.iter().flat_map(line));
        let draft = format!(".{}", self.name);
        let private = Mode::RUSR | Mode::WUSR;
        write_whole(&self.open()?, &self.path(), draft, private, &text, OnConflict::Replace)
    }

    /// Opens the directory, ours alone.
    fn open(&self) -> Result<OwnedFd, StoreError> {
        let (around, directory) = self.open_as_it_is()?;
        make_private(&directory, &self.directory(), &around)?;
        Ok(directory)
    }

    /// Opens the state directory and the one in it.
    fn open_as_it_is(&self) -> Result<(OwnedFd, OwnedFd), StoreError> {
        let open = |path: &Path, flags: OFlags| {
            let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            fs::open(path, flags, Mode::empty()).map_err(StoreError::io("open the directory", path))
        };
        Ok((open(&self.state_dir, OFlags::empty())?, open(&self.directory(), OFlags::NOFOLLOW)?))
    }
}

fn parse(line: &[u8]) -> Option<(Item, [u8; 16])> {
    let (md5, rest) = line.split_at_checked(32)?;
    let name = rest.strip_prefix(BLANKS)?;
    let item = Folder::Configurations.item(name).or_else(|| Folder::Collections.item(name))?;
    Some((item, parse_md5(md5)?))
}

/// A name for a file, another one for each site: what is no letter, digit, `-` or `_`, nor a dot that is not the first, is
/// written as `%` and two hexadecimal digits for each byte; the end of a name that is too long as `%%` and the MD5 of all of
/// it.
fn file_name(site: &str) -> String {
    let mut name = String::new();
    for (index, byte) in site.bytes().enumerate() {
        match byte {
            b'.' if index > 0 => name.push('.'),
            b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => name.push(byte.into()),
            byte => write!(name, "%{byte:02x}").expect("a string takes all"),
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > LONGEST_NAME {
        let md5 = md5_text(Md5Sum::of(site.as_bytes()).md5);
        name.truncate(LONGEST_NAME - md5.len() - "%%".len());
        name = format!("{name}%%{md5}");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
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
        let items =
            [(configuration(1), [7; 16]), (satellite, [8; 16]), (Item::collection("f c_2.md5").unwrap(), [9; 16])];
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
            std::fs::read_dir(here.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["plant%2f7"]);
        for (path, mode) in [(here.directory(), 0o700), (here.path(), 0o600)] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_damaged_line_costs_that_line() {
        let state = tempfile::tempdir().unwrap();
        let file = InStepFile::new(state.path(), "site", Path::new("/incoming"));
        file.save(&InStep::from_iter([(configuration(1), [1; 16]), (configuration(2), [2; 16])])).unwrap();
        let text = std::fs::read(file.path()).unwrap();
        let items = file.header.len();
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

    #[test]
    fn each_site_has_a_file_name_of_its_own() {
        let long = |end: &str| "ä".repeat(300) + end;
        let sites = [
            "",
            "%",
            ".",
            "..",
            "a",
            "A",
            "a/b",
            "a%2fb",
            "../a",
            ".a",
            "a.",
            "a\n",
            "a b",
            "a\0",
            "plänt",
            &long(""),
            &long("1"),
            &long("2"),
            &"x".repeat(254),
            &"x".repeat(255),
        ];
        let names: BTreeSet<String> = sites.iter().map(|site| file_name(site)).collect();
        assert_eq!(names.len(), sites.len(), "{names:?}");
        for name in names {
            assert!(name.len() <= LONGEST_NAME && !name.starts_with('.') && !name.contains('/'), "{name}");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
            assert!(name.bytes().all(plain), "{name}");
        }
    }
}
