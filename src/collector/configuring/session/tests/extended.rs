//! With a site that speaks the extension.

use super::*;
use crate::proto::extension::ContentHash;

const CAPS: &str = "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3\n";

fn key(number: usize) -> String {
    format!("{number:032x}")
}

fn of(number: usize) -> Item {
    configuration(&key(number))
}

fn md5_file(content: &str) -> String {
    md5_text(Md5Sum::of(content.as_bytes()).md5)
}

fn file(body: &str) -> String {
    format!("GET SIZE {} MTIME 17\n{body}", body.len())
}

impl Scene {
    /// The site speaks the extension, and owns so many configurations, of which the centre has this content.
    fn extended(agents: usize, content: &str) -> Self {
        let sum = Md5Sum::of(content.as_bytes());
        let has = || CentreItem { content: Some(sum), md5: Some(sum.md5), ..CentreItem::default() };
        let mut scene = Self::new(Centre { items: (0..agents).map(|number| (of(number), has())).collect() });
        scene.in_step_with((0..agents).map(|number| (of(number), Md5Sum::of(b"old").md5)).collect());
        scene.session = ConfigSession::new(0, ClientDriver::new(), Dialect::Extended);
        scene
    }

    fn in_step_with(&mut self, in_step: InStep) {
        let policy =
            RoundPolicy { rotation: 99, deletions: Ok(()), allowance: Allowance::ALL, named: 9, mode: Mode::Apply };
        self.round = ConfigRound::new(self.round.centre(), in_step, policy);
    }

    /// The site lists the `.md5` files of so many.
    #[track_caller]
    fn lists_agents(&mut self, agents: usize) -> Result<ConfigPumped, Reason> {
        let list = (0..agents).map(|number| format!("32 17 {}.md5\n", key(number))).collect::<Vec<_>>().concat();
        self.answers("LIST <.md5>\n", format!("LIST SIZE {} END\n{list}", list.len()))
    }

    /// What the site was asked; it answers this.
    fn answers_all(&mut self, answers: impl AsRef<[u8]>) -> (String, ConfigPumped) {
        let asked = String::from_utf8(std::mem::take(&mut self.end.output)).unwrap();
        self.end.input.extend(answers.as_ref());
        (asked, self.pump().unwrap())
    }
}

#[test]
fn files_are_asked_for_ahead() {
    let mut scene = Scene::extended(3, "same");
    scene.in_step_with((0..3).map(|number| (of(number), Md5Sum::of(b"same").md5)).collect());
    scene.lists_agents(3).unwrap();
    let gets = |end: &str| (0..3).map(|number| format!("GET <{}.{end}>\n", key(number))).collect::<Vec<_>>().concat();
    let (asked, pumped) = scene.answers_all(file(&md5_file("same")).repeat(3));
    assert_eq!((asked, pumped), (gets("md5"), ConfigPumped::Blocked));
    let (asked, pumped) = scene.answers_all(file("same").repeat(3));
    assert_eq!((asked, pumped), (gets("conf"), ConfigPumped::Finished));
    assert!(scene.end.deadline.is_none(), "nothing is due");
    scene.session.quit(&mut scene.end);
    assert_eq!(scene.end.output, b"QUIT\n");
    assert_eq!(scene.report(), ConfigReport { in_step: 3, ..ConfigReport::default() });
}

#[test]
fn a_content_is_certainly_there_before_its_md5_file_is_sent_and_neither_is_read_back() {
    let mut scene = Scene::extended(2, "edited");
    scene.lists_agents(2).unwrap();
    let (_, pumped) = scene.answers_all(file(&md5_file("old")).repeat(2));
    for pumped in [pumped, ConfigPumped::Blocked] {
        let asked = if pumped == ConfigPumped::Blocked { scene.pump().unwrap() } else { pumped };
        assert!(matches!(asked, ConfigPumped::Ask(_, CentreStep::Read { .. })), "{asked:?}");
        scene.centre_answers(StepOutcome::Read(Some((b"edited".as_slice().into(), Md5Sum::of(b"edited")))));
    }
    assert_eq!(scene.pump().unwrap(), ConfigPumped::Blocked);
    let (first, second) = (key(0), key(1));
    let put = |key: &str| format!("PUT <{key}.conf> SIZE 6\nedited");
    let hash = ContentHash::of(md5_file("old").as_bytes());
    let (asked, pumped) = scene.answers_all("PUT OK\nPUT ERR (file is too big)\n");
    assert_eq!(asked, put(&first) + &put(&second));
    assert_eq!(pumped, ConfigPumped::Blocked);
    let (asked, pumped) = scene.answers_all("PUT OK\n");
    let md5 = md5_file("edited");
    assert_eq!(asked, format!("PUT <{first}.md5> SIZE 32 IF BLAKE3 {hash}\n{md5}"), "of the refused one, none");
    assert_eq!(pumped, ConfigPumped::Finished);
    let report = scene.report();
    assert_eq!((report.pushed.count, report.refused.count), (1, 1));
}

#[test]
fn an_md5_file_that_is_another_by_now_waits_for_the_next_round() {
    for (listed, answer) in [(true, "file has changed"), (true, "file does not exist"), (false, "file already exists")]
    {
        let mut scene = Scene::extended(1, "edited");
        if listed {
            scene.lists_agents(1).unwrap();
            scene.answers_all(file(&md5_file("old")));
        } else {
            scene.answers("LIST <.md5>\n", "LIST SIZE 14 END\n3 17 fc_1.md5\n").unwrap();
        }
        scene.centre_answers(StepOutcome::Read(Some((b"edited".as_slice().into(), Md5Sum::of(b"edited")))));
        scene.pump().unwrap();
        scene.answers_all("PUT OK\n");
        let (asked, pumped) = scene.answers_all(format!("PUT ERR ({answer})\n"));
        assert_eq!(asked.contains("IF ABSENT"), !listed, "{asked}");
        assert_eq!(pumped, ConfigPumped::Finished);
        let report = scene.report();
        assert_eq!((report.waiting.count, report.ended), (1, None), "{answer}");
    }
}

#[test]
fn what_is_deleted_is_proved() {
    let mut scene = Scene::extended(0, "");
    scene.in_step_with([(of(0), Md5Sum::of(b"old").md5)].into_iter().collect());
    scene.lists_agents(1).unwrap();
    scene.answers_all(file(&md5_file("old")));
    let (_, pumped) = scene.answers_all(file("old"));
    Scene::assert_asked(&pumped, &CentreStep::Confirm { item: of(0) });
    scene.goes_on(StepOutcome::Confirmed(true)).unwrap();
    let drop = |end: &str, bytes: &str| {
        let (size, hash) = (bytes.len(), ContentHash::of(bytes.as_bytes()));
        format!("DROP <{}.{end}> SIZE {size} BLAKE3 {hash}\n", key(0))
    };
    let (asked, _) = scene.answers_all("DROP OK\n");
    assert_eq!(asked, drop("conf", "old"));
    let (asked, pumped) = scene.answers_all("DROP ERR (file has changed)\n");
    assert_eq!((asked, pumped), (drop("md5", &md5_file("old")), ConfigPumped::Finished));
    assert_eq!(scene.report().waiting.count, 1);
}

#[test]
fn a_list_without_md5_files_is_asked_for_once_more_as_it_may_be_a_root_s() {
    let mut scene = Scene::extended(1, "edited");
    scene.answers("LIST <.md5>\n", "LIST SIZE 0 END\n").unwrap();
    assert_eq!(scene.lists("conf\nmd5\n").unwrap(), ConfigPumped::Finished);
    assert_eq!(scene.report().ended, Some(EndedEarly::NoFilters));
    // Where it is none, the extension goes on.
    let mut scene = Scene::extended(1, "edited");
    scene.answers("LIST <.md5>\n", "LIST SIZE 0 END\n").unwrap();
    let asked = scene.lists(".\n..\n").unwrap();
    Scene::assert_asked(&asked, &CentreStep::Read { item: of(0) });
    scene.goes_on(StepOutcome::Read(Some((b"edited".as_slice().into(), Md5Sum::of(b"edited"))))).unwrap();
    assert!(scene.end.output.starts_with(b"PUT <"));
}

#[test]
fn a_list_comes_in_pages_and_has_a_bound() {
    let mut scene = Scene::extended(2, "edited");
    let page = |number: usize| format!("32 {number} {}.md5\n", key(number));
    let pages = [page(0), page(1)];
    let size = pages[0].len();
    scene.answers("LIST <.md5>\n", format!("LIST SIZE {size} MORE 1 32\n{}", pages[0])).unwrap();
    let next = format!("LIST <.md5> AFTER 0 <{}.md5>\n", key(0));
    scene.answers(&next, format!("LIST SIZE {size} END\n{}", pages[1])).unwrap();
    let (asked, _) = scene.answers_all("");
    assert_eq!(asked, format!("GET <{}.md5>\nGET <{}.md5>\n", key(0), key(1)));
    let mut scene = Scene::extended(2, "edited");
    let error = scene.answers("LIST <.md5>\n", format!("LIST SIZE {} END\n", 5 << 20)).unwrap_err();
    assert_eq!(error.code(), "listing");
}

#[test]
fn what_is_empty_or_too_large_is_none_and_nothing_is_read_past_for_long() {
    let mut scene = Scene::extended(2, "edited");
    scene.lists_agents(2).unwrap();
    let (_, pumped) = scene.answers_all(format!("GET SIZE 0 MTIME 1\n{}", file(&md5_file("old"))));
    assert!(matches!(pumped, ConfigPumped::Ask(_, CentreStep::Read { .. })), "{pumped:?}");
    let mut scene = Scene::extended(2, "edited");
    scene.lists_agents(2).unwrap();
    let (_, pumped) = scene.answers_all(format!("GET SIZE {} MTIME 1\n", MAX_CONFIGURATION + 1));
    assert_eq!(pumped, ConfigPumped::Exhausted);
    scene.end.output.clear();
    scene.session.quit(&mut scene.end);
    assert!(scene.end.output.is_empty(), "its answer would stand behind the body");
}

#[test]
fn what_was_asked_for_when_a_connection_ends_is_asked_for_on_the_next() {
    let mut scene = Scene::extended(2, "edited");
    scene.lists_agents(2).unwrap();
    scene.end.is_ended = true;
    assert_eq!(scene.pump().unwrap_err().code(), "closed");
    scene.round.interrupted();
    scene.end = ScriptedConnection::new(scene.end.now);
    scene.session = ConfigSession::open(0, Dialect::Unknown);
    scene.answers("RECV <?caps>\n", CAPS).unwrap();
    let (asked, _) = scene.answers_all(file(&md5_file("old")).repeat(2));
    assert_eq!(asked, format!("GET <{}.md5>\nGET <{}.md5>\n", key(0), key(1)));
}

#[test]
fn where_the_site_replaces_no_files_what_is_under_way_ends_and_nothing_more_is_begun() {
    let mut scene = Scene::extended(3, "edited");
    scene.lists_agents(3).unwrap();
    let (_, mut pumped) = scene.answers_all(file(&md5_file("old")).repeat(3));
    for _ in 0..2 {
        assert!(matches!(pumped, ConfigPumped::Ask(_, CentreStep::Read { .. })), "{pumped:?}");
        let read = StepOutcome::Read(Some((b"edited".as_slice().into(), Md5Sum::of(b"edited"))));
        pumped = scene.goes_on(read).unwrap();
    }
    let (_, pumped) = scene.answers_all("PUT ERR (file already exists)\n");
    assert_ne!(pumped, ConfigPumped::Finished, "one is not answered");
    scene.answers_all("PUT ERR (file already exists)\n");
    scene.centre_answers(StepOutcome::Read(None));
    assert_eq!(scene.pump().unwrap(), ConfigPumped::Finished);
    let report = scene.report();
    let waiting = report.waiting.count;
    assert_eq!((report.ended, report.left + waiting), (Some(EndedEarly::NoOverwrite), 3));
}
