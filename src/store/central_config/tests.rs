use std::fs;
use std::sync::mpsc::{self, Receiver, RecvError};

use super::testing::{Incoming, configuration};
use super::*;
use crate::sync::remote_config::CentreItem;

/// A running thread, and what it calls.
struct Running {
    incoming: Incoming,
    central: CentralConfig,
    calls: Receiver<()>,
}

impl Running {
    fn new() -> Self {
        let incoming = Incoming::new();
        let (told, calls) = mpsc::channel();
        let notify = Box::new(move || told.send(()).unwrap_or(()));
        let central = CentralConfig::start(incoming.path(), notify).unwrap();
        Self { incoming, central, calls }
    }

    /// Waits for news until there is this to be seen.
    fn wait<T>(&self, seen: impl Fn(&CentralConfig) -> Option<T>) -> T {
        loop {
            if let Some(seen) = seen(&self.central) {
                return seen;
            }
            self.calls.recv().unwrap();
        }
    }

    fn wait_for(&self, item: &Item, bytes: Option<&[u8]>) {
        self.wait(|central| {
            let found = central.seen()?.centre.items.get(item).map(CentreItem::current);
            (found == bytes.map(|bytes| Some(Md5Sum::of(bytes)))).then_some(())
        });
    }
}

fn upload(directories: u64) -> Upload {
    Upload { item: configuration(1), content: b"one".as_slice().into(), min_free: 0, directories }
}

#[test]
fn edits_are_heard_of_in_all_directories() {
    let running = Running::new();
    running.wait(CentralConfig::seen);
    let item = running.incoming.put(1, b"file_collection fc_1\n");
    running.wait_for(&item, Some(b"file_collection fc_1\n"));
    let collection = Item::collection("fc_1").unwrap();
    running.incoming.write_content(&collection, b"zip");
    running.incoming.write_md5(&collection, b"zip");
    running.wait_for(&collection, Some(b"zip"));
    let other = running.incoming.path().join("conf/new");
    fs::write(&other, b"two").unwrap();
    fs::rename(other, running.incoming.content(&item)).unwrap();
    running.incoming.write_md5(&item, b"two");
    running.wait_for(&item, Some(b"two"));
    fs::remove_file(running.incoming.content(&item)).unwrap();
    fs::remove_file(running.incoming.md5(&item)).unwrap();
    running.wait_for(&item, None);
}

#[test]
fn a_directory_that_is_replaced_is_heard_of() {
    let running = Running::new();
    let item = running.incoming.put(1, b"one");
    running.wait_for(&item, Some(b"one"));
    fs::rename(running.incoming.path().join("conf"), running.incoming.path().join("aside")).unwrap();
    let error = running.wait(|central| match central.view() {
        CentralView::Unavailable(error) => Some(error),
        _ => None,
    });
    assert!(error.is_missing(), "{error}");
    assert!(running.central.seen().is_none());
}

#[test]
fn orders_are_completed_in_order() {
    let running = Running::new();
    let file = InStepFile::new(&running.incoming.path().join("state"), "site", running.incoming.path());
    let in_step = InStep::from_iter([(configuration(1), [1; 16])]);
    let directories = running.wait(CentralConfig::seen).directories;
    running.central.publish(1, upload(directories));
    running.central.read(2, configuration(1), directories);
    running.central.save(file.clone(), in_step.clone());
    running.central.load(3, file);
    assert_eq!(running.central.pending(), 3);
    let mut completions = vec![];
    while running.central.pending() > 0 {
        running.calls.recv().unwrap();
        completions.extend(running.central.completions());
    }
    let [
        CentralCompletion::Published { ticket: 1, result: Ok(()) },
        CentralCompletion::Read { ticket: 2, content: Some((content, fingerprint)) },
        CentralCompletion::Loaded { ticket: 3, in_step: loaded },
    ] = &completions[..]
    else {
        panic!("{completions:?}")
    };
    assert_eq!((&**content, *fingerprint, loaded), (b"one".as_slice(), Md5Sum::of(b"one"), &in_step));
    assert!(running.central.is_alive());
    running.wait_for(&configuration(1), Some(b"one"));
}

#[test]
fn both_threads_end_with_the_handle_and_what_was_ordered_is_done() {
    let Running { incoming, central, calls } = Running::new();
    while central.seen().is_none() {
        calls.recv().unwrap();
    }
    central.publish(1, upload(central.seen().unwrap().directories));
    drop(central);
    while calls.recv() != Err(RecvError) {}
    assert!(incoming.md5(&configuration(1)).exists());
}
