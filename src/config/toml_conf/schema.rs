//! Every key there is, by the table it stands in. What a value must look like is said where it is read.

/// A table of the file and the keys it may hold.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Section {
    /// As the user sees it.
    pub(in crate::config) title: &'static str,
    pub(in crate::config) keys: &'static [&'static str],
}

/// The tables of a file.
pub(in crate::config) const ROOT: Section = Section { title: "the file", keys: &["sync", "tls", "defaults", "site"] };

/// What concerns all sites together.
pub(in crate::config) const SYNC: Section = Section {
    title: "[sync]",
    keys: &[
        "state_dir",
        "incoming_dir",
        "durability",
        "delivery",
        "publish",
        "max_spool_files",
        "max_spool_bytes",
        "max_connections",
        "shutdown_timeout",
    ],
};

/// TLS, of every site or of one.
pub(in crate::config) const TLS: Section = Section {
    title: "[tls]",
    keys: &["ca", "cert", "key", "passphrase_file", "passphrase_env", "verify", "pins", "offer_client_cert"],
};

/// What only a site itself has.
pub(in crate::config) const OWN: [&str; 2] = ["name", "address"];

/// One site.
pub(in crate::config) const SITE: Section = Section {
    title: "[[site]]",
    keys: &[
        "name",
        "address",
        "enabled",
        "port",
        "interval",
        "timeout",
        "retries",
        "connections",
        "password_file",
        "password_env",
        "password",
        "tls",
        "proxy",
        "incoming_dir",
        "include",
        "exclude",
        "delivery",
        "max_file_size",
        "min_rate",
        "round_limit",
        "keep_open",
        "quickack",
    ],
};

/// What sites have unless they say otherwise.
pub(in crate::config) const DEFAULTS: Section = Section { title: "[defaults]", keys: SITE.keys.split_at(OWN.len()).1 };

/// An HTTP proxy written as a table.
pub(in crate::config) const PROXY: Section =
    Section { title: "proxy", keys: &["host", "port", "user", "password_file", "password_env", "password"] };

/// All of them, the most specific first.
pub(in crate::config) const ALL: [Section; 5] = [SYNC, TLS, DEFAULTS, SITE, PROXY];
