//! What a round that broke off has left of an item at the site, where the centre wants something else by the next one.

use super::*;

/// How the last step of a round goes that breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// To its end, and the outcome is seen.
    Seen,
    /// To its end, but the outcome is not seen.
    Unseen,
    /// What it stores is half there: as stock's server leaves it.
    Half,
}

impl Scene {
    /// Runs a round that breaks off with the first step of this name. Whether there was one.
    fn break_off(&mut self, with: &str, last: Last) -> bool {
        let mut round = lock_step(Arc::new(self.directory.scan()), self.in_step.clone(), self.policy.clone());
        let mut is_reached = false;
        while let Some(step) = round.next_step()
            && !is_reached
        {
            is_reached = shown(&step) == with;
            let outcome = match &step {
                ConfigStep::Do(SiteStep::Store { name, body, .. }) if is_reached && last == Last::Half => {
                    self.site.put(&name.to_string(), &body[..body.len() / 2]).unwrap();
                    break;
                }
                ConfigStep::Do(step) => self.site.carry_out(step),
                ConfigStep::Ask(step) => self.directory.carry_out(step),
            };
            if !is_reached || last == Last::Seen {
                round.after(outcome);
            }
        }
        self.in_step = round.steps.finished().0;
        is_reached
    }

    /// An agent asks for the collection, which is replaced at the site until the round breaks off; then none asks for it.
    fn collection_broken_off(with: &str, last: Last, is_extended: bool) -> Self {
        let mut scene = Self::new();
        scene.site.is_extended = is_extended;
        scene.both(&agent(1), ASKING);
        scene.both(&agent(2), b"same");
        scene.both(&collection(), b"old zip");
        scene.directory.set(&collection(), b"new zip");
        assert!(scene.break_off(with, last));
        scene.directory.set(&agent(1), b"asks for nothing");
        scene
    }
}

/// The steps with which a replacement may break off, and how; and whether the site has the extension.
fn breaks() -> Vec<(&'static str, Last, bool)> {
    let mut breaks = Vec::new();
    for last in [Last::Seen, Last::Unseen] {
        for is_extended in [false, true] {
            breaks.extend(["fetch md5", "read", "store", "store md5"].map(|with| (with, last, is_extended)));
        }
        breaks.extend(["compare", "compare md5"].map(|with| (with, last, false)));
    }
    breaks.extend(["store", "store md5"].map(|with| (with, Last::Half, false)));
    breaks
}

/// The step of this name, of an item whose content has this extension.
fn of(with: &str, extension: &str) -> String {
    if with.contains(' ') { with.to_owned() } else { format!("{with} {extension}") }
}

#[test]
fn a_collection_whose_replacement_broke_off_becomes_whole_though_none_asks_for_it_any_more() {
    for (with, last, is_extended) in breaks() {
        let mut scene = Scene::collection_broken_off(&of(with, "zip"), last, is_extended);
        for _ in 0..2 {
            scene.run();
        }
        // What is known of the site's is enough to begin, or not.
        let is_begun = (with, last) != ("fetch md5", Last::Unseen);
        let expected: &[u8] = if is_begun { b"new zip" } else { b"old zip" };
        assert_eq!(scene.site.pair(&collection()), Some(expected), "{with} {last:?} {is_extended}");
        assert_eq!(scene.run().0, ["list"]);
        scene.delete_at_centre(&collection());
        scene.run();
        assert_eq!(scene.site.files.len(), 4, "the two configurations: {:?}", scene.site.files);
    }
}

#[test]
fn a_collection_whose_replacement_broke_off_and_that_is_another_by_then_is_whole_or_goes_to_no_agent() {
    for (with, last, is_extended) in breaks() {
        let mut scene = Scene::collection_broken_off(&of(with, "zip"), last, is_extended);
        scene.directory.set(&collection(), b"newest zip");
        for _ in 0..2 {
            scene.run();
        }
        assert_ne!(scene.site.content(&collection()), Some(b"newest zip".as_slice()), "none asks for it");
        let is_listed = scene.site.get("fc_1.md5").is_some();
        assert_eq!(scene.site.pair(&collection()).is_some(), is_listed, "{with} {last:?} {is_extended}");
        assert_eq!(scene.run().0, ["list"]);
        // Once an agent asks for it, it is sent.
        scene.directory.set(&agent(1), ASKING);
        scene.run();
        scene.assert_same(&collection(), b"newest zip");
    }
}

#[test]
fn what_is_saved_before_a_collection_is_read_is_enough_after_a_kill_and_nothing_is_not() {
    for is_saved in [true, false] {
        let mut scene = Scene::new();
        scene.both(&agent(1), ASKING);
        scene.both(&collection(), b"old zip");
        scene.directory.set(&collection(), b"new zip");
        let mut round = lock_step(Arc::new(scene.directory.scan()), scene.in_step.clone(), scene.policy.clone());
        let mut saved = InStep::default();
        while let Some(step) = round.next_step()
            && shown(&step) != "store md5"
        {
            if let (ConfigStep::Ask(CentreStep::Read { .. }), true) = (&step, is_saved) {
                saved = round.steps.in_step();
            }
            round.after(match &step {
                ConfigStep::Do(step) => scene.site.carry_out(step),
                ConfigStep::Ask(step) => scene.directory.carry_out(step),
            });
        }
        let at_site = scene.site.files.clone();
        scene.in_step = saved;
        scene.directory.set(&agent(1), b"asks for nothing");
        scene.run();
        let expected = is_saved.then_some(b"new zip".as_slice());
        assert_eq!(scene.site.pair(&collection()), expected);
        // Whose it is, nobody knows.
        assert!(is_saved || scene.site.files == at_site);
    }
}

#[test]
fn what_is_deleted_at_the_centre_after_its_replacement_broke_off_is_deleted_at_the_site() {
    for item in [agent(1), collection()] {
        let extension = if item == agent(1) { "conf" } else { "zip" };
        for (with, last, is_extended) in breaks() {
            let mut scene = Scene::new();
            scene.site.is_extended = is_extended;
            scene.both(&agent(2), ASKING);
            scene.both(&item, b"old");
            scene.directory.set(&item, b"new");
            assert!(scene.break_off(&of(with, extension), last));
            scene.delete_at_centre(&item);
            let (_, report) = scene.run();
            assert_eq!(scene.directory.look(&item), None, "{item} {with} {last:?} is not back");
            let content = scene.site.content(&item).map(<[u8]>::to_vec);
            if content.as_deref() == Some(b"n") {
                // Who has half of something here cannot tell it from what an agent is about to send.
                let is_reported = report.waiting.first == [item.clone()];
                assert!(is_reported || scene.site.md5(&item).is_none(), "{item} {with} {last:?}");
            } else {
                assert_eq!(scene.site.files.len(), 2, "{item} {with} {last:?} {:?}", scene.site.files);
                assert_eq!(report.deleted, one(item.clone()));
                assert_eq!(scene.in_step.standings().count(), 1);
            }
        }
    }
}

#[test]
fn what_is_missing_after_its_replacement_broke_off_counts_where_deletions_are_judged() {
    for item in [agent(1), collection()] {
        let mut scene = Scene::new();
        scene.both(&agent(1), ASKING);
        scene.both(&item, ASKING);
        scene.directory.set(&item, b"file_collection fc_1\nnew");
        let with = if item == agent(1) { "store conf" } else { "store zip" };
        assert!(scene.break_off(with, Last::Seen));
        scene.delete_at_centre(&item);
        assert!(Guard::default().judge(&scene.directory.scan(), [&scene.in_step]).is_err(), "{item}");
    }
}
