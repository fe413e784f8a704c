//! A fake server's files.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, iter};

use super::setup::{Filter, Storage};

/// Files by their path below the storage.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Files by directory and name. The root is the directory with the empty name.
type Tree = BTreeMap<PathBuf, BTreeMap<OsString, Arc<[u8]>>>;

/// As on Linux filesystems, in bytes.
const MAX_NAME: usize = 255;

#[derive(Debug)]
pub(super) enum Store {
    Memory(Mutex<Tree>),
    Directory(PathBuf),
}

impl Store {
    pub(super) fn new(storage: &Storage, filters: &[Filter]) -> Self {
        match storage {
            Storage::Directory(root) => Self::Directory(root.clone()),
            Storage::Memory => {
                let directories = filters.iter().map(|filter| PathBuf::from(&filter.directory));
                let tree = iter::once(PathBuf::new()).chain(directories).map(|path| (path, BTreeMap::new()));
                Self::Memory(Mutex::new(tree.collect()))
            }
        }
    }

    /// The size of a file; `None` for what is none.
    pub(super) fn size(&self, path: &Path) -> Option<u64> {
        match self {
            Self::Directory(root) => {
                let metadata = fs::metadata(root.join(path)).ok()?;
                metadata.is_file().then_some(metadata.len())
            }
            Self::Memory(tree) => find(&lock(tree), path).map(|bytes| bytes.len() as u64),
        }
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        match self {
            Self::Directory(root) => Ok(fs::read(root.join(path))?.into()),
            Self::Memory(tree) => find(&lock(tree), path).cloned().ok_or_else(|| ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Directory(root) => fs::write(root.join(path), bytes),
            Self::Memory(tree) => {
                let (directory, name) = split(path).ok_or(ErrorKind::InvalidFilename)?;
                let mut tree = lock(tree);
                if name.len() > MAX_NAME || tree.contains_key(path) {
                    return Err(ErrorKind::InvalidFilename.into());
                }
                let files = tree.get_mut(directory).ok_or(ErrorKind::NotFound)?;
                files.insert(name.to_owned(), bytes.into());
                Ok(())
            }
        }
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Directory(root) => fs::remove_file(root.join(path)),
            Self::Memory(tree) => {
                let (directory, name) = split(path).ok_or(ErrorKind::InvalidFilename)?;
                let removed = lock(tree).get_mut(directory).and_then(|files| files.remove(name));
                removed.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
            }
        }
    }

    /// The names in a directory, with `.`, `..` and those of directories.
    pub(super) fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let mut names = vec![OsString::from("."), OsString::from("..")];
        match self {
            Self::Directory(root) => {
                for entry in fs::read_dir(root.join(directory))? {
                    names.push(entry?.file_name());
                }
            }
            Self::Memory(tree) => {
                let tree = lock(tree);
                let files = tree.get(directory).ok_or(ErrorKind::NotFound)?;
                let inside = tree.keys().filter(|path| path.parent() == Some(directory));
                names.extend(inside.map(|path| path.as_os_str().to_owned()));
                names.extend(files.keys().cloned());
            }
        }
        Ok(names)
    }

    pub(super) fn files(&self) -> io::Result<Files> {
        match self {
            Self::Directory(root) => files_below(root),
            Self::Memory(tree) => {
                let tree = lock(tree);
                let all = tree.iter().flat_map(|(directory, files)| {
                    files.iter().map(move |(name, bytes)| (directory.join(name), bytes.to_vec()))
                });
                Ok(all.collect())
            }
        }
    }
}

/// All files below a directory, by their path from there.
pub fn files_below(root: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    gather(root, Path::new(""), &mut files)?;
    Ok(files)
}

fn gather(root: &Path, directory: &Path, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            gather(root, &path, files)?;
        } else {
            files.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find<'a>(tree: &'a Tree, path: &Path) -> Option<&'a Arc<[u8]>> {
    let (directory, name) = split(path)?;
    tree.get(directory)?.get(name)
}

/// Directory and name; `None` for `.`, `..` and nothing.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let name = path.file_name()?;
    (!name.as_bytes().contains(&0)).then_some((path.parent()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> (tempfile::TempDir, [Store; 2]) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("conf")).unwrap();
        let directory = Storage::Directory(root.path().to_owned());
        let filters = [Filter::new(".conf", "conf")];
        (root, [Store::new(&Storage::Memory, &filters), Store::new(&directory, &filters)])
    }

    #[test]
    fn memory_and_directory_are_alike() {
        let (_root, stores) = both();
        for store in stores {
            store.write(Path::new("a.data"), b"first").unwrap();
            store.write(Path::new("a.data"), b"second").unwrap();
            store.write(Path::new("conf/1.conf"), b"").unwrap();
            assert_eq!(store.size(Path::new("a.data")), Some(6));
            assert_eq!(*store.read(Path::new("a.data")).unwrap(), *b"second");
            let mut root = store.list(Path::new("")).unwrap();
            root.sort();
            assert_eq!(root, [".", "..", "a.data", "conf"]);
            let mut conf = store.list(Path::new("conf")).unwrap();
            conf.sort();
            assert_eq!(conf, [".", "..", "1.conf"]);
            assert_eq!(store.files().unwrap().len(), 2);
            store.remove(Path::new("conf/1.conf")).unwrap();
            assert!(store.remove(Path::new("conf/1.conf")).is_err());
            assert_eq!(store.size(Path::new("conf/1.conf")), None);
        }
    }

    #[test]
    fn what_is_no_file_name_cannot_be_written() {
        let (_root, stores) = both();
        for store in stores {
            for name in ["", ".", "..", "conf", "md5/1.md5", "a\0b", &"n".repeat(256)] {
                assert!(store.write(Path::new(name), b"x").is_err(), "{name:?} in {store:?}");
                assert_eq!(store.size(Path::new(name)), None, "{name:?} in {store:?}");
            }
            assert!(store.list(Path::new("md5")).is_err());
        }
    }
}
