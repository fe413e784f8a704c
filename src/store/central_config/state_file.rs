//! Files in the state directory that are about agents' configuration: one for each site, one for each centre.
//!
//! The first line names the incoming directory. A file that names another one counts as empty.

use std::fmt::Write;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};

use crate::proto::{Md5Sum, quoted};
use crate::store::fs::error::StoreError;
use crate::store::fs::on_conflict::OnConflict;
use crate::store::fs::open::make_private;
use crate::store::fs::whole_file::{read_whole, write_whole};
use crate::sync::remote_config::md5_text;

/// The most bytes that are read of a file.
const MOST: u64 = 16 << 20;

/// The longest name of a file, in bytes; a draft's has one more.
const LONGEST_NAME: usize = 254;

/// One of them. Its methods wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateFile {
    state_dir: PathBuf,
    /// The name of the directory in there.
    directory: &'static str,
    name: String,
    /// The first line.
    header: String,
}

impl StateFile {
    /// That of this name, whatever characters it has, in a directory in the state directory.
    pub(super) fn new(state_dir: &Path, directory: &'static str, name: &str, incoming: &Path) -> Self {
        let header = format!("# {}\n", quoted(incoming));
        Self { state_dir: state_dir.to_owned(), directory, name: file_name(name), header }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory().join(&self.name)
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.state_dir.join(self.directory)
    }

    /// How long the first line is, in bytes.
    #[cfg(test)]
    pub(super) fn header_len(&self) -> usize {
        self.header.len()
    }

    /// What was saved last, without the first line; nothing if that never was.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub(super) fn load(&self) -> Result<Vec<u8>, StoreError> {
        self.load_from(self.open())
    }

    /// The same, and changes nothing, not even the rights of a directory that others may write to.
    ///
    /// # Errors
    /// The same.
    pub(super) fn look_at(&self) -> Result<Vec<u8>, StoreError> {
        self.load_from(self.open_as_it_is().map(|(_, directory)| directory))
    }

    fn load_from(&self, opened: Result<OwnedFd, StoreError>) -> Result<Vec<u8>, StoreError> {
        let directory = match opened {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            opened => opened?,
        };
        let bytes = read_whole(&directory, &self.path(), MOST)?.unwrap_or_default();
        Ok(bytes.strip_prefix(self.header.as_bytes()).unwrap_or_default().to_vec())
    }

    /// Replaces what was saved, durably.
    ///
    /// # Errors
    /// Whatever the disk refuses: what was saved before is there then.
    pub(super) fn save(&self, lines: &[u8]) -> Result<(), StoreError> {
        let path = self.directory();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(StoreError::std("make the directory", &path))?;
        let draft = format!(".{}", self.name);
        let private = Mode::RUSR | Mode::WUSR;
        let text = [self.header.as_bytes(), lines].concat();
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

    use super::*;

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
