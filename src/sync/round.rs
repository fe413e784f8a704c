//! One site's round: what each of its connections does next.
//!
//! ```text
//!            listed ──► to receive ──next──► in flight ──staged──► committing ──committed──► to move ──► gone
//!                          ▲                    │ dropped                                       │
//!                          └────────────────────┘◄──────────── changed (once a round) ──────────┘
//! ```
//!
//! A file that was published in an earlier round and is still listed starts at *to move*. Moves go before receives:
//! what is safe here should stop waiting there.

use std::collections::{HashMap, HashSet, VecDeque};

use super::order::{agent, oldest_first};
use super::{Delivery, Memory, NameFilter};
use crate::proto::{FileName, Fingerprint};

/// How far a connection without work looks past files whose agent is busy.
const LOOK_AHEAD: usize = 64;

/// Connections that must have died over a name for it to be under suspicion: one may die of anything.
const SUSPECT: u32 = 2;

/// Connections that must have died over a name for what its agent wrote later to go ahead.
const HOPELESS: u32 = 5;

/// Files a second connection should find waiting before it is worth opening.
const FILES_PER_LANE: usize = 8;

/// What a connection is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the listing.
    List,
    /// Fetch a copy.
    Receive(FileName),
    /// Fetch and let the site delete it: [`Delivery::Move`].
    Take(FileName),
    /// Let the site delete what is published here, and compare what it sends.
    Move(FileName, Fingerprint),
    /// Nothing just now; there will be when something else is done.
    Wait,
    /// Nothing more in this round.
    Leave,
}

/// How asking the site to let a published file go ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveEnd {
    /// The site's copy is gone, and was the one published, or is published as well by now.
    Gone,
    /// The site has another file under that name: declined, nothing was deleted.
    Changed,
}

/// What a round came to, in files unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Names listed that are collected from this site.
    pub listed: usize,
    /// Published in the spool.
    pub collected: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// Gone at the site.
    pub moved: usize,
    /// Published, and not deleted by the site, which was asked to.
    pub refused: usize,
    /// Listed, but gone by the time they were asked for.
    pub missing: usize,
    /// Not taken for a reason of their own, such as their size, or being written over again and again.
    pub skipped: usize,
    /// Left for the next round, which follows at once.
    pub left: usize,
    /// Not stored for want of a working disk; still at the site.
    pub unstored: usize,
}

/// How much a round has to do and under way: a connection without work finds some only after this has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    receive: usize,
    moves: usize,
    in_flight: usize,
    committing: usize,
}

#[derive(Debug)]
enum Phase {
    Unlisted,
    Listing,
    Collecting,
    /// No new files.
    WindingUp,
}

/// One round of one site.
#[derive(Debug)]
pub struct Round {
    delivery: Delivery,
    phase: Phase,
    /// The most files staged but not committed.
    window: usize,
    receive: VecDeque<FileName>,
    moves: VecDeque<(FileName, Fingerprint)>,
    /// Agents with a file in flight: their next one waits, so that they are published in order.
    busy: HashSet<Box<[u8]>>,
    /// Agents whose file could not be stored: what they wrote later must not overtake it.
    blocked: HashSet<Box<[u8]>>,
    refetched: HashSet<FileName>,
    in_flight: usize,
    committing: usize,
    tally: Tally,
}

impl Round {
    /// A round that has not asked for the listing yet; `window` bounds how many files may wait for the disk.
    pub fn new(delivery: Delivery, window: usize) -> Self {
        Self {
            delivery,
            phase: Phase::Unlisted,
            window,
            receive: VecDeque::new(),
            moves: VecDeque::new(),
            busy: HashSet::new(),
            blocked: HashSet::new(),
            refetched: HashSet::new(),
            in_flight: 0,
            committing: 0,
            tally: Tally::default(),
        }
    }

    /// What a connection without work does next.
    pub fn next_step(&mut self) -> Step {
        match self.phase {
            Phase::Unlisted => {
                self.phase = Phase::Listing;
                self.in_flight += 1;
                return Step::List;
            }
            Phase::Listing => return Step::Wait,
            Phase::Collecting | Phase::WindingUp => {}
        }
        if let Some((name, fingerprint)) = self.moves.pop_front() {
            self.in_flight += 1;
            return Step::Move(name, fingerprint);
        }
        if self.committing < self.window
            && let Some(name) = self.pick()
        {
            self.in_flight += 1;
            self.busy.insert(agent(&name).into());
            return match self.delivery {
                Delivery::Safe => Step::Receive(name),
                Delivery::Move => Step::Take(name),
            };
        }
        if self.is_complete() { Step::Leave } else { Step::Wait }
    }

    fn pick(&mut self) -> Option<FileName> {
        let free = self.receive.iter().take(LOOK_AHEAD).position(|name| !self.busy.contains(agent(name)))?;
        self.receive.remove(free)
    }

    /// The listing has come: of its `names` those that pass `filter` are collected, and it named `left_out` more than
    /// were kept.
    ///
    /// Returns the published files that are no longer listed.
    pub fn listed(
        &mut self,
        mut names: Vec<FileName>,
        filter: &NameFilter,
        left_out: usize,
        memory: &mut Memory,
    ) -> Vec<(FileName, Fingerprint)> {
        self.in_flight -= 1;
        // What the filter leaves out is there all the same, and would come again once it does not.
        let gone = memory.listed(&names, left_out == 0);
        names.retain(|name| filter.matches(name));
        self.tally.listed = names.len();
        self.tally.left += left_out;
        match self.phase {
            Phase::WindingUp => self.tally.left += names.len(),
            Phase::Unlisted | Phase::Listing | Phase::Collecting => {
                self.phase = Phase::Collecting;
                self.plan(names, memory);
            }
        }
        gone
    }

    /// What is to be done about the listed `names`.
    fn plan(&mut self, mut names: Vec<FileName>, memory: &Memory) {
        oldest_first(&mut names);
        let mut receive = Vec::with_capacity(names.len());
        for name in names {
            match memory.fingerprint(&name) {
                Some(fingerprint) => self.moves.push_back((name, fingerprint)),
                None if memory.is_set_aside(&name) => self.tally.skipped += 1,
                None => receive.push(name),
            }
        }
        self.queue(receive, memory);
    }

    /// A name that connections die over must not keep the others from coming: it waits for the round's end, one such a
    /// round, and what its agent wrote later waits with it, until there is little hope left.
    fn queue(&mut self, names: Vec<FileName>, memory: &Memory) {
        let mut chains: Vec<(u32, Vec<FileName>)> = Vec::new();
        let mut suspects: HashMap<Box<[u8]>, usize> = HashMap::new();
        for name in names {
            let strikes = memory.strikes(&name);
            match suspects.get(agent(&name)) {
                Some(&chain) if strikes < HOPELESS => chains[chain].1.push(name),
                _ if strikes < SUSPECT => self.receive.push_back(name),
                _ => {
                    if strikes < HOPELESS {
                        suspects.insert(agent(&name).into(), chains.len());
                    }
                    chains.push((strikes, vec![name]));
                }
            }
        }
        chains.sort_by_key(|(strikes, _)| *strikes);
        let mut chains = chains.into_iter().map(|(_, chain)| chain);
        self.receive.extend(chains.next().unwrap_or_default());
        self.tally.skipped += chains.map(|chain| chain.len()).sum::<usize>();
    }

    /// `name` is staged whole and waits for its commit.
    pub fn staged(&mut self, name: &FileName, memory: &mut Memory) {
        self.settle(name);
        memory.clear(name);
        self.committing += 1;
    }

    /// What came as `name` is published since it was let go before, and the site has it still, or again; `is_kept`: as it
    /// had the last time.
    pub fn known(&mut self, name: FileName, fingerprint: Fingerprint, is_kept: bool, memory: &mut Memory) {
        self.tally.refused += usize::from(is_kept);
        self.settle(&name);
        memory.clear(&name);
        match self.delivery {
            Delivery::Safe => {
                memory.published(name.clone(), fingerprint);
                self.moves.push_back((name, fingerprint));
            }
            Delivery::Move => self.tally.moved += 1,
        }
    }

    /// `name` is published and durable: the site's copy may go.
    pub fn committed(&mut self, name: FileName, fingerprint: Fingerprint, memory: &mut Memory) {
        self.committing -= 1;
        self.tally.collected += 1;
        self.tally.bytes += fingerprint.size;
        match self.delivery {
            Delivery::Safe => {
                memory.published(name.clone(), fingerprint);
                self.moves.push_back((name, fingerprint));
            }
            Delivery::Move => self.tally.moved += 1,
        }
    }

    /// `name` was staged but could not be committed.
    pub fn uncommitted(&mut self, name: &FileName) {
        self.committing -= 1;
        self.block(name);
    }

    /// The bytes of `name` could not be read there, or not be stored here; it stays at the site.
    pub fn unstored(&mut self, name: &FileName) {
        self.settle(name);
        self.block(name);
    }

    fn block(&mut self, name: &FileName) {
        let agent = agent(name);
        let before = self.receive.len();
        self.receive.retain(|other| self::agent(other) != agent);
        self.tally.unstored += 1 + before - self.receive.len();
        self.blocked.insert(agent.into());
    }

    /// `name` was listed but is not there any more.
    pub fn missing(&mut self, name: &FileName, memory: &mut Memory) {
        self.settle(name);
        memory.clear(name);
        self.tally.missing += 1;
    }

    /// `name` is not taken, for a reason of its own, and not asked for again while it is listed.
    pub fn skipped(&mut self, name: &FileName, memory: &mut Memory) {
        self.settle(name);
        memory.set_aside(name.clone());
        self.tally.skipped += 1;
    }

    /// The move of `name` has ended.
    pub fn moved(&mut self, name: FileName, end: MoveEnd, memory: &mut Memory) {
        self.in_flight -= 1;
        memory.forget(&name);
        match end {
            MoveEnd::Gone => self.tally.moved += 1,
            MoveEnd::Changed if self.blocked.contains(agent(&name)) => self.tally.unstored += 1,
            MoveEnd::Changed if !self.is_collecting() => self.tally.left += 1,
            // Fetched again at once, and once only: who keeps writing must neither hold the round nor be followed.
            MoveEnd::Changed if self.refetched.insert(name.clone()) => self.receive.push_front(name),
            MoveEnd::Changed => self.tally.skipped += 1,
        }
    }

    /// We would not have a published file moved now, or do not know whether it was: the next listing says what became
    /// of it.
    pub fn move_postponed(&mut self) {
        self.in_flight -= 1;
    }

    /// The site would not move a published file: the next listing says whether it is there at all.
    pub fn move_refused(&mut self) {
        self.in_flight -= 1;
        self.tally.refused += 1;
    }

    /// The site deleted other bytes under the published `name`, which are staged by now.
    pub fn rescued(&mut self, name: FileName, memory: &mut Memory) {
        self.moved(name, MoveEnd::Gone, memory);
        self.committing += 1;
    }

    /// What was rescued is published, or cannot be.
    pub fn rescue_ended(&mut self) {
        self.committing -= 1;
        self.tally.collected += 1;
    }

    /// The connection died with `step` under way; a file it was about may be at fault.
    pub fn dropped(&mut self, step: Step, memory: &mut Memory) {
        match step {
            Step::List => {
                self.in_flight -= 1;
                if matches!(self.phase, Phase::Listing) {
                    self.phase = Phase::Unlisted;
                }
            }
            Step::Receive(name) | Step::Take(name) => {
                self.settle(&name);
                memory.strike(&name);
                self.tally.left += 1;
            }
            Step::Move(name, _) => {
                self.in_flight -= 1;
                memory.strike(&name);
            }
            Step::Wait | Step::Leave => {}
        }
    }

    fn settle(&mut self, name: &FileName) {
        self.in_flight -= 1;
        self.busy.remove(agent(name));
    }

    /// Takes no new files from now on; what is under way is brought to its end.
    pub fn wind_up(&mut self) {
        self.phase = Phase::WindingUp;
        self.tally.left += self.receive.len();
        self.receive.clear();
    }

    /// Whether the listing has come, and new files are taken.
    pub fn is_collecting(&self) -> bool {
        matches!(self.phase, Phase::Collecting)
    }

    /// Whether a connection would find something to do just now.
    pub fn has_work(&self) -> bool {
        match self.phase {
            Phase::Unlisted => true,
            Phase::Listing => false,
            Phase::Collecting | Phase::WindingUp => {
                !self.moves.is_empty() || (!self.receive.is_empty() && self.committing < self.window)
            }
        }
    }

    /// How many connections are of use, of at most `most`.
    pub fn lanes(&self, most: usize) -> usize {
        let waiting = self.receive.len() + self.moves.len();
        (1 + waiting / FILES_PER_LANE).min(most)
    }

    /// Whether all that this round will do is done.
    pub fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Collecting | Phase::WindingUp)
            && self.in_flight == 0
            && self.committing == 0
            && self.moves.is_empty()
            && self.receive.is_empty()
    }

    /// What a connection that waits for something to do goes by.
    pub fn outlook(&self) -> Outlook {
        let Self { in_flight, committing, .. } = *self;
        Outlook { receive: self.receive.len(), moves: self.moves.len(), in_flight, committing }
    }

    /// Files handed to the committer whose commit is awaited.
    pub fn committing(&self) -> usize {
        self.committing
    }

    /// What it has come to so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}
