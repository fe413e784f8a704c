//! `probe`: one site, step by step, until something fails.

use std::sync::Arc;
use std::time::Instant;

use super::cli::Common;
use super::{FAILURE, Outcome, SUCCESS, find_site};
use crate::config::SiteSettings;
use crate::net::{ConnId, Event, Failure, Io, Net, Phase, Read, Target};
use crate::proto::{
    Client, Command, Error, Event as Reply, ListWord, Listing, ListingParser, PasswordDigest, Verb, Want,
};
use crate::role::collect::{MAX_LISTING, Reason, site_target};
use crate::tls::{Connectors, Offer, PeerDescription};

/// The most names a probe keeps of the listing.
const MAX_NAMES: usize = 1_000_000;

/// More than any reply has, in bytes.
const LINE: u64 = 4096;

pub(super) fn run(common: &Common, name: &str) -> Outcome {
    let settings = common.start()?;
    let site = find_site(&settings, name)?;
    let target = Arc::new(site_target(site, &mut Connectors::default())?);
    let net = Net::new()?;
    let mut probe = Probe { site, target, since: net.now(), net };
    probe.introduce();
    Ok(match probe.run() {
        Ok(listing) => {
            probe.summarise(&listing);
            SUCCESS
        }
        Err(reason) => {
            probe.say(&format!("FAILED (reason={}): {reason}", reason.word()));
            FAILURE
        }
    })
}

struct Probe<'a> {
    site: &'a SiteSettings,
    target: Arc<Target>,
    net: Net,
    since: Instant,
}

/// What comes after the connection stands, in this order.
enum Talk {
    Password,
    List,
    Listing(ListingParser),
    Listed(Listing),
}

impl Probe<'_> {
    #[expect(clippy::print_stdout, reason = "a command's output")]
    fn say(&self, text: &str) {
        let milliseconds = self.net.now().saturating_duration_since(self.since).as_millis();
        println!("{milliseconds:>6} ms  {text}");
    }

    fn introduce(&self) {
        let site = self.site;
        let tls = if site.tls.is_some() { "TLS" } else { "plain TCP" };
        let through = site.proxy.as_ref().map(|proxy| format!(", through the proxy {}:{}", proxy.host, proxy.port));
        self.say(&format!("{}: {} port {}, {tls}{}", site.name, site.address, site.port, through.unwrap_or_default()));
    }

    fn run(&mut self) -> Result<Listing, Reason> {
        let offer = self.site.tls.as_ref().is_some_and(|tls| tls.identity.is_some() && tls.offer != Offer::Never);
        match self.attempt(offer) {
            Err(Reason::Net(Failure::Pipe(refused)))
                if refused.client_certificate_refused()
                    && self.site.tls.as_ref().is_some_and(|tls| tls.offer == Offer::Auto) =>
            {
                self.say(&format!("{refused}"));
                self.say("trying again without our certificate, as offer_client_cert = \"auto\" has it");
                self.attempt(false)
            }
            other => other,
        }
    }

    fn attempt(&mut self, offer: bool) -> Result<Listing, Reason> {
        let id = self.net.open(Arc::clone(&self.target), offer);
        let mut client = Client::new();
        let mut talk = if self.site.password.is_some() { Talk::Password } else { Talk::List };
        loop {
            for event in self.net.turn(None).map_err(Failure::Io)? {
                match event {
                    Event::Resolved(_, count) => self.say(&format!("resolved: {count} address(es)")),
                    Event::Connected(_, address) => self.say(&format!("connected to {address}")),
                    Event::Failed(_, Failure::Timeout(Phase::Session)) => return Err(self.slow(&talk)),
                    Event::Failed(_, failure) => return Err(failure.into()),
                    Event::Opened(_) => {
                        self.describe_peer(id, offer);
                        self.converse(id, &mut client, &mut talk)?;
                    }
                    Event::Ready(_) => self.converse(id, &mut client, &mut talk)?,
                    Event::Woken | Event::Signal(_) | Event::Accepted(..) | Event::AcceptFailed(_) => {}
                }
            }
            if let Talk::Listed(listing) = talk {
                self.net.abort(id);
                return Ok(listing);
            }
        }
    }

    fn slow(&self, talk: &Talk) -> Reason {
        let what = match talk {
            Talk::Password => "the answer to the password",
            Talk::List | Talk::Listing(_) | Talk::Listed(_) => "the listing",
        };
        Reason::Slow { what: what.into(), seconds: self.site.timeout.as_secs() }
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
    fn converse(&mut self, id: ConnId, client: &mut Client, talk: &mut Talk) -> Result<(), Reason> {
        let site = self.site;
        let mut news = Vec::new();
        if let Some(mut io) = self.net.io(id) {
            while !matches!(talk, Talk::Listed(_)) && advance(site, &mut io, client, talk, &mut news)? {}
        }
        for line in news {
            self.say(&line);
        }
        Ok(())
    }

    fn summarise(&self, listing: &Listing) {
        let collected = listing.names().filter(|name| self.site.filter.matches(name)).count();
        self.say(&format!(
            "listing: {} names, {collected} of them to be collected, {} with names that cannot be",
            listing.len(),
            listing.refused_count()
        ));
        self.say("all well; nothing was fetched or deleted");
    }
}

/// One step of the conversation; `false` where the socket has to go on first.
fn advance(
    site: &SiteSettings,
    io: &mut Io<'_>,
    client: &mut Client,
    talk: &mut Talk,
    news: &mut Vec<String>,
) -> Result<bool, Reason> {
    let wrong = |error: Error| Reason::protocol(error, site);
    while !client.transmit().is_empty() {
        match io.write(client.transmit())? {
            0 => return Ok(false),
            written => client.transmitted(written),
        }
    }
    if !io.flush()? {
        return Ok(false);
    }
    let progress = match client.want() {
        Want::Command => {
            let command = match (&talk, &site.password) {
                (Talk::Password, Some(password)) => Command::Pass(PasswordDigest::of(password)),
                _ => Command::List(ListWord::root()),
            };
            io.set_deadline(Some(site.timeout));
            client.command(&command).map_err(wrong)?;
            true
        }
        Want::Body(left) => {
            let Talk::Listing(parser) = talk else { return Ok(false) };
            let read = io.read(left, |bytes| {
                parser.feed(bytes);
                bytes.len()
            })?;
            progressed(read, client, |client, count| client.body_moved(count as u64)).map_err(wrong)?
        }
        _ => {
            let mut outcome = Ok(());
            let read = io.read(LINE, |bytes| {
                client.handle_input(bytes).unwrap_or_else(|error| {
                    outcome = Err(error);
                    bytes.len()
                })
            })?;
            outcome.map_err(wrong)?;
            progressed(read, client, |_, _| Ok(())).map_err(wrong)?
        }
    };
    while let Some(reply) = client.poll_event() {
        *talk = match (reply, std::mem::replace(talk, Talk::List)) {
            (Reply::PasswordAccepted, _) => {
                news.push("password accepted".into());
                Talk::List
            }
            (Reply::Announced { size, .. }, _) if size > MAX_LISTING => return Err(Reason::ListingTooLarge(size)),
            (Reply::Announced { .. }, _) => {
                client.accept().map_err(wrong)?;
                Talk::Listing(ListingParser::new(MAX_NAMES))
            }
            (Reply::Refused { verb: Verb::Pass, .. }, _) => return Err(Reason::PasswordRefused),
            (Reply::Refused { .. }, _) => return Err(Reason::ListingRefused),
            (Reply::BodyComplete { .. }, Talk::Listing(parser)) => Talk::Listed(parser.finish()),
            (_, talk) => talk,
        };
    }
    Ok(progress)
}

fn progressed(
    read: Read,
    client: &mut Client,
    moved: impl FnOnce(&mut Client, usize) -> Result<(), Error>,
) -> Result<bool, Error> {
    match read {
        Read::Some(count) => moved(client, count).map(|()| true),
        Read::Blocked => Ok(false),
        Read::Eof { .. } => client.handle_eof().map(|()| true),
    }
}
