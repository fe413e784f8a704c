//! Collecting: the pure parts of [`proto`](crate::proto) and [`sync`](crate::sync) on the loop of
//! [`net`](crate::net) and the disk of [`store`](crate::store).

mod chains;
mod collector;
mod desk;
mod equipment;
mod outside;
mod reason;
mod report;
mod same_server;
mod session;
#[cfg(test)]
mod sim;
mod site;

pub use collector::{Collector, Ended, Mode, Reloaded};
pub use equipment::StartError;
pub(crate) use equipment::{target as site_target, warn_of_certificates};
pub use reason::{Came, Reason};
pub use report::{NotTaken, RoundReport};
pub(crate) use session::MAX_LISTING;
