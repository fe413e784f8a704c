//! The HTTP proxy that settings name, as the loop takes it.

use super::ProxySettings;
use crate::net::{HttpVersion, Proxy};

/// The proxy, asked in this version of HTTP.
pub(crate) fn proxy(settings: &ProxySettings, http: HttpVersion) -> Proxy {
    let ProxySettings { host, port, credentials } = settings.clone();
    Proxy { host: host.into(), port, http, credentials }
}
