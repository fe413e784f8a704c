//! Which site owns which configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Centre, InStep, Item};

/// Which site owns each configuration of one centre, by the sites' names. Each has one owner at most.
#[derive(Debug, Default)]
pub struct Owners {
    by_item: BTreeMap<Item, Arc<str>>,
    by_site: BTreeMap<Arc<str>, BTreeSet<Item>>,
}

impl Owners {
    /// The site that owns the configuration.
    pub fn owner(&self, item: &Item) -> Option<&Arc<str>> {
        self.by_item.get(item)
    }

    /// The other site that owns the configuration, if one does.
    pub fn other(&self, item: &Item, site: &str) -> Option<&Arc<str>> {
        self.owner(item).filter(|owner| ***owner != *site)
    }

    /// The configurations that are meant by these names, [each](Item::named) of its files or its agent; and the names of which
    /// the centre has none, and no site owns one.
    pub fn named(&self, names: &[String], centre: &Centre) -> (BTreeSet<Item>, Vec<String>) {
        let (mut items, mut unknown) = (BTreeSet::new(), Vec::new());
        for name in names {
            let item = Item::named(name);
            if centre.items.contains_key(&item) || self.owner(&item).is_some() {
                items.insert(item);
            } else {
                unknown.push(name.clone());
            }
        }
        (items, unknown)
    }

    /// Has the site own the configuration, unless another does.
    ///
    /// # Errors
    /// The other.
    pub fn claim(&mut self, item: Item, site: &Arc<str>) -> Result<(), Arc<str>> {
        if let Some(other) = self.other(&item, site) {
            return Err(Arc::clone(other));
        }
        self.assign(item, site);
        Ok(())
    }

    /// Has the site own the configuration, whoever did before: that one.
    pub fn assign(&mut self, item: Item, site: &Arc<str>) -> Option<Arc<str>> {
        let before = self.by_item.insert(item.clone(), Arc::clone(site));
        if let Some(items) = before.as_ref().and_then(|before| self.by_site.get_mut(before)) {
            items.remove(&item);
        }
        self.by_site.entry(Arc::clone(site)).or_default().insert(item);
        before
    }

    /// What the site owns was read: what another owns by now is taken out of it.
    pub fn adopt(&mut self, site: &Arc<str>, in_step: &mut InStep) {
        let owned: Vec<Item> = in_step.owned().cloned().collect();
        for item in owned {
            if self.claim(item.clone(), site).is_err() {
                in_step.remove(&item);
            }
        }
        self.keep(site, in_step);
    }

    /// What the site owns no more by now is nobody's.
    pub fn keep(&mut self, site: &str, in_step: &InStep) {
        let Some(items) = self.by_site.get_mut(site) else { return };
        items.retain(|item| {
            let is_owner = in_step.owns(item);
            if !is_owner {
                self.by_item.remove(item);
            }
            is_owner
        });
    }

    /// What other sites than these own is nobody's.
    pub fn keep_sites(&mut self, is_one: impl Fn(&str) -> bool) {
        self.by_site.retain(|site, _| is_one(site));
        self.by_item.retain(|_, site| is_one(site));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(number: u32) -> Item {
        Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
    }

    fn in_step(numbers: &[u32]) -> InStep {
        numbers.iter().map(|number| (agent(*number), [0; 16])).collect()
    }

    #[test]
    fn each_configuration_has_one_owner() {
        let (mut owners, a, b) = (Owners::default(), Arc::from("a"), Arc::from("b"));
        assert_eq!(owners.claim(agent(1), &a), Ok(()));
        assert_eq!(owners.claim(agent(1), &a), Ok(()), "it has it already");
        assert_eq!(owners.claim(agent(1), &b), Err(Arc::clone(&a)));
        assert_eq!((owners.other(&agent(1), "a"), owners.other(&agent(1), "b")), (None, Some(&a)));
        let mut of_b = in_step(&[1, 2]);
        owners.adopt(&b, &mut of_b);
        assert_eq!(of_b, in_step(&[2]));
        assert_eq!(owners.assign(agent(1), &b), Some(Arc::clone(&a)));
        assert_eq!(owners.claim(agent(1), &a), Err(b));
    }

    #[test]
    fn what_a_site_lets_go_of_is_nobody_s() {
        let (mut owners, a, b) = (Owners::default(), Arc::from("a"), Arc::from("b"));
        owners.adopt(&a, &mut in_step(&[1, 2, 3]));
        owners.keep("a", &in_step(&[2, 3]));
        assert_eq!(owners.claim(agent(1), &b), Ok(()));
        owners.adopt(&a, &mut in_step(&[3]));
        assert_eq!(owners.claim(agent(2), &b), Ok(()));
        owners.keep_sites(|site| site == "b");
        assert_eq!([1, 2, 3].map(|number| owners.owner(&agent(number)).is_some()), [true, true, false]);
    }
}
