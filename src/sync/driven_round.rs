//! A round for tests, which name files where a session holds assignments.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use super::{
    Assignment, ConnectionKey, DeleteAssignment, DeleteResult, Delivery, FetchAssignment, FetchOrder, ListAssignment,
    NotStaged, PendingCommit, Round, Selection, SiteHistory, Step,
};
use crate::proto::{FileName, Fingerprint};

/// What [`Step::Do`] comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    List,
    Fetch(FileName),
    FetchAndDelete(FileName),
    Delete(FileName, Fingerprint),
    Wait,
    Leave,
}

/// A round, and what it has handed out.
pub(super) struct DrivenRound {
    round: Round,
    /// How many have asked for something to do; each is another one.
    connections: u32,
    list: Option<ListAssignment>,
    fetches: HashMap<FileName, FetchAssignment>,
    deletes: HashMap<FileName, DeleteAssignment>,
    commits: HashMap<FileName, PendingCommit>,
}

impl Deref for DrivenRound {
    type Target = Round;

    fn deref(&self) -> &Round {
        &self.round
    }
}

impl DerefMut for DrivenRound {
    fn deref_mut(&mut self) -> &mut Round {
        &mut self.round
    }
}

impl DrivenRound {
    pub(super) fn new(delivery: Delivery, window: usize) -> Self {
        let (fetches, deletes, commits) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { round: Round::new(delivery, window), connections: 0, list: None, fetches, deletes, commits }
    }

    pub(super) fn in_order(self, order: FetchOrder) -> Self {
        Self { round: self.round.in_order(order), ..self }
    }

    /// That of a connection without work.
    pub(super) fn next_step(&mut self) -> Next {
        self.connections += 1;
        self.next_step_on(ConnectionKey(self.connections))
    }

    pub(super) fn next_step_on(&mut self, connection: ConnectionKey) -> Next {
        match self.round.next_step(connection) {
            Step::Do(Assignment::List(list)) => {
                assert_eq!(self.list.replace(list), None);
                Next::List
            }
            Step::Do(Assignment::Fetch(fetch)) => {
                let (name, deletes) = (fetch.name().clone(), fetch.deletes());
                assert_eq!(self.fetches.insert(name.clone(), fetch), None);
                if deletes { Next::FetchAndDelete(name) } else { Next::Fetch(name) }
            }
            Step::Do(Assignment::Delete(delete)) => {
                let (name, published) = (delete.name().clone(), delete.published());
                assert_eq!(self.deletes.insert(name.clone(), delete), None);
                Next::Delete(name, published)
            }
            Step::Wait => Next::Wait,
            Step::Leave => Next::Leave,
        }
    }

    pub(super) fn listed(&mut self, selection: Selection, history: &mut SiteHistory) -> Vec<(FileName, Fingerprint)> {
        let list = self.list.take().expect("a listing was asked for");
        self.round.listed(list, selection, history)
    }

    fn fetch(&mut self, name: &FileName) -> FetchAssignment {
        self.fetches.remove(name).expect("the file was asked for")
    }

    fn delete(&mut self, name: &FileName) -> DeleteAssignment {
        self.deletes.remove(name).expect("the site was asked to delete the file")
    }

    fn commit(&mut self, name: &FileName) -> PendingCommit {
        self.commits.remove(name).expect("the file is staged")
    }

    pub(super) fn staged(&mut self, name: &FileName, history: &mut SiteHistory) {
        let fetch = self.fetch(name);
        let commit = self.round.staged(fetch, history);
        self.commits.insert(name.clone(), commit);
    }

    pub(super) fn not_staged(&mut self, name: &FileName, why: NotStaged, history: &mut SiteHistory) {
        let fetch = self.fetch(name);
        self.round.not_staged(fetch, why, history);
    }

    pub(super) fn already_published(
        &mut self,
        name: &FileName,
        fingerprint: Fingerprint,
        was_deleted: bool,
        history: &mut SiteHistory,
    ) {
        self.not_staged(name, NotStaged::AlreadyPublished { fingerprint, was_deleted }, history);
    }

    pub(super) fn committed(&mut self, name: &FileName, fingerprint: Fingerprint, history: &mut SiteHistory) {
        let commit = self.commit(name);
        self.round.committed(commit, fingerprint, history);
    }

    pub(super) fn uncommitted(&mut self, name: &FileName) {
        let commit = self.commit(name);
        self.round.uncommitted(commit);
    }

    pub(super) fn deleted(&mut self, name: &FileName, result: DeleteResult, history: &mut SiteHistory) {
        let delete = self.delete(name);
        self.round.deleted(delete, result, history);
    }

    pub(super) fn rescued(&mut self, name: &FileName, history: &mut SiteHistory) {
        let delete = self.delete(name);
        let commit = self.round.rescued(delete, history);
        self.commits.insert(name.clone(), commit);
    }

    pub(super) fn is_blocked_file(&self, name: &FileName) -> bool {
        self.round.is_blocked(&self.fetches[name])
    }

    /// The connection died that had this step.
    pub(super) fn dropped(&mut self, step: Next, history: &mut SiteHistory) {
        let assignment = self.assignment(step);
        self.round.dropped(assignment, history);
    }

    /// The connection died before the site can have begun with this step.
    pub(super) fn returned(&mut self, step: Next) {
        let assignment = self.assignment(step);
        self.round.returned(assignment);
    }

    fn assignment(&mut self, step: Next) -> Assignment {
        match step {
            Next::List => Assignment::List(self.list.take().expect("a listing was asked for")),
            Next::Fetch(name) | Next::FetchAndDelete(name) => Assignment::Fetch(self.fetch(&name)),
            Next::Delete(name, _) => Assignment::Delete(self.delete(&name)),
            Next::Wait | Next::Leave => panic!("nothing was under way"),
        }
    }
}
