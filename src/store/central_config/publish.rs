//! Putting a pair that came from a site into the centre's directories.
//!
//! Both drafts are durable before either gets its name; then the content gets its name, and then its MD5. So a crash between
//! the two leaves the draft of the MD5, and [`recover`] ends what was begun.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;

use super::directories::{Directories, Directory, Folder, draft_name, name_of_draft};
use super::files::{Content, Fault, look_at_content};
use crate::proto::{FileName, Fingerprint, Md5Sum, quoted};
use crate::store::fs::error::StoreError;
use crate::store::fs::lacks::{flush_directory, rename_to_free};
use crate::store::fs::on_conflict::OnConflict;
use crate::store::fs::open::is_in_place;
use crate::store::fs::setup::FILE_MODE;
use crate::store::fs::spool_dir::{Comparison, compare};
use crate::store::fs::whole_file::{Draft, read_whole};
use crate::sync::remote_config::{Item, md5_text, parse_md5};

/// More bytes than a draft of an MD5 has.
const MOST_OF_DRAFT: u64 = 64;

/// One of a pair's files, as it is to be.
struct Target<'a> {
    directory: &'a Directory,
    name: FileName,
    path: PathBuf,
    bytes: &'a [u8],
}

impl<'a> Target<'a> {
    fn new(directory: &'a Directory, name: FileName, bytes: &'a [u8]) -> Self {
        Self { directory, path: directory.path_of(&name), name, bytes }
    }

    fn found(&self) -> Result<Comparison, StoreError> {
        let found = compare(&self.directory.dir, self.name.as_bytes(), &Fingerprint::of(self.bytes));
        found.map_err(StoreError::io("read", &self.path))
    }

    fn draft(&self) -> Result<Draft<'_>, StoreError> {
        let mut draft = Draft::create(&self.directory.dir, &self.path, draft_name(&self.name), FILE_MODE)?;
        self.give_group(draft.file())?;
        draft.write(self.bytes)?;
        Ok(draft)
    }

    /// Gives a file the group of its directory, as it has already where that is setgid: the web console's.
    fn give_group(&self, file: &File) -> Result<(), StoreError> {
        let failed = |errno: Errno| StoreError::io("look at", &self.path)(errno);
        let (outer, inner) = (fs::fstat(&self.directory.dir).map_err(failed)?, fs::fstat(file).map_err(failed)?);
        if outer.st_gid != inner.st_gid
            && let Err(errno) = fs::fchown(file, None, Some(fs::Gid::from_raw(outer.st_gid)))
        {
            let (path, group) = (quoted(&self.path), outer.st_gid);
            log::warn!(
                "{path}: cannot be given the group {group} of its directory ({errno}), so the console may not show it: let \
                 the user this runs as be in that group, or have the directory give it (chmod g+s)"
            );
        }
        Ok(())
    }

    /// Removes the file if it is the one that is held open, and nobody has written to it.
    fn take_back(&self, held: &File) {
        let name = self.name.as_bytes();
        if is_in_place(&self.directory.dir, name, held)
            && self.found() == Ok(Comparison::Same)
            && let Err(errno) = fs::unlinkat(&self.directory.dir, name, AtFlags::empty())
        {
            log::warn!("{}", StoreError::io("remove", &self.path)(errno));
        }
    }
}

/// Publishes both files of an item, or neither, never over another file: an edit at the centre wins. A content of the same
/// bytes that is there alone gets its MD5.
///
/// # Errors
/// [`StoreError::Exists`] if there is another file of either name; whatever the disk refuses.
pub(super) fn publish(directories: &Directories, item: &Item, bytes: &[u8]) -> Result<(), StoreError> {
    let directory = directories.content_to_be(item)?;
    let text = md5_text(Md5Sum::of(bytes).md5);
    let content = Target::new(directory, item.content_name(), bytes);
    let md5 = Target::new(&directories.md5s, item.md5_name(), text.as_bytes());
    if bytes.is_empty() {
        return Err(StoreError::io("publish it empty", &content.path)(Errno::INVAL));
    }
    match (content.found()?, md5.found()?) {
        (Comparison::Same, Comparison::Same) => Ok(()),
        (Comparison::Same, Comparison::Absent) => md5.draft()?.rename(OnConflict::Refuse),
        (Comparison::Absent, Comparison::Absent) => publish_both(&content, &md5),
        (Comparison::Different, _) => Err(StoreError::Exists(content.path)),
        (_, Comparison::Same | Comparison::Different) => Err(StoreError::Exists(md5.path)),
    }
}

fn publish_both(content: &Target<'_>, md5: &Target<'_>) -> Result<(), StoreError> {
    let Drafts { content: content_draft, md5: md5_draft } = Drafts::write(content, md5)?;
    let keep = |draft: &Draft<'_>, target: &Target<'_>| {
        draft.file().try_clone().map_err(StoreError::std("open", &target.path))
    };
    let (content_file, md5_file) = (keep(&content_draft, content)?, keep(&md5_draft, md5)?);
    let published = content_draft.rename(OnConflict::Refuse).and_then(|()| md5_draft.rename(OnConflict::Refuse));
    published.inspect_err(|_| {
        content.take_back(&content_file);
        md5.take_back(&md5_file);
    })
}

/// Both files, durable, under other names.
struct Drafts<'a> {
    content: Draft<'a>,
    md5: Draft<'a>,
}

impl<'a> Drafts<'a> {
    fn write(content: &'a Target<'a>, md5: &'a Target<'a>) -> Result<Self, StoreError> {
        let drafts = Self { md5: md5.draft()?, content: content.draft()? };
        // A content that has its name must not survive a loss of power without this.
        flush_directory(&md5.directory.dir).map_err(StoreError::io("write", &md5.path))?;
        Ok(drafts)
    }
}

/// Ends what a crash has interrupted: a content that has its name gets its MD5, and other drafts are removed.
///
/// # Errors
/// The directories cannot be listed. What else fails is logged.
pub(super) fn recover(directories: &Directories) -> Result<(), StoreError> {
    for draft in directories.md5s.names()? {
        let Some(item) = name_of_draft(&draft).and_then(|name| Folder::Md5s.item(name)) else { continue };
        match end(directories, &item, &draft) {
            Ok(true) => log::info!("{item}: published at last, as an earlier run was interrupted"),
            Ok(false) => discard(&directories.md5s, &draft),
            Err(error) => log::warn!("{error}"),
        }
    }
    for (folder, directory) in [
        (Folder::Configurations, Some(&directories.configurations)),
        (Folder::Collections, directories.collections.as_ref()),
    ] {
        let Some(directory) = directory else { continue };
        let drafts = directory.names()?.into_iter();
        drafts
            .filter(|draft| name_of_draft(draft).is_some_and(|name| folder.item(name).is_some()))
            .for_each(|draft| discard(directory, &draft));
    }
    Ok(())
}

/// Gives an MD5 its name if it is that of the content; whether it was.
fn end(directories: &Directories, item: &Item, draft: &[u8]) -> Result<bool, StoreError> {
    let (md5s, name) = (&directories.md5s, item.md5_name());
    let path = md5s.path_of(&name);
    let draft_path = path.with_file_name(OsStr::from_bytes(draft));
    let Some(md5) = read_whole(&md5s.dir, &draft_path, MOST_OF_DRAFT)?.and_then(|text| parse_md5(&text)) else {
        return Ok(false);
    };
    let content = directories.content(item).and_then(|directory| look_at_content(directory, item, None));
    match content.map(|known| known.found) {
        Some(Ok(Content { fingerprint, .. })) if fingerprint.md5 == md5 && fingerprint.size > 0 => {}
        // Another time it may be read.
        Some(Err(Fault::Unreadable(errno))) => return Err(StoreError::io("end the publication of", &path)(errno)),
        _ => return Ok(false),
    }
    match rename_to_free(&md5s.dir, draft, &md5s.dir, name.as_bytes()) {
        Ok(_) => flush_directory(&md5s.dir).map(|_| true).map_err(StoreError::io("write", &path)),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(StoreError::io("write", &path)(errno)),
    }
}

fn discard(directory: &Directory, draft: &[u8]) {
    // What cannot be removed is in nobody's way.
    fs::unlinkat(&directory.dir, draft, AtFlags::empty()).ok();
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
