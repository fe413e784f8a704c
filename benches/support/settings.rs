//! What benches collect into, and by which settings.

use std::path::Path;
use std::time::Duration;

use tentacle_sync::config::{Settings, SiteSettings};
use tentacle_sync::store::{Durability, Publish};
use tentacle_sync::tls::{ClientCertPolicy, TlsSettings, Verify};

/// Settings as they are by default, with these sites.
pub(crate) fn settings(dir: &Path, durability: Durability, sites: Vec<SiteSettings>) -> Settings {
    Settings {
        state_dir: Some(dir.join("state")),
        durability,
        publish: Publish::AtOnce,
        shutdown_timeout: Duration::from_secs(1),
        ..Settings::of_sites(sites)
    }
}

/// A site on loopback; in TLS where there is a CA.
pub(crate) fn site(name: &str, port: u16, spool: &Path, ca: Option<&Path>) -> SiteSettings {
    let mut site = SiteSettings::new(name, "127.0.0.1");
    site.port = port;
    spool.clone_into(&mut site.incoming_dir);
    site.retries = 0;
    site.tls = ca.map(|ca| TlsSettings {
        ca: Some(ca.to_owned()),
        identity: None,
        verify: Verify::Chain,
        offer: ClientCertPolicy::Never,
    });
    site
}
