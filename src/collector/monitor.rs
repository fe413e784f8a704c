//! What is told of ourselves to the data server: facts from the loop, made into agents' files on another thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::machine::{Disk, Sample};
use crate::config::MonitorSettings;
use crate::mutex::lock;
use crate::obs::{AgentFile, LogThrottle, Module, Thresholds, Value, repeated};
use crate::proto::FileName;
use crate::store::{Spool, StoreError};

/// After the start, the first file comes so soon.
const FIRST: Duration = Duration::from_secs(10);

/// A site is silent that had no good round for so long, and for so many of its intervals.
const SILENT: (Duration, u32) = (Duration::from_secs(300), 3);

/// What is told of a site.
#[derive(Clone, Debug)]
pub(super) struct SiteFacts {
    pub(super) name: Arc<str>,
    pub(super) is_failing: bool,
    /// Since its last good round, or since it is known.
    pub(super) quiet: Duration,
    pub(super) interval: Duration,
    /// What waits there, in files, and the age of the oldest in seconds, 0 where nothing waits; `None` is unknown.
    pub(super) files: Option<u64>,
    pub(super) oldest: Option<u64>,
    /// Of the certificate that ends first.
    pub(super) certificate_days: Option<i64>,
}

/// What is told at a time.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Since 1970.
    pub(super) date: Duration,
    pub(super) sites: Vec<SiteFacts>,
    pub(super) loop_latency: Duration,
    pub(super) sample: Sample,
}

/// Who tells it, and where to.
pub(super) struct Monitor {
    agent: String,
    settings: MonitorSettings,
    spool: Spool,
    due: Instant,
    written: Arc<Mutex<Written>>,
}

/// What was written.
#[derive(Default)]
struct Written {
    /// The last file of each agent.
    last: BTreeMap<String, FileName>,
    log: LogThrottle,
}

impl Monitor {
    /// Tells it from now on, as `settings` say; not at all, where they have no agent.
    pub(super) fn new(settings: &MonitorSettings, spool: Spool, now: Instant) -> Option<Self> {
        let (agent, settings) = (settings.agent.clone()?, settings.clone());
        let due = now + FIRST.min(settings.interval);
        Some(Self { agent, settings, spool, due, written: Arc::default() })
    }

    /// Other settings from now on.
    pub(super) fn replace_by(self, new: Self) -> Self {
        let due = self.due.min(new.due);
        Self { due, written: self.written, ..new }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// What is to be done on another thread to tell `facts`. The next ones are due after the interval.
    pub(super) fn tell(&mut self, facts: Facts, now: Instant) -> Box<dyn FnOnce() + Send> {
        self.due = now + self.settings.interval;
        let (agent, settings) = (self.agent.clone(), self.settings.clone());
        let (spool, written) = (self.spool.clone(), Arc::clone(&self.written));
        Box::new(move || {
            let (time, mut written) = (facts.date, lock(&written));
            for file in files(&agent, &settings, &facts) {
                match written.write(&file, &spool, time) {
                    Ok(()) => {}
                    Err(error) => return written.failed(&error, now),
                }
            }
            if let Some(recovery) = written.log.recovered(now) {
                info!("files about this process are written again: {recovery}");
            }
        })
    }
}

impl Written {
    /// Writes the file, unless the last one of its agent was not taken: then the data server has enough to do.
    fn write(&mut self, file: &AgentFile, spool: &Spool, time: Duration) -> Result<(), StoreError> {
        if self.last.get(&file.agent).is_some_and(|last| spool.is_published(last)) {
            return Ok(());
        }
        // The name of an agent's file is always one.
        let Some(name) = file.name(time.as_secs()) else { return Ok(()) };
        spool.publish_own(&name, file.to_xml().as_bytes(), Duration::from_secs(time.as_secs()))?;
        self.last.insert(file.agent.clone(), name);
        Ok(())
    }

    fn failed(&mut self, error: &StoreError, now: Instant) {
        if let Some(suppressed) = self.log.failed(&error.to_string(), now) {
            warn!("reason=monitor no file about this process is written: {error};{}", repeated(suppressed));
        }
    }
}

impl SiteFacts {
    fn is_silent(&self) -> bool {
        self.quiet >= SILENT.0.max(self.interval.saturating_mul(SILENT.1))
    }

    fn is_good(&self) -> bool {
        !self.is_failing && !self.is_silent()
    }
}

/// The files of all agents.
fn files(agent: &str, settings: &MonitorSettings, facts: &Facts) -> Vec<AgentFile> {
    let (interval, per_site) = (settings.interval.as_secs(), settings.per_site);
    let description = "tentacle-syncd, which collects from isolated networks";
    let mut files = vec![AgentFile { agent: agent.to_owned(), description, interval, modules: of_daemon(facts) }];
    if per_site {
        files.extend(facts.sites.iter().map(|site| AgentFile {
            agent: format!("{agent} {}", site.name),
            description: "an isolated network, as tentacle-syncd sees it",
            interval,
            modules: of_site(site),
        }));
    } else {
        files[0].modules.extend(facts.sites.iter().map(|site| {
            let description = "0 where its last round has failed, or it had no good one for three intervals";
            proc(format!("Site {}", site.name), description, site.is_good())
        }));
    }
    files
}

fn of_daemon(Facts { sites, loop_latency, sample, .. }: &Facts) -> Vec<Module> {
    let count = |which: fn(&SiteFacts) -> bool| count(sites.iter().filter(|site| which(site)).count() as u64);
    let failing = count(|site| site.is_failing);
    let silent = count(SiteFacts::is_silent);
    let mut modules = vec![
        Module {
            name: "Daemon".to_owned(),
            description: "critical where it is not heard of",
            unit: "",
            value: Value::KeepAlive,
            thresholds: Thresholds::None,
        },
        number("Sites failing", "sites whose last round has failed", "", failing, Thresholds::From(1, 1)),
        number("Sites silent", "sites without a good round for three intervals", "", silent, Thresholds::From(1, 1)),
        waiting("Files waiting at sites", sites.iter().filter_map(|site| site.files).sum()),
        number(
            "Loop latency",
            "the longest that anything ready had to wait",
            "ms",
            i64::try_from(loop_latency.as_millis()).unwrap_or(i64::MAX),
            Thresholds::From(1000, 5000),
        ),
    ];
    modules.extend(oldest(oldest_of_all(sites)));
    modules.extend(certificate(sites.iter().filter_map(|site| site.certificate_days).min()));
    let free = sample.disks.iter().filter_map(free_percent).min();
    modules.extend(free.map(|free| {
        number("Disk free", "of the fullest filesystem that is collected to", "%", free, Thresholds::Below(10, 5))
    }));
    modules
}

fn of_site(site: &SiteFacts) -> Vec<Module> {
    let quiet = count(site.quiet.as_secs());
    let mut modules = vec![
        proc(
            "Collection".to_owned(),
            "0 where the last round has failed, or there was no good one for three intervals",
            site.is_good(),
        ),
        number("Last good round", "how long ago", "s", quiet, Thresholds::None),
    ];
    modules.extend(site.files.map(|files| waiting("Files waiting", files)));
    modules.extend(oldest(site.oldest));
    modules.extend(certificate(site.certificate_days));
    modules
}

/// Of files of unknown age alone, it is not known.
fn oldest_of_all(sites: &[SiteFacts]) -> Option<u64> {
    let has_unknown = sites.iter().any(|site| site.oldest.is_none() && site.files.is_some_and(|files| files > 0));
    sites.iter().filter_map(|site| site.oldest).max().filter(|age| *age > 0 || !has_unknown)
}

/// Also where nothing waits: the console takes a module that stays away for unknown, not for normal.
fn oldest(age: Option<u64>) -> Option<Module> {
    let of = |age| {
        let thresholds = Thresholds::From(3600, 6 * 3600);
        number("Oldest waiting file", "the age of the oldest file that was not collected", "s", count(age), thresholds)
    };
    age.map(of)
}

fn waiting(name: &str, files: u64) -> Module {
    number(name, "files that were not collected", "files", count(files), Thresholds::From(10_000, 100_000))
}

fn certificate(days: Option<i64>) -> Option<Module> {
    let of = |days| {
        let description = "of the certificate that ends first";
        number("Certificate days left", description, "days", days, Thresholds::Below(30, 7))
    };
    days.map(of)
}

fn number(name: &str, description: &'static str, unit: &'static str, value: i64, thresholds: Thresholds) -> Module {
    Module { name: name.to_owned(), description, unit, value: Value::Number(value), thresholds }
}

fn proc(name: String, description: &'static str, is_good: bool) -> Module {
    Module { name, description, unit: "", value: Value::Proc(is_good), thresholds: Thresholds::None }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn free_percent(disk: &Disk) -> Option<i64> {
    let (free, total) = disk.space?;
    i64::try_from(u128::from(free) * 100 / u128::from(total.max(1))).ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use std::fs;

    use super::*;

    fn site(name: &str) -> SiteFacts {
        SiteFacts {
            name: name.into(),
            is_failing: false,
            quiet: Duration::from_secs(5),
            interval: Duration::from_secs(30),
            files: Some(0),
            oldest: Some(0),
            certificate_days: None,
        }
    }

    fn facts(sites: Vec<SiteFacts>) -> Facts {
        let disk = |free| Disk { directory: "/".into(), space: Some((free, 200)) };
        let disks = vec![disk(100), disk(8), Disk { directory: "/silent".into(), space: None }];
        let sample = Sample { disks, ..Sample::default() };
        Facts { date: Duration::from_secs(1_700_000_000), sites, loop_latency: Duration::from_millis(7), sample }
    }

    fn settings(per_site: bool) -> MonitorSettings {
        MonitorSettings { agent: Some("us".to_owned()), per_site, ..MonitorSettings::default() }
    }

    fn value(file: &AgentFile, name: &str) -> Option<Value> {
        file.modules.iter().find(|module| module.name == name).map(|module| module.value)
    }

    #[test]
    fn the_daemon_tells_of_all_sites_and_what_is_unknown_is_left_out() {
        let silent = SiteFacts { quiet: Duration::from_secs(300), ..site("silent") };
        let slow = SiteFacts { quiet: Duration::from_secs(300), interval: Duration::from_secs(900), ..site("slow") };
        let bad = SiteFacts {
            is_failing: true,
            files: Some(12),
            oldest: Some(99),
            certificate_days: Some(-1),
            ..site("bad")
        };
        let unknown = SiteFacts { files: None, certificate_days: Some(40), ..site("unknown") };
        let all = files("us", &settings(false), &facts(vec![silent, slow, bad, unknown]));
        let [file] = &all[..] else { panic!("{all:?}") };
        for (name, expected) in [
            ("Daemon", Value::KeepAlive),
            ("Sites failing", Value::Number(1)),
            ("Sites silent", Value::Number(1)),
            ("Files waiting at sites", Value::Number(12)),
            ("Oldest waiting file", Value::Number(99)),
            ("Certificate days left", Value::Number(-1)),
            ("Disk free", Value::Number(4)),
            ("Loop latency", Value::Number(7)),
            ("Site silent", Value::Proc(false)),
            ("Site slow", Value::Proc(true)),
            ("Site bad", Value::Proc(false)),
            ("Site unknown", Value::Proc(true)),
        ] {
            assert_eq!(value(file, name), Some(expected), "{name}");
        }
        let quiet = files("us", &settings(false), &facts(vec![site("a")]));
        assert_eq!(value(&quiet[0], "Certificate days left"), None);
    }

    #[test]
    fn the_age_of_the_oldest_is_told_also_where_nothing_waits_and_not_where_it_is_unknown() {
        let told = |sites| value(&files("us", &settings(false), &facts(sites))[0], "Oldest waiting file");
        let of = |files, oldest| SiteFacts { files, oldest, ..site("b") };
        let (empty, old) = (of(Some(0), Some(0)), of(Some(3), Some(99)));
        let (no_time, not_listed) = (of(Some(3), None), of(None, None));
        assert_eq!(told(vec![empty.clone(), not_listed.clone()]), Some(Value::Number(0)));
        assert_eq!(told(vec![empty.clone(), old.clone(), no_time.clone()]), Some(Value::Number(99)));
        assert_eq!(told(vec![empty, no_time]), None);
        assert_eq!(told(vec![not_listed]), None);
    }

    #[test]
    fn each_site_is_an_agent_where_that_is_asked_for() {
        let bad = SiteFacts { is_failing: true, oldest: Some(7), ..site("b") };
        let files = files("us", &settings(true), &facts(vec![site("a"), bad]));
        let names: Vec<&str> = files.iter().map(|file| file.agent.as_str()).collect();
        assert_eq!(names, ["us", "us a", "us b"]);
        assert_eq!(value(&files[0], "Site a"), None);
        assert_eq!(value(&files[2], "Collection"), Some(Value::Proc(false)));
        assert_eq!(value(&files[2], "Oldest waiting file"), Some(Value::Number(7)));
    }

    #[test]
    fn no_file_follows_one_that_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path()).unwrap();
        let now = Instant::now();
        let mut monitor = Monitor::new(&settings(true), spool, now).unwrap();
        let names = || {
            let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            names.retain(|name| !name.starts_with('.'));
            names.sort();
            names
        };
        let at = |seconds| Facts { date: Duration::from_secs(seconds), ..facts(vec![site("a")]) };
        monitor.tell(at(1_700_000_000), now)();
        assert_eq!(monitor.due(), now + Duration::from_secs(300));
        let first = names();
        assert_eq!(first.len(), 2);
        monitor.tell(at(1_700_000_300), now)();
        assert_eq!(names(), first);
        fs::remove_file(directory.path().join(&first[0])).unwrap();
        monitor.tell(at(1_700_000_600), now)();
        assert_eq!(names().len(), 2);
        assert!(names().iter().any(|name| name.contains("1700000600")), "{:?}", names());
    }
}
