//! What is known of the daemon and of its sites, as Prometheus reads it.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::registry::Unit;

use super::{About, Families, encode, microseconds, milliseconds};
use crate::control::{AgeClass, DaemonAnswer, Listed, SiteAnswer, SiteState};

/// Before the name of each.
const PREFIX: &str = "tentacle_sync";

/// All of it in the text format, version 0.0.4. What is unknown is left out.
pub fn metrics(daemon: DaemonAnswer, sites: Vec<SiteAnswer>) -> String {
    encode(PREFIX, Known { daemon, sites })
}

/// What is known.
#[derive(Debug)]
struct Known {
    daemon: DaemonAnswer,
    sites: Vec<SiteAnswer>,
}

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(&mut encoder);
        families.of_daemon(&self.daemon)?;
        families.of_commits(&self.daemon)?;
        families.of_machine(&self.daemon)?;
        families.of_states(&self.sites)?;
        families.of_rounds(&self.sites, self.daemon.time)?;
        families.of_files(&self.sites)?;
        families.of_configuration(&self.sites)?;
        families.of_clocks(&self.sites)?;
        families.of_certificates(&self.sites)
    }
}

/// How many of the files that wait are older than each of the ages that are told apart. The oldest are collected first: what
/// was since the listing is taken off those.
fn older(listed: &Listed) -> Vec<(u64, u64)> {
    let known: u64 = listed.ages.iter().map(|class| class.files).sum();
    if known == 0 && listed.files > 0 {
        return Vec::new();
    }
    let collected = (known + listed.ages_unknown).saturating_sub(listed.files);
    let classes = listed.ages.iter().enumerate();
    let bounds = classes.filter_map(|(number, class)| Some((class.up_to_seconds?, &listed.ages[number + 1..])));
    let older = |classes: &[AgeClass]| classes.iter().map(|class| class.files).sum::<u64>();
    bounds.map(|(bound, classes)| (bound, older(classes).saturating_sub(collected))).collect()
}

/// A site's label.
type OfSite<'a> = [(&'static str, &'a str); 1];

fn of_site(site: &SiteAnswer) -> OfSite<'_> {
    [("site", site.name.as_str())]
}

impl Families<'_, '_> {
    /// One for each site of which `value` is known.
    fn of_each<V: EncodeGaugeValue>(
        &mut self,
        about: About<'_>,
        sites: &[SiteAnswer],
        value: impl Fn(&SiteAnswer) -> Option<V>,
    ) -> fmt::Result {
        self.gauges(about, sites.iter().filter_map(|site| Some((of_site(site), value(site)?))))
    }

    fn counted_of_each(
        &mut self,
        about: About<'_>,
        sites: &[SiteAnswer],
        value: impl Fn(&SiteAnswer) -> u64,
    ) -> fmt::Result {
        self.counters(about, sites.iter().map(|site| (of_site(site), value(site))))
    }

    fn of_daemon(&mut self, daemon: &DaemonAnswer) -> fmt::Result {
        let seconds = Some(&Unit::Seconds);
        let version = [("version", daemon.program_version.as_str())];
        self.gauges(About("build_info", "The program's version", None), [(version, 1_u64)])?;
        self.gauge(About("uptime", "Since the daemon's start", seconds), &daemon.uptime_seconds)?;
        self.gauge(About("sites", "Sites that are collected from", None), &daemon.sites)?;
        self.gauge(About("sites_failing", "Sites whose last round has failed", None), &daemon.failing)?;
        self.gauge(About("rounds", "Rounds under way", None), &daemon.rounds)?;
        self.gauge(About("connections", "Connections to sites, in any stage", None), &daemon.connections)?;
        self.gauge(About("connections_limit", "The most of those: max_connections", None), &daemon.max_connections)?;
        let help = "The longest that anything ready had to wait for the loop since the start";
        let longest = microseconds(daemon.longest_loop_wait_microseconds);
        self.gauge(About("loop_wait_longest", help, seconds), &longest)
    }

    fn of_commits(&mut self, daemon: &DaemonAnswer) -> fmt::Result {
        let (seconds, commits) = (Some(&Unit::Seconds), &daemon.commits);
        let help = "Files that are staged and being made durable";
        self.gauge(About("committing_files", help, None), &daemon.committing)?;
        self.counter(About("commits", "Groups of files that were made durable", None), commits.groups)?;
        self.counter(About("committed_files", "Files in them", None), commits.files)?;
        self.gauge(About("commit_last_files", "Files in the last group", None), &commits.last_group_files)?;
        let last = microseconds(commits.last_microseconds);
        self.gauge(About("commit_last", "How long the last group took", seconds), &last)?;
        let longest = microseconds(commits.longest_microseconds);
        self.gauge(About("commit_longest", "How long the slowest group took since the start", seconds), &longest)?;
        let help = "Files that are safe here and not published yet";
        self.gauge(About("unpublished_files", help, None), &daemon.unpublished.files)?;
        self.gauge(About("unpublished", "Their bytes", Some(&Unit::Bytes)), &daemon.unpublished.bytes)
    }

    fn of_machine(&mut self, daemon: &DaemonAnswer) -> fmt::Result {
        let bytes = Some(&Unit::Bytes);
        if let Some(resident) = daemon.memory_bytes {
            self.gauge(About("resident_memory", "The process's resident memory", bytes), &resident)?;
        }
        if let Some(journal) = daemon.journal_bytes {
            self.gauge(About("journal", "The journal's size", bytes), &journal)?;
        }
        let of = |value: fn(&crate::control::DiskAnswer) -> Option<u64>| {
            let disks = daemon.disks.iter();
            disks.filter_map(move |disk| Some(([("directory", disk.directory.as_str())], value(disk)?)))
        };
        let help = "What is free on the filesystem of a directory";
        self.gauges(About("disk_free", help, bytes), of(|disk| disk.free_bytes))?;
        self.gauges(About("disk_size", "What that filesystem has in all", bytes), of(|disk| disk.total_bytes))
    }

    fn of_states(&mut self, sites: &[SiteAnswer]) -> fmt::Result {
        let states = sites.iter().flat_map(|site| {
            STATES
                .map(|(state, word)| ([("site", site.name.as_str()), ("state", word)], u64::from(site.state == state)))
        });
        self.gauges(About("site_state", "What a site is at: 1 for that state", None), states)?;
        let help = "Whether a site's last round has failed";
        self.of_each(About("site_failing", help, None), sites, |site| Some(u64::from(site.is_failing)))?;
        let problems = sites.iter().filter_map(|site| Some((site, site.problem.as_ref()?)));
        let problems = problems.map(|(site, problem)| {
            ([("site", site.name.as_str()), ("reason", problem.reason.as_str())], problem.failures)
        });
        let help = "What is wrong with a site, and how many rounds have failed of it one after the other";
        self.gauges(About("site_problem", help, None), problems)?;
        self.of_each(About("site_connections", "Connections to a site", None), sites, |site| Some(site.connections))
    }

    fn of_rounds(&mut self, sites: &[SiteAnswer], now: u64) -> fmt::Result {
        let seconds = Some(&Unit::Seconds);
        let help = "When a site's last round that went well has ended, since 1970";
        self.of_each(About("site_last_success_timestamp", help, seconds), sites, |site| {
            site.last_success_seconds.map(|ago| now.saturating_sub(ago))
        })?;
        let help = "How long a site had no round that went well: since the last one, or since it is known";
        self.of_each(About("site_quiet", help, seconds), sites, |site| Some(site.quiet_seconds))?;
        let help = "From the start of a site's round to the start of the next";
        self.of_each(About("site_interval", help, seconds), sites, |site| Some(site.interval_seconds))?;
        self.of_each(About("site_round_duration", "How long a site's last round took", seconds), sites, |site| {
            site.last_round.map(|round| milliseconds(round.took_milliseconds))
        })?;
        let help = "How long after it was due a site's last round began";
        self.of_each(About("site_round_lateness", help, seconds), sites, |site| {
            site.last_round.map(|round| milliseconds(round.late_milliseconds))
        })
    }

    fn of_files(&mut self, sites: &[SiteAnswer]) -> fmt::Result {
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let help = "Files at a site that were not collected, as its last listing showed";
        self.of_each(About("site_waiting_files", help, None), sites, |site| site.waiting.map(|waiting| waiting.files))?;
        let help = "Their bytes, where the site's server lists sizes";
        self.of_each(About("site_waiting", help, bytes), sites, |site| site.waiting.and_then(|waiting| waiting.bytes))?;
        self.of_each(About("site_oldest_waiting_age", "The age of the oldest of them", seconds), sites, |site| {
            let waiting = site.waiting?;
            // Where none waits, nothing is old; where there is no telling how old they are, none is told.
            waiting.oldest_seconds.or((waiting.files == 0).then_some(0))
        })?;
        let older = sites.iter().flat_map(|site| {
            let older = site.waiting.as_ref().map(older).unwrap_or_default();
            older.into_iter().map(|(age, files)| {
                ([("site", Cow::Borrowed(site.name.as_str())), ("older_than", Cow::Owned(age.to_string()))], files)
            })
        });
        let help = "How many of them are older than so many seconds, where that can be known of any";
        self.gauges(About("site_waiting_older_files", help, None), older)?;
        let help = "How long they take to come at the rate of the last minutes";
        self.of_each(About("site_drain", help, seconds), sites, |site| site.drain_seconds)?;
        let help = "Files that were collected from a site";
        self.counted_of_each(About("site_collected_files", help, None), sites, |site| site.collected.files)?;
        self.counted_of_each(About("site_collected", "Their bytes", bytes), sites, |site| site.collected.bytes)?;
        let help = "Files of a site that are safe here, and not published yet or not taken by the data server";
        self.of_each(About("site_here_files", help, None), sites, |site| Some(site.here.files))?;
        self.of_each(About("site_here", "Their bytes", bytes), sites, |site| Some(site.here.bytes))?;
        let help = "Whether files are left at a site for good";
        self.of_each(About("site_leaves_files", help, None), sites, |site| Some(u64::from(!site.not_taken.is_empty())))
    }

    fn of_configuration(&mut self, sites: &[SiteAnswer]) -> fmt::Result {
        let help = "Configurations and collections of the centre that wait to be sent to a site";
        self.of_each(About("site_unsent_items", help, None), sites, |site| Some(site.configuration?.waiting))?;
        let help = "How long the first of them has waited, as far as was seen; 0 where none waits";
        self.of_each(About("site_oldest_unsent_age", help, Some(&Unit::Seconds)), sites, |site| {
            Some(site.configuration?.oldest_seconds.unwrap_or(0))
        })
    }

    fn of_clocks(&mut self, sites: &[SiteAnswer]) -> fmt::Result {
        let seconds = Some(&Unit::Seconds);
        let help = "How far a site's clock is ahead of ours, where its server tells the time";
        self.of_each(About("site_clock_ahead", help, seconds), sites, |site| {
            let ahead = site.clock?.ahead_milliseconds;
            Some(milliseconds(ahead.unsigned_abs()).copysign(if ahead < 0 { -1.0 } else { 1.0 }))
        })?;
        let help = "How much more or less that may be: half of the time that the answer took";
        self.of_each(About("site_clock_uncertainty", help, seconds), sites, |site| {
            site.clock.map(|clock| milliseconds(clock.uncertainty_milliseconds))
        })
    }

    fn of_certificates(&mut self, sites: &[SiteAnswer]) -> fmt::Result {
        let left = sites.iter().flat_map(|site| {
            let own = ("own", site.own_certificate_days);
            [("site", site.site_certificate_days), own].into_iter().filter_map(|(owner, days)| {
                Some(([("site", site.name.as_str()), ("owner", owner)], days?.saturating_mul(86_400)))
            })
        });
        let help = "Until a certificate ends, in whole days: a site's, or ours that is shown to it";
        self.gauges(About("site_certificate_remaining", help, Some(&Unit::Seconds)), left)
    }
}

/// Each state, as it is called elsewhere.
const STATES: [(SiteState, &str); 8] = [
    (SiteState::Waiting, "waiting"),
    (SiteState::Connecting, "connecting"),
    (SiteState::Collecting, "collecting"),
    (SiteState::BackingOff, "backing-off"),
    (SiteState::HeldUp, "held-up"),
    (SiteState::Paused, "paused"),
    (SiteState::Unusable, "unusable"),
    (SiteState::Leaving, "leaving"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_the_ages_that_they_have_passed() {
        let bounds = [Some(60), Some(300), Some(900), Some(3600), Some(21_600), Some(86_400), None];
        let mut ages = bounds.map(|up_to_seconds| AgeClass { up_to_seconds, files: 0 });
        let mut listed = Listed { ages, ..Listed::default() };
        assert_eq!(older(&listed).iter().map(|(_, files)| *files).sum::<u64>(), 0);
        (ages[0].files, ages[3].files, ages[6].files) = (5, 2, 3);
        listed = Listed { files: 10, ages, ..listed };
        let all = [(60, 5), (300, 5), (900, 5), (3600, 3), (21_600, 3), (86_400, 3)];
        assert_eq!(older(&listed), all);
        // The oldest go first.
        listed.files = 6;
        assert_eq!(older(&listed), all.map(|(bound, files)| (bound, files - 3 - u64::from(files == 5))));
        listed.files = 0;
        assert_eq!(older(&listed).iter().map(|(_, files)| *files).sum::<u64>(), 0);
        let unknown = Listed { files: 4, ages_unknown: 4, ages: [AgeClass::default(); 7], ..Listed::default() };
        assert_eq!(older(&unknown), []);
    }
}
