//! What must hold whatever a site answers: no panic, an end, nothing sent to it that it does not own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Allowance, Centre, CentreItem, CentreStep, ConfigRound, ConfigStep, Deletion, InStep, Item, ItemKind, Listed, Mode,
    RoundPolicy, SiteStep, StepId, StepOutcome, Steps, Stored, Sums, md5_text,
};
use crate::proto::{Md5Sum, Refusal};

/// The configurations that there may be.
const CONFIGURATIONS: u8 = 4;

/// Far more steps than a round of so many items has.
const MOST_STEPS: usize = 400;

/// What is left of the bytes; zeros after their end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn one_in(&mut self, n: u8) -> bool {
        self.next().is_multiple_of(n)
    }

    /// One of few contents: what is compared is often the same.
    fn content(&mut self) -> Arc<[u8]> {
        let contents: [&[u8]; 4] = [b"", b"one", b"two", b"file_collection fc_1\n"];
        contents[usize::from(self.next() % 4)].into()
    }
}

fn item(number: u8) -> Item {
    let configuration = Item::configuration(format!("{:032x}.conf", number % (CONFIGURATIONS + 1)).as_bytes());
    let collection = Item::collection("fc_1").expect("a name that a file may have");
    configuration.filter(|_| number % (CONFIGURATIONS + 1) < CONFIGURATIONS).unwrap_or(collection)
}

/// The body of the fuzz target of the same name.
#[doc(hidden)]
pub fn fuzz_config_round(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (mut centre, mut in_step) = (Centre::default(), InStep::default());
    for number in 0..=CONFIGURATIONS {
        let content = Md5Sum::of(&bytes.content());
        match bytes.next() % 4 {
            0 => {}
            md5 => {
                let collections = BTreeSet::from([item(CONFIGURATIONS)]);
                let md5 = (md5 > 1).then_some(content.md5);
                let has = CentreItem { content: Some(content), md5, collections, agent: None };
                centre.items.insert(item(number), has);
            }
        }
        match bytes.next() % 4 {
            0 => {}
            3 => in_step.send(&item(number), Md5Sum::of(&bytes.content()).md5),
            1 if item(number).kind() == ItemKind::Configuration => in_step.own(item(number)),
            _ => in_step.insert(item(number), Md5Sum::of(&bytes.content()).md5),
        }
    }
    let mode = if bytes.one_in(4) { Mode::DryRun } else { Mode::Apply };
    let policy = RoundPolicy {
        rotation: bytes.next().into(),
        deletions: Ok(()),
        allowance: Allowance { items: bytes.next().into(), bytes: bytes.next().into() },
        named: 3,
        mode,
    };
    let mut owned: BTreeSet<Item> = in_step.owned().cloned().collect();
    let mut round = ConfigRound::new(Arc::new(centre), in_step, policy);
    let width = usize::from(1 + bytes.next() % 4);
    let mut under_way: Vec<(StepId, ConfigStep)> = Vec::new();
    for _ in 0..MOST_STEPS {
        if (under_way.is_empty() || (under_way.len() < width && bytes.one_in(2)))
            && let Some((id, step)) = round.begin()
        {
            check(&step, mode, &owned);
            under_way.push((id, step));
            continue;
        }
        if under_way.is_empty() {
            assert!(round.is_finished(), "what is not finished goes on");
            let (in_step, _) = round.finished();
            assert!(in_step.owned().all(|item| owned.contains(item)), "nothing is owned that was not claimed");
            return;
        }
        let (id, step) = under_way.remove(usize::from(bytes.next()) % under_way.len());
        let outcome = answer(&step, &mut bytes);
        if let (ConfigStep::Ask(CentreStep::Claim { item }), StepOutcome::Claimed(Ok(()))) = (&step, &outcome) {
            owned.insert(item.clone());
        }
        round.after(id, outcome);
    }
    panic!("a round has an end");
}

fn check(step: &ConfigStep, mode: Mode, owned: &BTreeSet<Item>) {
    let is_change = match step {
        ConfigStep::Do(SiteStep::Store { name, body, .. }) => {
            assert!(!body.is_empty(), "no empty file is sent");
            let configuration = Item::configuration(name.as_bytes());
            assert!(configuration.is_none_or(|item| owned.contains(&item)), "{name} goes to its owner");
            true
        }
        ConfigStep::Do(SiteStep::Delete { .. }) | ConfigStep::Ask(CentreStep::Claim { .. }) => true,
        ConfigStep::Ask(CentreStep::Publish { item, content }) => {
            assert!(owned.contains(item) && !content.is_empty(), "what is published is the site's");
            true
        }
        _ => false,
    };
    assert!(!is_change || mode == Mode::Apply, "a dry run changes nothing");
}

/// What has come of it: mostly what fits the step, at times something else.
fn answer(step: &ConfigStep, bytes: &mut Bytes<'_>) -> StepOutcome {
    let refused = |bytes: &mut Bytes<'_>| if bytes.one_in(4) { Refusal::Exists } else { Refusal::Unspecified };
    if bytes.one_in(16) {
        return StepOutcome::Confirmed(true);
    }
    match step {
        ConfigStep::Do(SiteStep::List) if bytes.one_in(16) => StepOutcome::ListRefused(refused(bytes)),
        ConfigStep::Do(SiteStep::List) => {
            let mut listed = Listed::default();
            for _ in 0..bytes.next() % 8 {
                listed.saw(item(bytes.next()).md5_name().as_bytes());
            }
            let length = usize::from(bytes.next() % 40).min(bytes.0.len());
            listed.saw(&bytes.0[..length]);
            StepOutcome::Listed(listed)
        }
        ConfigStep::Do(SiteStep::Fetch { .. }) => StepOutcome::Fetched(match bytes.next() % 4 {
            0 => None,
            1 => Some(bytes.content()),
            _ => Some(md5_text(Md5Sum::of(&bytes.content()).md5).into_bytes().into()),
        }),
        ConfigStep::Do(SiteStep::Compare { .. }) => {
            StepOutcome::Compared((!bytes.one_in(4)).then(|| Sums::of(&bytes.content())))
        }
        ConfigStep::Do(SiteStep::Store { .. }) => StepOutcome::Stored(match bytes.next() % 4 {
            0 => Err(refused(bytes)),
            1 => Ok(Stored::Certain),
            _ => Ok(Stored::Taken),
        }),
        ConfigStep::Do(SiteStep::Delete { .. }) => StepOutcome::Deleted(match bytes.next() % 4 {
            0 => Deletion::Declined,
            1 => Deletion::Other((!bytes.one_in(2)).then(|| bytes.content())),
            _ => Deletion::Done,
        }),
        ConfigStep::Ask(CentreStep::Owner { .. }) => StepOutcome::Owner(bytes.one_in(4).then(|| "other".into())),
        ConfigStep::Ask(CentreStep::Claim { .. }) => {
            StepOutcome::Claimed(if bytes.one_in(4) { Err("other".into()) } else { Ok(()) })
        }
        ConfigStep::Ask(CentreStep::Read { .. }) => {
            let content = bytes.content();
            let fingerprint = Md5Sum::of(&content);
            StepOutcome::Read((!bytes.one_in(4)).then_some((content, fingerprint)))
        }
        ConfigStep::Ask(CentreStep::Publish { .. }) => {
            StepOutcome::Published(if bytes.one_in(4) { Err("no space".to_owned()) } else { Ok(()) })
        }
        ConfigStep::Ask(CentreStep::Confirm { .. }) => StepOutcome::Confirmed(!bytes.one_in(4)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_seeds_hold() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config_round");
        let seeds: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(seeds.len() > 3, "there are seeds");
        for seed in seeds {
            fuzz_config_round(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }

    proptest! {
        #[test]
        fn any_answers_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz_config_round(&data);
        }
    }
}
