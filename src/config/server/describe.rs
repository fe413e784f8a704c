//! What is in force, in the file's words (`--check`).

use std::fmt::{self, Display};

use super::super::http_settings::HttpSettings;
use super::super::units::{format_duration, format_size};
use super::super::words::{DURABILITIES, word_for};
use super::key::Key;
use super::settings::{
    ListenAddress, Mode, Passphrase, RelaySettings, ServerConfig, ServerTls, StoreSettings, Verbosity,
};
use crate::proto::shown;
use crate::tls::{Sha256, TlsSettings, Verify};

/// A file with the same settings, secrets left out.
impl Display for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Lines(f);
        let addresses: Vec<String> = self.listen.iter().map(ListenAddress::to_string).collect();
        lines.add(Key::Addresses, addresses.join(","))?;
        lines.add(Key::Port, self.port)?;
        match &self.mode {
            Mode::Store(store) => lines.store(store)?,
            Mode::Relay(relay) => lines.relay(relay)?,
        }
        if let Some(tls) = &self.tls {
            lines.tls(tls)?;
        }
        lines.switch(Key::UseLibwrap, self.hosts_access.is_some())?;
        lines.add(Key::MaxConnections, self.limits.max_connections)?;
        lines.add(Key::MaxConnectionsPerClient, self.limits.max_connections_per_client.unwrap_or_default())?;
        lines.add(Key::IdleTimeout, format_duration(self.limits.idle_timeout))?;
        lines.add(Key::BodyMinRate, format_size(self.limits.body_min_rate))?;
        lines.switch(Key::Daemon, self.process.daemon)?;
        lines.optional(Key::User, self.process.user.as_ref())?;
        lines.add(Key::Umask, format_args!("{:04o}", self.process.umask))?;
        lines.optional(Key::LogFile, self.log.file.as_ref().map(shown))?;
        lines.verbosity(self.log.verbosity)?;
        lines.optional(Key::ControlSocket, self.control.socket.as_ref().map(shown))?;
        lines.add(Key::ControlMode, format_args!("{:04o}", self.control.mode))?;
        lines.optional(Key::ControlGroup, self.control.group.as_ref())?;
        lines.http(&self.http)
    }
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("0"),
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

struct Lines<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Lines<'_, '_> {
    fn add(&mut self, key: Key, value: impl Display) -> fmt::Result {
        writeln!(self.0, "{} {value}", key.name())
    }

    fn switch(&mut self, key: Key, on: bool) -> fmt::Result {
        self.add(key, u8::from(on))
    }

    fn optional(&mut self, key: Key, value: Option<impl Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.add(key, value))
    }

    fn http(&mut self, http: &HttpSettings) -> fmt::Result {
        let Some(address) = http.listen else { return Ok(()) };
        self.add(Key::HttpListen, address)?;
        self.optional(Key::HttpTokenFile, http.token.as_ref().map(|_| "***"))?;
        if let Some(identity) = &http.identity {
            self.add(Key::HttpCert, shown(&identity.cert))?;
            self.add(Key::HttpKeyFile, shown(&identity.key))?;
            self.optional(Key::HttpPassphraseFile, identity.passphrase.as_ref().map(|_| "***"))?;
        }
        self.optional(Key::HttpClientCa, http.client_ca.as_ref().map(shown))?;
        self.optional(Key::HttpHosts, (!http.hosts.is_empty()).then(|| http.hosts.join(",")))
    }

    fn store(&mut self, store: &StoreSettings) -> fmt::Result {
        self.add(Key::Directory, shown(&store.directory))?;
        if !store.filters.is_empty() {
            self.add(Key::Filters, &store.filters)?;
        }
        self.switch(Key::Insecure, store.insecure)?;
        self.switch(Key::Overwrite, store.overwrite)?;
        self.switch(Key::Extension, store.extension)?;
        self.switch(Key::Compression, store.compression)?;
        write!(self.0, "{}", store.rules)?;
        self.optional(Key::Password, store.password.as_ref().map(|_| "***"))?;
        self.add(Key::MaxSize, format_size(store.max_size))?;
        self.add(Key::Durability, word_for(&DURABILITIES, &store.durability))?;
        self.add(Key::MaxSpoolBytes, format_size(store.quota.max_bytes))?;
        self.add(Key::MaxSpoolFiles, store.quota.max_files)?;
        self.add(Key::MinFree, format_size(store.quota.min_free))?;
        self.add(Key::UnzipRatio, store.unzip.ratio)?;
        self.add(Key::UnzipMax, format_size(store.unzip.max_bytes))
    }

    fn relay(&mut self, relay: &RelaySettings) -> fmt::Result {
        self.add(Key::ProxyIp, &relay.host)?;
        self.add(Key::ProxyPort, relay.port)?;
        match &relay.tls {
            Some(tls) => self.upstream(tls),
            None => self.switch(Key::UpstreamSsl, false),
        }
    }

    fn upstream(&mut self, tls: &TlsSettings) -> fmt::Result {
        self.switch(Key::UpstreamSsl, true)?;
        self.optional(Key::UpstreamSslCa, tls.ca.as_ref().map(shown))?;
        if let Some(identity) = &tls.identity {
            self.add(Key::UpstreamSslCert, shown(&identity.cert))?;
            self.add(Key::UpstreamSslKeyFile, shown(&identity.key))?;
        }
        let verify = match &tls.verify {
            Verify::Chain => "chain",
            Verify::ChainAndName => "chain+name",
            Verify::None => "none",
            Verify::Pin(pins) => {
                let pins: Vec<String> = pins.iter().map(|pin| Sha256(*pin).to_string()).collect();
                self.add(Key::UpstreamSslPin, pins.join(","))?;
                "pin"
            }
        };
        self.add(Key::UpstreamSslVerify, verify)
    }

    fn tls(&mut self, tls: &ServerTls) -> fmt::Result {
        self.add(Key::SslCert, shown(&tls.cert))?;
        self.add(Key::SslKeyFile, shown(&tls.key))?;
        self.optional(Key::SslCa, tls.client_ca.as_ref().map(shown))?;
        if matches!(tls.passphrase, Passphrase::Known(_)) {
            self.add(Key::SslPassword, "***")?;
        }
        self.optional(Key::SslVersion, tls.versions.as_ref())?;
        self.optional(Key::SslCipher, tls.ciphers.as_ref())
    }

    fn verbosity(&mut self, verbosity: Verbosity) -> fmt::Result {
        match verbosity {
            Verbosity::Quiet => self.switch(Key::Quiet, true),
            Verbosity::Normal => self.add(Key::Verbose, 0),
            Verbosity::Verbose => self.add(Key::Verbose, 1),
            Verbosity::Everything => self.add(Key::Verbose, 2),
        }
    }
}
