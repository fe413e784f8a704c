use std::sync::mpsc::{self, Receiver};

use super::super::centre_watch::RESTARTED_AFTER;
use super::*;

/// The directories of one incoming directory, and what wakes the loop.
struct Scene {
    home: tempfile::TempDir,
    centres: Centres,
    calls: Receiver<()>,
    now: Instant,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for name in ["conf", "md5"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        let (told, calls) = mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let notify: CommitterNotify = Arc::new(move || told.lock().unwrap().send(()).unwrap_or(()));
        let now = Instant::now();
        Self { home, centres: Centres::new(notify, now), calls, now }
    }

    fn open(&mut self) -> bool {
        let state_dir = self.home.path().join("state");
        let file = InStepFile::new(&state_dir, "site", self.home.path());
        self.centres.open(self.home.path(), 7, &file, GuardFile::new(&state_dir, self.home.path()))
    }

    fn wait<T>(&mut self, what: impl Fn(&mut Centres, &Path, Instant) -> Option<T>) -> T {
        loop {
            if let Some(seen) = what(&mut self.centres, self.home.path(), self.now) {
                return seen;
            }
            self.calls.recv().unwrap();
        }
    }
}

#[test]
fn a_thread_that_panics_is_reported_once_and_started_anew_after_a_while() {
    let mut scene = Scene::new();
    assert!(scene.open());
    scene.wait(|centres, incoming, _| centres.seen(incoming));
    scene.centres.by_incoming[scene.home.path()].central().unwrap().panic();
    let dead = scene.wait(|centres, _, now| Some(centres.take_dead(now)).filter(|dead| !dead.is_empty()));
    assert_eq!(dead, [scene.home.path()]);
    assert!(scene.centres.take_dead(scene.now).is_empty());
    assert!(scene.centres.seen(scene.home.path()).is_none());
    assert!(scene.open(), "a site that comes now waits for the next one");
    assert!(scene.centres.restart(scene.now).is_empty());
    scene.now += RESTARTED_AFTER;
    assert_eq!(scene.centres.restart(scene.now), [scene.home.path()]);
    assert!(scene.centres.restart(scene.now).is_empty());
    scene.wait(|centres, incoming, _| centres.seen(incoming));
}
