//! Agents' configuration, which the console edits at the centre, and agents fetch from their site: who wins, and what goes
//! where. Pure: no I/O, no clock.

mod centre;
mod item;

pub use centre::{Centre, CentreItem};
pub use item::{Item, ItemKind};
