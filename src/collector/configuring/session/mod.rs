//! One connection's conversation about configuration: [`StockConversation`], one thing after the other, as every server
//! understands it; and [`ExtendedConversation`], where the site is a server of ours that speaks the extension. A round does not
//! know which of them carries its steps out.

mod extended;
mod stock;

use self::extended::ExtendedConversation;
use self::stock::StockConversation;
use crate::collector::Reason;
use crate::collector::ports::Connection;
use crate::config::SiteSettings;
use crate::net::ClientDriver;
use crate::proto::extension::{Capabilities, Capability};
use crate::sync::remote_config::{CentreStep, StepId, Steps};

/// What the site has to be able to do for the extension to be of use.
const NEEDED: [Capability; 6] =
    [Capability::Pipeline, Capability::Get, Capability::List, Capability::Drop, Capability::Put, Capability::Blake3];

/// What a session works with.
pub(in crate::collector) struct ConfigContext<'a> {
    pub(in crate::collector) io: &'a mut dyn Connection,
    pub(in crate::collector) settings: &'a SiteSettings,
    pub(in crate::collector) steps: &'a mut dyn Steps,
}

/// Why a session stopped pumping.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::collector) enum ConfigPumped {
    /// Until the socket can go on, or the centre has answered.
    Blocked,
    /// The centre is to do this. The session may have more to do meanwhile.
    Ask(StepId, CentreStep),
    /// There are no more steps.
    Finished,
    /// There are, but this connection can take no more commands.
    Exhausted,
}

/// What a site's server is known to understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collector) enum Dialect {
    /// Nothing: it is to be asked.
    Unknown,
    /// Stock's commands.
    Stock,
    /// The extension, on this connection.
    Extended,
}

impl Dialect {
    /// That of a server which says that it can do this.
    pub(in crate::collector) fn of(capabilities: Capabilities) -> Self {
        if NEEDED.into_iter().all(|one| capabilities.has(one)) { Self::Extended } else { Self::Stock }
    }
}

/// A connection's session.
pub(in crate::collector) struct ConfigSession {
    site: usize,
    conversation: Conversation,
}

enum Conversation {
    Stock(Box<StockConversation>),
    Extended(Box<ExtendedConversation>),
}

/// What a conversation has come to.
enum Turn {
    Pumped(ConfigPumped),
    /// Nothing is under way, and the other conversation goes on.
    Over(Conversation),
}

impl ConfigSession {
    /// On a connection that stands, and on which nothing was said: the password first, where there is one.
    pub(in crate::collector) fn open(site: usize, dialect: Dialect) -> Self {
        Self { site, conversation: Conversation::Stock(Box::new(StockConversation::open(dialect))) }
    }

    /// `driver` is that of a connection that stands, and on which nothing is under way.
    pub(in crate::collector) fn new(site: usize, driver: ClientDriver, dialect: Dialect) -> Self {
        Self { site, conversation: Conversation::Stock(Box::new(StockConversation::new(driver, dialect))) }
    }

    /// The site's key.
    pub(in crate::collector) fn site(&self) -> usize {
        self.site
    }

    /// Whether the site has been asked what it speaks, and has not answered: not every server need survive that.
    pub(in crate::collector) fn is_asking(&self) -> bool {
        matches!(&self.conversation, Conversation::Stock(stock) if stock.is_asking())
    }

    /// Ends the session in good order, as far as the socket takes it at once.
    pub(in crate::collector) fn quit(&mut self, io: &mut dyn Connection) {
        match &mut self.conversation {
            Conversation::Stock(stock) => stock.quit(io),
            Conversation::Extended(extended) => extended.quit(io),
        }
    }

    /// The centre has answered.
    pub(in crate::collector) fn resume(&mut self) {
        if let Conversation::Stock(stock) = &mut self.conversation {
            stock.resume();
        }
    }

    /// Carries out steps for as long as the socket lets it.
    pub(in crate::collector) fn pump(&mut self, cx: &mut ConfigContext<'_>) -> Result<ConfigPumped, Reason> {
        loop {
            let turn = match &mut self.conversation {
                Conversation::Stock(stock) => stock.pump(cx)?,
                Conversation::Extended(extended) => extended.pump(cx)?,
            };
            match turn {
                Turn::Pumped(pumped) => return Ok(pumped),
                Turn::Over(other) => self.conversation = other,
            }
        }
    }
}

#[cfg(test)]
mod tests;
