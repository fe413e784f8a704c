//! What a probe and the site say to each other: the password, and a listing.

use std::mem;

use crate::collector::{MAX_LISTING, Reason};
use crate::config::SiteSettings;
use crate::net::{Io, Read};
use crate::proto::{Client, Command, Error, Event, ListArg, ListingParser, PasswordDigest, Verb, Want};

/// More than any reply has, in bytes.
const LINE: u64 = 4096;

/// All that comes once the connection stands.
pub(super) struct Conversation<'a> {
    site: &'a SiteSettings,
    client: Client,
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
        Self { site, client: Client::new(), talk }
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
        if !self.transmit(io)? {
            return Ok(false);
        }
        let progress = match self.client.want() {
            Want::Command => self.command(io)?,
            Want::Body(left) => self.read_body(left, io)?,
            _ => self.read_line(io)?,
        };
        while let Some(event) = self.client.poll_event() {
            self.handle(&event, news)?;
        }
        Ok(progress)
    }

    /// Whether all of the protocol's bytes are out.
    fn transmit(&mut self, io: &mut Io<'_>) -> Result<bool, Reason> {
        while !self.client.transmit().is_empty() {
            match io.write(self.client.transmit())? {
                0 => return Ok(false),
                written => self.client.transmitted(written),
            }
        }
        Ok(io.flush()?)
    }

    fn command(&mut self, io: &mut Io<'_>) -> Result<bool, Reason> {
        let command = match (&self.talk, &self.site.password) {
            (ProbeStep::Password, Some(password)) => Command::Pass(PasswordDigest::of(password)),
            _ => Command::List(ListArg::root()),
        };
        io.set_deadline(Some(self.site.timeout));
        self.client.command(&command).map_err(|error| self.wrong(error))?;
        Ok(true)
    }

    fn read_body(&mut self, left: u64, io: &mut Io<'_>) -> Result<bool, Reason> {
        let (ProbeStep::Listing(parser, found), site) = (&mut self.talk, self.site) else { return Ok(false) };
        let read = io.read(left, |bytes| {
            parser.feed(bytes, |name| found.count(name, site));
            bytes.len()
        })?;
        self.progress(read, |client, count| client.body_transferred(count as u64))
    }

    fn read_line(&mut self, io: &mut Io<'_>) -> Result<bool, Reason> {
        let (client, mut outcome) = (&mut self.client, Ok(()));
        let read = io.read(LINE, |bytes| {
            client.handle_input(bytes).unwrap_or_else(|error| {
                outcome = Err(error);
                bytes.len()
            })
        })?;
        outcome.map_err(|error| self.wrong(error))?;
        self.progress(read, |_, _| Ok(()))
    }

    fn progress(
        &mut self,
        read: Read,
        moved: impl FnOnce(&mut Client, usize) -> Result<(), Error>,
    ) -> Result<bool, Reason> {
        let progressed = match read {
            Read::Some(count) => moved(&mut self.client, count),
            Read::Blocked => return Ok(false),
            Read::Eof { .. } => self.client.handle_eof(),
        };
        progressed.map(|()| true).map_err(|error| self.wrong(error))
    }

    fn handle(&mut self, event: &Event, news: &mut Vec<&'static str>) -> Result<(), Reason> {
        self.talk = match (event, mem::replace(&mut self.talk, ProbeStep::List)) {
            (Event::PasswordAccepted, _) => {
                news.push("password accepted");
                ProbeStep::List
            }
            (Event::Announced { size, .. }, _) if *size > MAX_LISTING => return Err(Reason::ListingTooLarge(*size)),
            (Event::Announced { .. }, _) => {
                self.client.accept().map_err(|error| self.wrong(error))?;
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
