//! What must hold at each step of a round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{
    Centre, CentreStep, ConfigStep, InStep, Item, ItemKind, Mode, RoundPolicy, SiteStep, Sums, md5_text, parse_md5,
};
use super::agent::Collection;
use super::directory::{is_md5_file, item};
use super::site::Site;
use crate::proto::Md5Sum;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// What agents have sent.
    pub(super) uploaded: BTreeSet<Vec<u8>>,
    /// Whole pairs that were at the centre.
    pub(super) at_centre: BTreeMap<Item, BTreeSet<Vec<u8>>>,
    /// Whether the directories are always the same: in others, an older upload may be in the place of what the console wrote.
    pub(super) knows_all_words: bool,
    /// The MD5s of contents that the console has written, or of which it is not known whose word they
    /// are: a site has shown that it has the same, or the collector was killed just then.
    pub(super) by_console: BTreeSet<[u8; 16]>,
    /// What an operator has given to a site, with all that it asks for.
    pub(super) assigned: BTreeSet<Item>,
    /// How often something was stored again that a deletion had taken along.
    pub(super) restored: usize,
}

/// What a round was begun with.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) centre: Arc<Centre>,
    /// Which directories that was in.
    pub(super) directories: usize,
    pub(super) in_step: InStep,
    pub(super) policy: RoundPolicy,
}

impl Oracle {
    /// `content` is at the centre, with its `.md5` file.
    pub(super) fn saw_at_centre(&mut self, item: &Item, content: &[u8]) {
        self.at_centre.entry(item.clone()).or_default().insert(content.to_vec());
    }

    /// Whether the agent has half of what was once at the centre, with the MD5 of the whole.
    pub(super) fn is_half(&self, item: &Item, has: &Collection) -> bool {
        let is_half = |whole: &[u8]| Md5Sum::of(whole).md5 == has.md5 && has.content == whole[..whole.len() / 2];
        self.was_at_centre(item, is_half)
    }

    fn was_at_centre(&self, item: &Item, is_it: impl Fn(&[u8]) -> bool) -> bool {
        self.at_centre.get(item).is_some_and(|contents| contents.iter().any(|content| is_it(content)))
    }

    /// The `site` is about to be asked to do a round's next `step`.
    /// `before`: the steps until then. `taken`: what the last of them has deleted, though it was expected to delete another
    /// file.
    pub(super) fn check(
        &self,
        step: &ConfigStep,
        before: &[ConfigStep],
        taken: Option<&SiteStep>,
        site: &Site,
        given: &Given,
        is_owner: impl Fn(&Item) -> bool,
    ) {
        let is_change = match step {
            ConfigStep::Do(step @ SiteStep::Store { .. }) if taken == Some(step) => true,
            ConfigStep::Do(SiteStep::Store { name, body, .. }) => {
                self.check_store(&name.to_string(), body, site);
                let is_md5 = is_md5_file(&name.to_string());
                let md5 = if is_md5 { parse_md5(body) } else { Some(Md5Sum::of(body).md5) };
                self.check_entitled(&item(&name.to_string()), md5.unwrap(), given, is_owner);
                true
            }
            ConfigStep::Do(SiteStep::Delete { name, expected }) => {
                let is_expected = site.get(&name.to_string()).map(Sums::of) == Some(*expected);
                check_delete(&name.to_string(), site, given, is_expected);
                let confirm = ConfigStep::Ask(CentreStep::Confirm { item: item(&name.to_string()) });
                let is_asked = given.centre.items.contains_key(&item(&name.to_string())) || before.contains(&confirm);
                assert!(is_asked, "{name} is deleted without a look at the centre");
                true
            }
            ConfigStep::Ask(CentreStep::Claim { item }) if given.centre.items.contains_key(item) => {
                let compared = ConfigStep::Do(SiteStep::Compare { name: item.content_name() });
                assert!(before.contains(&compared), "{item} is claimed without proof");
                true
            }
            ConfigStep::Ask(CentreStep::Publish { item, content }) => {
                assert!(is_owner(item), "{item} is published, which is another site's");
                assert!(!content.is_empty(), "an empty configuration is published");
                assert_eq!(item.kind(), ItemKind::Configuration, "a collection is published");
                assert!(!given.centre.items.contains_key(item), "published over what the centre has");
                let is_known =
                    self.uploaded.contains(&**content) || self.was_at_centre(item, |bytes| bytes == &**content);
                assert!(is_known, "what is published is no whole upload");
                true
            }
            _ => false,
        };
        assert!(!is_change || given.policy.mode == Mode::Apply, "a dry run changes something: {step:?}");
    }

    /// Configurations go to their owner alone; collections where one that it owns asks for them by the console's word, or did when
    /// the sending of this content was begun.
    fn check_entitled(&self, item: &Item, md5: [u8; 16], given: &Given, is_owner: impl Fn(&Item) -> bool) {
        match item.kind() {
            ItemKind::Configuration => assert!(is_owner(item), "{item} goes to a site that does not own it"),
            ItemKind::Collection => {
                let is_asked_for = given.centre.items.iter().any(|(configuration, has)| {
                    has.collections.contains(item)
                        && is_owner(configuration)
                        && (self.assigned.contains(configuration)
                            || has.content.is_some_and(|content| self.by_console.contains(&content.md5)))
                });
                assert!(
                    is_asked_for || given.in_step.contents(item).contains(&md5) || !self.knows_all_words,
                    "{item} goes to a site to which the console did not give it"
                );
            }
        }
    }

    fn check_store(&self, name: &str, body: &[u8], site: &Site) {
        assert!(!body.is_empty(), "an empty file is stored");
        let item = item(name);
        let md5 = Md5Sum::of(body).md5;
        if !is_md5_file(name) {
            assert!(self.was_at_centre(&item, |content| content == body), "what is stored was never at the centre");
            let is_new = item.kind() == ItemKind::Configuration || site.md5(&item) != Some(md5);
            assert!(is_new, "an agent may take what is half there for the new collection");
        } else if item.kind() == ItemKind::Collection {
            let content = site.content(&item).map(|content| Md5Sum::of(content).md5);
            // Where somebody has emptied the site just now, agents get neither.
            assert!(
                content.is_none() || content == parse_md5(body),
                "a collection's .md5 file is newer than its content"
            );
        }
    }

    /// What a round has left as in step was once at the centre.
    pub(super) fn check_in_step(&self, in_step: &InStep) {
        for (item, md5) in in_step.iter() {
            assert!(self.was_at_centre(item, |content| Md5Sum::of(content).md5 == md5), "{item} was never in step");
        }
    }
}

/// `is_expected`: the site does delete it.
fn check_delete(name: &str, site: &Site, given: &Given, is_expected: bool) {
    let item = item(name);
    if given.centre.items.contains_key(&item) {
        assert!(item.kind() == ItemKind::Collection && is_md5_file(name), "the centre has {name}, which is deleted");
        return;
    }
    assert_eq!(given.policy.deletions, Ok(()), "{name} is deleted while the guard holds");
    let contents = given.in_step.contents(&item);
    assert!(!contents.is_empty(), "{name} is deleted, which was not in step");
    let is_fetched = item.kind() == ItemKind::Collection && !is_md5_file(name) && site.md5(&item).is_some();
    assert!(!is_fetched, "{name} is deleted, which agents may be about to fetch");
    let is_ours = |bytes: &[u8]| {
        let is_md5_ours = || contents.iter().any(|md5| md5_text(*md5).as_bytes().starts_with(bytes));
        if is_md5_file(name) { is_md5_ours() } else { contents.contains(&Md5Sum::of(bytes).md5) }
    };
    assert!(!is_expected || site.get(name).is_some_and(is_ours), "{name} is deleted, which is another one by now");
}
