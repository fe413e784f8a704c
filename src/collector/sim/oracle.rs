//! What must always hold, and the books that show whether it does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use super::doubts::Doubts;
use super::run_counts::RunCounts;
use super::scheduler::Scheduler;
use super::verdict::Verdict;
use super::version::{Place, Version};
use crate::proto::{FileName, Fingerprint};
use crate::store::model::{StageId, World as Disk};
use crate::sync::{AgentFile, measured_at};

/// A body, in bytes, that a bad connection may never bring.
const LARGE: usize = 10_000;

/// How bytes got to the centre.
#[derive(Debug, Default)]
struct Content {
    versions: Vec<usize>,
    /// The files they were published in.
    files: BTreeSet<StageId>,
    consumed: BTreeSet<StageId>,
    /// Those of them, or published, that were there when the machine last forgot others.
    before: BTreeSet<StageId>,
}

pub(super) struct Oracle {
    pub(super) versions: Vec<Version>,
    pub(super) verdict: Verdict,
    contents: BTreeMap<Fingerprint, Content>,
    /// Beginnings of files that sites have sent for the whole.
    beginnings: BTreeSet<Fingerprint>,
    disk: Rc<RefCell<Disk>>,
    pub(super) counts: RunCounts,
    /// What has left its site and rests on our disk alone.
    released: BTreeSet<usize>,
    /// What has left its site and is not safe yet.
    in_flight: Vec<usize>,
    /// Losses of the disk's, so far.
    losses: u64,
    /// Per site and agent: what of it was published, in that order.
    order: BTreeMap<(usize, Vec<u8>), Vec<usize>>,
    /// The disk has failed a step in this life.
    disk_has_failed: bool,
    /// Whether the server that is at work has a connection that nothing has gone wrong with.
    pub(super) on_sound_link: bool,
    /// When the collector's process last died.
    pub(super) died: Option<Instant>,
    /// Whether nothing is flushed: the machine's end may cost what was collected before it.
    pub(super) is_unflushed: bool,
    /// Versions before this one were there, or had been, when that last happened.
    forgotten: usize,
    /// Versions that were on their way, safe nowhere, when their connection failed.
    excused: BTreeSet<usize>,
    /// What stock sites have sent, and kept, since the collector's process started.
    received: BTreeSet<(usize, FileName)>,
    /// Deletions that the collector cannot be certain of.
    pub(super) doubts: Doubts,
    /// Sites whose files are moved without being safe first.
    pub(super) movers: BTreeSet<usize>,
    /// Sites whose files are asked for, and deleted, ahead of the answers.
    pub(super) ahead: BTreeSet<usize>,
    /// Sites that misbehave.
    pub(super) bad: BTreeSet<usize>,
    /// The ones that announce less than they send: no more is known of a file than its announced size.
    pub(super) liars: BTreeSet<usize>,
}

impl Oracle {
    pub(super) fn new(disk: Rc<RefCell<Disk>>) -> Self {
        Self {
            versions: Vec::new(),
            verdict: Verdict::default(),
            contents: BTreeMap::new(),
            beginnings: BTreeSet::new(),
            disk,
            counts: RunCounts::default(),
            released: BTreeSet::new(),
            in_flight: Vec::new(),
            losses: 0,
            order: BTreeMap::new(),
            disk_has_failed: false,
            on_sound_link: true,
            died: None,
            is_unflushed: false,
            forgotten: 0,
            excused: BTreeSet::new(),
            received: BTreeSet::new(),
            doubts: Doubts::default(),
            movers: BTreeSet::new(),
            ahead: BTreeSet::new(),
            bad: BTreeSet::new(),
            liars: BTreeSet::new(),
        }
    }

    /// An agent has written a file, over another of the name or not.
    pub(super) fn written(
        &mut self,
        (site, place): (usize, Place),
        name: FileName,
        bytes: Vec<u8>,
        now: Instant,
    ) -> usize {
        let number = self.versions.len();
        let fingerprint = Fingerprint::of(&bytes);
        self.contents.entry(fingerprint).or_default().versions.push(number);
        let is_rewrite = self.versions.iter().any(|other| other.site == site && other.name == name);
        self.versions.push(Version { site, name, bytes, fingerprint, written: now, is_rewrite, place, appearances: 0 });
        self.counts.written += 1;
        number
    }

    /// From now on, the disk may have failed a step.
    pub(super) fn disk_fails(&mut self) {
        self.disk_has_failed = true;
        self.counts.disk_errors += 1;
    }

    /// A connection to this site, or to all of them, has failed: what was let go over it and is not safe may be lost.
    pub(super) fn link_fails(&mut self, site: Option<usize>) {
        let is_on_it = |number: &&usize| site.is_none_or(|site| site == self.versions[**number].site);
        self.excused.extend(self.in_flight.iter().filter(is_on_it));
    }

    /// The collector's process has ended: the next one has what is in the journal.
    pub(super) fn collector_ends(&mut self) {
        self.received.clear();
    }

    /// The machine has lost power.
    pub(super) fn machine_fails(&mut self) {
        if self.is_unflushed {
            self.forgotten = self.versions.len();
            let is_safe = |number: &usize| self.is_safe(*number);
            let (safe, gone): (BTreeSet<_>, BTreeSet<_>) = self.released.iter().copied().partition(is_safe);
            self.counts.unflushed += gone.len() as u64;
            self.released = safe;
            let disk = self.disk.borrow();
            for (fingerprint, content) in &mut self.contents {
                content.before.extend(&content.consumed);
                content.before.extend(disk.kept(fingerprint));
            }
        }
    }

    /// A version is to be seen at its site.
    pub(super) fn appeared(&mut self, number: usize) {
        let Version { site, name, fingerprint, .. } = &self.versions[number];
        let is_same = |other: &&usize| {
            let other = &self.versions[**other];
            other.site == *site && other.name == *name
        };
        let others = self.contents[fingerprint].versions.iter().filter(|&&other| other != number);
        if others.into_iter().any(|other| is_same(&other)) {
            self.doubts.appeared(number, *site, name);
        }
    }

    pub(super) fn overwritten(&mut self, version: usize) {
        self.versions[version].place = Place::Overwritten;
    }

    /// A site opens a file to send and remove it, which has another size than was announced. Where commands are sent ahead,
    /// nobody can tell what follows from what is missing, unless the name may come again.
    pub(super) fn is_torn(&mut self, number: usize) {
        let Version { site, name, .. } = &self.versions[number];
        if self.ahead.contains(site) && measured_at(name).is_some() {
            self.excused.insert(number);
        }
    }

    /// A site sends a file that is longer than announced.
    pub(super) fn sent_more_than(&mut self, announced: u64, bytes: &[u8]) {
        let beginning = usize::try_from(announced).ok().and_then(|size| bytes.get(..size));
        self.beginnings.extend(beginning.map(Fingerprint::of));
    }

    /// Files have got their names at the centre.
    pub(super) fn published(&mut self, placed: Vec<(StageId, FileName)>, scheduler: &Scheduler) {
        for (file, name) in placed {
            let bytes = self.disk.borrow().read(file);
            scheduler.note(|| format!("published {name}: {bytes:?}"));
            let Some(content) = self.contents.get_mut(&bytes) else {
                let is_recovered = name.as_bytes().starts_with(b"recovered-");
                if self.is_unflushed && (is_recovered || self.disk.borrow().has_lost_power()) {
                    // Its earlier state is lost, or the journal that has it.
                    continue;
                }
                if self.beginnings.contains(&bytes) {
                    self.counts.torn += 1;
                    continue;
                }
                if let Verdict::Counted { .. } = self.verdict {
                    // Those that it was to have are missing, then.
                    continue;
                }
                scheduler.fail(format_args!("{name} was published with bytes that no agent ever wrote"));
            };
            if !content.files.insert(file) {
                // A loss of power had undone it.
                continue;
            }
            self.counts.published += 1;
            let times = content.versions.iter().map(|&version| self.versions[version].appearances.max(1));
            let times: usize = times.sum();
            if content.files.len() > times {
                let may_be_repeated = self.disk_has_failed || content.versions[0] < self.forgotten;
                if !may_be_repeated {
                    self.verdict.is_doubled(&bytes, scheduler, format_args!("{name} was published twice"));
                }
                self.counts.repeated += 1;
            } else if content.files.len() > content.versions.len() {
                scheduler.note(|| format!("{name} was published again, as it came to its site again"));
                self.counts.reappeared += 1;
            }
            if let [number] = content.versions[..]
                && content.files.len() == 1
            {
                let version = &self.versions[number];
                if !self.bad.contains(&version.site) {
                    self.counts.slowest = self.counts.slowest.max(scheduler.now - version.written);
                }
                self.check_order(number, scheduler);
            }
        }
    }

    /// One agent's files come oldest first. What it wrote over a file that was published already is taken when that one
    /// is moved, ahead of others.
    fn check_order(&mut self, number: usize, scheduler: &Scheduler) {
        let version = &self.versions[number];
        let Some(AgentFile { agent, time: Some(time) }) = AgentFile::parse(&version.name) else { return };
        if version.is_rewrite || self.bad.contains(&version.site) {
            return;
        }
        let published = self.order.entry((version.site, agent.to_vec())).or_default();
        let overtaken = published.iter().map(|&other| &self.versions[other]).find(|other| {
            version.written < other.written && AgentFile::parse(&other.name).is_some_and(|file| Some(time) < file.time)
        });
        if let Some(other) = overtaken
            // So many connections may have died over a large file that its agent's later ones went ahead.
            && version.bytes.len() <= LARGE
            // What the machine forgot comes once more, after what it did not.
            && number >= self.forgotten
            // What is moved is the only copy, and is not held back.
            && !(self.movers.contains(&version.site) && self.disk_has_failed)
        {
            scheduler.fail(format_args!("{} was published after {} of the same agent", version.name, other.name));
        }
        published.push(number);
    }

    /// A stock site sends a file, and keeps it.
    pub(super) fn received(&mut self, site: usize, name: &FileName) {
        self.received.insert((site, name.clone()));
    }

    /// A stock site removes a file that was moved; `sent` is the version its client was sent. A file that was not
    /// received since the collector's process started was not removed on its behalf.
    pub(super) fn moved(&mut self, number: usize, sent: usize, scheduler: &Scheduler) {
        let Version { site, name, .. } = &self.versions[number];
        let is_known = self.received.contains(&(*site, name.clone()));
        if !is_known && !self.movers.contains(site) && !self.bad.contains(site) && !self.is_safe(number) {
            let what = format_args!("{name} left site {site} before it was received");
            self.verdict.is_lost(number, scheduler, what);
        }
        self.removed(number, sent, scheduler);
    }

    /// The site removes a file; `sent` is the version its client was sent.
    pub(super) fn removed(&mut self, number: usize, sent: usize, scheduler: &Scheduler) {
        let (is_safe, version) = (self.is_safe(number), &mut self.versions[number]);
        let is_moved = self.movers.contains(&version.site);
        let may_be_unsafe = version.is_rewrite || is_moved || number < self.forgotten;
        version.place = match may_be_unsafe {
            _ if is_safe => Place::Released,
            _ if sent != number || self.liars.contains(&version.site) => Place::LostUnsent,
            true => Place::InFlight,
            false => {
                let what = format_args!("{} left its site before it was safe", version.name);
                self.verdict.is_lost(number, scheduler, what);
                Place::InFlight
            }
        };
        // Overwritten between the announcement of its size and its opening, a file breaks the connection it is moved
        // over.
        if !self.on_sound_link || (is_moved && version.is_rewrite) {
            self.excused.insert(number);
        }
        scheduler.note(|| format!("site {} lets {} go: {:?}", version.site, version.name, version.place));
        self.doubts.deleted(version.site, &version.name);
        match version.place {
            Place::LostUnsent => self.counts.raced += 1,
            Place::InFlight => self.in_flight.push(number),
            _ => drop(self.released.insert(number)),
        }
    }

    /// The data server has taken a file.
    pub(super) fn consumed(&mut self, file: StageId) {
        let bytes = self.disk.borrow().read(file);
        let Some(content) = self.contents.get_mut(&bytes) else { return };
        content.consumed.insert(file);
        if let [number] = content.versions[..] {
            self.released.remove(&number);
        }
    }

    /// Whether this version is safe at the centre: there is a file there for it, and one for each other of these bytes that
    /// has left its site.
    pub(super) fn is_safe(&self, number: usize) -> bool {
        let fingerprint = &self.versions[number].fingerprint;
        let Some(content) = self.contents.get(fingerprint) else { return false };
        let mut files: BTreeSet<StageId> = content.consumed.clone();
        files.extend(self.disk.borrow().kept(fingerprint));
        if number >= self.forgotten {
            files.retain(|file| !content.before.contains(file));
        }
        let is_counted = |other: &&usize| {
            let is_of_this_time = (**other >= self.forgotten) == (number >= self.forgotten);
            let other_is_safe_too = self.versions[**other].place == Place::Released && !self.doubts.excuses(**other);
            **other != number && is_of_this_time && other_is_safe_too
        };
        let others = content.versions.iter().filter(is_counted).count();
        files.len() > others || (self.doubts.excuses(number) && !files.is_empty())
    }

    /// What has left its site is safe here.
    pub(super) fn check(&mut self, scheduler: &Scheduler) {
        self.in_flight =
            std::mem::take(&mut self.in_flight).into_iter().filter(|&number| !self.has_landed(number)).collect();
        let losses = self.disk.borrow().losses();
        // Nothing else takes away what is durable.
        if std::mem::replace(&mut self.losses, losses) == losses {
            return;
        }
        for &number in &self.released {
            let version = &self.versions[number];
            if !self.is_safe(number) {
                let what = format_args!("{} is neither at its site nor safe at the centre", version.name);
                self.verdict.is_lost(number, scheduler, what);
            }
        }
    }

    fn has_landed(&mut self, number: usize) -> bool {
        // A file of equal bytes may be that of another one, which was not cut off on its way.
        let is_alone = self.contents[&self.versions[number].fingerprint].versions.len() == 1;
        let has_landed = self.is_safe(number) && (is_alone || !self.excused.contains(&number));
        if has_landed {
            self.versions[number].place = Place::Released;
            self.released.insert(number);
        }
        has_landed
    }

    /// A file that was sent in place of an older one can be lost with its connection; and one that turned out shorter
    /// than announced and is no agent data cannot be known to be whole.
    fn may_be_lost(&self, number: usize, version: &Version) -> bool {
        let is_whole = version.bytes.trim_ascii_end().ends_with(b"</agent_data>");
        let is_doubtful = !is_whole && !self.movers.contains(&version.site);
        let is_excused = self.excused.contains(&number) || self.doubts.excuses(number);
        self.disk_has_failed || is_excused || number < self.forgotten || is_doubtful
    }

    /// How many versions have passed for others, as they came while it was not certain that those were deleted.
    fn mistaken(&self) -> u64 {
        let is_collected = |number: &&usize| self.versions[**number].place == Place::Released;
        let excused = |content: &Content| content.versions.iter().any(|&number| self.doubts.excuses(number));
        let of = |content: &Content| {
            content.versions.iter().filter(is_collected).count().saturating_sub(content.files.len())
        };
        self.contents
            .values()
            .filter(|content| !self.is_unflushed && excused(content))
            .map(|content| of(content) as u64)
            .sum()
    }

    /// All is collected that can be.
    pub(super) fn close(&mut self, scheduler: &Scheduler) {
        self.counts.mistaken += self.mistaken();
        for (number, version) in self.versions.iter().enumerate() {
            let what = (&version.name, version.site);
            match version.place {
                _ if self.bad.contains(&version.site) => {}
                Place::AtAgent => self.verdict.is_lost(number, scheduler, format_args!("{what:?} is never stored")),
                Place::AtSite => self.verdict.is_lost(number, scheduler, format_args!("{what:?} is never fetched")),
                Place::Released if number >= self.forgotten && !self.is_safe(number) => {
                    self.verdict.is_lost(number, scheduler, format_args!("{what:?} is gone"));
                }
                Place::InFlight if !self.may_be_lost(number, version) => {
                    let what = format_args!("{what:?} was sent in place of an older file, and not kept");
                    self.verdict.is_lost(number, scheduler, what);
                }
                Place::InFlight => self.counts.raced += 1,
                _ => {}
            }
        }
    }
}
