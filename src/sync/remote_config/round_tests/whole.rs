//! Whole rounds: their turns, dry runs, and what a site cannot do.

use std::collections::HashSet;
use std::sync::Arc;

use super::*;

#[test]
fn items_are_compared_in_turns() {
    let mut scene = Scene::new();
    (0..5).for_each(|number| scene.both(&agent(number), b"same"));
    scene.policy.rotation = 2;
    for last in [1, 3, 0, 2, 4, 1] {
        let (steps, report) = scene.run();
        assert_eq!((steps.len(), report.in_step), (5, 5));
        assert_eq!(scene.in_step.last_compared, Some(agent(last)));
    }
    // What an agent has uploaded over it is found when its turn comes.
    scene.at_site(&agent(0), b"old");
    let pushes: Vec<_> = (0..3).map(|_| scene.run().1.pushed.count).collect();
    assert_eq!(pushes, [0, 1, 0]);
    scene.assert_same(&agent(0), b"same");
}

#[test]
fn an_idle_round_of_a_thousand_items_costs_a_listing_and_its_turns() {
    let mut scene = Scene::new();
    (0..1000).for_each(|number| scene.both(&agent(number), b"same"));
    scene.policy.rotation = 300;
    let mut compared = HashSet::new();
    for _ in 0..4 {
        let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step, scene.policy.clone());
        let mut steps = 0;
        while let Some(ConfigStep::Do(step)) = round.next_step() {
            round.after(scene.site.carry_out(&step));
            steps += 1;
            if let SiteStep::Compare { name } = step {
                compared.insert(name);
            }
        }
        assert_eq!(steps, 1 + 2 * 300);
        let (in_step, report) = round.steps.finished();
        assert_eq!(report, ConfigReport { in_step: 1000, ..ConfigReport::default() });
        scene.in_step = in_step;
    }
    assert_eq!(compared.len(), 1000);
}

#[test]
fn an_item_that_connections_die_over_does_not_keep_others_from_their_turn() {
    let mut scene = Scene::new();
    (0..4).for_each(|number| scene.both(&agent(number), b"old"));
    (0..3).for_each(|number| scene.directory.set(&agent(number), b"new"));
    scene.policy.rotation = 1;
    for _ in 0..4 {
        let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), scene.policy.clone());
        loop {
            let step = round.next_step();
            round.after(match step {
                Some(ConfigStep::Do(SiteStep::Fetch { name })) if name == agent(0).md5_name() => break,
                Some(ConfigStep::Do(step)) => scene.site.carry_out(&step),
                Some(ConfigStep::Ask(step)) => scene.directory.carry_out(&step),
                None => break,
            });
        }
        scene.in_step = round.steps.finished().0;
    }
    scene.assert_same(&agent(1), b"new");
    scene.assert_same(&agent(2), b"new");
    assert_eq!(scene.site.pair(&agent(0)), Some(b"old".as_slice()));
    assert!(scene.in_step.last_compared.is_some());
}

#[test]
fn a_server_without_filters_is_reported() {
    let mut scene = Scene::new();
    scene.directory.set(&agent(1), b"new");
    scene.in_step.insert(agent(1), [0; 16]);
    scene.site.has_filters = false;
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list"]);
    assert_eq!(report, ConfigReport { ended: Some(EndedEarly::NoFilters), ..ConfigReport::default() });
    // Agents' files in its root make it one that works.
    scene.at_site(&agent(1), b"old");
    scene.run();
    scene.assert_same(&agent(1), b"new");
}

#[test]
fn a_server_that_does_not_list_is_reported() {
    let mut round = lock_step(Arc::default(), InStep::default(), Scene::new().policy);
    round.after(StepOutcome::ListRefused(Refusal::Unspecified));
    assert_eq!(round.next_step(), None);
    assert_eq!(round.steps.finished().1.ended, Some(EndedEarly::ListRefused(Refusal::Unspecified)));
}

#[test]
fn a_server_that_does_not_replace_files_is_reported_and_each_round_begins_after_the_last() {
    let mut scene = Scene::new();
    for number in 1..=3 {
        scene.edited(&agent(number), b"old", b"new");
    }
    scene.site.may_overwrite = false;
    let expected = ConfigReport { left: 3, ended: Some(EndedEarly::NoOverwrite), ..ConfigReport::default() };
    for number in [1, 2, 3, 1] {
        assert_eq!(scene.run().1, expected);
        assert_eq!(scene.in_step.last_begun, Some(agent(number)));
    }
}

#[test]
fn what_the_site_refuses_does_not_keep_the_others() {
    let mut scene = Scene::new();
    for number in 1..=2 {
        scene.edited(&agent(number), b"old", b"new");
    }
    let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), scene.policy.clone());
    loop {
        let step = round.next_step();
        round.after(match step {
            Some(ConfigStep::Do(SiteStep::Store { name, .. })) if name == agent(1).content_name() => {
                StepOutcome::Stored(Err(Refusal::TooBig))
            }
            Some(ConfigStep::Do(step)) => scene.site.carry_out(&step),
            Some(ConfigStep::Ask(step)) => scene.directory.carry_out(&step),
            None => break,
        });
    }
    let (in_step, report) = round.steps.finished();
    assert_eq!(report.refused, one((agent(1), Refusal::TooBig)));
    assert_eq!(report.pushed, pushed(agent(2), PushReason::OtherMd5));
    assert_eq!(in_step.iter().map(|(item, _)| item).collect::<Vec<_>>(), [&agent(2)]);
}

#[test]
fn a_dry_run_reports_what_would_come_of_it_and_changes_nothing() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"same");
    scene.both(&agent(2), b"deleted");
    scene.both(&agent(3), ASKING);
    scene.both(&agent(4), b"old");
    scene.at_site(&agent(5), b"uploaded");
    scene.both(&collection(), b"zip");
    scene.site.files.remove("md5/fc_1.md5");
    scene.delete_at_centre(&agent(2));
    scene.directory.set(&agent(4), b"new");
    let before = (scene.site.files.clone(), scene.directory.scan(), scene.in_step.clone());
    scene.policy = RoundPolicy { mode: Mode::DryRun, rotation: usize::MAX, ..scene.policy };
    let (steps, dry) = scene.run();
    let changes = steps.iter().filter(|step| ["store", "delete", "publish"].iter().any(|verb| step.starts_with(verb)));
    assert_eq!(changes.count(), 0, "{steps:?}");
    assert_eq!(before, (scene.site.files.clone(), scene.directory.scan(), scene.in_step.clone()));
    scene.policy.mode = Mode::Apply;
    let (_, report) = scene.run();
    assert_eq!(dry, report);
    let counts = (report.in_step, report.pushed.count, report.taken_up.count, report.deleted.count);
    assert_eq!(counts, (2, 2, 1, 1));
}

#[test]
fn an_outcome_of_another_step_leaves_the_item_for_the_next_round() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.directory.set(&agent(1), b"new");
    let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), scene.policy.clone());
    round.after(scene.site.carry_out(&SiteStep::List));
    round.after(StepOutcome::Deleted(Deletion::Done));
    assert_eq!(round.next_step(), None);
    assert_eq!(round.steps.finished().1.waiting, one(agent(1)));
}
