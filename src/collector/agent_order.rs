//! What keeps one agent's files in their order on their way through the committer.

use std::collections::HashMap;

use crate::proto::FileName;
use crate::store::PublishOrder;
use crate::sync::agent;

/// One round's chains: each agent's files are published in the order they were fetched in. Where one of them is not, the
/// next round fetches it again, and those after it.
#[derive(Debug, Default)]
pub(super) struct AgentOrder(HashMap<Box<[u8]>, PublishOrder>);

impl AgentOrder {
    /// The chain that the file of this name belongs to.
    pub(super) fn of(&mut self, name: &FileName) -> PublishOrder {
        self.0.entry(agent(name).into()).or_default().clone()
    }

    /// A file of this name was published: a chain without another one is of no more use.
    pub(super) fn published(&mut self, name: &FileName) {
        let agent = agent(name);
        if self.0.get(agent).is_some_and(|chain| chain.is_idle() && !chain.is_broken()) {
            self.0.remove(agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_lasts_as_long_as_one_of_its_files_is_on_its_way() {
        let mut chains = AgentOrder::default();
        let [first, second, other] = ["a.1.data", "a.2.data", "b.1.data"].map(|name| name.parse().unwrap());
        let queued = [chains.of(&first), chains.of(&second), chains.of(&other)];
        drop(queued);
        let queued = chains.of(&second);
        chains.published(&first);
        assert_eq!(chains.0.len(), 2);
        drop(queued);
        chains.published(&second);
        chains.published(&other);
        assert!(chains.0.is_empty());
    }
}
