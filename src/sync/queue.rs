//! The files that a round has still to fetch.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use super::order::agent;
use crate::budget::Share;
use crate::proto::{FileName, Names};

/// What a name in a queue takes beside its bytes, at most, where each is another agent's: the order, and the agent.
pub(super) const BYTES_PER_NAME: u64 = 112;

/// Files in the order they are to be taken in, of each agent on one connection at a time, which brings them in that order: so
/// they are published in order.
///
/// A peer answers for each file, and can make each answer the one that costs most: none costs more than a few steps of a
/// tree, whatever waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    names: Names,
    files: Vec<File>,
    /// By a hash of the agent's name. Two agents that had the same would wait for each other, and that were all.
    agents: HashMap<u64, Agent>,
    /// The first file of each agent that has none in flight: its turn, and its number in `files`.
    free: BTreeSet<(u32, u32)>,
    /// The first file of each agent that has some in flight, by their connection.
    following: HashMap<ConnectionKey, BTreeSet<(u32, u32)>>,
    waiting: usize,
    hasher: RandomState,
    /// What it takes of the budget for all sites.
    share: Option<Share>,
}

/// One of the connections of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey(pub u32);

#[derive(Debug)]
struct File {
    /// Its place in `names`.
    name: usize,
    turn: u32,
    /// Its agent's next one.
    next: Option<u32>,
}

#[derive(Debug, Default)]
struct Agent {
    /// The first and the last file that wait.
    ends: Option<(u32, u32)>,
    waiting: u32,
    in_flight: Option<InFlight>,
    held_back: Option<HeldBack>,
}

/// Why none of an agent's later files is taken in this round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HeldBack {
    /// The site does not give an earlier one.
    Withheld,
    /// An earlier one could not be stored.
    Unstored,
}

/// An agent's files that were taken, and have not landed.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    connection: ConnectionKey,
    files: u32,
}

impl Queue {
    /// An empty queue of `names`, which `share` is for.
    pub(super) fn new(names: Names, share: Share) -> Self {
        Self { files: Vec::with_capacity(names.len()), names, share: Some(share), ..Self::default() }
    }

    /// Its names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The file whose name is at `place` waits, and comes last.
    pub(super) fn push(&mut self, place: usize) {
        let key = self.key(self.names.at(place));
        let Some(number) = self.add(place, None) else { return };
        let agent = self.agents.entry(key).or_default();
        agent.waiting += 1;
        if let Some((_, last)) = &mut agent.ends {
            self.files[index(*last)].next = Some(number);
            *last = number;
        } else {
            agent.ends = Some((number, number));
            ready(&mut self.free, &mut self.following, agent).insert((number, number));
        }
    }

    /// Of all that waits, the agent comes first that has the fewest files, with all of them; of those with as many the one
    /// whose first file came before. What is pushed from now on comes last.
    pub(super) fn put_fewest_first(&mut self) {
        let waiting = self.agents.values().filter_map(|agent| Some((agent.waiting, agent.ends?.0)));
        let mut agents: Vec<(u32, u32)> = waiting.collect();
        agents.sort_unstable();
        for (turn, (_, first)) in (0..).zip(agents) {
            let mut next = Some(first);
            while let Some(file) = next.map(|number| &mut self.files[index(number)]) {
                file.turn = turn;
                next = file.next;
            }
        }
        let turn = |&(_, first): &(u32, u32)| (self.files[index(first)].turn, first);
        self.free = self.free.iter().map(turn).collect();
        for following in self.following.values_mut() {
            *following = following.iter().map(turn).collect();
        }
    }

    /// The file of this name, which was taken, waits again, and is its agent's first.
    pub(super) fn put_back(&mut self, name: &FileName) {
        let (place, key) = (self.names.push(name), self.key(name.as_bytes()));
        let ends = self.agents.get(&key).and_then(|agent| agent.ends);
        let first = ends.map(|(first, _)| first);
        let Some(number) = self.add(place, first) else { return };
        let agent = self.agents.entry(key).or_default();
        agent.waiting += 1;
        agent.ends = Some((number, ends.map_or(number, |(_, last)| last)));
        let turn = first.map_or(0, |first| self.files[index(first)].turn);
        self.files[index(number)].turn = turn;
        let ready = ready(&mut self.free, &mut self.following, agent);
        first.map(|first| ready.remove(&(turn, first)));
        ready.insert((turn, number));
    }

    fn key(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(agent(name))
    }

    fn add(&mut self, name: usize, next: Option<u32>) -> Option<u32> {
        let number = u32::try_from(self.files.len()).ok()?;
        self.files.push(File { name, turn: number, next });
        self.waiting += 1;
        Some(number)
    }

    /// Takes the file whose turn it is among those whose agent has none in flight on another connection. It is in flight on
    /// this one from now on.
    pub(super) fn take(&mut self, connection: ConnectionKey) -> Option<FileName> {
        let following = self.following.get(&connection).and_then(BTreeSet::first);
        let (turn, number) = self.free.first().into_iter().chain(following).min().copied()?;
        let File { name, next, .. } = self.files[index(number)];
        let name = self.names.name(name)?;
        let agent = self.agents.entry(self.key(name.as_bytes())).or_default();
        ready(&mut self.free, &mut self.following, agent).remove(&(turn, number));
        agent.ends = next.zip(agent.ends.map(|(_, last)| last));
        agent.waiting -= 1;
        let files = agent.in_flight.map_or(0, |in_flight| in_flight.files) + 1;
        agent.in_flight = Some(InFlight { connection, files });
        if let Some((first, _)) = agent.ends {
            ready(&mut self.free, &mut self.following, agent).insert((self.files[index(first)].turn, first));
        }
        self.waiting -= 1;
        Some(name)
    }

    /// The file of this name was taken, and is in flight no more: once none of its agent's is, the next one may be taken on any
    /// connection.
    pub(super) fn landed(&mut self, name: &FileName) {
        let agent = self.agents.entry(self.key(name.as_bytes())).or_default();
        let Some(InFlight { files, .. }) = &mut agent.in_flight else { return };
        *files -= 1;
        if *files > 0 {
            return;
        }
        let first = agent.ends.map(|(first, _)| (self.files[index(first)].turn, first));
        first.map(|first| ready(&mut self.free, &mut self.following, agent).remove(&first));
        if let Some(InFlight { connection, .. }) = agent.in_flight.take()
            && self.following.get(&connection).is_some_and(BTreeSet::is_empty)
        {
            self.following.remove(&connection);
        }
        self.free.extend(first);
    }

    /// What waits of the agent of `name` is not to be taken. How many files that is.
    pub(super) fn hold_back(&mut self, name: &FileName, why: HeldBack) -> usize {
        let agent = self.agents.entry(self.key(name.as_bytes())).or_default();
        agent.held_back = agent.held_back.max(Some(why));
        if let Some((first, _)) = agent.ends.take() {
            ready(&mut self.free, &mut self.following, agent).remove(&(self.files[index(first)].turn, first));
        }
        let held_back = index(std::mem::take(&mut agent.waiting));
        self.waiting -= held_back;
        held_back
    }

    /// Why the agent of `name` is [held back](Self::hold_back), if it is: what is in flight is so as well.
    pub(super) fn held_back(&self, name: &FileName) -> Option<HeldBack> {
        self.agents.get(&self.key(name.as_bytes())).and_then(|agent| agent.held_back)
    }

    /// Nothing waits any more. How many files did.
    pub(super) fn clear(&mut self) -> usize {
        self.names = Names::default();
        self.files = Vec::new();
        self.free = BTreeSet::new();
        self.following = HashMap::new();
        self.agents.retain(|_, agent| {
            (agent.ends, agent.waiting) = (None, 0);
            agent.in_flight.is_some() || agent.held_back.is_some()
        });
        self.share = None;
        std::mem::take(&mut self.waiting)
    }

    /// How many files wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }
}

/// Where the first waiting file of this agent stands.
fn ready<'a>(
    free: &'a mut BTreeSet<(u32, u32)>,
    following: &'a mut HashMap<ConnectionKey, BTreeSet<(u32, u32)>>,
    agent: &Agent,
) -> &'a mut BTreeSet<(u32, u32)> {
    match agent.in_flight {
        Some(InFlight { connection, .. }) => following.entry(connection).or_default(),
        None => free,
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::budget::Budget;

    fn queue(names: &[FileName]) -> Queue {
        let (mut all, mut places) = (Names::default(), Vec::new());
        for name in names {
            places.push(all.push(name));
        }
        let mut queue = Queue::new(all, Budget::new(0).share());
        for place in places {
            queue.push(place);
        }
        queue
    }

    const CONNECTION: ConnectionKey = ConnectionKey(0);

    /// The same by walking all that waits, each time.
    #[derive(Default)]
    struct Model {
        waiting: VecDeque<FileName>,
        in_flight: Vec<(ConnectionKey, FileName)>,
    }

    impl Model {
        fn may_take(&self, name: &FileName, connection: ConnectionKey) -> bool {
            self.in_flight.iter().all(|(other, taken)| *other == connection || agent(taken) != agent(name))
        }

        fn take(&mut self, connection: ConnectionKey) -> Option<FileName> {
            let free = self.waiting.iter().position(|name| self.may_take(name, connection))?;
            let name = self.waiting.remove(free)?;
            self.in_flight.push((connection, name.clone()));
            Some(name)
        }

        fn hold_back(&mut self, name: &FileName) -> usize {
            let before = self.waiting.len();
            self.waiting.retain(|other| agent(other) != agent(name));
            before - self.waiting.len()
        }
    }

    #[test]
    fn what_is_put_back_comes_before_its_agents_others_and_in_their_turn_or_at_once() {
        let names = ["a.1.data", "b.2.data", "a.3.data", "c.4.data"].map(|name| name.parse().unwrap());
        let [a1, b2, a3, c4] = names.each_ref();
        let mut queue = queue(&names);
        let take = |queue: &mut Queue, name: &FileName| {
            assert_eq!(queue.take(CONNECTION).as_ref(), Some(name));
            queue.landed(name);
        };
        take(&mut queue, a1);
        take(&mut queue, b2);
        queue.put_back(a1);
        queue.put_back(b2);
        assert_eq!(queue.len(), 4);
        for name in [b2, a1, a3, c4] {
            take(&mut queue, name);
        }
        assert_eq!(queue.take(CONNECTION), None);
    }

    #[test]
    fn a_connection_may_take_an_agents_next_file_before_the_one_before_has_landed_and_no_other_may() {
        let names = ["a.1.data", "a.2.data", "b.3.data", "a.4.data"].map(|name| name.parse().unwrap());
        let [a1, a2, b3, a4] = names.each_ref();
        let mut queue = queue(&names);
        let other = ConnectionKey(1);
        assert_eq!(queue.take(CONNECTION).as_ref(), Some(a1));
        assert_eq!(queue.take(other).as_ref(), Some(b3));
        assert_eq!(queue.take(CONNECTION).as_ref(), Some(a2));
        queue.landed(a1);
        assert_eq!(queue.take(other), None);
        queue.put_back(a2);
        queue.landed(a2);
        assert_eq!(queue.take(other).as_ref(), Some(a2), "its connection ended");
        assert_eq!(queue.take(CONNECTION), None);
        assert_eq!(queue.take(other).as_ref(), Some(a4));
    }

    #[test]
    fn the_agent_with_the_fewest_files_comes_first_with_all_of_them_and_what_is_pushed_later_comes_last() {
        let names = ["a.1.data", "b.2.data", "a.3.data", "a.4.data", "b.5.data", "c.6.data", "d.7.data", "b.8.data"];
        let names = names.map(|name| name.parse::<FileName>().unwrap());
        let (mut all, budget) = (Names::default(), Budget::new(0));
        let places: Vec<usize> = names.iter().map(|name| all.push(name)).collect();
        let mut queue = Queue::new(all, budget.share());
        places[..7].iter().for_each(|place| queue.push(*place));
        queue.put_fewest_first();
        queue.push(places[7]);
        let taken: Vec<String> = std::iter::from_fn(|| queue.take(CONNECTION)).map(|name| name.to_string()).collect();
        assert_eq!(
            taken,
            ["c.6.data", "d.7.data", "b.2.data", "b.5.data", "a.1.data", "a.3.data", "a.4.data", "b.8.data"]
        );
    }

    proptest! {
        #[test]
        fn it_is_as_if_all_were_walked(
            agents in prop::collection::vec(0..5_u8, 0..40),
            steps in prop::collection::vec((0..8_u8, 0..3_u32), 0..80),
            is_fewest_first: bool,
        ) {
            let name = |(number, agent): (usize, &u8)| format!("a{agent}.{number}.data").parse().unwrap();
            let mut names: Vec<FileName> = agents.iter().enumerate().map(name).collect();
            let mut queue = queue(&names);
            if is_fewest_first {
                queue.put_fewest_first();
                let of_one = |name: &FileName| names.iter().filter(|other| agent(*other) == agent(name)).count();
                let first = |name: &FileName| names.iter().position(|other| agent(other) == agent(name));
                let keys: HashMap<FileName, _> =
                    names.iter().map(|name| (name.clone(), (of_one(name), first(name)))).collect();
                names.sort_by_key(|name| keys[name]);
            }
            let mut model = Model { waiting: names.into(), ..Model::default() };
            for (step, connection) in steps {
                let connection = ConnectionKey(connection);
                let oldest = model.in_flight.iter().position(|(on, _)| *on == connection);
                match (step, oldest) {
                    (0..4, _) => prop_assert_eq!(queue.take(connection), model.take(connection)),
                    (_, None) => {}
                    (step, Some(oldest)) => {
                        let (_, name) = model.in_flight.remove(oldest);
                        queue.landed(&name);
                        match step {
                            4 => {
                                let before = queue.held_back(&name);
                                prop_assert_eq!(queue.hold_back(&name, HeldBack::Withheld), model.hold_back(&name));
                                prop_assert_eq!(queue.held_back(&name), before.or(Some(HeldBack::Withheld)));
                            }
                            5 => {
                                prop_assert_eq!(queue.hold_back(&name, HeldBack::Unstored), model.hold_back(&name));
                                prop_assert_eq!(queue.held_back(&name), Some(HeldBack::Unstored));
                            }
                            _ => {}
                        }
                    }
                }
                prop_assert_eq!(queue.len(), model.waiting.len());
            }
            prop_assert_eq!(queue.clear(), model.waiting.len());
            prop_assert_eq!((queue.take(CONNECTION), queue.len()), (None, 0));
        }
    }
}
