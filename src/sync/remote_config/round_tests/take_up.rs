//! What goes from a site to the centre.

use super::*;

#[test]
fn what_the_centre_lacks_is_taken_up() {
    let mut scene = Scene::new();
    scene.at_site(&agent(1), b"uploaded");
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "owner conf", "fetch md5", "fetch conf", "claim conf", "publish conf"]);
    assert_eq!(report, ConfigReport { taken_up: one(agent(1)), ..ConfigReport::default() });
    scene.assert_same(&agent(1), b"uploaded");
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list"], "it is in step from now on");
    assert_eq!(report, ConfigReport { in_step: 1, ..ConfigReport::default() });
}

#[test]
fn an_upload_that_is_not_whole_waits() {
    for (content, md5) in
        [("", "d41d8cd98f00b204e9800998ecf8427e"), ("uploaded", "half"), ("x", "d41d8cd98f00b204e9800998ecf8427e")]
    {
        let mut scene = Scene::new();
        scene.site.put(&agent(1).content_name().to_string(), content.as_bytes()).unwrap();
        scene.site.put(&agent(1).md5_name().to_string(), md5.as_bytes()).unwrap();
        let (_, report) = scene.run();
        assert_eq!(report, ConfigReport { waiting: one(agent(1)), ..ConfigReport::default() });
        assert_eq!(scene.directory.scan(), Centre::default());
    }
}

#[test]
fn what_the_centre_would_not_publish_is_reported() {
    let mut scene = Scene::new();
    scene.at_site(&agent(1), b"uploaded");
    let (_, report) = scene.run_with(|step, _, directory| {
        if step == 5 {
            directory.set(&agent(1), b"edited meanwhile");
        }
    });
    assert_eq!(report.unpublished, one((agent(1), "it is there by now".to_owned())));
    assert!(scene.in_step.owns(&agent(1)) && scene.in_step.get(&agent(1)).is_none());
    scene.run();
    scene.assert_same(&agent(1), b"edited meanwhile");
}

#[test]
fn a_collection_is_not_taken_up() {
    let mut scene = Scene::new();
    scene.both(&agent(1), ASKING);
    scene.at_site(&collection(), b"zip");
    assert_eq!(scene.run().0, ["list"]);
}

#[test]
fn no_more_is_taken_up_than_is_allowed_and_what_is_not_costs_next_to_nothing() {
    for (allowance, taken_up, steps) in [
        (Allowance { items: 2, bytes: u64::MAX }, 2, 1 + 2 * 2),
        (Allowance { items: usize::MAX, bytes: 7 }, 2, 1 + 2 * 2 + 2),
        (Allowance { items: 0, bytes: u64::MAX }, 0, 1),
    ] {
        let mut scene = Scene::new();
        scene.both(&agent(9), b"same");
        for number in 1..=5 {
            scene.at_site(&agent(number), b"new");
        }
        scene.policy.allowance = allowance;
        let (all, report) = scene.run();
        let at_site = all.iter().filter(|step| ["list", "fetch"].iter().any(|verb| step.starts_with(verb))).count();
        assert_eq!((at_site, report.taken_up.count, report.beyond.count), (steps, taken_up, 5 - taken_up), "{all:?}");
        assert_eq!(scene.directory.scan().items.len(), 1 + taken_up);
        scene.policy.allowance = Allowance::ALL;
        assert_eq!(scene.run().1.taken_up.count, 5 - taken_up, "the next round tries again");
    }
}
