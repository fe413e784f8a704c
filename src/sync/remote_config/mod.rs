//! Agents' configuration, which the console edits at the centre, and agents fetch from their site: who wins, and what goes
//! where. Pure: no I/O, no clock.

mod adoption;
mod agenda;
mod broken_off;
mod centre;
mod comparison;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod guard;
mod in_step;
mod item;
mod listed;
#[cfg(test)]
mod lock_step;
mod md5_file;
#[cfg(test)]
mod model;
mod owners;
mod push;
mod removal;
mod report;
mod round;
#[cfg(test)]
mod round_tests;
mod step;
mod sums;
mod task;
mod working;

pub use centre::{Centre, CentreItem};
pub use comparison::{AtSite, Comparison};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use fuzz::fuzz_config_round;
pub use guard::{Guard, GuardReason};
pub use in_step::{InStep, SiteHas, Standing};
pub use item::{Item, ItemKind};
pub use listed::Listed;
pub use md5_file::{md5_text, parse_md5};
pub use owners::Owners;
pub use report::{ConfigReport, EndedEarly, Named, Owner, PushReason, Pushed};
pub use round::{Allowance, ConfigRound, Mode, RoundPolicy};
pub use step::{CentreStep, ConfigStep, Deletion, Replaces, SiteStep, StepId, StepOutcome, Steps, Stored};
pub use sums::{Sums, SumsHasher};
