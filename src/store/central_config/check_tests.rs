use std::fs::{Permissions, remove_file, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use super::super::testing::Incoming;
use super::super::unfit::Unfit;
use super::*;

/// As a package of Pandora FMS makes it.
fn incoming() -> Incoming {
    let incoming = Incoming::new();
    for name in ["conf", "md5"] {
        set_permissions(incoming.path().join(name), Permissions::from_mode(0o2770)).unwrap();
    }
    incoming
}

fn put(incoming: &Incoming, number: u32, bytes: &[u8]) -> Item {
    let item = incoming.put(number, bytes);
    for path in [incoming.content(&item), incoming.md5(&item)] {
        set_permissions(path, Permissions::from_mode(0o660)).unwrap();
    }
    item
}

/// The findings that are not fine.
fn faults(incoming: &Incoming) -> Vec<CentralFinding> {
    check_pairs(incoming.path()).into_iter().filter(|finding| !finding.is_fine()).collect()
}

#[test]
fn what_is_as_it_should_be_is_counted() {
    let incoming = incoming();
    put(&incoming, 1, b"file_collection fc_1\n");
    put(&incoming, 2, b"agent_name a\n");
    let collection = Item::collection("fc_1").unwrap();
    incoming.write_content(&collection, b"zip");
    incoming.write_md5(&collection, b"zip");
    let [CentralFinding::Directory { .. }, CentralFinding::Directory { path, .. }, fit] =
        &check_pairs(incoming.path())[..]
    else {
        panic!("{:?}", check_pairs(incoming.path()))
    };
    assert_eq!(*path, incoming.path().join("md5"));
    assert_eq!(*fit, CentralFinding::Fit { configurations: 2, collections: 1 });
    let text = fit.to_string();
    assert!(text.contains("2 configurations and 1 collection fit"), "{text}");
}

#[test]
fn what_does_not_fit_is_named_with_its_agent_and_what_to_do() {
    let incoming = incoming();
    let [edited, alone] = [(1, "web01"), (2, "web02")]
        .map(|(number, agent)| put(&incoming, number, format!("agent_name {agent}\n").as_bytes()));
    incoming.write_md5(&edited, b"what was there before");
    remove_file(incoming.md5(&alone)).unwrap();
    let faults = faults(&incoming);
    let [CentralFinding::Unfit(first), CentralFinding::Unfit(second)] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!((&first.item, &first.why), (&edited, &Unfit::OtherBytes));
    assert_eq!((&second.item, &second.why), (&alone, &Unfit::NoMd5));
    let text = faults[0].to_string();
    for part in [".conf (agent web01)", ".md5 has the MD5 of other bytes", "save the configuration"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn rights_that_the_console_lacks_are_told() {
    let incoming = incoming();
    let [closed, foreign, of_the_console] =
        [1, 2, 3].map(|number| incoming.content(&put(&incoming, number, b"agent_name a\n")));
    set_permissions(&closed, Permissions::from_mode(0o644)).unwrap();
    set_permissions(incoming.path().join("md5"), Permissions::from_mode(0o755)).unwrap();
    let is_root = chown(&foreign, None, Some(4321)).is_ok();
    if is_root {
        set_permissions(&of_the_console, Permissions::from_mode(0o644)).unwrap();
        chown(&of_the_console, Some(33), None).unwrap();
    }
    let faults = faults(&incoming);
    let rights = |fault: &CentralFinding| match fault {
        CentralFinding::Rights { path, mode: 0o755, .. }
        | CentralFinding::FileRights { path, mode: 0o644 | 0o660, .. } => path.clone(),
        other => panic!("{other:?}"),
    };
    let expected = [incoming.path().join("md5"), closed, foreign];
    assert_eq!(faults.iter().map(rights).collect::<Vec<_>>(), expected[..if is_root { 3 } else { 2 }]);
    assert!(faults[1].to_string().contains("mode 0644"), "{}", faults[1]);
}

#[test]
fn directories_that_are_not_there_are_told() {
    let incoming = incoming();
    std::fs::remove_dir(incoming.path().join("md5")).unwrap();
    let [CentralFinding::Unusable(error)] = &faults(&incoming)[..] else { panic!("{:?}", faults(&incoming)) };
    assert!(error.is_missing() && error.path() == Some(&incoming.path().join("md5")), "{error}");
}
