use super::*;
use crate::proto::Refusal;
use crate::sync::remote_config::lock_step::LockStep;
use crate::sync::remote_config::{CentreItem, CentreStep, Listed, Sums, md5_text};

fn item(number: u8) -> Item {
    Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
}

fn has(content: &[u8]) -> CentreItem {
    let content = Md5Sum::of(content);
    CentreItem { content: Some(content), md5: Some(content.md5), ..CentreItem::default() }
}

/// The steps, as the site and the centre answer them; the names of what was fetched or compared.
fn carry_out(comparison: &mut LockStep<Comparison>, answer: impl Fn(&ConfigStep) -> StepOutcome) -> Vec<String> {
    let mut asked = Vec::new();
    while let Some(step) = comparison.next_step() {
        match &step {
            ConfigStep::Do(SiteStep::Fetch { name } | SiteStep::Compare { name }) => asked.push(name.to_string()),
            ConfigStep::Do(SiteStep::Store { .. } | SiteStep::Delete { .. }) => panic!("{step:?}"),
            _ => {}
        }
        comparison.after(answer(&step));
    }
    asked
}

/// A site that has these configurations, and their `.md5`, and a centre that has them as well as those that were edited.
fn answer(at_site: &[(u8, &'static [u8])], step: &ConfigStep) -> StepOutcome {
    let of = |name: &crate::proto::FileName| {
        let has = at_site.iter().find(|(number, _)| item(*number).content_name() == *name);
        let md5 = at_site.iter().find(|(number, _)| item(*number).md5_name() == *name);
        let md5 = md5.map(|(_, content)| md5_text(Md5Sum::of(content).md5).into_bytes());
        has.map(|(_, content)| content.to_vec()).or(md5)
    };
    match step {
        ConfigStep::Do(SiteStep::List) => {
            let mut listed = Listed::default();
            for (number, _) in at_site {
                listed.saw(item(*number).md5_name().as_bytes());
            }
            StepOutcome::Listed(listed)
        }
        ConfigStep::Do(SiteStep::Fetch { name }) => StepOutcome::Fetched(of(name).map(Into::into)),
        ConfigStep::Do(SiteStep::Compare { name }) => StepOutcome::Compared(of(name).map(|bytes| Sums::of(&bytes))),
        ConfigStep::Ask(CentreStep::Owner { .. }) => StepOutcome::Owner(None),
        ConfigStep::Ask(_) => StepOutcome::Read(Some((b"edited".as_slice().into(), Md5Sum::of(b"edited")))),
        other @ ConfigStep::Do(_) => panic!("{other:?}"),
    }
}

#[test]
fn what_differs_is_fetched_and_nothing_is_changed() {
    let centre =
        Centre { items: [(item(1), has(b"same")), (item(2), has(b"edited")), (item(5), has(b"edited"))].into() };
    // What is believed to be the same is compared as well; what was deleted at the centre is shown.
    let in_step = [(1, b"same".as_slice()), (3, b"deleted"), (5, b"edited")];
    let in_step = in_step.map(|(number, content)| (item(number), Md5Sum::of(content).md5)).into_iter().collect();
    let mut comparison = LockStep::new(Comparison::of_all(Arc::new(centre), in_step));
    let at_site = [(1, b"same".as_slice()), (2, b"old"), (3, b"deleted"), (4, b"new")];
    let asked = carry_out(&mut comparison, |step| answer(&at_site, step));
    assert!(asked.contains(&item(1).content_name().to_string()), "{asked:?}");
    let found = comparison.steps.finished().unwrap();
    let contents: Vec<_> = found.iter().map(|found| (found.item.clone(), found.content.as_deref())).collect();
    let expected = [(2, Some(b"old".as_slice())), (3, Some(b"deleted")), (4, Some(b"new")), (5, None)];
    assert_eq!(contents, expected.map(|(number, content)| (item(number), content)));
    assert_eq!(found[0].md5, Some(Md5Sum::of(b"old").md5));
}

#[test]
fn of_one_item_only_its_files_are_asked_for() {
    let mut comparison = LockStep::new(Comparison::of(item(2)));
    let asked = carry_out(&mut comparison, |step| answer(&[(1, b"another"), (2, b"old")], step));
    assert_eq!(asked, [item(2).content_name().to_string(), item(2).md5_name().to_string()]);
    assert_eq!(comparison.steps.finished().unwrap()[0].content.as_deref(), Some(b"old".as_slice()));
    let collection = Item::collection("fc_1").unwrap();
    let mut comparison = LockStep::new(Comparison::of(collection));
    let asked = carry_out(&mut comparison, |step| answer(&[], step));
    assert_eq!(asked, ["fc_1.zip", "fc_1.md5"]);
}

#[test]
fn a_site_that_does_not_list_is_named() {
    let mut comparison = LockStep::new(Comparison::of_all(Arc::default(), InStep::default()));
    comparison.after(StepOutcome::ListRefused(Refusal::Unspecified));
    assert_eq!(comparison.next_step(), None);
    assert_eq!(comparison.steps.finished(), Err(EndedEarly::ListRefused(Refusal::Unspecified)));
}
