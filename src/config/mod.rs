//! Configuration: our TOML, an existing `pandora_server.conf`, and the command line, read into plain values.

mod settings;

pub use settings::{ProxySettings, Settings, SiteSettings};
