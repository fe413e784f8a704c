//! The configuration of `tentacle_server`: the stock program's options and `-F` file, what we add to them, and what
//! they mean.
//!
//! [`parse_args`] takes the command line apart as Perl's getopts does, into a [`Invocation`]. [`load()`] reads the file it
//! names, puts the command line over it, and gives a [`ServerConfig`]; a reload is the same call with the same
//! [`CommandLine`]. Nothing here keeps state, opens a socket, or looks at a certificate or the storage directory.

mod args;
pub mod defaults;
mod describe;
mod env;
mod error;
mod file;
mod filters;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod help;
mod hosts_access;
mod key;
mod load;
mod network;
mod raw_option;
mod reader;
mod rules;
mod settings;
#[cfg(test)]
mod tests;

pub use args::{CommandLine, Invocation, parse_args};
pub use env::Env;
pub use error::{Place, ServerConfigError, ServerProblem, UsageError};
pub use filters::{FilterError, Filters};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use fuzz::fuzz_server_conf;
pub use help::HELP;
pub use hosts_access::HostsAccess;
pub use load::{control_socket, load, read_by_load};
pub use network::{Network, NetworkError};
pub use rules::{RuleError, Rules, Who};
pub use settings::{
    ControlSettings, Limits, ListenAddress, LogSettings, Mode, Passphrase, ProcessSettings, Quota, RelaySettings,
    ServerConfig, ServerTls, StoreSettings, UnzipLimits, Verbosity,
};
