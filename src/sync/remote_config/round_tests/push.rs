//! What goes from the centre to a site.

use std::sync::Arc;

use super::*;

#[test]
fn the_centre_wins() {
    let mut scene = Scene::new();
    scene.edited(&agent(1), b"old", b"new");
    let (steps, report) = scene.run();
    assert_eq!(steps, [&["list", "fetch md5"], &PUSH[..]].concat());
    assert_eq!(report, ConfigReport { pushed: pushed(agent(1), PushReason::OtherMd5), ..ConfigReport::default() });
    scene.assert_same(&agent(1), b"new");
}

#[test]
fn what_is_the_same_already_is_compared_once() {
    let mut scene = Scene::new();
    scene.edited(&agent(1), b"same", b"same");
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "fetch md5", "compare conf"]);
    assert_eq!(report, ConfigReport { in_step: 1, ..ConfigReport::default() });
    assert_eq!(scene.run().0, ["list"]);
}

#[test]
fn what_the_site_has_lost_is_stored_anew() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"same");
    scene.site.files.clear();
    let (steps, report) = scene.run();
    assert_eq!(steps, [&["list"], &PUSH[..]].concat());
    assert_eq!(report.pushed, pushed(agent(1), PushReason::Missing));
    scene.assert_same(&agent(1), b"same");
}

#[test]
fn configurations_of_other_sites_and_collections_that_nobody_asks_for_stay_at_the_centre() {
    let mut scene = Scene::new();
    scene.directory.set(&agent(1), ASKING);
    scene.directory.set(&collection(), b"zip");
    let (steps, report) = scene.run();
    assert_eq!((steps, report), (vec!["list".to_owned()], ConfigReport::default()));
}

#[test]
fn collections_go_where_a_configuration_asks_for_them() {
    let mut scene = Scene::new();
    scene.both(&agent(1), ASKING);
    let (steps, report) = scene.run();
    assert_eq!((steps, report.in_step), (vec!["list".to_owned()], 1), "the centre does not have it");
    scene.directory.set(&collection(), b"zip");
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "read zip", "store zip", "compare zip", "store md5", "compare md5"]);
    assert_eq!(report.pushed, pushed(collection(), PushReason::Missing));
    scene.assert_same(&collection(), b"zip");
    assert_eq!(scene.run().0, ["list"]);
}

#[test]
fn a_collection_is_replaced_while_its_old_md5_stays() {
    let mut scene = Scene::new();
    scene.both(&agent(1), ASKING);
    scene.both(&collection(), b"old zip");
    scene.directory.set(&collection(), b"new zip");
    let (steps, _) = scene.run();
    assert_eq!(steps, ["list", "fetch md5", "read zip", "store zip", "compare zip", "store md5", "compare md5"]);
    scene.assert_same(&collection(), b"new zip");
}

#[test]
fn a_collection_whose_md5_is_the_new_one_already_loses_that_before_its_content_is_replaced() {
    let mut scene = Scene::new();
    scene.both(&agent(1), ASKING);
    scene.both(&collection(), b"zip");
    scene.site.put("fc_1.zip", b"half").unwrap();
    scene.in_step.remove(&collection());
    let push = ["delete md5", "store zip", "compare zip", "store md5", "compare md5"];
    let (steps, report) = scene.run();
    assert_eq!(steps, [&["list", "fetch md5", "compare zip", "read zip"], &push[..]].concat());
    assert_eq!(report.pushed, pushed(collection(), PushReason::OtherContent));
    scene.assert_same(&collection(), b"zip");
    // Nor is there a moment at which the centre may go back to it.
    scene.directory.set(&collection(), b"new zip");
    let (steps, _) = scene.run_with(|step, _, directory| {
        if step == 2 {
            directory.set(&collection(), b"zip");
        }
    });
    assert_eq!(steps, [&["list", "fetch md5", "read zip"], &push[..]].concat());
    scene.assert_same(&collection(), b"zip");
}

#[test]
fn a_configuration_whose_md5_is_the_new_one_already_keeps_that() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"same");
    scene.site.put(&agent(1).content_name().to_string(), b"half").unwrap();
    scene.policy.rotation = 1;
    let (steps, report) = scene.run();
    assert_eq!(steps, [&["list", "fetch md5", "compare conf"], &PUSH[..]].concat());
    assert_eq!(report.pushed, pushed(agent(1), PushReason::OtherContent));
    scene.assert_same(&agent(1), b"same");
}

#[test]
fn what_changes_on_the_way_waits_for_the_next_round() {
    // After the steps list, fetch md5, read, store content, compare, store md5.
    for changed_before in [2, 4, 6] {
        let mut scene = Scene::new();
        scene.both(&agent(1), b"old");
        scene.directory.set(&agent(1), b"new");
        let (steps, report) = scene.run_with(|step, site, directory| {
            if step == changed_before {
                match step {
                    2 => drop(directory.files.remove(&agent(1).md5_name().to_string())),
                    4 => site.put(&agent(1).content_name().to_string(), b"old").unwrap(),
                    _ => site.put(&agent(1).md5_name().to_string(), b"other").unwrap(),
                }
            }
        });
        assert_eq!(steps.len(), changed_before + 1);
        assert_eq!(report, ConfigReport { waiting: one(agent(1)), ..ConfigReport::default() });
        assert_eq!(scene.in_step.get(&agent(1)).is_some(), changed_before == 2, "as long as nothing was sent");
        scene.directory.set(&agent(1), b"new");
        scene.run();
        scene.assert_same(&agent(1), b"new");
    }
}

#[test]
fn the_centre_s_newest_content_is_sent() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.directory.set(&agent(1), b"new");
    scene.run_with(|step, _, directory| {
        if step == 2 {
            directory.set(&agent(1), b"newest");
        }
    });
    scene.assert_same(&agent(1), b"newest");
}

#[test]
fn an_empty_configuration_goes_nowhere() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.directory.set(&agent(1), b"");
    assert_eq!(scene.run().1, ConfigReport { unfit: one(agent(1)), ..ConfigReport::default() });
    let policy = scene.policy.clone();
    scene.directory.set(&agent(1), b"new");
    let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), policy);
    let listed = scene.site.carry_out(&SiteStep::List);
    round.after(listed);
    round.after(StepOutcome::Fetched(None));
    assert_eq!(round.next_step(), Some(ConfigStep::Ask(CentreStep::Read { item: agent(1) })));
    round.after(StepOutcome::Read(Some((Arc::from([]), Md5Sum::of(b"")))));
    assert_eq!(round.next_step(), None);
    assert_eq!(round.steps.finished().1, ConfigReport { waiting: one(agent(1)), ..ConfigReport::default() });
}

#[test]
fn what_does_not_fit_at_the_centre_is_left_alone() {
    let names = [agent(1).content_name().to_string(), agent(1).md5_name().to_string()];
    for name in names {
        let mut scene = Scene::new();
        scene.both(&agent(1), b"old");
        scene.directory.files.remove(&name);
        let (steps, report) = scene.run();
        assert_eq!(steps, ["list"]);
        assert_eq!(report, ConfigReport { unfit: one(agent(1)), ..ConfigReport::default() });
        assert_eq!(scene.site.pair(&agent(1)), Some(b"old".as_slice()));
    }
}

#[test]
fn what_the_site_refused_is_not_sent_again_before_it_is_another_or_that_is_long_ago() {
    let mut scene = Scene::new();
    scene.edited(&agent(1), b"old", b"new");
    let refuse = |scene: &mut Scene| {
        let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), scene.policy.clone());
        let mut sent = 0;
        loop {
            let step = round.next_step();
            round.after(match step {
                Some(ConfigStep::Do(SiteStep::Store { .. })) => {
                    sent += 1;
                    StepOutcome::Stored(Err(Refusal::TooBig))
                }
                Some(ConfigStep::Do(step)) => scene.site.carry_out(&step),
                Some(ConfigStep::Ask(step)) => scene.directory.carry_out(&step),
                None => break,
            });
        }
        let (in_step, report) = round.steps.finished();
        scene.in_step = in_step;
        assert_eq!(report.refused, one((agent(1), Refusal::TooBig)));
        sent
    };
    assert_eq!([refuse(&mut scene), refuse(&mut scene)], [1, 0]);
    scene.directory.set(&agent(1), b"newer");
    assert_eq!([refuse(&mut scene), refuse(&mut scene)], [1, 0]);
    scene.in_step.forget_refusals();
    assert_eq!(refuse(&mut scene), 1);
    scene.in_step.forget_refusals();
    scene.run();
    scene.assert_same(&agent(1), b"newer");
}
