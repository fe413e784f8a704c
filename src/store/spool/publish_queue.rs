//! Committed files on their way into the incoming directory: one agent's oldest first, and with [`Publish::Paced`] one
//! at a time. Without I/O: the engine carries it out.
//!
//! A data server that finds two files of one agent takes the newest first, or any, and drops the values of counters that
//! come out of their order. It takes one file of an agent in each scan in any case, so one at a time is as fast.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal::Intent;
use super::spooled::{Owned, Spooled};
use crate::proto::FileName;
use crate::store::fs::ids::{SpoolId, StageId};
use crate::sync::{AgentFile, agent, measured_at};

/// When committed files are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// An agent's next file when the one before it has left the incoming directory.
    #[default]
    Paced,
    /// As soon as they are committed.
    AtOnce,
}

/// The first look at whether published files were taken comes so soon after the last that found one taken.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// While nothing is taken, each look comes twice as late as the one before it, up to this.
const LATEST_LOOK: Duration = Duration::from_secs(2);
/// A look takes some microseconds for each file in the incoming directory: it comes no sooner than so long for each of
/// them, or a directory with many would leave time for little else.
const LOOK_PER_FILE: Duration = Duration::from_micros(20);
/// Where no file waits for another, a look is only to see what was not taken, and may cost a tenth of that.
const IDLE_LOOK_PER_FILE: Duration = Duration::from_micros(200);
/// A data server that has taken nothing for so long is reported as idle; a file that is left while others are taken for
/// so long does not hold up its agent's next.
const IGNORED_AFTER: Duration = Duration::from_secs(300);
/// Time between two looks counts as time in which files are taken if one was so long ago at most.
const ACTIVE: Duration = Duration::from_secs(30);

/// What is to be reported of an incoming directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Notice {
    /// Nothing has been taken for some minutes; files that lie there, and that wait.
    Idle { spool: SpoolId, example: FileName, published: usize, waiting: usize },
    /// Files are taken again.
    Resumed { spool: SpoolId },
    /// This file is left there while others are taken.
    Ignored { spool: SpoolId, name: FileName },
}

/// One agent's files in one incoming directory.
type Key = (SpoolId, Box<[u8]>);

#[derive(Debug)]
struct Line {
    waiting: VecDeque<Waiting>,
    published: Vec<Visible>,
    /// Whether the next waits until those published are taken. What no data server takes comes in no order either.
    is_paced: bool,
    /// Whether a file whose name is taken gets a fresh one, and does not wait.
    renames: bool,
}

/// A committed file.
#[derive(Debug)]
struct Waiting {
    stage: StageId,
    file: Owned,
    time: Option<Duration>,
}

/// A published file that has not been taken.
#[derive(Debug)]
struct Visible {
    name: FileName,
    /// Whose it is; `None` for what others have put there, and for what no data server takes.
    file: Option<Owned>,
    since: Instant,
    /// The directory's [`Activity::active`] and [`Activity::taken`] then.
    active: Duration,
    taken: u64,
}

/// What a data server does to one incoming directory.
#[derive(Debug)]
struct Activity {
    /// How many files it has taken.
    taken: u64,
    last_taken: Instant,
    last_look: Instant,
    /// For how long it has been taking files.
    active: Duration,
    /// Whether [`Notice::Idle`] was given.
    is_idle: bool,
}

/// Committed files that are not published, and published ones that were not taken.
#[derive(Debug)]
pub(in crate::store) struct PublishQueue {
    pace: Publish,
    lines: BTreeMap<Key, Line>,
    activity: BTreeMap<SpoolId, Activity>,
    /// Agents with a file that has come since they were looked at.
    fresh: BTreeSet<Key>,
    files: usize,
    bytes: u64,
    spooled: Spooled,
    /// Published files that were not taken.
    in_place: usize,
    look_after: Duration,
    next_look: Option<Instant>,
    /// When what could not be published is tried again; that, too, is a look.
    retry_at: Option<Instant>,
}

/// What [`PublishQueue::ready`] has found.
#[derive(Debug, Default)]
pub(in crate::store) struct Ready {
    /// Files to publish now: each agent's in their order, none after one that fails.
    pub(in crate::store) agents: Vec<Vec<StageId>>,
    /// Whether all agents were looked at, and not only those with a file that has come.
    pub(in crate::store) is_look: bool,
    /// Whether files have been taken.
    pub(in crate::store) any_taken: bool,
    pub(in crate::store) notices: Vec<Notice>,
    /// Published files that are watched no more.
    let_go: Vec<Owned>,
}

impl PublishQueue {
    /// What counts as each site's counts in `spooled`, which others may share.
    pub(in crate::store) fn new(pace: Publish, spooled: Spooled) -> Self {
        Self {
            pace,
            lines: BTreeMap::new(),
            activity: BTreeMap::new(),
            fresh: BTreeSet::new(),
            files: 0,
            bytes: 0,
            spooled,
            in_place: 0,
            look_after: FIRST_LOOK,
            next_look: None,
            retry_at: None,
        }
    }

    /// Files, and their bytes, that are committed and not published.
    pub(in crate::store) fn waiting(&self) -> (usize, u64) {
        (self.files, self.bytes)
    }

    /// When [`ready`](Self::ready) is to be asked again, whatever comes.
    pub(in crate::store) fn next_look(&self) -> Option<Instant> {
        self.next_look.into_iter().chain(self.retry_at).min()
    }

    /// A file is committed: it goes behind what its agent measured before it.
    pub(in crate::store) fn push(&mut self, intent: &Intent) {
        let Intent { spool, stage, copy } = intent;
        let file = Waiting { stage: *stage, file: owned(intent), time: measured_at(&copy.name) };
        self.spooled.add(&file.file);
        if self.files == 0 {
            self.look_after = FIRST_LOOK;
        }
        self.files += 1;
        self.bytes += file.file.size;
        let key = key(*spool, &copy.name);
        let line = self.lines.entry(key.clone()).or_insert_with(|| Line::new(self.pace, &copy.name));
        let is_later = |other: &&Waiting| file.time.is_some() && other.time > file.time;
        let later = line.waiting.iter().rev().take_while(is_later).count();
        line.waiting.insert(line.waiting.len() - later, file);
        self.fresh.insert(key);
    }

    /// A file was found in the incoming directory.
    pub(in crate::store) fn found(&mut self, spool: SpoolId, name: FileName, now: Instant) {
        self.watch(spool, name, None, now);
    }

    /// A file no longer waits, and has this name in the incoming directory.
    pub(in crate::store) fn published(&mut self, intent: &Intent, name: FileName, now: Instant) {
        self.remove(intent);
        self.watch(intent.spool, name, Some(owned(intent)), now);
    }

    fn watch(&mut self, spool: SpoolId, name: FileName, file: Option<Owned>, now: Instant) {
        if self.pace == Publish::AtOnce {
            return;
        }
        let activity = self.activity.entry(spool).or_insert_with(|| Activity::new(now));
        let (active, taken) = (activity.active, activity.taken);
        let line = self.lines.entry(key(spool, &name)).or_insert_with(|| Line::new(self.pace, &name));
        let file = file.filter(|_| line.is_paced).inspect(|file| self.spooled.add(file));
        line.published.push(Visible { name, file, since: now, active, taken });
        self.in_place += 1;
        self.next_look.get_or_insert(now + LATEST_LOOK);
    }

    /// Finds the files that may be published now, each agent's in their order, and what is to be reported. `is_there`
    /// returns whether a published file still is in the incoming directory.
    pub(in crate::store) fn ready(
        &mut self,
        now: Instant,
        mut is_there: impl FnMut(SpoolId, &FileName) -> bool,
    ) -> Ready {
        self.activity.values_mut().for_each(|activity| activity.advance(now));
        let is_due = self.next_look().is_some_and(|at| at <= now);
        self.retry_at = self.retry_at.filter(|at| *at > now);
        let fresh = std::mem::take(&mut self.fresh);
        let keys: Vec<Key> = if is_due { self.lines.keys().cloned().collect() } else { fresh.into_iter().collect() };
        let in_place = self.in_place as u64;
        let mut found = Ready { is_look: is_due, ..Ready::default() };
        for key in &keys {
            let Some(line) = self.lines.get_mut(key) else { continue };
            if let Some(activity) = self.activity.get_mut(&key.0) {
                let before = line.published.len();
                line.look(key.0, now, activity, in_place, &mut is_there, &mut found);
                self.in_place -= before - line.published.len();
            }
            let most = match line.is_paced {
                true if line.published.is_empty() => 1,
                true => 0,
                false => usize::MAX,
            };
            let files: Vec<StageId> = line.waiting.iter().take(most).map(|file| file.stage).collect();
            if !files.is_empty() {
                found.agents.push(files);
            }
            if line.is_empty() {
                self.lines.remove(key);
            }
        }
        found.let_go.drain(..).for_each(|file| self.spooled.remove(&file));
        if is_due {
            self.note_idleness(now, &mut found.notices);
        }
        self.plan_look(now, is_due, &found);
        found
    }

    fn note_idleness(&mut self, now: Instant, notices: &mut Vec<Notice>) {
        for (&spool, activity) in self.activity.iter_mut().filter(|(_, activity)| !activity.is_idle) {
            let from = self.lines.range((spool, Box::default())..);
            let lines = || from.clone().take_while(|((of, _), _)| *of == spool).map(|(_, line)| line);
            let oldest = lines().flat_map(|line| &line.published).min_by_key(|file| file.since);
            let Some(oldest) = oldest else { continue };
            if now.saturating_duration_since(activity.last_taken.max(oldest.since)) < IGNORED_AFTER {
                continue;
            }
            activity.is_idle = true;
            notices.push(Notice::Idle {
                spool,
                example: oldest.name.clone(),
                published: lines().map(|line| line.published.len()).sum(),
                waiting: lines().map(|line| line.waiting.len()).sum(),
            });
        }
    }

    fn plan_look(&mut self, now: Instant, was_due: bool, found: &Ready) {
        if found.any_taken {
            self.look_after = FIRST_LOOK;
        } else if was_due {
            self.look_after = (2 * self.look_after).min(LATEST_LOOK);
        }
        let waits = self.files > found.agents.iter().map(Vec::len).sum();
        let is_watched = self.in_place > 0;
        let in_place = u32::try_from(self.in_place).unwrap_or(u32::MAX);
        let pause = if waits {
            self.look_after.max(LOOK_PER_FILE * in_place)
        } else {
            LATEST_LOOK.max(IDLE_LOOK_PER_FILE * in_place)
        };
        let at = now + pause;
        let planned = self.next_look.filter(|_| !was_due);
        self.next_look = (waits || is_watched).then(|| planned.map_or(at, |planned| planned.min(at)));
    }

    /// Whether a file whose name is taken gets a fresh one; else it waits until its name is free.
    pub(in crate::store) fn renames(&self, intent: &Intent) -> bool {
        self.lines.get(&key(intent.spool, &intent.copy.name)).is_some_and(|line| !line.is_paced || line.renames)
    }

    /// A file no longer waits: it is published, or lost.
    pub(in crate::store) fn remove(&mut self, intent: &Intent) {
        let key = key(intent.spool, &intent.copy.name);
        let Some(line) = self.lines.get_mut(&key) else { return };
        if let Some(at) = line.waiting.iter().position(|file| file.stage == intent.stage)
            && let Some(file) = line.waiting.remove(at)
        {
            self.files -= 1;
            self.bytes -= file.file.size;
            self.spooled.remove(&file.file);
        }
        if line.is_empty() {
            self.lines.remove(&key);
        }
    }

    /// The name of a file that was to be published is taken, and it waits until that is free.
    pub(in crate::store) fn is_taken(&mut self, intent: &Intent, now: Instant) {
        self.found(intent.spool, intent.copy.name.clone(), now);
        self.retry(now);
    }

    /// A file could not be published: it is to be tried again.
    pub(in crate::store) fn retry(&mut self, now: Instant) {
        self.retry_at.get_or_insert(now + LATEST_LOOK);
    }
}

fn owned(intent: &Intent) -> Owned {
    Owned { site: Arc::clone(&intent.copy.site), size: intent.copy.fingerprint.size }
}

fn key(spool: SpoolId, name: &FileName) -> Key {
    (spool, agent(name).into())
}

impl Line {
    /// The line of the agent that has a file of this name.
    fn new(pace: Publish, name: &FileName) -> Self {
        let is_paced = pace == Publish::Paced && AgentFile::parse(name).is_some();
        Self { waiting: VecDeque::new(), published: Vec::new(), is_paced, renames: false }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.published.is_empty()
    }

    /// Drops the published files that were taken, and those that are left while others are taken.
    fn look(
        &mut self,
        spool: SpoolId,
        now: Instant,
        activity: &mut Activity,
        in_place: u64,
        is_there: &mut impl FnMut(SpoolId, &FileName) -> bool,
        found: &mut Ready,
    ) {
        let Self { published, renames, .. } = self;
        published.retain_mut(|file| {
            if !is_there(spool, &file.name) {
                found.any_taken = true;
                found.let_go.extend(file.file.take());
                found.notices.extend(activity.note_taken(now).then_some(Notice::Resumed { spool }));
                return false;
            }
            // A whole scan of the data server's, and another, have passed it by.
            let is_ignored =
                activity.active >= file.active + IGNORED_AFTER && activity.taken - file.taken > 2 * in_place;
            if is_ignored {
                found.let_go.extend(file.file.take());
                found.notices.push(Notice::Ignored { spool, name: file.name.clone() });
                *renames = true;
            }
            !is_ignored
        });
    }
}

impl Activity {
    fn new(now: Instant) -> Self {
        Self { taken: 0, last_taken: now, last_look: now, active: Duration::ZERO, is_idle: false }
    }

    fn advance(&mut self, now: Instant) {
        if self.taken > 0 && now.saturating_duration_since(self.last_taken) <= ACTIVE {
            self.active += now.saturating_duration_since(self.last_look);
        }
        self.last_look = now;
    }

    /// A file was taken; whether that ends a time in which none was.
    fn note_taken(&mut self, now: Instant) -> bool {
        self.taken += 1;
        self.last_taken = now;
        std::mem::replace(&mut self.is_idle, false)
    }
}

#[cfg(test)]
#[path = "publish_queue_tests.rs"]
mod tests;
