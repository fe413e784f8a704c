//! What can be said, and its name in the file.

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Addresses,
    Allow,
    BlockSize,
    BodyMinRate,
    Daemon,
    Directory,
    Durability,
    Filters,
    IdleTimeout,
    Insecure,
    InvalidChars,
    LogFile,
    MaxConnections,
    MaxConnectionsPerClient,
    MaxSize,
    MaxSpoolBytes,
    MaxSpoolFiles,
    MinFree,
    Overwrite,
    Password,
    Port,
    ProxyIp,
    ProxyPort,
    Quiet,
    Retries,
    SslCa,
    SslCert,
    SslCipher,
    SslKeyFile,
    SslPassword,
    SslPasswordFile,
    SslVersion,
    Timeout,
    Umask,
    UnzipMax,
    UnzipRatio,
    UpstreamSsl,
    UpstreamSslCa,
    UpstreamSslCert,
    UpstreamSslKeyFile,
    UpstreamSslPasswordFile,
    UpstreamSslPin,
    UpstreamSslVerify,
    UseLibwrap,
    User,
    Verbose,
}

/// Stock's keys.
const STOCKS: [(&str, Key); 26] = [
    ("addresses", Key::Addresses),
    ("block_size", Key::BlockSize),
    ("daemon", Key::Daemon),
    ("directory", Key::Directory),
    ("filters", Key::Filters),
    ("insecure", Key::Insecure),
    ("invalid_chars", Key::InvalidChars),
    ("log_file", Key::LogFile),
    ("max_connections", Key::MaxConnections),
    ("max_size", Key::MaxSize),
    ("overwrite", Key::Overwrite),
    ("password", Key::Password),
    ("port", Key::Port),
    ("proxy_ip", Key::ProxyIp),
    ("proxy_port", Key::ProxyPort),
    ("quiet", Key::Quiet),
    ("retries", Key::Retries),
    ("ssl_ca", Key::SslCa),
    ("ssl_cert", Key::SslCert),
    ("ssl_cipher", Key::SslCipher),
    ("ssl_key", Key::SslKeyFile),
    ("ssl_password", Key::SslPassword),
    ("ssl_version", Key::SslVersion),
    ("timeout", Key::Timeout),
    ("use_libwrap", Key::UseLibwrap),
    ("verbose", Key::Verbose),
];

/// The keys we add.
const OURS: [(&str, Key); 20] = [
    ("allow", Key::Allow),
    ("body_min_rate", Key::BodyMinRate),
    ("durability", Key::Durability),
    ("idle_timeout", Key::IdleTimeout),
    ("max_connections_per_client", Key::MaxConnectionsPerClient),
    ("max_spool_bytes", Key::MaxSpoolBytes),
    ("max_spool_files", Key::MaxSpoolFiles),
    ("min_free", Key::MinFree),
    ("ssl_password_file", Key::SslPasswordFile),
    ("umask", Key::Umask),
    ("unzip_max", Key::UnzipMax),
    ("unzip_ratio", Key::UnzipRatio),
    ("upstream_ssl", Key::UpstreamSsl),
    ("upstream_ssl_ca", Key::UpstreamSslCa),
    ("upstream_ssl_cert", Key::UpstreamSslCert),
    ("upstream_ssl_key", Key::UpstreamSslKeyFile),
    ("upstream_ssl_password_file", Key::UpstreamSslPasswordFile),
    ("upstream_ssl_pin", Key::UpstreamSslPin),
    ("upstream_ssl_verify", Key::UpstreamSslVerify),
    ("user", Key::User),
];

impl Key {
    /// Every key with its name in the file.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, Self)> {
        STOCKS.into_iter().chain(OURS)
    }

    /// The key of that name; keys are lower case.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::all().find(|(known, _)| known.as_bytes() == name).map(|(_, key)| key)
    }

    /// Its name in the file.
    pub(super) fn name(self) -> &'static str {
        Self::all().find(|(_, key)| *key == self).map_or("", |(name, _)| name)
    }

    /// Whether stock does not know it, so that no file written for stock can hold it.
    pub(super) fn is_ours(self) -> bool {
        OURS.iter().any(|(_, key)| *key == self)
    }

    /// Whether it is on at exactly `1`.
    pub(super) fn is_switch(self) -> bool {
        use Key::{Daemon, Insecure, Overwrite, Quiet, UpstreamSsl, UseLibwrap};
        matches!(self, Daemon | Insecure | Overwrite | Quiet | UpstreamSsl | UseLibwrap)
    }

    /// Whether its value is never shown.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Password | Self::SslPassword)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_name_and_every_name_one_key() {
        for (name, key) in Key::all() {
            assert_eq!((Key::named(name.as_bytes()), key.name()), (Some(key), name));
        }
        assert_eq!(Key::named(b"Port"), None);
    }
}
