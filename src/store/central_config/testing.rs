//! An incoming directory of a test's own.

use std::fs::{create_dir, write};
use std::path::{Path, PathBuf};

use super::directories::{Directories, Folder};
use crate::proto::Md5Sum;
use crate::sync::remote_config::{Item, md5_text};

#[derive(Debug)]
pub(super) struct Incoming(tempfile::TempDir);

impl Incoming {
    pub(super) fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.make_directories();
        this
    }

    pub(super) fn make_directories(&self) {
        for folder in Folder::ALL {
            create_dir(folder.path(self.path())).unwrap();
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn open(&self) -> Directories {
        Directories::open(self.path()).unwrap()
    }

    pub(super) fn content(&self, item: &Item) -> PathBuf {
        Folder::of_content(item).file(self.path(), &item.content_name())
    }

    pub(super) fn md5(&self, item: &Item) -> PathBuf {
        Folder::Md5s.file(self.path(), &item.md5_name())
    }

    /// In place, as the console does.
    pub(super) fn write_content(&self, item: &Item, bytes: &[u8]) {
        write(self.content(item), bytes).unwrap();
    }

    pub(super) fn write_md5(&self, item: &Item, bytes: &[u8]) {
        write(self.md5(item), md5_text(Md5Sum::of(bytes).md5)).unwrap();
    }

    /// Both files of a configuration.
    pub(super) fn put(&self, number: u32, bytes: &[u8]) -> Item {
        let item = configuration(number);
        self.write_content(&item, bytes);
        self.write_md5(&item, bytes);
        item
    }

    /// All names in the directories.
    pub(super) fn names(&self) -> Vec<String> {
        let names = |folder: Folder| {
            let entries = std::fs::read_dir(folder.path(self.path())).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        };
        let mut names: Vec<String> = Folder::ALL.into_iter().flat_map(names).collect();
        names.sort();
        names
    }
}

pub(super) fn configuration(number: u32) -> Item {
    Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
}
