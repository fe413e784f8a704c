//! `probe`: one site, step by step, until something fails.

mod conversation;

use std::sync::Arc;
use std::time::Instant;

use conversation::{Conversation, Talk};

use super::cli::Common;
use super::{FAILURE, Outcome, SUCCESS, find_site};
use crate::config::SiteSettings;
use crate::net::{ConnId, Event, Failure, Net, Phase, Target};
use crate::obs::Output;
use crate::proto::Listing;
use crate::role::collect::{Reason, site_target};
use crate::tls::{Connectors, Offer, PeerDescription};

pub(super) fn run(common: &Common, name: &str) -> Outcome {
    let (settings, _) = common.start(common.path())?;
    let mut site = find_site(&settings, name)?.clone();
    let net = Net::new()?;
    let secrets = site.read_secrets().map_err(Reason::from);
    let target = secrets.and_then(|()| site_target(&site, &mut Connectors::default()));
    let mut probe = Probe { site: &site, since: net.now(), net, out: Output::default() };
    probe.introduce();
    let listing = target.and_then(|target| probe.run(&Arc::new(target)));
    let status = match listing {
        Ok(listing) => {
            probe.summarise(&listing);
            SUCCESS
        }
        Err(reason) => {
            probe.say(&format!("FAILED (reason={}): {reason}", reason.word()));
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
}

impl Probe<'_> {
    fn say(&mut self, text: &str) {
        let milliseconds = self.net.now().saturating_duration_since(self.since).as_millis();
        self.out.line(format_args!("{milliseconds:>6} ms  {text}"));
    }

    fn introduce(&mut self) {
        let site = self.site;
        let tls = if site.tls.is_some() { "TLS" } else { "plain TCP" };
        let through = site.proxy.as_ref().map(|proxy| format!(", through the proxy {}:{}", proxy.host, proxy.port));
        self.say(&format!("{}: {} port {}, {tls}{}", site.name, site.address, site.port, through.unwrap_or_default()));
    }

    fn run(&mut self, target: &Arc<Target>) -> Result<Listing, Reason> {
        let offer = self.site.tls.as_ref().is_some_and(|tls| tls.identity.is_some() && tls.offer != Offer::Never);
        match self.attempt(target, offer) {
            Err(Reason::Net(Failure::Pipe(refused)))
                if refused.client_certificate_refused()
                    && self.site.tls.as_ref().is_some_and(|tls| tls.offer == Offer::Auto) =>
            {
                self.say(&format!("{refused}"));
                self.say("trying again without our certificate, as offer_client_cert = \"auto\" has it");
                self.attempt(target, false)
            }
            other => other,
        }
    }

    fn attempt(&mut self, target: &Arc<Target>, offer: bool) -> Result<Listing, Reason> {
        let id = self.net.open(Arc::clone(target), offer);
        let mut conversation = Conversation::new(self.site);
        loop {
            for event in self.net.turn(None).map_err(Failure::Io)? {
                match event {
                    Event::Resolved(_, count) => self.say(&format!("resolved: {count} address(es)")),
                    Event::Connected(_, address) => self.say(&format!("connected to {address}")),
                    Event::Failed(_, Failure::Timeout(Phase::Session)) => return Err(conversation.slow()),
                    Event::Failed(_, failure) => return Err(failure.into()),
                    Event::Opened(_) => {
                        self.describe_peer(id, offer);
                        self.converse(id, &mut conversation)?;
                    }
                    Event::Ready(_) => self.converse(id, &mut conversation)?,
                    Event::Woken | Event::Signal(_) | Event::Accepted(..) | Event::AcceptFailed(_) => {}
                }
            }
            if let Talk::Listed(listing) = conversation.talk {
                self.net.abort(id);
                return Ok(listing);
            }
        }
    }

    fn describe_peer(&mut self, id: ConnId, offer: bool) {
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
            self.say(&format!("  valid {}", certificate.validity));
            self.say(&format!("  sha256 {}", certificate.sha256));
        }
    }

    /// Goes on with the conversation for as long as the socket lets it.
    fn converse(&mut self, id: ConnId, conversation: &mut Conversation<'_>) -> Result<(), Reason> {
        let news = self.net.io(id).map(|mut io| conversation.go_on(&mut io)).transpose()?;
        news.iter().flatten().for_each(|line| self.say(line));
        Ok(())
    }

    fn summarise(&mut self, listing: &Listing) {
        let collected = listing.names().filter(|name| self.site.filter.matches(name)).count();
        self.say(&format!(
            "listing: {} names, {collected} of them to be collected, {} with names that cannot be",
            listing.len(),
            listing.refused_count()
        ));
        self.say("all well; nothing was fetched or deleted");
    }
}
