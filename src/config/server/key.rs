//! The keys of the configuration, and their names in the file.

/// Makes [`Key`] and its names of one entry for each: `Key = name,`.
macro_rules! keys {
    (
        $(#[$about_stocks:meta])* STOCKS = { $($stocks:ident = $stocks_name:literal,)* }
        $(#[$about_ours:meta])* OURS = { $($ours:ident = $ours_name:literal,)* }
    ) => {
        /// A key of the configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Key {
            $($stocks,)*
            $($ours,)*
        }

        $(#[$about_stocks])*
        const STOCKS: &[(&str, Key)] = &[$(($stocks_name, Key::$stocks)),*];

        $(#[$about_ours])*
        const OURS: &[(&str, Key)] = &[$(($ours_name, Key::$ours)),*];
    };
}

keys! {
    /// Stock's keys.
    STOCKS = {
        Addresses = "addresses",
        BlockSize = "block_size",
        Daemon = "daemon",
        Directory = "directory",
        Filters = "filters",
        Insecure = "insecure",
        InvalidChars = "invalid_chars",
        LogFile = "log_file",
        MaxConnections = "max_connections",
        MaxSize = "max_size",
        Overwrite = "overwrite",
        Password = "password",
        Port = "port",
        ProxyIp = "proxy_ip",
        ProxyPort = "proxy_port",
        Quiet = "quiet",
        Retries = "retries",
        SslCa = "ssl_ca",
        SslCert = "ssl_cert",
        SslCipher = "ssl_cipher",
        SslKeyFile = "ssl_key",
        SslPassword = "ssl_password",
        SslVersion = "ssl_version",
        Timeout = "timeout",
        UseLibwrap = "use_libwrap",
        Verbose = "verbose",
    }

    /// The keys we add.
    OURS = {
        Allow = "allow",
        BodyMinRate = "body_min_rate",
        Compression = "compression",
        ControlGroup = "control_group",
        ControlMode = "control_mode",
        ControlSocket = "control_socket",
        Durability = "durability",
        Extension = "extension",
        HttpCert = "http_cert",
        HttpClientCa = "http_client_ca",
        HttpHosts = "http_hosts",
        HttpKeyFile = "http_key",
        HttpListen = "http_listen",
        HttpPassphraseFile = "http_passphrase_file",
        HttpTokenFile = "http_token_file",
        IdleTimeout = "idle_timeout",
        MaxConnectionsPerClient = "max_connections_per_client",
        MaxSpoolBytes = "max_spool_bytes",
        MaxSpoolFiles = "max_spool_files",
        MinFree = "min_free",
        SslPasswordFile = "ssl_password_file",
        Umask = "umask",
        UnzipMax = "unzip_max",
        UnzipRatio = "unzip_ratio",
        UpstreamSsl = "upstream_ssl",
        UpstreamSslCa = "upstream_ssl_ca",
        UpstreamSslCert = "upstream_ssl_cert",
        UpstreamSslKeyFile = "upstream_ssl_key",
        UpstreamSslPasswordFile = "upstream_ssl_password_file",
        UpstreamSslPin = "upstream_ssl_pin",
        UpstreamSslVerify = "upstream_ssl_verify",
        User = "user",
    }
}

impl Key {
    /// Every key with its name in the file.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, Self)> {
        STOCKS.iter().chain(OURS).copied()
    }

    /// The key of that name; keys are lower case.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::all().find(|(known, _)| known.as_bytes() == name).map(|(_, key)| key)
    }

    /// Its name in the file.
    pub(super) fn name(self) -> &'static str {
        Self::all().find(|(_, key)| *key == self).map_or("", |(name, _)| name)
    }

    /// Whether stock does not have it, so that no file written for stock can hold it.
    pub(super) fn is_ours(self) -> bool {
        OURS.iter().any(|(_, key)| *key == self)
    }

    /// Whether it is on at exactly `1`.
    pub(super) fn is_switch(self) -> bool {
        use Key::{Compression, Daemon, Extension, Insecure, Overwrite, Quiet, UpstreamSsl, UseLibwrap};
        matches!(self, Compression | Daemon | Extension | Insecure | Overwrite | Quiet | UpstreamSsl | UseLibwrap)
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
