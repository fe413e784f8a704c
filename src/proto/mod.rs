//! The Tentacle wire protocol, without I/O and without a clock.

mod fingerprint;
mod name;
mod secret;

pub use fingerprint::{Fingerprint, Fingerprinter};
pub use name::{FileName, NameError};
pub use secret::Secret;
