//! The journal's records and what they add up to; without I/O.
//!
//! Text, one record a line: 16 hexadecimal digits (the first half of the MD5 of the rest), a space, the record's kind,
//! its fields. Names, sites and paths are percent-encoded, so no field holds a space or a line feed.
//!
//! ```text
//! 6c2f… journal 2
//! 90ab… spool <spool> <incoming directory>
//! 17de… intent <spool> <stage> <site> <name> <size> <hash>    committed: to be published, and the site may have it still
//! 83c1… only <spool> <stage> <site> <name> <size> <hash>      committed: to be published, and the site has it no more
//! 5e01… published <stage>                                     that file has its name in the incoming directory
//! 2b7c… held <spool> <site> <name> <size> <hash>              published, and the site may have it still
//! f00d… gone <site> <name> <size> <hash>                      the site no longer has its copy
//! ```
//!
//! The hash is BLAKE3, in 64 hexadecimal digits; in format 1, which is read as well, it is MD5, in 32.
//!
//! A line whose checksum is wrong is skipped and reported; a last line without its line feed is what a crash left of an
//! append, has no effect and is reported too. What losing a record costs stands in the [module above](crate::store).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrayvec::ArrayString;

use super::held_files::HeldFiles;
use crate::proto::extension::ContentHash;
use crate::proto::{FileName, Fingerprint, Md5Sum};
use crate::store::fs::ids::{SpoolId, StageId, hex};

/// Hexadecimal digits of a line's checksum.
const CHECKSUM: usize = 16;

/// The format this program writes. It reads those before as well.
pub(in crate::store) const FORMAT: u32 = 2;

/// A file at a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct SiteFile {
    pub(in crate::store) site: Arc<str>,
    pub(in crate::store) name: FileName,
    pub(in crate::store) fingerprint: Fingerprint,
}

/// A committed file: its staged bytes are durable, and it is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Intent {
    pub(in crate::store) spool: SpoolId,
    pub(in crate::store) stage: StageId,
    pub(in crate::store) copy: SiteFile,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Record {
    Journal(u32),
    Spool(SpoolId, PathBuf),
    /// A file is committed, and its site may have it still.
    Intent(Intent),
    /// A file is committed, and its site no longer has it.
    Only(Intent),
    Published(StageId),
    Held(SpoolId, SiteFile),
    Gone(SiteFile),
}

impl Record {
    /// Appends the record's line to `out`.
    pub(in crate::store) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[b' '; CHECKSUM + 1]);
        write!(out, "{self}").expect("a vector takes all that is written to it");
        let sum = checksum(&out[start + CHECKSUM + 1..]);
        out[start..][..CHECKSUM].copy_from_slice(sum.as_bytes());
        out.push(b'\n');
    }

    /// The record of a line, without its line feed; `None` if it is none.
    pub(in crate::store) fn decode(line: &[u8]) -> Option<Self> {
        let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        if sum != checksum(text.as_bytes()).as_str() {
            return None;
        }
        let mut fields = text.split(' ');
        let record = match fields.next()? {
            "journal" => Self::Journal(fields.next()?.parse().ok()?),
            "spool" => Self::Spool(spool_id(&mut fields)?, path(fields.next()?)?),
            kind @ ("intent" | "only") => {
                let spool = spool_id(&mut fields)?;
                let intent = Intent { spool, stage: fields.next()?.parse().ok()?, copy: copy(&mut fields)? };
                if kind == "only" { Self::Only(intent) } else { Self::Intent(intent) }
            }
            "published" => Self::Published(fields.next()?.parse().ok()?),
            "held" => Self::Held(spool_id(&mut fields)?, copy(&mut fields)?),
            "gone" => Self::Gone(copy(&mut fields)?),
            _ => return None,
        };
        fields.next().is_none().then_some(record)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(format) => write!(f, "journal {format}"),
            Self::Spool(id, path) => write!(f, "spool {id} {}", Encoded(path.as_os_str().as_bytes())),
            Self::Intent(intent) => write!(f, "intent {intent}"),
            Self::Only(intent) => write!(f, "only {intent}"),
            Self::Published(stage) => write!(f, "published {stage}"),
            Self::Held(spool, copy) => write!(f, "held {spool} {copy}"),
            Self::Gone(copy) => write!(f, "gone {copy}"),
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spool, stage, copy } = self;
        write!(f, "{spool} {stage} {copy}")
    }
}

impl fmt::Display for SiteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, name, fingerprint } = self;
        write!(f, "{} {} {} ", Encoded(site.as_bytes()), Encoded(name.as_bytes()), fingerprint.size)?;
        fingerprint.write_hash(f)
    }
}

/// What a journal's records add up to. What is known of a file here, and of its copy at the site, is independent: either
/// may end first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct State {
    /// The staging areas of the records.
    pub(in crate::store) spools: BTreeMap<SpoolId, PathBuf>,
    /// Committed files that are not known to be published.
    pub(in crate::store) committed: Committed,
    /// Files committed here that the sites may still have.
    pub(in crate::store) held: HeldFiles,
}

/// Committed files, in the order they were committed in.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Committed {
    files: BTreeMap<u64, Intent>,
    numbers: HashMap<StageId, u64>,
    next: u64,
}

impl Committed {
    pub(in crate::store) fn insert(&mut self, intent: Intent) {
        let number = *self.numbers.entry(intent.stage).or_insert(self.next);
        self.next = self.next.max(number + 1);
        self.files.insert(number, intent);
    }

    pub(in crate::store) fn remove(&mut self, stage: StageId) -> Option<Intent> {
        self.files.remove(&self.numbers.remove(&stage)?)
    }

    pub(in crate::store) fn get(&self, stage: StageId) -> Option<&Intent> {
        self.files.get(self.numbers.get(&stage)?)
    }

    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = &Intent> {
        self.files.values()
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.files.len()
    }

    fn retain(&mut self, is_kept: impl Fn(&Intent) -> bool) {
        let Self { files, numbers, .. } = self;
        files.retain(|_, intent| {
            let keep = is_kept(intent);
            if !keep {
                numbers.remove(&intent.stage);
            }
            keep
        });
    }
}

impl PartialEq for Committed {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Committed {}

impl State {
    /// Takes one record into account.
    pub(in crate::store) fn apply(&mut self, record: Record) {
        match record {
            Record::Journal(_) => {}
            Record::Spool(id, path) => drop(self.spools.insert(id, path)),
            Record::Intent(intent) => self.commit(intent, 0),
            Record::Only(intent) => self.committed.insert(intent),
            Record::Published(stage) => drop(self.committed.remove(stage)),
            // Journals have these behind the files that are to be published, which are newer.
            Record::Held(spool, copy) => self.held.insert_older(copy, spool),
            Record::Gone(copy) => drop(self.held.remove(&copy)),
        }
    }

    /// A file is committed, by the order of this number, and its site may have it still.
    pub(in crate::store) fn commit(&mut self, intent: Intent, order: u64) {
        self.held.insert(intent.copy.clone(), intent.spool, order);
        self.committed.insert(intent);
    }

    /// The site no longer has what was committed before the order of this number. Whether that was not known.
    pub(in crate::store) fn forget(&mut self, copy: &SiteFile, order: u64) -> bool {
        self.held.remove_before(copy, order)
    }

    /// A file could not be committed, or is damaged: its site's copy is the only one.
    pub(in crate::store) fn give_up(&mut self, stage: StageId) {
        if let Some(intent) = self.committed.remove(stage) {
            self.held.remove(&intent.copy);
        }
    }

    /// Files committed in a spool that are not known to be published.
    pub(in crate::store) fn left_in(&self, spool: SpoolId) -> usize {
        self.committed.iter().filter(|intent| intent.spool == spool).count()
    }

    /// Forgets a staging area and all that is known of it.
    pub(in crate::store) fn drop_spool(&mut self, spool: SpoolId) {
        self.spools.remove(&spool);
        self.committed.retain(|intent| intent.spool != spool);
        self.held.drop_spool(spool);
    }

    /// At most how many records hold all of this.
    pub(in crate::store) fn len(&self) -> usize {
        1 + self.spools.len() + self.committed.len() + self.held.len()
    }

    /// The shortest journal that holds all of this.
    pub(in crate::store) fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Record::Journal(FORMAT).encode(&mut out);
        for (id, path) in &self.spools {
            Record::Spool(*id, path.clone()).encode(&mut out);
        }
        let mut said = HashSet::new();
        for intent in self.committed.iter() {
            if self.held.spool_of(&intent.copy) == Some(intent.spool) {
                said.insert(&intent.copy);
                Record::Intent(intent.clone()).encode(&mut out);
            } else {
                Record::Only(intent.clone()).encode(&mut out);
            }
        }
        for (copy, spool) in self.held.iter().filter(|(copy, _)| !said.contains(copy)) {
            Record::Held(spool, copy).encode(&mut out);
        }
        out
    }
}

/// A journal read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Replay {
    pub(in crate::store) state: State,
    /// Numbers of the lines that are no records, from 1.
    pub(in crate::store) bad_lines: Vec<usize>,
    /// The number of the last line, if it has no line feed.
    pub(in crate::store) torn_line: Option<usize>,
}

/// Reads a journal. Its format, if that is not ours.
pub(in crate::store) fn replay(journal: &[u8]) -> Result<Replay, u32> {
    let mut replay = Replay::default();
    for (index, line) in journal.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else {
            replay.torn_line = Some(index + 1);
            break;
        };
        match Record::decode(line) {
            Some(Record::Journal(format)) if !(1..=FORMAT).contains(&format) => return Err(format),
            Some(record) => replay.state.apply(record),
            None => replay.bad_lines.push(index + 1),
        }
    }
    Ok(replay)
}

/// The body of the fuzz target: no journal makes us panic, and what was understood survives being rewritten.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub fn fuzz_journal(data: &[u8]) {
    if let Ok(Replay { state, .. }) = replay(data) {
        let again = replay(&state.snapshot());
        assert_eq!(again, Ok(Replay { state, ..Replay::default() }));
    }
}

fn checksum(text: &[u8]) -> ArrayString<CHECKSUM> {
    let [first @ .., _, _, _, _, _, _, _, _] = Md5Sum::of(text).md5;
    let mut sum = ArrayString::new();
    write!(sum, "{:0CHECKSUM$x}", u64::from_be_bytes(first)).expect("it has as many digits");
    sum
}

fn spool_id<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<SpoolId> {
    fields.next()?.parse().ok()
}

fn copy<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<SiteFile> {
    let site = String::from_utf8(decoded(fields.next()?)?).ok()?.into();
    let name = FileName::new(&decoded(fields.next()?)?).ok()?;
    let (bytes, hash) = (fields.next()?.parse().ok()?, fields.next()?);
    let fingerprint = match ContentHash::from_hex(hash.as_bytes()) {
        Some(hash) => Fingerprint::new(bytes, hash),
        None => Fingerprint::of_md5(Md5Sum { size: bytes, md5: hex(hash, 32)?.to_be_bytes() }),
    };
    Some(SiteFile { site, name, fingerprint })
}

fn path(field: &str) -> Option<PathBuf> {
    Some(Path::new(OsStr::from_bytes(&decoded(field)?)).to_owned())
}

/// Bytes as a journal field.
struct Encoded<'a>(&'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chunk_by(|one, next| is_plain(*one) && is_plain(*next)).try_for_each(|run| match run {
            &[byte] if !is_plain(byte) => write!(f, "%{byte:02X}"),
            _ => f.write_str(std::str::from_utf8(run).expect("what stands for itself is ASCII")),
        })
    }
}

/// Whether a byte of a field stands for itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/')
}

fn decoded(field: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::try_from(hex(escaped.get(..2)?, 2)?).ok()?);
        rest = &escaped[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
