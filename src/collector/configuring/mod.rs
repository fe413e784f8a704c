//! Keeping a site's configuration the same as the centre's: what carries out the steps of a
//! [`ConfigRound`](crate::sync::remote_config::ConfigRound).
//!
//! A configuration round begins on the connection of a data round that went well and has ended, so that data goes first and
//! the site is known to work. The site's next data round has another connection, and waits for nothing here. A command's
//! rounds have connections of their own.

mod at_rest;
mod centre_watch;
mod centres;
mod compare;
mod operator;
mod outcome;
mod problems;
mod rounds;
mod runner;
mod saving;
mod session;
mod site_config;
mod unsent;

pub use at_rest::{AssignedAtRest, assign_at_rest, confirm_at_rest};
pub(super) use centres::{Asked, Centres, Users};
pub use compare::{CompareError, Compared, compare};
pub use operator::{ConfirmedDeletions, Reassigned};
pub use outcome::{ConfigOutcome, Interruption, ItemLine};
pub use rounds::ConfigRounds;
pub(super) use session::{ConfigContext, ConfigPumped, ConfigSession, Dialect};
pub(super) use site_config::{ConfigEnd, RoundStart, SiteConfig, allowance};
