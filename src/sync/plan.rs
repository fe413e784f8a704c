//! What a round is to fetch, made of a listing.

use std::collections::HashMap;

use super::order::{Rank, agent, sort_oldest_first};
use super::queue::Queue;
use super::selection::{Selection, rank};
use super::{FetchOrder, SiteHistory};

/// Connections that must have died over a name for it to be under suspicion: one may die of anything.
const SUSPECT_AFTER: u32 = 2;

/// Periods in which a name must have failed to come for what its agent wrote later to go ahead.
pub(super) const HOPELESS_AFTER: u32 = 5;

/// What a round is to fetch of the names it has kept of a listing, and what not.
pub(super) struct Plan {
    pub(super) queue: Queue,
    /// Under suspicion, or their agents' later ones: for another round.
    pub(super) put_off: usize,
    /// New ones that could not be remembered once they are committed.
    pub(super) without_room: usize,
    /// The first of those.
    pub(super) end: Option<Rank>,
}

impl Plan {
    /// Oldest first, of each agent or of all, as the `order` says. A name that connections die over must not keep the others from coming: it waits for the round's
    /// end, one such a round, and what its agent wrote later waits with it, until there is little hope left.
    pub(super) fn new(selection: Selection, order: FetchOrder, history: &mut SiteHistory) -> Self {
        let Selection { names, share, mut ranks, .. } = selection;
        sort_oldest_first(&mut ranks);
        let mut plan = Self { queue: Queue::new(names, share), put_off: 0, without_room: 0, end: None };
        let mut chains: Vec<(u32, Vec<usize>)> = Vec::new();
        let mut suspects: HashMap<Box<[u8]>, usize> = HashMap::new();
        for (_, place) in ranks {
            let name = plan.queue.names().at(place);
            let (failures, is_hopeless) = (history.failures(name), history.is_hopeless(name));
            match suspects.get(agent(name)) {
                Some(&chain) if !is_hopeless => chains[chain].1.push(place),
                _ if failures < SUSPECT_AFTER => plan.push(place, history),
                _ => {
                    if !is_hopeless {
                        suspects.insert(agent(name).into(), chains.len());
                    }
                    chains.push((failures, vec![place]));
                }
            }
        }
        if order == FetchOrder::FreshFirst {
            plan.queue.put_fewest_first();
        }
        chains.sort_by_key(|(failures, _)| *failures);
        let mut chains = chains.into_iter().map(|(_, chain)| chain);
        chains.next().into_iter().flatten().for_each(|place| plan.push(place, history));
        plan.put_off = chains.map(|chain| chain.len()).sum();
        plan
    }

    fn push(&mut self, place: usize, history: &mut SiteHistory) {
        let name = self.queue.names().at(place);
        // Where there is no room for one, there is none for a later one with a shorter name: it could be of the same agent.
        if history.is_committed(name) || (self.without_room == 0 && history.reserve(name)) {
            self.queue.push(place);
        } else {
            self.without_room += 1;
            self.end = self.end.or_else(|| Some(rank(name, history)));
        }
    }
}
