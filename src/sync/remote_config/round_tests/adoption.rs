//! Configurations that a site lists and does not own.

use std::sync::Arc;

use super::*;

/// The steps of a round at the `scene`, where another site owns the configurations.
fn run_with_other_owner(scene: &mut Scene) -> (Vec<String>, ConfigReport) {
    let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), scene.policy.clone());
    let mut steps = Vec::new();
    while let Some(step) = round.next_step() {
        steps.push(shown(&step));
        round.after(match step {
            ConfigStep::Do(step) => scene.site.carry_out(&step),
            ConfigStep::Ask(CentreStep::Owner { .. }) => StepOutcome::Owner(Some("other".into())),
            step @ ConfigStep::Ask(_) => panic!("{step:?}"),
        });
    }
    let (in_step, report) = round.steps.finished();
    scene.in_step = in_step;
    (steps, report)
}

#[test]
fn what_is_nobody_s_becomes_the_site_s_once_it_shows_the_same() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"same");
    scene.in_step = InStep::default();
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "owner conf", "fetch md5", "compare conf", "claim conf"]);
    assert_eq!(report, ConfigReport { in_step: 1, ..ConfigReport::default() });
    assert!(scene.in_step.owns(&agent(1)));
    scene.directory.set(&agent(1), b"edited");
    scene.run();
    scene.assert_same(&agent(1), b"edited");
}

#[test]
fn the_md5_of_a_name_or_of_a_content_gets_nothing() {
    let secret = b"server_pwd secret";
    for at_site in [b"made up".as_slice(), secret] {
        let mut scene = Scene::new();
        scene.directory.set(&agent(1), secret);
        scene.at_site(&agent(1), at_site);
        // The site need not tell the truth about a content that it does not have.
        scene.site.put(&agent(1).content_name().to_string(), b"made up").unwrap();
        let expected = ConfigReport { foreign: one((agent(1), Owner::Nobody)), ..ConfigReport::default() };
        assert_eq!(scene.run().1, expected);
        assert_eq!(scene.site.content(&agent(1)), Some(b"made up".as_slice()));
        assert!(!scene.in_step.owns(&agent(1)));
        assert_eq!(scene.in_step.unclaimed().collect::<Vec<_>>(), [&agent(1)]);
    }
}

#[test]
fn what_is_nobody_s_and_another_one_costs_no_more_than_its_turn() {
    let mut scene = Scene::new();
    for number in 1..=3 {
        scene.directory.set(&agent(number), b"of the centre");
        scene.at_site(&agent(number), b"of the site");
    }
    assert_eq!(scene.run().1.foreign.count, 3);
    let (steps, report) = scene.run();
    assert_eq!((steps, report.foreign.count), (vec!["list".to_owned()], 3));
    scene.policy.rotation = 2;
    assert_eq!(scene.run().0, ["list", "owner conf", "fetch md5", "owner conf", "fetch md5"]);
    scene.site.files.clear();
    scene.run();
    assert_eq!(scene.in_step.unclaimed().count(), 0);
}

#[test]
fn what_another_site_owns_is_neither_sent_nor_taken_up() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"same");
    scene.at_site(&agent(2), b"uploaded");
    scene.in_step = InStep::default();
    let other = |number| (agent(number), Owner::Site("other".into()));
    let foreign = Named { count: 2, first: vec![other(1), other(2)] };
    let expected = ConfigReport { foreign, ..ConfigReport::default() };
    assert_eq!(
        run_with_other_owner(&mut scene),
        (["list", "owner conf", "owner conf"].map(str::to_owned).into(), expected)
    );
    assert_eq!(scene.directory.look(&agent(2)), None);
    assert!(scene.in_step.is_empty());
}

#[test]
fn an_operator_s_word_has_the_centre_s_sent() {
    let mut scene = Scene::new();
    scene.directory.set(&agent(1), b"of the centre");
    scene.at_site(&agent(1), b"of the site");
    scene.run();
    scene.in_step.own(agent(1));
    scene.run();
    scene.assert_same(&agent(1), b"of the centre");
}

#[test]
fn collections_that_an_upload_asks_for_are_sent_once_the_console_has_edited_it() {
    let mut scene = Scene::new();
    scene.directory.set(&collection(), b"zip");
    scene.at_site(&agent(1), ASKING);
    for _ in 0..2 {
        scene.run();
        scene.assert_same(&agent(1), ASKING);
        assert_eq!(scene.site.content(&collection()), None);
    }
    // Nor does the site come to it by another content of its own.
    scene.site.put(&agent(1).content_name().to_string(), b"damaged").unwrap();
    scene.policy.rotation = 1;
    (0..3).for_each(|_| drop(scene.run()));
    scene.assert_same(&agent(1), ASKING);
    assert_eq!(scene.site.content(&collection()), None);
    scene.directory.set(&agent(1), &[ASKING, b"edited"].concat());
    scene.run();
    scene.assert_same(&collection(), b"zip");
}

#[test]
fn a_dry_run_claims_nothing() {
    let mut scene = Scene::new();
    scene.both(&agent(1), b"same");
    scene.at_site(&agent(2), b"uploaded");
    scene.in_step = InStep::default();
    scene.policy.mode = Mode::DryRun;
    let (steps, dry) = scene.run();
    assert!(!steps.iter().any(|step| step.starts_with("claim")), "{steps:?}");
    assert!(scene.in_step.is_empty());
    scene.policy.mode = Mode::Apply;
    assert_eq!(scene.run().1, dry);
}
