//! An agent with remote configuration.

use std::collections::{BTreeMap, VecDeque};

use super::super::{Item, md5_text, parse_md5};
use super::directory::collections;
use super::site::Site;
use crate::proto::Md5Sum;

/// An agent, which asks its site for one thing at a time.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) item: Item,
    pub(super) configuration: Vec<u8>,
    pub(super) collections: BTreeMap<Item, Collection>,
    state: State,
}

/// What it has of a collection.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    pub(super) md5: [u8; 16],
    pub(super) content: Vec<u8>,
    pub(super) since: Since,
}

/// What happened to the site since an agent has fetched a collection's `.md5` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Nothing,
    /// It was emptied. So the collection is sent anew with nothing there that an agent could compare, and an agent that still
    /// asks for the content may get what is half there, with the MD5 of the whole.
    Emptied,
}

/// What it does next.
#[derive(Clone, Debug)]
enum State {
    Idle,
    FetchConfiguration,
    SendContent,
    SendMd5,
    FetchCollections(VecDeque<Item>),
    FetchContent { item: Item, md5: [u8; 16], since: Since, rest: VecDeque<Item> },
}

impl Agent {
    pub(super) fn new(item: Item, configuration: Vec<u8>) -> Self {
        Self { item, configuration, collections: BTreeMap::new(), state: State::Idle }
    }

    /// One that is installed anew, and sends this configuration at once. Returns what it has uploaded with it.
    pub(super) fn reinstalled(
        item: Item,
        configuration: Vec<u8>,
        site: &mut Site,
        is_half: bool,
    ) -> (Self, Vec<Vec<u8>>) {
        let mut agent = Self { state: State::SendContent, ..Self::new(item, configuration) };
        let steps = if is_half { 1 } else { 2 };
        let uploaded = (0..steps).filter_map(|_| agent.step(site, false)).collect();
        (agent, uploaded)
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// One request; `fails`: the agent gets nothing, whatever the site has. Returns what it has uploaded with this.
    pub(super) fn step(&mut self, site: &mut Site, fails: bool) -> Option<Vec<u8>> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let get = |name: String| site.get(&name).filter(|_| !fails);
        let own = Md5Sum::of(&self.configuration).md5;
        match state {
            // It compares the file's text: one that is half there is another one.
            State::Idle => match get(self.item.md5_name().to_string()) {
                None => self.state = State::SendContent,
                Some(text) if text == md5_text(own).as_bytes() => self.fetch_collections(),
                Some(_) => self.state = State::FetchConfiguration,
            },
            State::FetchConfiguration => {
                if let Some(content) = get(self.item.content_name().to_string()) {
                    self.configuration = content.to_vec();
                }
                self.fetch_collections();
            }
            State::SendContent => {
                let sent = site.put(&self.item.content_name().to_string(), &self.configuration);
                self.state = if sent.is_ok() && !fails { State::SendMd5 } else { State::Idle };
                return sent.is_ok().then(|| self.configuration.clone());
            }
            State::SendMd5 => drop(site.put(&self.item.md5_name().to_string(), md5_text(own).as_bytes())),
            State::FetchCollections(mut rest) => {
                let item = rest.pop_front()?;
                let md5 = get(item.md5_name().to_string()).and_then(parse_md5);
                let old = self.collections.get(&item).map(|old| old.md5);
                self.state = match md5 {
                    Some(md5) if old != Some(md5) => State::FetchContent { item, md5, since: Since::Nothing, rest },
                    _ => State::FetchCollections(rest),
                };
            }
            State::FetchContent { item, md5, since, rest } => {
                if let Some(content) = get(item.content_name().to_string()) {
                    self.collections.insert(item, Collection { md5, content: content.to_vec(), since });
                }
                self.state = State::FetchCollections(rest);
            }
        }
        None
    }

    /// Its site was emptied.
    pub(super) fn site_emptied(&mut self) {
        if let State::FetchContent { since, .. } = &mut self.state {
            *since = Since::Emptied;
        }
    }

    fn fetch_collections(&mut self) {
        self.state = State::FetchCollections(collections(&self.configuration).into_iter().collect());
    }
}
