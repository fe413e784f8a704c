//! What is known of a site, as it is answered.

use std::time::{Duration, Instant};

use super::Collector;
use super::status::seconds;
use crate::collector::configuring::SiteConfig;
use crate::collector::report::RoundReport;
use crate::collector::site::Site;
use crate::collector::status::{Collected, Difference, Protocol, SeenTls, SeenWaiting, SiteStatus};
use crate::control::{
    AgeClass, AgeSourceAnswer, Amount, Answer, ClockAnswer, ConfigurationAnswer, Listed, NotTakenAnswer, ProblemAnswer,
    ProtocolAnswer, RateAnswer, RoundAnswer, SiteAnswer, SiteState,
};
use crate::proto::printable;
use crate::sync::{AGE_BOUNDS, AgeSource};
use crate::tls::{Connector, Role, UnixTime, days_between};

/// Of a message, an answer has at most so many characters.
const LONGEST_MESSAGE: usize = 1000;

/// Of a file's name.
const LONGEST_NAME: usize = 300;

/// What rates are over, in minutes.
const RATES: [u64; 3] = [1, 15, 60];

impl Collector {
    pub(in crate::collector::all_sites) fn site_answer(&self, key: usize) -> Option<SiteAnswer> {
        let (now, status, site) = (self.net.now(), self.statuses.get(&key)?, self.sites[key].as_ref());
        let settings = site.map(|site| &site.settings).or_else(|| Some(self.unopened.get(&key)?.settings()))?;
        let (state, since) = self.state(key, status);
        let (waiting, collected) = (site.and_then(|site| site.waiting), status.rates.total());
        let is_scheduled = matches!(state, SiteState::Waiting | SiteState::BackingOff | SiteState::Unusable);
        let due = self.schedule.due(key).filter(|_| is_scheduled);
        Some(SiteAnswer {
            name: status.name.to_string(),
            address: format!("{}:{}", settings.address, settings.port),
            state,
            state_seconds: seconds(since, now),
            is_failing: status.is_failing(),
            last_success_seconds: status.last_success.map(|at| seconds(at, now)),
            quiet_seconds: seconds(status.last_success.unwrap_or(status.since), now),
            interval_seconds: settings.interval.as_secs(),
            problem: status.problem(now),
            waiting: waiting.map(|waiting| self.listed(waiting)),
            collected: Amount { files: collected.files, bytes: collected.bytes },
            here: self.commit_queue.here(&status.name).into(),
            rates: RATES.map(|minutes| rate(status, minutes, now)),
            drain_seconds: waiting.and_then(|waiting| drain(waiting.files as u64, status, now)),
            last_round: status.last_round.as_ref().map(|(at, report)| round(report, *at, now)),
            bwlimit: self.net.site_limit(key),
            connections: site.map_or(0, connections),
            protocol: site.map_or(ProtocolAnswer::Unknown, |site| site.protocol_spoken().into()),
            encryption: status.tls.map(SeenTls::encryption),
            clock: site.and_then(|site| site.clock.difference()).map(|seen| clock(seen, now)),
            configuration: site.and_then(|site| site.configuration.as_ref()).map(|config| configuration(config, now)),
            site_certificate_days: self.site_certificate_days(status),
            own_certificate_days: site.and_then(|site| self.own_certificate_days(site)),
            not_taken: site.map_or_else(Vec::new, not_taken),
            not_taken_has_more: site.is_some_and(|site| site.not_taken.has_more()),
            next_round_seconds: due.map(|due| due.saturating_duration_since(now).as_secs()),
        })
    }

    /// What is left there, if anything is.
    pub(super) fn not_taken_answer(&self, key: usize) -> Option<Answer> {
        let site = self.sites[key].as_ref()?;
        let (files, has_more) = (not_taken(site), site.not_taken.has_more());
        (!files.is_empty()).then(|| Answer::NotTaken { site: site.name().to_string(), files, has_more })
    }

    fn days_until(&self, end: UnixTime) -> i64 {
        days_between(self.net.date(), end)
    }

    /// Until the certificate ends that the site has shown.
    pub(in crate::collector) fn site_certificate_days(&self, status: &SiteStatus) -> Option<i64> {
        status.tls.and_then(SeenTls::certificate_end).map(|end| self.days_until(end))
    }

    /// Until the first of the certificates ends that are shown to the site.
    pub(in crate::collector) fn own_certificate_days(&self, site: &Site) -> Option<i64> {
        let reports = site.target.tls.iter().flat_map(Connector::report).filter(|report| report.role == Role::Own);
        reports.map(|report| self.days_until(report.certificate.validity.not_after)).min()
    }

    /// What a site is at, and since when.
    fn state(&self, key: usize, status: &SiteStatus) -> (SiteState, Instant) {
        if let Some(paused) = status.paused {
            return (SiteState::Paused, paused);
        }
        let site = self.sites[key].as_ref();
        if let Some(running) = site.and_then(|site| site.running.as_ref()) {
            let stands = |id| self.sessions.get(id).is_some_and(|session| session.is_open());
            let state = match running.connections.iter().any(stands) || running.round.committing() > 0 {
                _ if site.is_some_and(Site::is_leaving) => SiteState::Leaving,
                true => SiteState::Collecting,
                false => SiteState::Connecting,
            };
            return (state, running.since);
        }
        if site.is_some()
            && let Some(since) = self.held_up_since(key)
        {
            return (SiteState::HeldUp, since);
        }
        let ended = status.last_round.as_ref().map_or(status.since, |(at, _)| *at);
        match status.failing {
            Some((_, since)) if site.is_none() => (SiteState::Unusable, since),
            Some(_) => (SiteState::BackingOff, ended),
            None => (SiteState::Waiting, ended),
        }
    }

    fn listed(&self, SeenWaiting { files, bytes, listed, at }: SeenWaiting) -> Listed {
        let date = Duration::from_secs(self.net.date().as_secs());
        let bounds = AGE_BOUNDS.into_iter().map(Some).chain([None]);
        let mut ages = listed.ages.classes.map(|files| AgeClass { up_to_seconds: None, files });
        ages.iter_mut().zip(bounds).for_each(|(class, bound)| class.up_to_seconds = bound);
        Listed {
            files: files as u64,
            bytes: (listed.source == AgeSource::Written).then_some(bytes),
            // What is measured in the future, as the clocks differ, is new.
            oldest_seconds: listed.oldest.filter(|_| files > 0).map(|oldest| date.saturating_sub(oldest).as_secs()),
            age_source: match listed.source {
                AgeSource::Names => AgeSourceAnswer::Names,
                AgeSource::Written => AgeSourceAnswer::Written,
            },
            ages,
            ages_unknown: listed.ages.unknown,
            listed_seconds: seconds(at, self.net.now()),
        }
    }
}

fn rate(status: &SiteStatus, minutes: u64, now: Instant) -> RateAnswer {
    let Collected { files, bytes } = status.rates.per_hour(minutes, now);
    let seconds = status.rates.span(minutes, now).as_secs();
    RateAnswer { minutes, seconds, files_per_hour: files, bytes_per_hour: bytes }
}

/// How long so many files take, at the pace of the shortest time in which some came.
fn drain(files: u64, status: &SiteStatus, now: Instant) -> Option<u64> {
    let paces = RATES.iter().map(|minutes| status.rates.per_hour(*minutes, now).files);
    let pace = paces.into_iter().find(|pace| *pace > 0);
    if files == 0 { Some(0) } else { Some(files.saturating_mul(3600).div_ceil(pace?)) }
}

fn round(report: &RoundReport, ended: Instant, now: Instant) -> RoundAnswer {
    RoundAnswer {
        ended_seconds: seconds(ended, now),
        took_milliseconds: milliseconds(report.took),
        late_milliseconds: milliseconds(report.late),
    }
}

fn clock(Difference { ahead, uncertainty, at }: Difference, now: Instant) -> ClockAnswer {
    ClockAnswer { ahead_milliseconds: ahead, uncertainty_milliseconds: uncertainty, seen_seconds: seconds(at, now) }
}

fn configuration(config: &SiteConfig, now: Instant) -> ConfigurationAnswer {
    let (waiting, since) = config.unsent();
    ConfigurationAnswer { waiting: waiting as u64, oldest_seconds: since.map(|since| seconds(since, now)) }
}

fn not_taken(site: &Site) -> Vec<NotTakenAnswer> {
    let answer = |(name, why): (&[u8], &str)| NotTakenAnswer {
        name: cut(&String::from_utf8_lossy(name), LONGEST_NAME),
        reason: message(why),
    };
    site.not_taken.iter().map(answer).collect()
}

impl SeenTls {
    fn encryption(self) -> String {
        match self {
            Self::Plain => "none",
            Self::Tls { version, .. } => version,
        }
        .to_owned()
    }

    fn certificate_end(self) -> Option<UnixTime> {
        match self {
            Self::Plain => None,
            Self::Tls { certificate_end, .. } => certificate_end,
        }
    }
}

impl From<Protocol> for ProtocolAnswer {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Unknown => Self::Unknown,
            Protocol::Stock => Self::Stock,
            Protocol::Extension => Self::Extension,
        }
    }
}

impl SiteStatus {
    fn problem(&self, now: Instant) -> Option<ProblemAnswer> {
        let (at, report) = self.last_round.as_ref()?;
        let (reason, message) = report.problem()?;
        let (failures, since) = self.failing.unwrap_or((0, *at));
        Some(ProblemAnswer {
            reason: reason.to_owned(),
            message: self::message(&message),
            failures,
            since_seconds: seconds(since, now),
        })
    }
}

/// Connections that collect from the site, or stay open for its next round.
fn connections(site: &Site) -> u64 {
    let running = site.running.as_ref().map_or(0, |running| running.connections.len());
    (running + usize::from(site.parked.is_some())) as u64
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A message as far as an answer has it, and as it shows.
pub(super) fn message(text: &str) -> String {
    cut(&printable(text), LONGEST_MESSAGE)
}

/// Text as far as an answer has it, with a mark where it goes on.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
