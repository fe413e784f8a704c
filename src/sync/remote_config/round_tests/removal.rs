//! What is deleted at a site.

use std::sync::Arc;

use super::*;

#[test]
fn a_collection_that_is_asked_for_no_more_stays_at_the_site_until_the_centre_deletes_it() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"asks for nothing");
    scene.both(&collection(), b"zip");
    scene.directory.set(&collection(), b"new zip");
    assert_eq!(scene.run().0, ["list"]);
    scene.delete_at_centre(&collection());
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "fetch md5", "confirm zip", "delete md5", "compare zip", "confirm zip", "delete zip"]);
    assert_eq!(report.deleted, one(collection()));
}

#[test]
fn what_was_deleted_at_the_centre_is_deleted_at_the_site() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.delete_at_centre(&agent(1));
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "fetch md5", "compare conf", "confirm conf", "delete conf", "delete md5"]);
    assert_eq!(report, ConfigReport { deleted: one(agent(1)), ..ConfigReport::default() });
    assert!(scene.site.files.is_empty() && scene.in_step.is_empty());
}

#[test]
fn what_an_agent_has_uploaded_since_is_not_deleted_but_taken_up() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.delete_at_centre(&agent(1));
    scene.at_site(&agent(1), b"uploaded");
    let (steps, _) = scene.run();
    assert_eq!(steps, ["list", "fetch md5", "fetch conf", "claim conf", "publish conf"]);
    scene.assert_same(&agent(1), b"uploaded");
}

#[test]
fn an_upload_on_its_way_is_not_deleted() {
    for changed_before in [2, 3, 4, 5] {
        let mut scene = Scene::new();
        scene.both(&agent(1), b"old");
        scene.delete_at_centre(&agent(1));
        let (_, report) = scene.run_with(|step, site, _| match step {
            5 if step == changed_before => site.put(&agent(1).md5_name().to_string(), b"other").unwrap(),
            _ if step == changed_before => site.put(&agent(1).content_name().to_string(), b"upload").unwrap(),
            _ => {}
        });
        assert_eq!(report, ConfigReport { waiting: one(agent(1)), ..ConfigReport::default() });
        assert!(scene.in_step.get(&agent(1)).is_some());
        scene.at_site(&agent(1), b"upload");
        scene.run();
        scene.assert_same(&agent(1), b"upload");
    }
}

#[test]
fn a_deletion_that_was_cut_off_goes_on() {
    for item in [agent(1), collection()] {
        for steps in 0..8 {
            let mut scene = Scene::new();
            scene.both(&item, b"old");
            scene.delete_at_centre(&item);
            let mut round = lock_step(Arc::new(Centre::default()), scene.in_step.clone(), scene.policy.clone());
            for _ in 0..steps {
                match round.next_step() {
                    Some(ConfigStep::Do(step)) => round.after(scene.site.carry_out(&step)),
                    Some(ConfigStep::Ask(step)) => round.after(scene.directory.carry_out(&step)),
                    None => break,
                }
            }
            let (in_step, report) = round.steps.finished();
            let all = if item == agent(1) { 6 } else { 7 };
            assert_eq!(report.left, usize::from((1..all).contains(&steps)));
            scene.in_step = in_step;
            scene.run();
            assert!(scene.site.files.is_empty() && scene.in_step.is_empty(), "{item} {steps}");
        }
    }
}

#[test]
fn what_was_only_looked_at_when_a_round_broke_off_is_deleted_with_the_next() {
    for steps in 1..3 {
        let mut scene = Scene::new();
        scene.both(&agent(1), b"old");
        scene.policy.rotation = 1;
        let centre = Arc::new(scene.directory.scan());
        let mut round = lock_step(centre, scene.in_step.clone(), scene.policy.clone());
        for _ in 0..steps {
            if let Some(ConfigStep::Do(step)) = round.next_step() {
                round.after(scene.site.carry_out(&step));
            }
        }
        assert!(matches!(round.next_step(), Some(ConfigStep::Do(SiteStep::Fetch { .. } | SiteStep::Compare { .. }))));
        scene.in_step = round.steps.finished().0;
        scene.delete_at_centre(&agent(1));
        scene.run();
        assert!(scene.site.files.is_empty(), "after {steps} steps");
    }
}

#[test]
fn a_deletion_after_an_edit_that_the_site_refused_is_one() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.directory.set(&agent(1), b"edited");
    let centre = Arc::new(scene.directory.scan());
    let mut round = lock_step(centre, scene.in_step.clone(), scene.policy.clone());
    loop {
        let outcome = match round.next_step() {
            Some(ConfigStep::Do(SiteStep::Store { .. })) => StepOutcome::Stored(Err(Refusal::TooBig)),
            Some(ConfigStep::Do(step)) => scene.site.carry_out(&step),
            Some(ConfigStep::Ask(step)) => scene.directory.carry_out(&step),
            None => break,
        };
        round.after(outcome);
    }
    scene.in_step = round.steps.finished().0;
    scene.delete_at_centre(&agent(1));
    let (_, report) = scene.run();
    assert_eq!((report.deleted.count, report.taken_up.count), (1, 0));
}

#[test]
fn a_collection_that_somebody_else_has_put_there_since_is_left_alone() {
    let mut scene = Scene::new();
    scene.both(&collection(), b"zip");
    scene.delete_at_centre(&collection());
    let mut other_content = scene.site.clone();
    other_content.files.remove("md5/fc_1.md5");
    other_content.put("fc_1.zip", b"somebody's").unwrap();
    scene.at_site(&collection(), b"somebody's");
    assert_eq!(scene.run().0, ["list", "fetch md5"]);
    assert!(scene.in_step.is_empty());
    scene.in_step.insert(collection(), Md5Sum::of(b"zip").md5);
    scene.site = other_content;
    assert_eq!(scene.run().0, ["list", "compare zip"]);
    assert!(scene.in_step.is_empty());
}

#[test]
fn what_neither_side_has_any_more_is_forgotten() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.site.files.clear();
    scene.delete_at_centre(&agent(1));
    let (steps, report) = scene.run();
    assert_eq!((steps, report), (vec!["list".to_owned()], ConfigReport::default()));
    assert!(scene.in_step.is_empty());
}

#[test]
fn nothing_is_deleted_or_forgotten_while_the_guard_holds() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"old");
    scene.both(&agent(2), b"old");
    scene.both(&collection(), b"zip");
    for item in [agent(1), agent(2), collection()] {
        scene.delete_at_centre(&item);
    }
    let reason = Guard::default().judge(&scene.directory.scan(), [&scene.in_step]).unwrap_err();
    assert_eq!(reason.to_string(), "2 of 2 configurations that sites have are missing at the centre");
    scene.site.files.remove(&format!("md5/{}", agent(2).md5_name()));
    scene.policy.deletions = Err(reason);
    let (before, site) = (scene.in_step.clone(), scene.site.files.clone());
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list"]);
    let withheld = Named { count: 3, first: vec![agent(1), agent(2), collection()] };
    assert_eq!(report, ConfigReport { withheld, guard: Some(reason), ..ConfigReport::default() });
    assert_eq!((before, site), (scene.in_step, scene.site.files));
}

#[test]
fn what_an_agent_has_sent_in_the_moment_of_the_deletion_is_stored_again_and_taken_up() {
    for is_content in [true, false] {
        let mut scene = Scene::new();
        scene.both(&agent(1), b"old");
        scene.delete_at_centre(&agent(1));
        // Of the same size, as what is announced is the size alone.
        let uploaded = b"new";
        let (steps, report) = scene.run_with(|step, site, _| {
            if step == if is_content { 4 } else { 5 } {
                for (name, bytes) in [
                    (agent(1).content_name(), uploaded.to_vec()),
                    (agent(1).md5_name(), md5_text(Md5Sum::of(uploaded).md5).into_bytes()),
                ] {
                    site.put(&name.to_string(), &bytes).unwrap();
                }
            }
        });
        assert_eq!(steps.last().unwrap(), if is_content { "store conf" } else { "store md5" });
        assert_eq!(report, ConfigReport { waiting: one(agent(1)), ..ConfigReport::default() });
        assert_eq!(scene.site.pair(&agent(1)), Some(uploaded.as_slice()));
        scene.run();
        scene.assert_same(&agent(1), uploaded);
    }
}

#[test]
fn what_is_at_the_centre_again_by_then_is_not_deleted() {
    for item in [agent(1), collection()] {
        let mut scene = Scene::new();
        scene.both(&agent(2), ASKING);
        scene.both(&item, b"old");
        scene.delete_at_centre(&item);
        let (steps, report) = scene.run_with(|step, _, directory| {
            if step == 2 {
                directory.set(&item, b"old");
            }
        });
        assert_eq!(report.waiting, one(item.clone()), "{steps:?}");
        assert!(steps.iter().all(|step| !step.starts_with("delete")), "{steps:?}");
        scene.assert_same(&item, b"old");
    }
}
