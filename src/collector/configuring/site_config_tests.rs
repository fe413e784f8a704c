use super::*;
use crate::proto::Md5Sum;
use crate::sync::remote_config::CentreItem;

fn agent(number: u32) -> Item {
    Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
}

#[test]
fn what_a_site_owns_at_the_centre_counts_whether_it_is_in_step_or_not() {
    let content = Md5Sum { size: 100, ..Md5Sum::of(b"") };
    let has = || CentreItem { content: Some(content), ..CentreItem::default() };
    let centre = Centre { items: (1..=4).map(|number| (agent(number), has())).collect() };
    let mut settings = SiteSettings::new("site", "address");
    (settings.remote_config_max_agents, settings.remote_config_max_bytes) = (10, 1_000);
    let left = |in_step: &InStep, settings: &SiteSettings| {
        let Allowance { items, bytes } = allowance(in_step, &centre, settings);
        (items, bytes)
    };
    assert_eq!(left(&InStep::default(), &settings), (10, 1_000));
    let collection = Item::collection("fc_1").unwrap();
    let mut in_step: InStep =
        [agent(1), agent(2), agent(9), collection].into_iter().map(|item| (item, [0; 16])).collect();
    assert_eq!(left(&in_step, &settings), (8, 800), "configurations that are here");
    in_step.own(agent(3));
    assert_eq!(left(&in_step, &settings), (7, 700));
    settings.remote_config_max_bytes = 250;
    assert_eq!(left(&in_step, &settings), (7, 0));
}
