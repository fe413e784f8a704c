mod extended;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stock::MAX_LISTING;
use super::*;
use crate::collector::scripted_connection::ScriptedConnection;
use crate::proto::Md5Sum;
use crate::store::MAX_CONFIGURATION;
use crate::sync::remote_config::{
    Allowance, Centre, CentreItem, ConfigReport, ConfigRound, EndedEarly, InStep, Item, Mode, RoundPolicy, StepOutcome,
    md5_text,
};

const K: &str = "0123456789abcdef0123456789abcdef";

fn configuration(stem: &str) -> Item {
    Item::configuration(format!("{stem}.md5").as_bytes()).unwrap()
}

fn item() -> Item {
    Item::configuration(format!("{K}.conf").as_bytes()).unwrap()
}

/// A round on a connection.
struct Scene {
    end: ScriptedConnection,
    settings: SiteSettings,
    round: ConfigRound,
    session: ConfigSession,
    /// What the centre is asked.
    asked: Option<StepId>,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(centre: Centre) -> Self {
        let mut in_step = InStep::default();
        in_step.own(configuration(K));
        in_step.own(configuration(&"f".repeat(32)));
        let policy =
            RoundPolicy { rotation: 0, deletions: Ok(()), allowance: Allowance::ALL, named: 9, mode: Mode::Apply };
        Self {
            end: ScriptedConnection::new(Instant::now()),
            settings: SiteSettings::new("site", "address"),
            round: ConfigRound::new(Arc::new(centre), in_step, policy),
            session: ConfigSession::new(0, ClientDriver::new(), Dialect::Stock),
            asked: None,
        }
    }

    /// The centre has this configuration.
    fn with(content: &str) -> Self {
        let content = Md5Sum::of(content.as_bytes());
        let has = CentreItem { content: Some(content), md5: Some(content.md5), ..CentreItem::default() };
        Self::new(Centre { items: [(item(), has)].into() })
    }

    /// The centre has answered.
    fn goes_on(&mut self, outcome: StepOutcome) -> Result<ConfigPumped, Reason> {
        self.centre_answers(outcome);
        self.pump()
    }

    #[track_caller]
    fn centre_answers(&mut self, outcome: StepOutcome) {
        let asked = self.asked.take().expect("something is asked");
        self.round.after(asked, outcome);
        self.session.resume();
    }

    fn pump(&mut self) -> Result<ConfigPumped, Reason> {
        let Self { end, settings, round, session, .. } = self;
        let pumped = session.pump(&mut ConfigContext { io: end, settings, steps: round })?;
        if let ConfigPumped::Ask(id, _) = pumped {
            self.asked = Some(id);
        }
        Ok(pumped)
    }

    /// What the centre is asked next.
    #[track_caller]
    fn assert_asked(pumped: &ConfigPumped, step: &CentreStep) {
        assert!(matches!(pumped, ConfigPumped::Ask(_, asked) if asked == step), "{pumped:?}");
    }

    /// The site says this to what it is asked.
    #[track_caller]
    fn answers(&mut self, asked: &str, answer: impl AsRef<[u8]>) -> Result<ConfigPumped, Reason> {
        if self.end.output.is_empty() {
            self.pump()?;
        }
        assert_eq!(String::from_utf8_lossy(&std::mem::take(&mut self.end.output)), asked);
        self.end.input.extend(answer.as_ref());
        self.pump()
    }

    /// The site lists these names.
    fn lists(&mut self, names: &str) -> Result<ConfigPumped, Reason> {
        assert_eq!(self.answers("LS <.md5>\n", format!("LS SIZE {}\n", names.len())).unwrap(), ConfigPumped::Blocked);
        self.answers("LS OK\n", names)
    }

    fn sends(&mut self, name: &str, body: &str) -> Result<ConfigPumped, Reason> {
        let asked = format!("RECV <{name}>\n");
        assert_eq!(self.answers(&asked, format!("RECV SIZE {}\n", body.len())).unwrap(), ConfigPumped::Blocked);
        self.answers("RECV OK\n", body)
    }

    fn takes(&mut self, name: &str, body: &str) {
        let asked = format!("SEND <{name}> SIZE {}\n", body.len());
        assert_eq!(self.answers(&asked, "SEND OK\n").unwrap(), ConfigPumped::Blocked);
        assert_eq!(self.answers(body, "SEND OK\n").unwrap(), ConfigPumped::Blocked);
    }

    fn report(self) -> ConfigReport {
        self.round.finished().1
    }
}

#[test]
fn what_the_centre_lacks_is_fetched_and_asked_to_be_published() {
    let (mut scene, md5) = (Scene::new(Centre::default()), md5_text(Md5Sum::of(b"new").md5));
    scene.lists(&format!(".\n..\n{K}.md5\npandora_ha_hosts.md5\n")).unwrap();
    scene.sends(&format!("{K}.md5"), &md5).unwrap();
    let asked = scene.sends(&format!("{K}.conf"), "new").unwrap();
    Scene::assert_asked(&asked, &CentreStep::Claim { item: item() });
    let content: Arc<[u8]> = b"new".as_slice().into();
    let asked = scene.goes_on(StepOutcome::Claimed(Ok(()))).unwrap();
    Scene::assert_asked(&asked, &CentreStep::Publish { item: item(), content });
    assert!(scene.end.deadline.is_none(), "it is for the centre to go on");
    assert_eq!(scene.pump().unwrap(), ConfigPumped::Blocked);
    assert_eq!(scene.goes_on(StepOutcome::Published(Ok(()))).unwrap(), ConfigPumped::Finished);
    assert_eq!(scene.report().taken_up.count, 1);
}

#[test]
fn what_is_sent_is_read_back() {
    let mut scene = Scene::with("edited");
    scene.lists(&format!("{K}.md5\n")).unwrap();
    let asked = scene.sends(&format!("{K}.md5"), &md5_text(Md5Sum::of(b"old").md5)).unwrap();
    Scene::assert_asked(&asked, &CentreStep::Read { item: item() });
    scene.centre_answers(StepOutcome::Read(Some((b"edited".as_slice().into(), Md5Sum::of(b"edited")))));
    scene.takes(&format!("{K}.conf"), "edited");
    scene.sends(&format!("{K}.conf"), "edited").unwrap();
    let md5 = md5_text(Md5Sum::of(b"edited").md5);
    scene.takes(&format!("{K}.md5"), &md5);
    assert_eq!(scene.sends(&format!("{K}.md5"), &md5).unwrap(), ConfigPumped::Finished);
    assert_eq!(scene.report().pushed.count, 1);
}

#[test]
fn what_comes_in_place_of_what_is_deleted_is_stored_again() {
    let md5 = md5_text(Md5Sum::of(b"old").md5);
    let mut scene = Scene::new(Centre::default());
    let policy = RoundPolicy { rotation: 0, deletions: Ok(()), allowance: Allowance::ALL, named: 9, mode: Mode::Apply };
    let in_step = InStep::from_iter([(item(), Md5Sum::of(b"old").md5)]);
    scene.round = ConfigRound::new(Arc::default(), in_step, policy);
    scene.lists(&format!("{K}.md5\n")).unwrap();
    scene.sends(&format!("{K}.md5"), &md5).unwrap();
    let asked = scene.sends(&format!("{K}.conf"), "old").unwrap();
    Scene::assert_asked(&asked, &CentreStep::Confirm { item: item() });
    scene.centre_answers(StepOutcome::Confirmed(true));
    scene.answers(&format!("MV <{K}.conf>\n"), "MV SIZE 3\n").unwrap();
    assert_eq!(scene.answers("MV OK\n", "new").unwrap(), ConfigPumped::Blocked);
    scene.answers(&format!("SEND <{K}.conf> SIZE 3\n"), "SEND OK\n").unwrap();
    assert_eq!(scene.answers("new", "SEND OK\n").unwrap(), ConfigPumped::Finished);
    assert_eq!(scene.report().waiting.count, 1);
}

#[test]
fn after_a_refused_body_nothing_is_said_in_the_clear() {
    for size in [0, MAX_CONFIGURATION + 1] {
        for (others, pumped) in [("", ConfigPumped::Finished), ("f.md5\n", ConfigPumped::Exhausted)] {
            let mut scene = Scene::new(Centre::default());
            let others = others.replace('f', &"f".repeat(32));
            scene.lists(&format!("{K}.md5\n{others}")).unwrap();
            let answered = scene.answers(&format!("RECV <{K}.md5>\n"), format!("RECV SIZE {size}\n")).unwrap();
            assert_eq!(answered, pumped, "whether there is more to be done");
            scene.end.output.clear();
            scene.session.quit(&mut scene.end);
            assert!(scene.end.output.is_empty());
            assert_eq!(scene.report().waiting.count, 1);
        }
    }
}

#[test]
fn the_password_comes_first() {
    let mut scene = Scene::new(Centre::default());
    scene.settings.password = Some(crate::proto::Secret::new("secret".into()));
    scene.session = ConfigSession::open(0, Dialect::Stock);
    let asked = "9e769017c85f064977fe6a658f207fa6\n";
    assert_eq!(scene.answers(&format!("PASS {asked}"), "PASS OK\n").unwrap(), ConfigPumped::Blocked);
    assert_eq!(scene.lists(".\n..\n").unwrap(), ConfigPumped::Finished);
    scene.session = ConfigSession::open(0, Dialect::Stock);
    assert_eq!(scene.answers(&format!("PASS {asked}"), "PASS ERR\n").unwrap_err().code(), "password");
}

#[test]
fn a_server_without_filters_ends_the_round() {
    let mut scene = Scene::with("any");
    assert_eq!(scene.lists(".\n..\nconf\nmd5\nweb01.1700000000.data\n").unwrap(), ConfigPumped::Finished);
    assert_eq!(scene.report().ended, Some(EndedEarly::NoFilters));
}

#[test]
fn a_listing_beyond_reason_and_more_than_was_announced_are_errors() {
    let mut scene = Scene::with("any");
    let error = scene.answers("LS <.md5>\n", format!("LS SIZE {}\n", MAX_LISTING + 1)).unwrap_err();
    assert_eq!(error.code(), "listing");
    let mut scene = Scene::with("any");
    scene.answers("LS <.md5>\n", "LS SIZE 3\n").unwrap();
    assert_eq!(scene.answers("LS OK\n", "a\nb\nc\n").unwrap_err().code(), "protocol");
}

#[test]
fn a_site_that_is_not_known_is_asked_once_and_then_spoken_to_as_it_understands() {
    let mut scene = Scene::new(Centre::default());
    scene.session = ConfigSession::open(0, Dialect::Unknown);
    assert_eq!(scene.pump().unwrap(), ConfigPumped::Blocked);
    assert!(scene.session.is_asking());
    let refused = "RECV ERR (file has an invalid file name)\n";
    assert_eq!(scene.answers("RECV <?caps>\n", refused).unwrap(), ConfigPumped::Blocked);
    assert!(!scene.session.is_asking());
    assert_eq!(scene.lists(".\n..\n").unwrap(), ConfigPumped::Finished);
    // One that cannot store as the extension does is spoken to in stock's commands.
    let mut scene = Scene::new(Centre::default());
    scene.session = ConfigSession::open(0, Dialect::Unknown);
    scene.answers("RECV <?caps>\n", "CAPS 1 PIPELINE GET LIST DROP BLAKE3\n").unwrap();
    assert_eq!(scene.lists(".\n..\n").unwrap(), ConfigPumped::Finished);
}

#[test]
fn a_site_that_has_closed_while_a_limit_of_ours_held_a_body_up_is_no_failure() {
    let mut scene = Scene::new(Centre::default());
    let others = "f".repeat(32);
    scene.lists(&format!("{K}.md5\n{others}.md5\n")).unwrap();
    let asked = format!("RECV <{K}.md5>\n");
    scene.answers(&asked, "RECV SIZE 5\n").unwrap();
    scene.end.held_up = Duration::from_secs(9);
    scene.end.is_ended = true;
    assert_eq!(scene.answers("RECV OK\n", "stale").unwrap(), ConfigPumped::Exhausted);
    assert!(scene.end.output.is_empty(), "nothing is said to a connection that has ended");
    // The same without a limit: what was asked is not answered.
    let mut scene = Scene::new(Centre::default());
    scene.lists(&format!("{K}.md5\n{others}.md5\n")).unwrap();
    scene.answers(&asked, "RECV SIZE 5\n").unwrap();
    scene.end.is_ended = true;
    assert_eq!(scene.answers("RECV OK\n", "stale").unwrap_err().code(), "closed");
}
