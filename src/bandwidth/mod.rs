//! How fast peers may send to us, and we to them.
//!
//! A [`Timetable`] says which limit is in force when, a `TokenBucket` keeps to one, and a
//! `Throttle` shares one over all sites in turns, where each site may have a limit of its own beneath it. Pure: no I/O, and
//! time is an argument.

mod rate;
mod throttle;
mod timetable;
mod token_bucket;

pub use rate::{Rate, RateError};
pub(crate) use throttle::{Permit, Throttle};
pub use timetable::{Timetable, TimetableError};
