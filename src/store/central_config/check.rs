//! What `check` finds out about agents' configuration at the centre.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};
use rustix::fs::{self, AtFlags, FileType, Mode, Stat};

use super::directories::{Directories, Directory, Folder};
use super::scan::Scan;
use super::unfit::UnfitPair;
use crate::proto::{Count, quoted};
use crate::store::fs::error::StoreError;
use crate::store::fs::setup::check_writable;
use crate::sync::remote_config::{Centre, Item, ItemKind};

/// What the console's group needs of a file.
const GROUP_READS_AND_WRITES: Mode = Mode::RGRP.union(Mode::WGRP);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CentralFinding {
    /// A directory is as it should be.
    Directory {
        /// Which.
        path: PathBuf,
        /// Its group.
        group: String,
    },
    /// A directory is not there, cannot be listed, or we may not write to it.
    Unusable(StoreError),
    /// The console cannot write to a directory, or to what we put there.
    Rights {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its group.
        group: String,
    },
    /// How many pairs fit.
    Fit {
        /// Agents' and satellite servers' configurations.
        configurations: usize,
        /// Collections.
        collections: usize,
    },
    /// A pair does not fit.
    Unfit(UnfitPair),
    /// The console's group may not write to a file.
    FileRights {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its group.
        group: String,
        /// The group of its directory.
        wanted: String,
    },
}

impl CentralFinding {
    /// Whether it is as it should be.
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Fit { .. })
    }
}

impl fmt::Display for CentralFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, group } => {
                write!(f, "remote configuration: {} is written to by us and by the group {group}", quoted(path))
            }
            Self::Unusable(error) => write!(f, "remote configuration: {error}"),
            Self::Rights { path, mode, group } => write!(
                f,
                "remote configuration: {} has mode {mode:04o} and group {group}: the console cannot write to what is put \
                 there (chgrp to the web server's group, chmod 2770)",
                quoted(path)
            ),
            Self::Fit { configurations, collections } => write!(
                f,
                "remote configuration: {} and {} fit their MD5",
                Count(*configurations, "configuration"),
                Count(*collections, "collection")
            ),
            Self::Unfit(pair) => write!(f, "remote configuration: {pair}"),
            Self::FileRights { path, mode, group, wanted } => write!(
                f,
                "remote configuration: {} has mode {mode:04o} and group {group}: the console shows only what it can write to \
                 (chgrp {wanted}, chmod 0660)",
                quoted(path)
            ),
        }
    }
}

/// Looks at agents' configuration below an incoming directory. Waits for the disk, and changes nothing.
pub fn check_pairs(incoming: &Path) -> Vec<CentralFinding> {
    let directories = match Directories::open(incoming) {
        Ok(directories) => directories,
        Err(error) => return vec![CentralFinding::Unusable(error)],
    };
    let mut scan = Scan::default();
    if let Err(error) = scan.look_at_all(&directories) {
        return vec![CentralFinding::Unusable(error)];
    }
    let centre = scan.centre();
    let mut findings = vec![];
    for (folder, directory) in
        [(Folder::Configurations, &directories.configurations), (Folder::Md5s, &directories.md5s)]
    {
        findings.push(check_directory(&folder.path(incoming), directory));
    }
    findings.push(fit(&centre));
    findings.extend(scan.unfit(incoming).into_values().map(CentralFinding::Unfit));
    let configurations = centre.items.keys().filter(|item| item.kind() == ItemKind::Configuration);
    findings.extend(configurations.flat_map(|item| check_rights(&directories, item)));
    findings
}

fn check_directory(path: &Path, directory: &Directory) -> CentralFinding {
    if let Err(error) = check_writable(&directory.dir, path) {
        return CentralFinding::Unusable(error);
    }
    let stat = match fs::fstat(&directory.dir).map_err(StoreError::io("look at", path)) {
        Ok(stat) => stat,
        Err(error) => return CentralFinding::Unusable(error),
    };
    let (path, group, mode) = (path.to_owned(), group_name(&stat), permissions(&stat));
    if mode.contains(Mode::RWXG) {
        CentralFinding::Directory { path, group }
    } else {
        CentralFinding::Rights { path, mode: mode.as_raw_mode(), group }
    }
}

fn fit(centre: &Centre) -> CentralFinding {
    let count = |kind| {
        let fits = centre.items.iter().filter(|(item, pair)| item.kind() == kind && pair.current().is_some());
        fits.count()
    };
    CentralFinding::Fit { configurations: count(ItemKind::Configuration), collections: count(ItemKind::Collection) }
}

/// Those of an item's files that the group of their directory may not write to, unless they are another user's, as the
/// console's own are: which user that is cannot be told from here.
fn check_rights(directories: &Directories, item: &Item) -> Vec<CentralFinding> {
    let files = [(&directories.configurations, item.content_name()), (&directories.md5s, item.md5_name())];
    let check = |(directory, name): (&Directory, _)| {
        let outer = fs::fstat(&directory.dir).ok()?;
        let path = directory.path_of(&name);
        let stat = fs::statat(&directory.dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_ours = stat.st_uid == outer.st_uid || stat.st_uid == 0;
        let is_shared = permissions(&stat).contains(GROUP_READS_AND_WRITES) && stat.st_gid == outer.st_gid;
        (is_file && is_ours && !is_shared).then(|| CentralFinding::FileRights {
            path,
            mode: permissions(&stat).as_raw_mode(),
            group: group_name(&stat),
            wanted: group_name(&outer),
        })
    };
    files.into_iter().filter_map(check).collect()
}

fn permissions(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode)
}

/// The group's name, or else its number.
fn group_name(stat: &Stat) -> String {
    let group = Group::from_gid(Gid::from_raw(stat.st_gid)).ok().flatten();
    group.map_or_else(|| stat.st_gid.to_string(), |group| group.name)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
