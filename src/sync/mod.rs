//! What to do next, without I/O and without a clock: a site's round, and the schedule of all sites.

mod filter;

pub use filter::NameFilter;
