//! `status`: the daemon and its sites at a glance.

mod details;
mod notes;
mod offline;

use std::cmp::Reverse;
use std::fmt;

use clap::ValueEnum;

pub(super) use self::details::details;
use self::notes::notes;
use self::offline::offline;
use super::super::{FAILURE, Outcome, SUCCESS};
use super::args::ControlArgs;
use super::daemon::DaemonClient;
use crate::cli::control::ControlError;
use crate::cli::screen::{WIDTH, bytes, cut, duration, number, wrapped, wrapped_at};
use crate::control::{
    AgeSourceAnswer, Answer, BandwidthAnswer, Command, DaemonAnswer, DiskAnswer, Listed, SiteAnswer, SiteState,
    StatusReport, to_json,
};
use crate::obs::Output;
use crate::proto::{Count, quoted, shown};

/// Of a site's name, so much is shown.
const NAME: usize = 22;

/// Sites whose problems are told, where not all are asked for by name.
const PROBLEMS: usize = 10;

/// What stands in place of the table where there is nothing to show.
const NO_SITE: &str = "no site is configured, or all have enabled = false: add [[site]] with name and address to the \
                       configuration, and then run `tentacle-syncd reload`";

/// What is above the table.
pub(super) const HEADINGS: [&str; 8] = ["", "SITE", "STATE", "WAITING", "OLDEST", "COLLECTED", "LAST OK", "NEXT"];

/// The marks of a site that fails, and of one that has another problem.
pub(super) const WORST_MARKS: [&str; 2] = ["!", "?"];

/// Which site comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli::syncd) enum Order {
    /// The one that fails, for the longest; then other problems, and where the oldest files wait.
    #[default]
    Worst,
    /// Where the oldest file waits.
    Age,
    /// Where the most files wait.
    Waiting,
    /// By name.
    Name,
}

/// Prints what is known of `sites`, or of all. The exit status says whether any of them fails.
pub(in crate::cli::syncd) fn status(arguments: &ControlArgs, sites: &[String], json: bool, order: Order) -> Outcome {
    let client = DaemonClient::find(arguments);
    let (mut daemon, mut found) = (None, Vec::new());
    let asked = client.ask(&Command::Status { sites: sites.to_vec() }, |answer| match answer {
        Answer::Daemon(answer) => daemon = Some(answer),
        Answer::Site(site) => found.push(*site),
        _ => {}
    });
    match (asked, client.state_dir()) {
        (Ok(()), _) => {}
        (Err(why @ ControlError::NotRunning { .. }), Some(state_dir)) => return offline(why, state_dir, sites, json),
        (Err(error), _) => return Err(error.into()),
    }
    let daemon = daemon.ok_or("tentacle-syncd answered without a word about itself")?;
    order.sort(&mut found);
    let mut out = Output::default();
    if json {
        out.file(&(to_json(&StatusReport::new(&daemon, &found)) + "\n"));
    } else {
        let told = if sites.is_empty() { PROBLEMS } else { found.len() };
        for line in render(&daemon, &found, told) {
            out.line(line);
        }
        for site in found.iter().filter(|_| !sites.is_empty()) {
            out.line("");
            for line in details(site) {
                out.line(line);
            }
        }
    }
    out.finish()?;
    Ok(if found.iter().any(|site| site.is_failing) { FAILURE } else { SUCCESS })
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worst => "worst",
            Self::Age => "age",
            Self::Waiting => "waiting",
            Self::Name => "name",
        })
    }
}

impl Order {
    /// The one after it, and after the last the first.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Worst => Self::Age,
            Self::Age => Self::Waiting,
            Self::Waiting => Self::Name,
            Self::Name => Self::Worst,
        }
    }

    pub(super) fn sort(self, sites: &mut [SiteAnswer]) {
        sites.sort_by(|one, other| one.name.cmp(&other.name));
        let age = |site: &SiteAnswer| Reverse(oldest(site));
        let waiting = |site: &SiteAnswer| Reverse(site.waiting.map_or(0, |waiting| waiting.files));
        match self {
            Self::Worst => sites.sort_by_key(|site| {
                // A site that never had a good round has failed for as long as is known.
                let since = site.last_success_seconds.unwrap_or(u64::MAX);
                let failing = site.is_failing.then_some(since);
                let is_odd = site.problem.is_some() || matches!(site.state, SiteState::Paused | SiteState::HeldUp);
                (Reverse(failing), !is_odd, age(site), waiting(site))
            }),
            Self::Age => sites.sort_by_key(age),
            Self::Waiting => sites.sort_by_key(waiting),
            Self::Name => {}
        }
    }
}

fn oldest(site: &SiteAnswer) -> Option<u64> {
    site.waiting.and_then(|waiting| waiting.oldest_seconds)
}

/// All of it, in lines of at most [`WIDTH`] characters. Of `told` sites that have a problem, it is told.
fn render(daemon: &DaemonAnswer, sites: &[SiteAnswer], told: usize) -> Vec<String> {
    let mut lines = head(daemon);
    if sites.is_empty() {
        lines.push(String::new());
        lines.extend(wrapped(NO_SITE, ""));
        return lines;
    }
    lines.push(String::new());
    lines.push(row(HEADINGS.map(str::to_owned)));
    lines.extend(sites.iter().map(|site| row(cells(site))));
    let with_problem: Vec<&SiteAnswer> = sites.iter().filter(|site| site.problem.is_some()).collect();
    for site in with_problem.iter().take(told) {
        lines.push(String::new());
        lines.extend(problem(site));
    }
    if let Some(more @ 1..) = with_problem.len().checked_sub(told) {
        lines.push(String::new());
        lines.push(format!("and {} with a problem: name one to see it", Count(more, "more site")));
    }
    lines.extend(notes(sites));
    lines
}

fn head(daemon: &DaemonAnswer) -> Vec<String> {
    let DaemonAnswer { program_version, pid, uptime_seconds, sites, failing, rounds, connections, .. } = daemon;
    let up = duration(*uptime_seconds);
    let fail = if *failing == 1 { "fails" } else { "fail" };
    let waited = daemon.longest_loop_wait_microseconds.div_ceil(1000);
    let (files, committing) = (Count(daemon.unpublished.files, "file"), daemon.committing);
    [
        format!(
            "tentacle-syncd {program_version}, process {pid}, up {up}: {}, {failing} {fail}",
            Count(*sites, "site")
        ),
        format!(
            "{} under way, {}; {files} unpublished, {committing} being committed; the loop waited {waited} ms at the longest",
            Count(*rounds, "round"),
            Count(*connections, "connection"),
        ),
        bandwidth(&daemon.bwlimit).map(|limit| format!("all sites together: {limit}")).unwrap_or_default(),
        machine(daemon),
    ]
    .iter()
    .filter(|line| !line.is_empty())
    .flat_map(|line| wrapped(line, ""))
    .collect()
}

/// A limit on bandwidth, if there is one.
fn bandwidth(BandwidthAnswer { timetable, bytes_per_second }: &BandwidthAnswer) -> Option<String> {
    let now =
        bytes_per_second.map_or_else(|| "no limit".to_owned(), |rate| format!("at most {} a second", bytes(rate)));
    match timetable.as_str() {
        "" | "off" => None,
        always if !always.contains(',') => Some(now),
        timetable => Some(format!("{now} now ({})", shown(timetable))),
    }
}

/// What the machine has, and what it takes.
fn machine(daemon: &DaemonAnswer) -> String {
    let mut texts = Vec::new();
    if daemon.commits.groups > 0 {
        let [last, longest] =
            [daemon.commits.last_microseconds, daemon.commits.longest_microseconds].map(|time| time.div_ceil(1000));
        let files = Count(daemon.commits.last_group_files, "file");
        texts.push(format!("the last {files} took {last} ms to flush, at the longest {longest} ms"));
    }
    let sizes = [("memory", daemon.memory_bytes), ("journal", daemon.journal_bytes)];
    texts.extend(sizes.iter().filter_map(|(what, size)| Some(format!("{what} {}", bytes((*size)?)))));
    let disk = |DiskAnswer { directory, free_bytes, .. }: &DiskAnswer| match free_bytes {
        Some(free) => format!("{} free in {}", bytes(*free), quoted(directory)),
        None => format!("{} does not answer", quoted(directory)),
    };
    texts.extend(daemon.disks.iter().map(disk));
    texts.join("; ")
}

/// A line of the table.
pub(super) fn row([mark, name, state, waiting, oldest, collected, last, next]: [String; 8]) -> String {
    let line = format!("{mark:1} {name:NAME$} {state:11} {waiting:>8} {oldest:>6} {collected:>9} {last:>7} {next:>6}");
    line.trim_end().to_owned()
}

pub(super) fn cells(site: &SiteAnswer) -> [String; 8] {
    let [failing, odd] = WORST_MARKS;
    let mark = match (site.is_failing, &site.problem) {
        (true, _) => failing,
        (false, Some(_)) => odd,
        (false, None) => "",
    };
    let unknown = || "?".to_owned();
    let oldest = match site.waiting {
        Some(Listed { files: 0, .. }) => String::new(),
        Some(Listed { oldest_seconds: Some(age), age_source: AgeSourceAnswer::Written, .. }) => duration(age),
        Some(Listed { oldest_seconds: Some(age), .. }) => format!("~{}", duration(age)),
        _ => unknown(),
    };
    [
        mark.to_owned(),
        cut(&quoted(&site.name).to_string(), NAME),
        word(site.state).to_owned(),
        site.waiting.map_or_else(unknown, |waiting| number(waiting.files)),
        oldest,
        number(site.collected.files),
        site.last_success_seconds.map_or_else(|| "never".to_owned(), duration),
        site.next_round_seconds.map(duration).unwrap_or_default(),
    ]
}

/// What is wrong with a site, and what to do.
pub(super) fn problem(site: &SiteAnswer) -> Vec<String> {
    let Some(problem) = &site.problem else { return Vec::new() };
    let name = quoted(&site.name);
    let mark = if site.is_failing { '!' } else { '?' };
    let since = duration(problem.since_seconds);
    let rounds = match problem.failures {
        0 => format!("for {since}"),
        failures => format!("{} in a row failed, for {since}", Count(failures, "round")),
    };
    let first = format!("{mark} {name} ({}): {}, {rounds}", site.address, problem.reason);
    let mut lines = wrapped(&first, "  ");
    lines.extend(wrapped_at(&problem.message, "", WIDTH - 4).into_iter().map(|line| format!("    {line}")));
    lines
}

fn word(state: SiteState) -> &'static str {
    match state {
        SiteState::Waiting => "waiting",
        SiteState::Connecting => "connecting",
        SiteState::Collecting => "collecting",
        SiteState::BackingOff => "backing off",
        SiteState::HeldUp => "held up",
        SiteState::Paused => "paused",
        SiteState::Unusable => "unusable",
        SiteState::Leaving => "leaving",
        SiteState::Unknown => "?",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::{Amount, CommitsAnswer, ProblemAnswer, ProtocolAnswer, RateAnswer};

    pub(in super::super) fn site(name: &str) -> SiteAnswer {
        SiteAnswer {
            name: name.to_owned(),
            address: "10.1.2.3:41121".to_owned(),
            state: SiteState::Waiting,
            state_seconds: 1,
            is_failing: false,
            last_success_seconds: Some(8),
            quiet_seconds: 8,
            interval_seconds: 30,
            problem: None,
            waiting: Some(Listed { listed_seconds: 8, ..Listed::default() }),
            collected: Amount { files: 12, bytes: 3 },
            here: Amount::default(),
            rates: [RateAnswer::default(); 3],
            drain_seconds: None,
            last_round: None,
            bwlimit: BandwidthAnswer::default(),
            connections: 0,
            protocol: ProtocolAnswer::Unknown,
            encryption: None,
            clock: None,
            configuration: None,
            site_certificate_days: None,
            own_certificate_days: None,
            not_taken: Vec::new(),
            not_taken_has_more: false,
            next_round_seconds: Some(21),
        }
    }

    fn waiting(name: &str, files: u64, oldest_seconds: u64) -> SiteAnswer {
        let listed = Listed { files, oldest_seconds: Some(oldest_seconds), listed_seconds: 3, ..Listed::default() };
        SiteAnswer { waiting: Some(listed), ..site(name) }
    }

    pub(in super::super) fn failing(name: &str, last_success_seconds: Option<u64>) -> SiteAnswer {
        let problem = ProblemAnswer {
            reason: "connect".to_owned(),
            message: format!("cannot connect: {}", "what to do about it ".repeat(10).trim_end()),
            failures: 12,
            since_seconds: 1860,
        };
        let (is_failing, problem) = (true, Some(problem));
        SiteAnswer {
            state: SiteState::BackingOff,
            is_failing,
            problem,
            last_success_seconds,
            ..waiting(name, 120, 2040)
        }
    }

    pub(in super::super) fn daemon() -> DaemonAnswer {
        DaemonAnswer {
            program_version: "1.2.3".to_owned(),
            pid: 4711,
            time: 1_700_000_000,
            uptime_seconds: 90_000,
            sites: 3,
            failing: 1,
            rounds: u64::MAX,
            connections: 1,
            max_connections: 1024,
            longest_loop_wait_microseconds: 1,
            committing: 0,
            unpublished: Amount::default(),
            bwlimit: BandwidthAnswer::default(),
            commits: CommitsAnswer::default(),
            memory_bytes: None,
            journal_bytes: None,
            disks: Vec::new(),
        }
    }

    #[test]
    fn a_limit_on_bandwidth_is_told_where_there_is_one() {
        let told = |timetable: &str, bytes_per_second| {
            bandwidth(&BandwidthAnswer { timetable: timetable.to_owned(), bytes_per_second })
        };
        assert_eq!(told("", None), None);
        assert_eq!(told("off", None), None);
        assert_eq!(told("10M", Some(10 << 20)).unwrap(), "at most 10 MiB a second");
        assert_eq!(told("08:00,1M 19:00,off", None).unwrap(), "no limit now (08:00,1M 19:00,off)");
        let limited = DaemonAnswer {
            bwlimit: BandwidthAnswer { timetable: "64K".to_owned(), bytes_per_second: Some(65_536) },
            ..daemon()
        };
        let line = "all sites together: at most 64 KiB a second";
        assert!(head(&limited).contains(&line.to_owned()) && !head(&daemon()).contains(&line.to_owned()));
    }

    fn sorted(order: Order, mut sites: Vec<SiteAnswer>) -> Vec<String> {
        order.sort(&mut sites);
        sites.into_iter().map(|site| site.name).collect()
    }

    #[test]
    fn the_worst_comes_first() {
        let kept = SiteAnswer { is_failing: false, ..failing("kept", Some(1)) };
        let paused = SiteAnswer { state: SiteState::Paused, ..site("paused") };
        let sites = || {
            vec![
                site("b"),
                waiting("young", 900, 10),
                waiting("old", 1, 99),
                paused.clone(),
                kept.clone(),
                failing("recent", Some(5)),
                site("a"),
                failing("long", Some(500)),
                failing("ever", None),
            ]
        };
        let worst = ["ever", "long", "recent", "kept", "paused", "old", "young", "a", "b"];
        assert_eq!(sorted(Order::Worst, sites()), worst);
        assert_eq!(sorted(Order::Waiting, sites())[0], "young");
        assert_eq!(sorted(Order::Age, sites())[..5], ["ever", "kept", "long", "recent", "old"]);
        assert_eq!(sorted(Order::Name, sites())[0], "a");
    }

    #[test]
    fn a_site_is_a_line_and_its_problem_follows_the_table() {
        let sites = [failing("plant-7", Some(1860)), site("plant-8"), SiteAnswer { waiting: None, ..site("new") }];
        let lines = render(&daemon(), &sites, 10);
        assert_eq!(lines[0], "tentacle-syncd 1.2.3, process 4711, up 25h: 3 sites, 1 fails");
        let table = lines.iter().position(|line| line.starts_with("  SITE")).unwrap();
        assert_eq!(
            lines[table..table + 6],
            [
                "  SITE                   STATE        WAITING OLDEST COLLECTED LAST OK   NEXT",
                "! plant-7                backing off      120   ~34m        12     31m    21s",
                "  plant-8                waiting            0               12      8s    21s",
                "  new                    waiting            ?      ?        12      8s    21s",
                "",
                "! plant-7 (10.1.2.3:41121): connect, 12 rounds in a row failed, for 31m",
            ]
        );
        assert!(lines[table + 6].starts_with("    cannot connect: what to do"), "{lines:#?}");
    }

    #[test]
    fn no_line_is_longer_than_a_terminal_whatever_the_values() {
        let huge = u64::MAX;
        let mut monster = failing(&"n\u{1b}ame ".repeat(100), Some(huge));
        monster.address = "a".repeat(300);
        monster.collected.files = huge;
        monster.next_round_seconds = Some(huge);
        monster.waiting =
            Some(Listed { files: huge, oldest_seconds: Some(huge), listed_seconds: huge, ..Listed::default() });
        for name in ["short", "a-name-of-more-than-twenty-two-characters"] {
            let sites = [monster.clone(), SiteAnswer { name: name.to_owned(), ..monster.clone() }];
            let lines = render(&daemon(), &sites, 1);
            for line in &lines {
                assert!(line.chars().count() <= WIDTH && !line.contains('\u{1b}'), "{line}");
            }
            assert_eq!(lines.last().unwrap(), "and 1 more site with a problem: name one to see it");
        }
        let none = render(&daemon(), &[], 1).join(" ");
        assert!(none.contains("no site is configured") && none.contains("tentacle-syncd reload"), "{none}");
    }
}
