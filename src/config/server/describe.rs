//! What is in force, in the file's words (`--check`).

use std::fmt::{self, Display};

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
        lines.say(Key::Addresses, addresses.join(","))?;
        lines.say(Key::Port, self.port)?;
        match &self.mode {
            Mode::Store(store) => lines.store(store)?,
            Mode::Relay(relay) => lines.relay(relay)?,
        }
        if let Some(tls) = &self.tls {
            lines.tls(tls)?;
        }
        lines.switch(Key::UseLibwrap, self.hosts_access.is_some())?;
        lines.say(Key::MaxConnections, self.limits.max_connections)?;
        lines.say(Key::MaxConnectionsPerClient, self.limits.max_connections_per_client.unwrap_or_default())?;
        lines.say(Key::IdleTimeout, format_duration(self.limits.idle_timeout))?;
        lines.say(Key::BodyMinRate, format_size(self.limits.body_min_rate))?;
        lines.switch(Key::Daemon, self.process.daemon)?;
        lines.optional(Key::User, self.process.user.as_ref())?;
        lines.say(Key::Umask, format_args!("{:04o}", self.process.umask))?;
        lines.optional(Key::LogFile, self.log.file.as_ref().map(shown))?;
        lines.verbosity(self.log.verbosity)
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
    fn say(&mut self, key: Key, value: impl Display) -> fmt::Result {
        writeln!(self.0, "{} {value}", key.name())
    }

    fn switch(&mut self, key: Key, on: bool) -> fmt::Result {
        self.say(key, u8::from(on))
    }

    fn optional(&mut self, key: Key, value: Option<impl Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.say(key, value))
    }

    fn store(&mut self, store: &StoreSettings) -> fmt::Result {
        self.say(Key::Directory, shown(&store.directory))?;
        if !store.filters.is_empty() {
            self.say(Key::Filters, &store.filters)?;
        }
        self.switch(Key::Insecure, store.insecure)?;
        self.switch(Key::Overwrite, store.overwrite)?;
        write!(self.0, "{}", store.rules)?;
        self.optional(Key::Password, store.password.as_ref().map(|_| "***"))?;
        self.say(Key::MaxSize, format_size(store.max_size))?;
        self.say(Key::Durability, word_for(&DURABILITIES, &store.durability))?;
        self.say(Key::MaxSpoolBytes, format_size(store.quota.max_bytes))?;
        self.say(Key::MaxSpoolFiles, store.quota.max_files)?;
        self.say(Key::MinFree, format_size(store.quota.min_free))?;
        self.say(Key::UnzipRatio, store.unzip.ratio)?;
        self.say(Key::UnzipMax, format_size(store.unzip.max_bytes))
    }

    fn relay(&mut self, relay: &RelaySettings) -> fmt::Result {
        self.say(Key::ProxyIp, &relay.host)?;
        self.say(Key::ProxyPort, relay.port)?;
        match &relay.tls {
            Some(tls) => self.upstream(tls),
            None => self.switch(Key::UpstreamSsl, false),
        }
    }

    fn upstream(&mut self, tls: &TlsSettings) -> fmt::Result {
        self.switch(Key::UpstreamSsl, true)?;
        self.optional(Key::UpstreamSslCa, tls.ca.as_ref().map(shown))?;
        if let Some(identity) = &tls.identity {
            self.say(Key::UpstreamSslCert, shown(&identity.cert))?;
            self.say(Key::UpstreamSslKeyFile, shown(&identity.key))?;
        }
        let verify = match &tls.verify {
            Verify::Chain => "chain",
            Verify::ChainAndName => "chain+name",
            Verify::None => "none",
            Verify::Pin(pins) => {
                let pins: Vec<String> = pins.iter().map(|pin| Sha256(*pin).to_string()).collect();
                self.say(Key::UpstreamSslPin, pins.join(","))?;
                "pin"
            }
        };
        self.say(Key::UpstreamSslVerify, verify)
    }

    fn tls(&mut self, tls: &ServerTls) -> fmt::Result {
        self.say(Key::SslCert, shown(&tls.cert))?;
        self.say(Key::SslKeyFile, shown(&tls.key))?;
        self.optional(Key::SslCa, tls.client_ca.as_ref().map(shown))?;
        if matches!(tls.passphrase, Passphrase::Known(_)) {
            self.say(Key::SslPassword, "***")?;
        }
        self.optional(Key::SslVersion, tls.versions.as_ref())?;
        self.optional(Key::SslCipher, tls.ciphers.as_ref())
    }

    fn verbosity(&mut self, verbosity: Verbosity) -> fmt::Result {
        match verbosity {
            Verbosity::Quiet => self.switch(Key::Quiet, true),
            Verbosity::Normal => self.say(Key::Verbose, 0),
            Verbosity::Verbose => self.say(Key::Verbose, 1),
            Verbosity::Everything => self.say(Key::Verbose, 2),
        }
    }
}
