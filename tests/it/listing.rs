//! Listings of a hundred thousand names.

use tentacle_sync::testing::fake_server::{FakeServer, Setup, Verb};

use crate::daemon::{Sandbox, wait_until};
use crate::site::{Site, site_config};
use crate::support::TIMEOUT;

const MANY: usize = 100_000;

fn crowded(name: impl Fn(usize) -> String) -> FakeServer {
    let fake = FakeServer::start(Setup::default()).unwrap();
    for number in 0..MANY {
        fake.put(name(number), b"<agent_data>\n</agent_data>\n").unwrap();
    }
    fake
}

#[test]
fn a_few_files_among_a_hundred_thousand_others_are_found() {
    let fake = crowded(|number| format!("agent{number:06}.lock"));
    for number in 0..5 {
        fake.put(format!("web01.170000000{number}.data"), b"found").unwrap();
    }
    let sandbox = Sandbox::with_sites([site_config("site", fake.address(), "")]);
    sandbox.once().assert_code(0).assert_says(&["site: 5 files, 25 bytes"]);
    assert_eq!(sandbox.spool().len(), 5);
    assert_eq!(fake.files().unwrap().len(), MANY);
}

#[test]
fn a_hundred_thousand_files_are_taken_in_rounds_that_end() {
    let fake = crowded(|number| format!("web{:04}.{}.data", number % 100, 1_700_000_000 + number / 100));
    let other = Site::fake("other", 20, Setup::default());
    let sandbox = Sandbox::with_sites([site_config("site", fake.address(), "round_limit = 1"), other.config("")]);
    let daemon = sandbox.start();
    assert!(fake.wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 2), "a second round follows the first");
    wait_until("the other site", || other.left().is_empty().then_some(()));
    daemon.stop().assert_code(0);
    let (mut all, left) = (sandbox.spool(), fake.files().unwrap());
    assert!(all.len() > other.files.len() && left.len() < MANY, "some were collected, and are gone at the site");
    // The last ones published may still be there: the journal names them.
    all.extend(left);
    assert_eq!(all.len(), MANY + other.files.len(), "nothing is lost");
}
