use super::*;

fn agent(number: u32) -> Item {
    Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
}

fn report(waiting: &[Item]) -> ConfigReport {
    let waiting = Named { count: waiting.len(), first: waiting.to_vec() };
    ConfigReport { waiting, ..ConfigReport::default() }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn what_waits_for_minutes_is_named_with_what_to_do() {
    let (mut waiting, start) = (Waiting::default(), now());
    let at = |seconds| start + Duration::from_secs(seconds);
    waiting.saw(&[agent(1), agent(2)], true, at(0));
    assert!(waiting.problem(at(0)).is_none());
    // Rounds that end early see some of them.
    waiting.saw(&[agent(3)], false, at(100));
    waiting.saw(&[agent(1)], false, at(299));
    assert!(waiting.problem(at(299)).is_none());
    let problem = waiting.problem(at(300)).unwrap();
    assert_eq!(problem.code, "remote-config-waiting");
    assert!(problem.text.starts_with(&format!("2 ({}, {}): ", agent(1), agent(2))), "{}", problem.text);
    assert!(problem.text.contains("remove its .md5 file"), "{}", problem.text);
    waiting.saw(&[agent(2)], true, at(400));
    assert!(waiting.problem(at(400)).unwrap().text.starts_with("1 ("), "the others are well");
    waiting.saw(&[], false, at(400 + FORGOTTEN_AFTER.as_secs() + 1));
    assert!(waiting.problem(at(9_999)).is_none());
}

#[test]
fn what_somebody_has_to_see_to_is_logged_by_what_it_is() {
    let beyond = |number| Named { count: 1, first: vec![agent(number)] };
    let of = |number| problem(&ConfigReport { beyond: beyond(number), ..report(&[]) }).unwrap();
    assert_eq!((of(1).code, of(1).key), ("remote-config-bound", of(2).key));
    assert!(of(1).text.contains("remote_config_max_agents"));
    let unpublished = |number, why: &str| {
        let item = (agent(number), format!("/in/conf/{}.conf: {why}", agent(number).stem()));
        let unpublished = Named { count: 1, first: vec![item] };
        problem(&ConfigReport { unpublished, ..report(&[]) }).unwrap()
    };
    assert_eq!(unpublished(1, "exists").key, unpublished(2, "exists").key);
    assert_ne!(unpublished(1, "exists").key, unpublished(1, "no space").key);
    assert!(problem(&report(&[agent(1)])).is_none(), "not before it has waited for long");
}
