//! The centre's directories, opened for each use and closed after it: one that was replaced or mounted since is found, and none
//! is kept from being unmounted.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::proto::FileName;
use crate::store::fs::error::StoreError;
use crate::store::fs::setup::random;
use crate::sync::remote_config::{Item, ItemKind};

/// What ends a draft's name. The console and the data server look at no name that begins with a dot.
const DRAFT_END: &str = ".tentacle-sync";

/// One of the directories below the incoming directory, by what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    Configurations,
    Md5s,
    Collections,
}

impl Folder {
    pub(super) const ALL: [Self; 3] = [Self::Configurations, Self::Md5s, Self::Collections];

    pub(super) fn path(self, incoming: &Path) -> PathBuf {
        incoming.join(match self {
            Self::Configurations => "conf",
            Self::Md5s => "md5",
            Self::Collections => "collections",
        })
    }

    /// Where an item's content is.
    pub(super) fn of_content(item: &Item) -> Self {
        match item.kind() {
            ItemKind::Configuration => Self::Configurations,
            ItemKind::Collection => Self::Collections,
        }
    }

    /// Where a file in here is.
    pub(super) fn file(self, incoming: &Path, name: &FileName) -> PathBuf {
        self.path(incoming).join(OsStr::from_bytes(name.as_bytes()))
    }

    /// The item whose content is in a file of this name.
    pub(super) fn item_of_content(name: &[u8]) -> Option<Item> {
        Self::Configurations.item(name).or_else(|| Self::Collections.item(name))
    }

    /// The item that a file of this name in here belongs to.
    pub(super) fn item(self, name: &[u8]) -> Option<Item> {
        let collection = |stem: Option<&[u8]>| std::str::from_utf8(stem?).ok().and_then(Item::collection);
        match self {
            Self::Configurations => Item::configuration(name).filter(|_| name.ends_with(b".conf")),
            Self::Md5s => {
                let stem = name.strip_suffix(b".md5")?;
                Item::configuration(name).or_else(|| collection(Some(stem)))
            }
            Self::Collections => collection(name.strip_suffix(b".zip")),
        }
    }
}

/// One of the directories, open.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) dir: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(&path, flags, Mode::empty()).map_err(StoreError::io("open the directory", &path))?;
        Ok(Self { dir, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file in here is.
    pub(super) fn path_of(&self, name: &FileName) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.as_bytes()))
    }

    /// The names in here.
    pub(super) fn names(&self) -> Result<Vec<Box<[u8]>>, StoreError> {
        let failed = |errno: Errno| StoreError::io("list", &self.path)(errno);
        let entries = fs::Dir::read_from(&self.dir).map_err(failed)?;
        entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_bytes().into())).collect()
    }

    fn identity(&self) -> Result<Identity, StoreError> {
        let stat = fs::fstat(&self.dir).map_err(StoreError::io("look at", &self.path))?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

/// Filesystem and inode.
type Identity = (u64, u64);

/// Which directories they were.
pub(super) type Identities = [Option<Identity>; 3];

/// All of them, open.
#[derive(Debug)]
pub(super) struct Directories {
    incoming: PathBuf,
    pub(super) configurations: Directory,
    pub(super) md5s: Directory,
    /// Not needed where there are no collections.
    pub(super) collections: Option<Directory>,
}

impl Directories {
    /// Those below an incoming directory.
    pub(super) fn open(incoming: &Path) -> Result<Self, StoreError> {
        let open = |folder: Folder| Directory::open(folder.path(incoming));
        let collections = match open(Folder::Collections) {
            Err(StoreError::Io { errno: Errno::NOENT, .. }) => None,
            opened => Some(opened?),
        };
        let (configurations, md5s) = (open(Folder::Configurations)?, open(Folder::Md5s)?);
        Ok(Self { incoming: incoming.to_owned(), configurations, md5s, collections })
    }

    pub(super) fn identities(&self) -> Result<Identities, StoreError> {
        let collections = self.collections.as_ref().map(Directory::identity).transpose()?;
        Ok([Some(self.configurations.identity()?), Some(self.md5s.identity()?), collections])
    }

    /// Where an item's content is to be put.
    pub(super) fn content_to_be(&self, item: &Item) -> Result<&Directory, StoreError> {
        let path = || Folder::of_content(item).path(&self.incoming);
        self.content(item).ok_or_else(|| StoreError::io("open the directory", &path())(Errno::NOENT))
    }

    /// Where the item's content is, if there is such a directory.
    pub(super) fn content(&self, item: &Item) -> Option<&Directory> {
        match item.kind() {
            ItemKind::Configuration => Some(&self.configurations),
            ItemKind::Collection => self.collections.as_ref(),
        }
    }
}

/// What a file is called that is to get this name once it is whole: whoever else writes one does not write to it.
pub(super) fn draft_name(name: &FileName) -> String {
    format!(".{}.{:016x}{DRAFT_END}", String::from_utf8_lossy(name.as_bytes()), random())
}

/// The name that a draft of this name was to get.
pub(super) fn name_of_draft(draft: &[u8]) -> Option<&[u8]> {
    let numbered = draft.strip_prefix(b".")?.strip_suffix(DRAFT_END.as_bytes())?;
    let (name, number) = numbered.split_at_checked(numbered.len().checked_sub(".0123456789abcdef".len())?)?;
    number.starts_with(b".").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_items_by_their_directory() {
        let k = "0123456789abcdef0123456789abcdef";
        let configuration = Item::configuration(format!("{k}.conf").as_bytes());
        let collection = Item::collection("fc_2");
        assert!(configuration.is_some() && collection.is_some());
        let item = |folder: Folder, name: &str| folder.item(name.as_bytes());
        assert_eq!(item(Folder::Configurations, &format!("{k}.conf")), configuration);
        assert_eq!(item(Folder::Md5s, &format!("{k}.md5")), configuration);
        assert_eq!(item(Folder::Md5s, "fc_2.md5"), collection);
        assert_eq!(item(Folder::Collections, "fc_2.zip"), collection);
        for (folder, name) in [
            (Folder::Configurations, format!("{k}.md5")),
            (Folder::Configurations, "pandora_ha_hosts.conf".to_owned()),
            (Folder::Md5s, format!("{k}.conf")),
            (Folder::Collections, "fc_2".to_owned()),
        ] {
            assert_eq!(item(folder, &name), None, "{name}");
        }
        let name = configuration.unwrap().content_name();
        let draft = draft_name(&name);
        assert_eq!(name_of_draft(draft.as_bytes()), Some(name.as_bytes()));
        for folder in Folder::ALL {
            assert_eq!(item(folder, &draft), None, "{draft}");
        }
    }
}
