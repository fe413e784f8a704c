//! What the data server's settings mean for what is published for it.
//!
//! As measured with two releases: as soon as two files of one agent wait, the order in which they are taken depends on these
//! settings, and values of counters that come out of order are dropped.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::DataServerConf;
use crate::proto::quoted;

/// What is to be reported, and how bad it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Fine(String),
    Warning(String),
    Problem(String),
}

/// That no data server's settings are known. `usual` is where they were looked for.
pub(super) fn unknown(usual: &Path) -> String {
    format!(
        "no {} here: what the data server makes of the files was not looked at (--pandora-conf names its configuration)",
        quoted(usual)
    )
}

/// What `conf` means for files in the directories `incoming`. `is_ours`: it is our configuration as well. `at_once`: an
/// agent's files are published as they come, and not each once the one before has been taken.
pub(super) fn findings(
    conf: &DataServerConf,
    incoming: &BTreeSet<&Path>,
    is_ours: bool,
    at_once: bool,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = incoming.iter().map(|directory| place(conf, directory)).collect();
    findings.push(order(conf, at_once));
    findings.extend(time(conf));
    if let Some(line) = conf.sync_server_line.filter(|_| !is_ours) {
        let file = quoted(&conf.path);
        findings.push(Finding::Warning(format!(
            "{file}:{line}: syncserver is on: set it to 0 and restart the Pandora FMS server, or it collects from the sites \
             in its sync_address as well"
        )));
    }
    findings
}

/// Whether files land where the data server looks for them.
fn place(conf: &DataServerConf, directory: &Path) -> Finding {
    let (here, there, file) = (quoted(directory), quoted(&conf.incoming_dir), quoted(&conf.path));
    let (at, why) = match conf.incoming_dir_line {
        Some(line) => (format!("{file}:{line}"), "incomingdir"),
        None => (file.to_string(), "the default, since the file has no incomingdir"),
    };
    if is_same(directory, &conf.incoming_dir) {
        return Finding::Fine(format!("the data server takes files from {here} ({at})"));
    }
    Finding::Problem(format!(
        "files land in {here}, and the data server looks for them in {there} ({at}, {why}): set incoming_dir to that; where \
         the files are for another data server, name its file with --pandora-conf"
    ))
}

/// Whether both are one directory, however they are spelled.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// What becomes of the order of an agent's files.
fn order(conf: &DataServerConf, at_once: bool) -> Finding {
    let (file, most) = (quoted(&conf.path), conf.max_queue_files);
    let advice = "leave out publish = \"at-once\"";
    match (at_once, conf.smart_queue) {
        (false, smart_queue) => Finding::Fine(format!(
            "of each agent one file waits at a time (publish = \"paced\"): its files are taken in order with \
             dataserver_smart_queue {} and max_queue_files {most} ({file})",
            u8::from(smart_queue)
        )),
        (true, true) => Finding::Warning(format!(
            "{file}: dataserver_smart_queue 1 takes the newest waiting file of an agent first, by its time in whole seconds, \
             and counters lose the values that come late: of a backlog most of them; {advice}"
        )),
        (true, false) => Finding::Warning(format!(
            "{file}: dataserver_smart_queue 0 takes files in order while at most {most} wait (max_queue_files), and any of \
             them first when there are more: of a larger backlog counters lose values; {advice}"
        )),
    }
}

/// Which time the data gets.
fn time(conf: &DataServerConf) -> Option<Finding> {
    let file = quoted(&conf.path);
    (!conf.use_xml_timestamp).then(|| {
        Finding::Warning(format!(
            "{file}: use_xml_timestamp 0 gives data the time of its file, which is the measurement's where the name has an \
             epoch, and the time of collection where it has none, as with Windows agents: set use_xml_timestamp 1"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf() -> DataServerConf {
        DataServerConf {
            path: "/etc/p.conf".into(),
            incoming_dir: "/no/such/in".into(),
            incoming_dir_line: Some(7),
            smart_queue: true,
            max_queue_files: 5_000,
            use_xml_timestamp: true,
            sync_server_line: None,
            warnings: Vec::new(),
        }
    }

    fn found(conf: &DataServerConf, incoming: &str, at_once: bool) -> Vec<Finding> {
        findings(conf, &BTreeSet::from([Path::new(incoming)]), false, at_once)
    }

    fn has(findings: &[Finding], is_wanted: impl Fn(&Finding) -> bool) -> bool {
        findings.iter().any(is_wanted)
    }

    #[test]
    fn what_is_paced_is_in_order_with_any_queue() {
        for smart_queue in [true, false] {
            let findings = found(&DataServerConf { smart_queue, ..conf() }, "/no/such/in", false);
            assert!(findings.iter().all(|finding| matches!(finding, Finding::Fine(_))), "{findings:?}");
        }
    }

    #[test]
    fn what_is_published_at_once_is_warned_of_with_either_queue() {
        let smart = found(&conf(), "/no/such/in", true);
        assert!(has(&smart, |one| matches!(one, Finding::Warning(text) if text.contains("newest waiting file"))));
        let plain = found(&DataServerConf { smart_queue: false, ..conf() }, "/no/such/in", true);
        assert!(has(&plain, |one| matches!(one, Finding::Warning(text) if text.contains("at most 5000 wait"))));
    }

    #[test]
    fn another_incoming_directory_is_a_problem() {
        let findings = found(&conf(), "/no/such/other", false);
        let named =
            |text: &str| text.contains("/no/such/other") && text.contains("/no/such/in (/etc/p.conf:7, incomingdir)");
        assert!(has(&findings, |one| matches!(one, Finding::Problem(text) if named(text))), "{findings:?}");
        let default = DataServerConf { incoming_dir_line: None, ..conf() };
        let findings = found(&default, "/no/such/other", false);
        assert!(
            has(&findings, |one| matches!(one, Finding::Problem(text) if text.contains("the default"))),
            "{findings:?}"
        );
    }

    #[test]
    fn a_directory_by_another_spelling_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("in"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(is_same(&real, &link));
        assert!(!is_same(&real, dir.path()));
    }

    #[test]
    fn times_of_files_and_a_sync_server_are_warned_of() {
        let conf = DataServerConf { use_xml_timestamp: false, sync_server_line: Some(3), ..conf() };
        let found = found(&conf, "/no/such/in", false);
        assert!(has(&found, |one| matches!(one, Finding::Warning(text) if text.contains("use_xml_timestamp 0"))));
        let is_sync =
            |one: &Finding| matches!(one, Finding::Warning(text) if text.starts_with("/etc/p.conf:3: syncserver"));
        assert!(has(&found, is_sync));
        let ours = findings(&conf, &BTreeSet::new(), true, false);
        assert!(!has(&ours, is_sync), "it is warned of already");
    }
}
