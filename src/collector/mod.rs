//! What `tentacle-syncd` does: the pure parts of [`proto`](crate::proto) and [`sync`](crate::sync) on the loop of
//! [`net`](crate::net) and the disk of [`store`](crate::store).

mod agent_order;
mod all_sites;
mod commit_queue;
mod configuring;
mod http;
mod limited_net;
mod machine;
mod monitor;
mod ports;
mod reason;
mod report;
mod resources;
mod same_server;
#[cfg(test)]
mod scripted_connection;
mod session;
#[cfg(test)]
mod sim;
mod site;
mod status;

pub use all_sites::{AfterReading, Assigned, Collector, Ended, Mode, Read, Reloaded};
pub use configuring::{
    AssignedAtRest, CompareError, Compared, ConfigOutcome, ConfigRounds, ConfirmedDeletions, Interruption, ItemLine,
    Reassigned, assign_at_rest, compare as compare_configuration, confirm_at_rest,
};
pub use reason::{BodyProgress, Reason};
pub use report::{NotTaken, RoundReport};
pub use resources::StartError;
pub(crate) use resources::{target as site_target, warn_of_certificates};
pub(crate) use session::MAX_LISTING;
pub use status::{Collected, Rates, SiteStatus};
