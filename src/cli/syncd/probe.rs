//! `probe`: one site, step by step, until something fails.

mod conversation;

use std::sync::Arc;
use std::time::Instant;

use conversation::{Conversation, Found, ProbeStep};

use super::args::Common;
use super::{FAILURE, Outcome, SUCCESS, find_site};
use crate::collector::{Reason, site_target, warn_of_certificates};
use crate::config::{SiteSettings, incoming_dirs};
use crate::net::{ConnId, Event, Failure, Net, Phase, Target};
use crate::obs::Output;
use crate::proto::{Count, quoted};
use crate::store::BorrowedMark;
use crate::sync::MAX_NAMES;
use crate::tls::{
    CertificateReport, CertificateSummary, ClientCertPolicy, Connector, Connectors, PeerDescription, Role, UnixTime,
};

pub(super) fn run(common: &Common, name: &str) -> Outcome {
    let (settings, _) = common.start(common.path())?;
    let mut site = find_site(&settings, name)?.clone();
    let net = Net::new()?;
    let secrets = site.read_secrets().map_err(Reason::from);
    let target = secrets.and_then(|()| site_target(&site, &mut Connectors::default()));
    if let Ok(target) = &target {
        warn_of_certificates(std::iter::once((site.name.as_str(), target)));
    }
    let mut probe = Probe { site: &site, since: net.now(), net, out: Output::default(), near_ends: Vec::new() };
    probe.describe_site();
    let marks: Vec<_> =
        incoming_dirs(&settings.sites).map(|directory| (BorrowedMark::of(directory), directory)).collect();
    let found = target.and_then(|target| probe.run(&Arc::new(target))).and_then(|found| {
        let own = marks.iter().find(|(mark, _)| mark.as_ref().is_some_and(|mark| mark.is_in(&found.marks)));
        own.map_or(Ok(found), |(_, directory)| Err(Reason::OwnSpool(directory.to_path_buf())))
    });
    drop(marks);
    let status = match found {
        Ok(found) => {
            probe.summarise(&found);
            SUCCESS
        }
        Err(reason) => {
            probe.say(&format!("FAILED (reason={}): {reason}", reason.code()));
            FAILURE
        }
    };
    probe.out.finish()?;
    Ok(status)
}

struct Probe<'a> {
    site: &'a SiteSettings,
    net: Net,
    since: Instant,
    out: Output,
    /// What is to be reported of certificates that work today.
    near_ends: Vec<String>,
}

impl Probe<'_> {
    fn say(&mut self, text: &str) {
        let milliseconds = self.net.now().saturating_duration_since(self.since).as_millis();
        self.out.line(format_args!("{milliseconds:>6} ms  {text}"));
    }

    fn describe_site(&mut self) {
        let site = self.site;
        let tls = if site.tls.is_some() { "TLS" } else { "plain TCP" };
        let through = site.proxy.as_ref().map(|proxy| format!(", through the proxy {}:{}", proxy.host, proxy.port));
        self.say(&format!(
            "{}: {} port {}, {tls}{}",
            quoted(&site.name),
            site.address,
            site.port,
            through.unwrap_or_default()
        ));
    }

    fn run(&mut self, target: &Arc<Target>) -> Result<Found, Reason> {
        let offer =
            self.site.tls.as_ref().is_some_and(|tls| tls.identity.is_some() && tls.offer != ClientCertPolicy::Never);
        match self.attempt(target, offer) {
            Err(Reason::Net(Failure::Stream(refused)))
                if refused.client_certificate_refused()
                    && self.site.tls.as_ref().is_some_and(|tls| tls.offer == ClientCertPolicy::Auto) =>
            {
                self.say(&format!("{refused}"));
                self.say("trying again without our certificate, as offer_client_cert = \"auto\" has it");
                self.attempt(target, false)
            }
            other => other,
        }
    }

    fn attempt(&mut self, target: &Arc<Target>, offer: bool) -> Result<Found, Reason> {
        let id = self.net.open(Arc::clone(target), offer);
        let mut conversation = Conversation::new(self.site);
        loop {
            for event in self.net.poll_once(None).map_err(Failure::Io)? {
                match event {
                    Event::Resolved(_, count) => {
                        let es = if count == 1 { "" } else { "es" };
                        self.say(&format!("resolved: {count} address{es}"));
                    }
                    Event::Connected(_, address) => self.say(&format!("connected to {address}")),
                    Event::Failed(_, Failure::Timeout(Phase::Session)) => return Err(conversation.slow()),
                    Event::Failed(_, failure) => return Err(failure.into()),
                    Event::Opened(_) => {
                        self.describe_peer(id, target, offer);
                        self.pump(id, &mut conversation)?;
                    }
                    Event::Ready(_) => self.pump(id, &mut conversation)?,
                    Event::Woken
                    | Event::Signal(_)
                    | Event::Accepted(..)
                    | Event::Arrived(_)
                    | Event::AcceptFailed(_)
                    | Event::Local(_) => {}
                }
            }
            if let ProbeStep::Listed(found) = conversation.talk {
                self.net.abort(id);
                return Ok(found);
            }
        }
    }

    fn describe_peer(&mut self, id: ConnId, target: &Target, offer: bool) {
        let date = UnixTime::now();
        let Some(PeerDescription { version, cipher_suite, certificate, .. }) =
            self.net.io(id).and_then(|mut io| io.peer())
        else {
            return self.say("no TLS: anyone on the way can read and change what is collected");
        };
        self.say(&format!(
            "{version}, {cipher_suite}; our certificate {}",
            if offer { "offered" } else { "not offered" }
        ));
        if let Some(certificate) = certificate {
            self.say(&format!("the site's certificate: {}, issued by {}", certificate.subject, certificate.issuer));
            self.say(&format!("  valid {}, {}", certificate.validity, certificate.time_left(date)));
            self.say(&format!("  sha256 {}", certificate.sha256));
            self.near_ends.extend(certificate.date_problem(date).map(|end| format!("the site's certificate {end}")));
        }
        if offer {
            self.describe_ours(target, date);
        }
    }

    /// Our own certificate and its chain, which the site has to take.
    fn describe_ours(&mut self, target: &Target, date: UnixTime) {
        let reports = target.tls.iter().flat_map(Connector::report);
        let ours: Vec<_> = reports.filter(|report| report.role != Role::Trusted).cloned().collect();
        for CertificateReport { certificate, .. } in ours {
            let CertificateSummary { subject, validity, .. } = &certificate;
            self.say(&format!("our certificate: {subject}, valid {validity}, {}", certificate.time_left(date)));
            self.near_ends
                .extend(certificate.date_problem(date).map(|end| format!("our certificate {subject:?} {end}")));
        }
    }

    /// Goes on with the conversation for as long as the socket lets it.
    fn pump(&mut self, id: ConnId, conversation: &mut Conversation<'_>) -> Result<(), Reason> {
        let news = self.net.io(id).map(|mut io| conversation.go_on(&mut io)).transpose()?;
        news.iter().flatten().for_each(|line| self.say(line));
        Ok(())
    }

    fn summarise(&mut self, found: &Found) {
        let &Found { collected, left_out, unusable, .. } = found;
        self.say(&format!(
            "listing: {}: {collected} to be collected, {left_out} left out by include and exclude",
            Count(collected + left_out, "name")
        ));
        if unusable > 0 {
            self.say(&format!("  {} more cannot be used, and stay there", Count(unusable, "name")));
        }
        if collected > MAX_NAMES {
            self.say(&format!("  a round takes {MAX_NAMES} of them at most, and the next one follows at once"));
        }
        if collected > 0 {
            let most = self.site.max_file_size;
            self.say(&format!(
                "  how large they are shows when they are fetched: those over {most} bytes (max_file_size) stay there"
            ));
        }
        let verdict = match self.near_ends.as_slice() {
            [] => "all well".to_owned(),
            near_ends => format!("it works now, but {}", near_ends.join(", and ")),
        };
        self.say(&format!("{verdict}; nothing was fetched or deleted"));
    }
}
