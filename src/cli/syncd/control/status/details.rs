//! All that is known of one site.

use super::bandwidth;
use crate::cli::screen::{WIDTH, bytes, cut, duration, number, wrapped_at};
use crate::control::{
    AgeClass, AgeSourceAnswer, ClockAnswer, ConfigurationAnswer, Listed, NotTakenAnswer, ProtocolAnswer, RateAnswer,
    SiteAnswer,
};
use crate::proto::{Count, quoted, shown};

/// Of a line's title, so much is shown.
const TITLE: usize = 14;

/// Files that are named.
const NAMES: usize = 10;

/// In lines of at most [`WIDTH`] characters.
pub(in super::super) fn details(site: &SiteAnswer) -> Vec<String> {
    let mut lines = vec![cut(&quoted(&site.name).to_string(), WIDTH)];
    let mut add = |title: &str, text: &str| {
        let wrapped = wrapped_at(text, "", WIDTH - 2 - TITLE);
        for (number, line) in wrapped.into_iter().enumerate() {
            let title = if number == 0 { title } else { "" };
            lines.push(format!("  {title:TITLE$}{line}"));
        }
    };
    add("server", &server(site));
    if let Some(seen) = &site.clock {
        add("clock", &clock(seen));
    }
    if let Some(text) = certificates(site) {
        add("certificates", &text);
    }
    match &site.waiting {
        None => add("waiting", "unknown: nothing was listed so far"),
        Some(listed) => {
            add("waiting", &waiting(listed));
            if listed.files > 0 {
                add("ages", &ages(listed));
                add("collected in", &site.drain_seconds.map_or_else(|| "unknown".to_owned(), duration));
            }
        }
    }
    let here = Count(site.here.files, "file");
    let collected = Count(site.collected.files, "file");
    add("collected", &format!("{collected}, {}; {here} still here", bytes(site.collected.bytes)));
    add("rate", &rates(site));
    if let Some(known) = &site.configuration {
        add("configuration", &configuration(known));
    }
    if let Some(limit) = bandwidth(&site.bwlimit) {
        add("bandwidth", &limit);
    }
    if let Some(round) = site.last_round {
        let (took, late) = (milliseconds(round.took_milliseconds), milliseconds(round.late_milliseconds));
        add("last round", &format!("took {took}, began {late} late, ended {} ago", duration(round.ended_seconds)));
    }
    add("connections", &site.connections.to_string());
    for (number, file) in site.not_taken.iter().take(NAMES).enumerate() {
        add(if number == 0 { "not taken" } else { "" }, &not_taken(file));
    }
    if site.not_taken.len() > NAMES || site.not_taken_has_more {
        add("", "and others: --json names up to 100");
    }
    lines
}

fn server(site: &SiteAnswer) -> String {
    let protocol = match site.protocol {
        ProtocolAnswer::Stock => "stock",
        ProtocolAnswer::Extension => "tentacle_server of tentacle-sync",
        ProtocolAnswer::Unknown => "spoken to as to stock",
    };
    let encryption = match site.encryption.as_deref() {
        None => "no connection so far".to_owned(),
        Some("none") => "not encrypted".to_owned(),
        Some(version) => shown(version),
    };
    format!("{}, {protocol}, {encryption}", shown(&site.address))
}

fn configuration(known: &ConfigurationAnswer) -> String {
    match known.oldest_seconds {
        None => "nothing waits to be sent there".to_owned(),
        Some(age) if known.waiting == 1 => format!("an item waits to be sent there, for {}", duration(age)),
        Some(age) => {
            format!("{} items wait to be sent there, the first for {}", number(known.waiting), duration(age))
        }
    }
}

/// By how much the site's is ahead of ours, or behind.
fn clock(seen: &ClockAnswer) -> String {
    let ClockAnswer { ahead_milliseconds: ahead, uncertainty_milliseconds: uncertainty, seen_seconds } = seen;
    let uncertainty = milliseconds(*uncertainty);
    let difference = match ahead {
        0 => "as ours".to_owned(),
        1.. => format!("{} ahead of ours", milliseconds(ahead.unsigned_abs())),
        ..0 => format!("{} behind ours", milliseconds(ahead.unsigned_abs())),
    };
    format!("{difference}, up to {uncertainty} more or less; seen {} ago", duration(*seen_seconds))
}

fn certificates(site: &SiteAnswer) -> Option<String> {
    let left = |whose: &str, days: Option<i64>| {
        Some(match days? {
            days @ ..0 => format!("{whose} has expired {} ago", Count(days.unsigned_abs(), "day")),
            days => format!("{whose} has {} left", Count(days.unsigned_abs(), "day")),
        })
    };
    let both = [left("the site's", site.site_certificate_days), left("ours", site.own_certificate_days)];
    let texts: Vec<String> = both.into_iter().flatten().collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn waiting(listed: &Listed) -> String {
    let size = listed.bytes.map_or_else(|| "size unknown".to_owned(), bytes);
    let oldest = match listed.oldest_seconds {
        _ if listed.files == 0 => String::new(),
        None => "; age unknown".to_owned(),
        Some(age) => format!("; the oldest {}", duration(age)),
    };
    format!("{}, {size}{oldest}; listed {} ago", Count(listed.files, "file"), duration(listed.listed_seconds))
}

/// The histogram, as of the listing.
fn ages(listed: &Listed) -> String {
    let class = |class: &AgeClass| {
        let up_to = class.up_to_seconds.map_or_else(|| "older".to_owned(), |age| format!("up to {}", duration(age)));
        (class.files > 0).then(|| format!("{up_to}: {}", number(class.files)))
    };
    let mut texts: Vec<String> = listed.ages.iter().filter_map(class).collect();
    if listed.ages_unknown > 0 {
        texts.push(format!("unknown: {}", number(listed.ages_unknown)));
    }
    let source = match listed.age_source {
        AgeSourceAnswer::Names => "by the times in their names",
        AgeSourceAnswer::Written => "by the site's clock",
        AgeSourceAnswer::Unknown => "by another clock",
    };
    format!("{} ({source})", texts.join(", "))
}

/// Each over its time. Where there was less, the next would say the same once more.
fn rates(site: &SiteAnswer) -> String {
    let rate = |rate: &RateAnswer| {
        let span = if rate.is_short() { duration(rate.seconds) } else { format!("{} min", rate.minutes) };
        format!("{} files/h, {}/h over {span}", number(rate.files_per_hour), bytes(rate.bytes_per_hour))
    };
    let whole = site.rates.iter().take_while(|rate| !rate.is_short()).count();
    site.rates.iter().take(whole + 1).map(rate).collect::<Vec<_>>().join("; ")
}

fn not_taken(NotTakenAnswer { name, reason }: &NotTakenAnswer) -> String {
    format!("{}: {}", quoted(name), shown(reason))
}

fn milliseconds(count: u64) -> String {
    if count < 10_000 { format!("{count} ms") } else { duration(count / 1000) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::site;
    use super::*;
    use crate::control::{Amount, BandwidthAnswer, RoundAnswer};

    #[test]
    fn a_site_is_told_of_in_full_and_what_is_unknown_is_said_to_be() {
        let mut told = site("plant-7");
        told.waiting = None;
        let lines = details(&told);
        assert_eq!(lines[0], "plant-7");
        assert_eq!(lines[1], "  server        10.1.2.3:41121, spoken to as to stock, no connection so far");
        assert_eq!(lines[2], "  waiting       unknown: nothing was listed so far");
        let mut ages = [AgeClass::default(); 7];
        ages[1] = AgeClass { up_to_seconds: Some(300), files: 3 };
        ages[6].files = 4;
        let listed =
            Listed { files: 8, bytes: None, oldest_seconds: Some(99_999), ages, ages_unknown: 1, ..Listed::default() };
        told.waiting = Some(listed);
        told.encryption = Some("TLS 1.3".to_owned());
        told.protocol = ProtocolAnswer::Stock;
        told.configuration = Some(ConfigurationAnswer { waiting: 2, oldest_seconds: Some(300) });
        told.clock = Some(ClockAnswer { ahead_milliseconds: -12_345, uncertainty_milliseconds: 301, seen_seconds: 90 });
        (told.site_certificate_days, told.own_certificate_days) = (Some(-2), Some(1));
        let rate = RateAnswer { minutes: 1, seconds: 97, files_per_hour: 60, bytes_per_hour: 123_456 };
        let short = RateAnswer { minutes: 15, seconds: 300, ..rate };
        told.rates = [rate, short, RateAnswer { minutes: 60, ..short }];
        told.last_round = Some(RoundAnswer { ended_seconds: 3, took_milliseconds: 12_345, late_milliseconds: 0 });
        told.drain_seconds = Some(480);
        told.bwlimit =
            BandwidthAnswer { timetable: "08:00,512K 19:00,off".to_owned(), bytes_per_second: Some(524_288) };
        let text = details(&told).join("\n");
        for expected in [
            "  server        10.1.2.3:41121, stock, TLS 1.3",
            "  clock         12s behind ours, up to 301 ms more or less; seen 90s ago",
            "  certificates  the site's has expired 2 days ago, ours has 1 day left",
            "  waiting       8 files, size unknown; the oldest 27h; listed 0s ago",
            "  ages          up to 5m: 3, older: 4, unknown: 1 (by the times in their names)",
            "  collected in  8m",
            "  rate          60 files/h, 120 KiB/h over 1 min; 60 files/h, 120 KiB/h over 5m\n",
            "  configuration 2 items wait to be sent there, the first for 5m",
            "  bandwidth     at most 512 KiB a second now (08:00,512K 19:00,off)",
            "  last round    took 12s, began 0 ms late, ended 3s ago",
        ] {
            assert!(text.contains(expected), "{expected:?} in {text}");
        }
    }

    #[test]
    fn lines_stay_within_a_terminal_whatever_the_values() {
        let mut told = site(&"n\u{1b}ame ".repeat(2000));
        told.address = "a\u{1b}".repeat(5000);
        told.encryption = Some("\u{9b}2J".repeat(5000));
        told.collected = Amount { files: u64::MAX, bytes: u64::MAX };
        let file = NotTakenAnswer { name: "f\u{202e}".repeat(300), reason: "why\n".repeat(1000) };
        told.not_taken = vec![file; 50];
        let lines = details(&told);
        for line in &lines {
            assert!(line.chars().count() <= WIDTH && line.chars().all(crate::proto::shows), "{line:?}");
        }
        assert!(lines.last().unwrap().contains("and others"));
    }
}
