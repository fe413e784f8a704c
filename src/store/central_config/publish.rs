//! Putting a pair that came from a site into the centre's directories.
//!
//! Both drafts are durable before either gets its name; then the content gets its name, and then its MD5. So a crash between
//! the two leaves the draft of the MD5, and [`recover`] ends what was begun.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, syncfs};
use rustix::io::Errno;

use super::directories::{Directories, Directory, Folder, draft_name, name_of_draft};
use super::files::{Content, Fault, look_at_content};
use crate::proto::{FileName, Fingerprint, Md5Sum, quoted};
use crate::store::fs::compare::{Comparison, compare};
use crate::store::fs::error::StoreError;
use crate::store::fs::flush::is_few;
use crate::store::fs::lacks::{flush_directory, rename_to_free};
use crate::store::fs::on_conflict::OnConflict;
use crate::store::fs::open::is_in_place;
use crate::store::fs::setup::FILE_MODE;
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

    /// Its bytes under another name, not durable yet.
    fn draft(&self) -> Result<Draft<'_>, StoreError> {
        let mut draft = Draft::create(&self.directory.dir, &self.path, draft_name(&self.name), FILE_MODE)?;
        self.give_group(draft.file())?;
        draft.fill(self.bytes)?;
        Ok(draft)
    }

    fn flush_directory(&self) -> Result<(), StoreError> {
        flush_directory(&self.directory.dir).map(drop).map_err(StoreError::io("write", &self.path))
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

/// What is to be published of an item.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) item: &'a Item,
    pub(super) content: &'a [u8],
}

/// Publishes pairs, each of another item: both files of each, or neither, never over another file: an edit at the centre
/// wins. A content of the same bytes that is there alone gets its MD5. However many they are, the directories are flushed
/// as often as for one.
///
/// # Errors
/// [`StoreError::Exists`] if there is another file of either name; whatever the disk refuses.
pub(super) fn publish_all(directories: &Directories, pairs: &[Pair<'_>]) -> Vec<Result<(), StoreError>> {
    let texts: Vec<String> = pairs.iter().map(|pair| md5_text(Md5Sum::of(pair.content).md5)).collect();
    let targets: Vec<_> = pairs.iter().zip(&texts).map(|(pair, text)| Targets::new(directories, pair, text)).collect();
    let begun = targets.iter().map(|targets| targets.as_ref().map_err(Clone::clone)?.begin());
    let mut publications: Vec<_> = begun.collect();
    finish(&mut publications);
    publications.into_iter().map(|publication| publication.map(drop)).collect()
}

/// Gives the drafts their names, durably.
fn finish(publications: &mut Publications<'_>) {
    flush_drafts(publications);
    // A content that has its name must not survive a loss of power without its MD5's draft.
    flush_all(publications, |targets| &targets.md5);
    step(publications, Publication::name_content);
    flush_all(publications, |targets| &targets.content);
    step(publications, Publication::name_md5);
    flush_all(publications, |targets| &targets.md5);
}

/// Both files of a pair.
struct Targets<'a> {
    content: Target<'a>,
    md5: Target<'a>,
}

impl<'a> Targets<'a> {
    fn new(directories: &'a Directories, pair: &Pair<'a>, text: &'a str) -> Result<Self, StoreError> {
        let Pair { item, content } = *pair;
        let content = Target::new(directories.content_to_be(item)?, item.content_name(), content);
        let md5 = Target::new(&directories.md5s, item.md5_name(), text.as_bytes());
        if content.bytes.is_empty() {
            return Err(StoreError::io("publish it empty", &content.path)(Errno::INVAL));
        }
        Ok(Self { content, md5 })
    }

    /// Writes the drafts of what is missing.
    fn begin(&self) -> Result<Publication<'_>, StoreError> {
        let Self { content, md5 } = self;
        let (content_found, md5_found) = (content.found()?, md5.found()?);
        let is_there_before = (content_found, md5_found) == (Comparison::Same, Comparison::Same);
        let begun = |content, md5| Ok(Publication { targets: self, is_there_before, content, md5, named: Vec::new() });
        match (content_found, md5_found) {
            (Comparison::Same, Comparison::Same) => begun(None, None),
            (Comparison::Same, Comparison::Absent) => begun(None, Some(md5.draft()?)),
            (Comparison::Absent, Comparison::Absent) => begun(Some(content.draft()?), Some(md5.draft()?)),
            (Comparison::Different, _) => Err(StoreError::Exists(content.path.clone())),
            (_, Comparison::Same | Comparison::Different) => Err(StoreError::Exists(md5.path.clone())),
        }
    }
}

/// A pair on its way. What has its name loses it again where this ends in an error.
struct Publication<'a> {
    targets: &'a Targets<'a>,
    /// Nothing is to be done.
    is_there_before: bool,
    content: Option<Draft<'a>>,
    md5: Option<Draft<'a>>,
    /// What has its name by now.
    named: Vec<(&'a Target<'a>, File)>,
}

impl Publication<'_> {
    fn drafts(&self) -> impl Iterator<Item = &Draft<'_>> {
        self.content.iter().chain(&self.md5)
    }

    fn name_content(&mut self) -> Result<(), StoreError> {
        let draft = self.content.take();
        self.name(&self.targets.content, draft)
    }

    fn name_md5(&mut self) -> Result<(), StoreError> {
        let draft = self.md5.take();
        self.name(&self.targets.md5, draft)
    }

    fn take_back(self) {
        self.named.iter().for_each(|(target, file)| target.take_back(file));
    }
}

impl<'a> Publication<'a> {
    fn name(&mut self, target: &'a Target<'a>, draft: Option<Draft<'a>>) -> Result<(), StoreError> {
        let Some(draft) = draft else { return Ok(()) };
        let file = draft.file().try_clone().map_err(StoreError::std("open", &target.path))?;
        draft.give_name(OnConflict::Refuse)?;
        self.named.push((target, file));
        Ok(())
    }
}

type Publications<'a> = [Result<Publication<'a>, StoreError>];

/// Does this with each that has not failed.
fn step<'a>(publications: &mut Publications<'a>, mut deed: impl FnMut(&mut Publication<'a>) -> Result<(), StoreError>) {
    for publication in publications {
        let Ok(begun) = publication else { continue };
        if let Err(error) = deed(begun)
            && let Ok(begun) = std::mem::replace(publication, Err(error))
        {
            begun.take_back();
        }
    }
}

/// Makes the drafts' bytes durable: of a few each for itself, of more with all that is on their filesystem.
fn flush_drafts(publications: &mut Publications<'_>) {
    let count: usize = publications.iter().flatten().map(|publication| publication.drafts().count()).sum();
    if is_few(count) {
        return step(publications, |publication| publication.drafts().try_for_each(Draft::flush));
    }
    let sync = |target: &Target<'_>| syncfs(&target.directory.dir).map_err(StoreError::io("write", &target.path));
    once_each(publications, |targets| &targets.content, sync);
    once_each(publications, |targets| &targets.md5, sync);
}

/// Flushes the directories that these files of those that have not failed are in, each once.
fn flush_all<'a>(publications: &mut Publications<'a>, file: impl Fn(&'a Targets<'a>) -> &'a Target<'a>) {
    once_each(publications, file, Target::flush_directory);
}

/// Does this once for each directory that these files of those that have not failed are in.
fn once_each<'a>(
    publications: &mut Publications<'a>,
    file: impl Fn(&'a Targets<'a>) -> &'a Target<'a>,
    deed: impl Fn(&'a Target<'a>) -> Result<(), StoreError>,
) {
    let mut done: Vec<(*const Directory, Result<(), StoreError>)> = Vec::new();
    step(publications, |publication| {
        if publication.is_there_before {
            return Ok(());
        }
        let target = file(publication.targets);
        let directory = std::ptr::from_ref(target.directory);
        if let Some((_, outcome)) = done.iter().find(|(known, _)| *known == directory) {
            return outcome.clone();
        }
        let outcome = deed(target);
        done.push((directory, outcome.clone()));
        outcome
    });
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
