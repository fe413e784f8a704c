//! What a probe and the site say to each other: the password, and a listing.

use std::mem;

use crate::collector::{MAX_LISTING, Reason};
use crate::config::SiteSettings;
use crate::net::{ClientDriver, DriverError, Io, Read};
use crate::proto::{Command, Error, Event, ListArg, ListingParser, PasswordDigest, Verb, Want};

/// All that comes once the connection stands.
pub(super) struct Conversation<'a> {
    site: &'a SiteSettings,
    driver: ClientDriver,
    pub(super) talk: ProbeStep,
}

/// What is talked about, in this order.
pub(super) enum ProbeStep {
    Password,
    List,
    Listing(ListingParser, Found),
    Listed(Found),
}

/// How many names are listed, and collectors' marks.
#[derive(Default)]
pub(super) struct Found {
    /// To be collected.
    pub(super) collected: usize,
    /// By `include` and `exclude`.
    pub(super) left_out: usize,
    pub(super) unusable: u64,
    pub(super) marks: Vec<Box<[u8]>>,
}

impl Found {
    fn count(&mut self, name: &[u8], site: &SiteSettings) {
        *(if site.collects(name) { &mut self.collected } else { &mut self.left_out }) += 1;
    }
}

impl<'a> Conversation<'a> {
    pub(super) fn new(site: &'a SiteSettings) -> Self {
        let talk = if site.password.is_some() { ProbeStep::Password } else { ProbeStep::List };
        Self { site, driver: ClientDriver::new(), talk }
    }

    /// Goes on for as long as the socket lets it; what there is to tell of it.
    pub(super) fn go_on(&mut self, io: &mut Io<'_>) -> Result<Vec<&'static str>, Reason> {
        let mut news = Vec::new();
        while !matches!(self.talk, ProbeStep::Listed(_)) && self.advance(io, &mut news)? {}
        Ok(news)
    }

    /// The site has taken too long.
    pub(super) fn slow(&self) -> Reason {
        let what = match self.talk {
            ProbeStep::Password => "the answer to the password",
            ProbeStep::List | ProbeStep::Listing(..) | ProbeStep::Listed(_) => "the listing",
        };
        // A listing has to come within the timeout, whatever its size.
        Reason::slow(what.into(), false, self.site)
    }

    /// One step; `false` where the socket has to go on first.
    fn advance(&mut self, io: &mut Io<'_>, news: &mut Vec<&'static str>) -> Result<bool, Reason> {
        if !self.driver.transmit(io)? {
            return Ok(false);
        }
        let progress = match self.driver.want() {
            Want::Command => self.command(io)?,
            Want::Body(_) => self.read_body(io)?,
            _ => self.read_line(io)?,
        };
        while let Some(event) = self.driver.poll_event() {
            self.handle(&event, news)?;
        }
        Ok(progress)
    }

    fn command(&mut self, io: &mut Io<'_>) -> Result<bool, Reason> {
        let command = match (&self.talk, &self.site.password) {
            (ProbeStep::Password, Some(password)) => Command::Pass(PasswordDigest::of(password)),
            _ => Command::List(ListArg::root()),
        };
        io.set_deadline(Some(self.site.timeout));
        self.driver.command(&command).map_err(|error| self.wrong(error))?;
        Ok(true)
    }

    fn read_body(&mut self, io: &mut Io<'_>) -> Result<bool, Reason> {
        let (ProbeStep::Listing(parser, found), site) = (&mut self.talk, self.site) else { return Ok(false) };
        let read = self.driver.read_body(io, u64::MAX, |bytes| parser.feed(bytes, |name| found.count(name, site)));
        self.progressed(read)
    }

    fn read_line(&mut self, io: &mut Io<'_>) -> Result<bool, Reason> {
        let read = self.driver.read_line(io);
        self.progressed(read)
    }

    fn progressed(&self, read: Result<Read, DriverError>) -> Result<bool, Reason> {
        read.map(|read| read != Read::Blocked).map_err(|error| Reason::session(error, self.site))
    }

    fn handle(&mut self, event: &Event, news: &mut Vec<&'static str>) -> Result<(), Reason> {
        self.talk = match (event, mem::replace(&mut self.talk, ProbeStep::List)) {
            (Event::PasswordAccepted, _) => {
                news.push("password accepted");
                ProbeStep::List
            }
            (Event::Announced { size, .. }, _) if *size > MAX_LISTING => {
                return Err(Reason::ListingTooLarge { size: *size, most: MAX_LISTING });
            }
            (Event::Announced { .. }, _) => {
                self.driver.accept().map_err(|error| self.wrong(error))?;
                ProbeStep::Listing(ListingParser::default(), Found::default())
            }
            (Event::Refused { verb: Verb::Pass, .. }, _) => return Err(Reason::PasswordRefused),
            (Event::Refused { .. }, _) => return Err(Reason::ListingRefused),
            (Event::BodyComplete { .. }, ProbeStep::Listing(parser, mut found)) => {
                let listing = parser.finish(|name| found.count(name, self.site));
                (found.unusable, found.marks) = (listing.refused_count(), listing.marks().to_vec());
                ProbeStep::Listed(found)
            }
            (_, talk) => talk,
        };
        Ok(())
    }

    fn wrong(&self, error: Error) -> Reason {
        Reason::protocol(error, self.site)
    }
}
