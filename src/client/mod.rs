//! What `tentacle_client` does: sends files to a Tentacle server, or gets them.
//!
//! A program that does one thing after the other, so `connection` hides the loop: its methods wait. What it sends, and
//! what it prints, is what the stock program sends and prints, for scripts read it; further advice is printed where a
//! person reads it (`console`).
//!
//! ```text
//!  transfer ──► route ──► connection ──► Net      a route: to whom, and under which name it is checked
//!     │                       └────► proto::Client
//!     ├──► outgoing      a file that is sent, packed or not
//!     └──► incoming      a file that is got: beside its place first, then renamed
//! ```

mod connection;
mod console;
mod incoming;
mod outgoing;
mod progress;
mod reason;
mod route;
mod tls_reason;
mod transfer;

pub(crate) use console::Console;
pub(crate) use transfer::run;
