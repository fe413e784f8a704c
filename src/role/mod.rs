//! The programs, made of the other modules' parts.

mod announce;
pub mod collect;
pub mod server;
mod service_manager;
pub mod syncd;
mod user;

pub use service_manager::Watchdog;
