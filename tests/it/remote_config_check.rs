//! What `check` finds out about agents' configuration at the centre.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tentacle_sync::proto::Md5Sum;

use crate::daemon::{Outcome, Sandbox, has_line};

const K: &str = "0123456789abcdef0123456789abcdef";

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn put(incoming: &Path, k: &str, content: &str, content_of_md5: &str) {
    write(&incoming.join(format!("conf/{k}.conf")), content.as_bytes(), 0o660);
    let md5 = u128::from_be_bytes(Md5Sum::of(content_of_md5.as_bytes()).md5);
    write(&incoming.join(format!("md5/{k}.md5")), format!("{md5:032x}").as_bytes(), 0o660);
}

fn check(sandbox: &Sandbox) -> Outcome {
    sandbox.run("check", &[])
}

#[test]
fn check_says_which_agents_configurations_fit_and_what_is_in_the_others_way() {
    let sandbox = Sandbox::with_sites(["\n[[site]]\nname = \"plant\"\naddress = \"192.0.2.1\"\n"]);
    let incoming = sandbox.incoming();
    let outcome = check(&sandbox);
    outcome.assert_code(0);
    assert!(!outcome.stdout.contains("remote configuration"), "{outcome}");

    fs::create_dir(incoming.join("conf")).unwrap();
    check(&sandbox).assert_code(0).assert_says(&["warning", "remote configuration", "/md5", "create it"]);

    fs::create_dir(incoming.join("md5")).unwrap();
    for name in ["conf", "md5"] {
        fs::set_permissions(incoming.join(name), Permissions::from_mode(0o2770)).unwrap();
    }
    put(&incoming, K, "agent_name web01\n", "agent_name web01\n");
    let outcome = check(&sandbox);
    outcome.assert_code(0).assert_says(&["ok", "remote configuration", "1 configuration and 0 collections fit"]);
    outcome.assert_says(&["ok", "remote configuration", "/conf is written to by us and by the group"]);
    assert!(!has_line(&outcome.stdout, &["warning", "remote configuration"]), "{outcome}");

    let [edited, closed] = ["a", "b"].map(|digit| digit.repeat(32));
    put(&incoming, &edited, "agent_name web02\n", "agent_name before\n");
    put(&incoming, &closed, "agent_name web03\n", "agent_name web03\n");
    fs::set_permissions(incoming.join(format!("md5/{closed}.md5")), Permissions::from_mode(0o644)).unwrap();
    let outcome = check(&sandbox);
    outcome.assert_code(0).assert_says(&["ok", "remote configuration", "2 configurations and 0 collections fit"]);
    outcome.assert_says(&["warning", &format!("{edited}.conf (agent web02)"), "has the MD5 of other bytes"]);
    outcome.assert_says(&["warning", &format!("{closed}.md5 has mode 0644"), "chmod 0660"]);
}

#[test]
fn check_prints_no_more_than_can_be_read() {
    let sandbox = Sandbox::with_sites(["\n[[site]]\nname = \"plant\"\naddress = \"192.0.2.1\"\n"]);
    let incoming = sandbox.incoming();
    for name in ["conf", "md5"] {
        fs::create_dir(incoming.join(name)).unwrap();
        fs::set_permissions(incoming.join(name), Permissions::from_mode(0o2770)).unwrap();
    }
    (0..60).for_each(|number| put(&incoming, &format!("{number:032x}"), "new", "old"));
    let outcome = check(&sandbox);
    outcome.assert_code(0).assert_says(&["warning", "10 more faults like these"]);
    assert_eq!(outcome.stdout.matches("has the MD5 of other bytes").count(), 50, "{outcome}");
}
