//! What benches collect into, and by which settings.

use std::net::SocketAddr;
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

/// A site; in TLS where there is a CA.
pub(crate) fn site(name: &str, address: SocketAddr, spool: &Path, ca: Option<&Path>) -> SiteSettings {
    let mut site = SiteSettings::new(name, address.ip().to_string());
    site.port = address.port();
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
