//! FaultRule of every kind at any moment, round after round: nothing is lost, nothing arrives twice.

use std::collections::BTreeMap;

use fastrand::Rng;
use tentacle_sync::testing::fake_server::{Fault, FaultRule, Setup, Verb, WrongSize};

use crate::consumer::{Consumer, seed};
use crate::daemon::{Sandbox, staged_in};
use crate::site::{Site, site_config};

const FILES: usize = 300;

/// How far a round comes before the next trick, in commands of one kind, at most.
const REACH: usize = 40;

/// Tricks that cost no waiting and change no file.
fn any_trick(rng: &mut Rng) -> FaultRule {
    let after = rng.usize(0..600);
    let tricks = [
        Fault::Close,
        Fault::Reset,
        Fault::Refuse,
        Fault::CloseAfter,
        Fault::Garbage(4096),
        Fault::CutBody { after },
        Fault::ResetBody { after },
        Fault::WrongSize(WrongSize::Literally("18446744073709551616")),
    ];
    let trick = rng.choice(tricks).expect("there are tricks");
    let verb = rng.choice([Verb::Ls, Verb::Recv, Verb::Recv, Verb::Mv, Verb::Mv]).expect("there are verbs");
    let reach = if verb == Verb::Ls { 0 } else { rng.usize(0..REACH) };
    trick.at(verb).after(reach).times(rng.usize(1..4))
}

#[test]
fn mischief_at_any_moment_loses_nothing_and_doubles_nothing() {
    let mut rng = Rng::with_seed(seed());
    let site = Site::fake("site", FILES, Setup::default());
    let sandbox = Sandbox::with_sites([site_config("site", site.address(), "connections = 3")]);
    let consumer = Consumer::start(sandbox.incoming());
    let mut codes = BTreeMap::<_, u32>::new();
    for _ in 0..40 {
        site.peer().set_mischief((0..3).map(|_| any_trick(&mut rng)).collect());
        let outcome = sandbox.once();
        assert!(matches!(outcome.code(), Some(0 | 1)), "{outcome}");
        *codes.entry(outcome.code()).or_default() += 1;
    }
    println!("rounds by exit status: {codes:?}, {} files left", site.left().len());
    site.peer().set_mischief(Vec::new());
    sandbox.once().assert_code(0);
    site.assert_emptied();
    consumer.assert_got(&site.files);
    assert_eq!(staged_in(&sandbox.incoming()), Vec::<String>::new());
}
