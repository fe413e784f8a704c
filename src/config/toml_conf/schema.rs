//! The tables of a file, and the keys that each may hold.

use super::super::http_settings::HTTP;
use super::super::keys::{Tables, names};
use super::super::settings::{MONITOR, SITE, SYNC};
use super::{proxy, tls};

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Section {
    /// That of the tables themselves.
    File,
    /// The same, of a file that another one includes.
    Included,
    /// What concerns all sites together.
    Sync,
    /// TLS, of every site or of one.
    Tls,
    /// The settings of sites that do not override them.
    Defaults,
    /// The same, of the sites of a group.
    Group,
    /// What the daemon tells of itself.
    Monitor,
    /// The status port.
    Http,
    /// One site.
    Site,
    /// An HTTP proxy written as a table.
    Proxy,
}

/// What only a site itself has.
pub(in crate::config) const OWN: [&str; 3] = ["name", "address", "group"];

impl Section {
    /// All but the file, the most specific first.
    pub(in crate::config) const TABLES: [Self; 8] =
        [Self::Sync, Self::Tls, Self::Defaults, Self::Group, Self::Site, Self::Monitor, Self::Http, Self::Proxy];

    /// As the user sees it.
    pub(in crate::config) fn title(self) -> &'static str {
        match self {
            Self::File => "the file",
            Self::Included => "an included file",
            Self::Sync => "[sync]",
            Self::Tls => "[tls]",
            Self::Defaults => "[defaults]",
            Self::Group => "[group.NAME]",
            Self::Monitor => "[monitor]",
            Self::Http => "[http]",
            Self::Site => "[[site]]",
            Self::Proxy => "proxy",
        }
    }

    /// The keys it may hold.
    pub(in crate::config) fn keys(self) -> Vec<&'static str> {
        match self {
            Self::File => vec!["include", "sync", "tls", "defaults", "monitor", "http", "group", "site"],
            Self::Included => vec!["group", "site"],
            Self::Sync => {
                let of_sites = SITE.iter().filter(|key| key.note == Tables::SiteAndSync);
                names(SYNC).chain(of_sites.flat_map(|key| (key.names)())).collect()
            }
            Self::Tls => names(tls::KEYS).collect(),
            Self::Defaults | Self::Group => names(SITE).collect(),
            Self::Monitor => names(MONITOR).collect(),
            Self::Http => names(HTTP).collect(),
            Self::Site => OWN.into_iter().chain(names(SITE)).collect(),
            Self::Proxy => proxy::keys(),
        }
    }
}
