//! The configuration of `tentacle_client`: the stock program's options, and what they mean.
//!
//! [`parse_args`] takes the command line apart as Perl's getopts does and checks it; of the disk it only asks whether the
//! files of TLS are there.

mod args;
mod check;
mod error;
mod help;
mod settings;
#[cfg(test)]
mod tests;

pub use args::{Invocation, parse_args};
pub use error::ClientUsageError;
pub use help::HELP;
pub use settings::{ClientIdentity, ClientSettings, ClientTls, Direction, Server, Verbosity};
