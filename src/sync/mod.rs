//! What to do next, without I/O and without a clock: a site's round, and the schedule of all sites.

mod assignment;
mod delivery;
#[cfg(test)]
mod driven_round;
#[cfg(test)]
mod failure_tests;
mod fetch_order;
mod history;
#[cfg(test)]
mod listing_tests;
mod notes;
mod order;
mod packing;
mod patterns;
mod pipelining;
mod places;
mod plan;
mod queue;
pub mod remote_config;
mod round;
#[cfg(test)]
mod round_tests;
mod schedule;
mod selection;
mod tally;
mod waiting;
#[cfg(test)]
mod winding_up_tests;

pub use assignment::{
    Assignment, DeleteAssignment, DeleteResult, FetchAssignment, ListAssignment, NotStaged, PendingCommit, Step,
    WorkCounts,
};
pub use delivery::Delivery;
pub use fetch_order::FetchOrder;
pub use history::{Match, SiteHistory};
pub use order::AgentFile;
pub(crate) use order::{agent, measured_at};
pub use packing::{Packing, PackingNews};
pub use patterns::Patterns;
pub use pipelining::{EarlyEnd, Pipelining};
pub use places::Places;
pub use queue::ConnectionKey;
pub use round::Round;
pub use schedule::{Ending, PollPolicy, Schedule};
pub(crate) use selection::MAX_NAMES;
pub use selection::Selection;
pub use tally::Tally;
pub use waiting::{AGE_BOUNDS, AgeSource, Ages, Details, WaitingFiles};
