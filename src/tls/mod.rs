//! TLS as Tentacle users have it.

mod settings;

pub use settings::{IdentitySettings, Offer, TlsSettings, Verify};
