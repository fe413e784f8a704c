//! What the configuration comes to, at the start and when it is read again.

use std::sync::Arc;

use super::{Hall, Service, StartError, expiry};
use crate::config::server::{Mode, Passphrase, RelaySettings, ServerConfig, ServerTls, StoreSettings};
use crate::net::{Entrance, Target};
use crate::proto::PasswordDigest;
use crate::proto::server::Policy;
use crate::tls::{Acceptor, AcceptorSettings, Clients, Connector, IdentitySettings, Suites, UnixTime, Versions};

/// How clients come in.
pub(super) fn entrance(config: &ServerConfig) -> Result<Entrance, StartError> {
    let tls = config.tls.as_ref().map(|tls| acceptor(tls, &config.mode)).transpose()?;
    Ok(Entrance { tls, quick_ack: true, timeout: config.limits.idle_timeout })
}

fn acceptor(tls: &ServerTls, mode: &Mode) -> Result<Acceptor, StartError> {
    let passphrase = match &tls.passphrase {
        Passphrase::Known(passphrase) => Some(passphrase.clone()),
        Passphrase::None | Passphrase::Ask => None,
    };
    let identity = IdentitySettings { cert: tls.cert.clone(), key: tls.key.clone(), passphrase };
    let rules_ask = matches!(mode, Mode::Store(settings) if settings.rules.look_at_certificates());
    let clients = match &tls.client_ca {
        Some(ca) => Clients::Required { ca: ca.clone() },
        None if rules_ask => Clients::Optional,
        None => Clients::NotAsked,
    };
    let versions = tls.versions.as_deref().map(Versions::from_option).transpose()?.unwrap_or_default();
    let suites = tls.ciphers.as_deref().map(Suites::from_option).transpose()?.unwrap_or_default();
    if !suites.unavailable().is_empty() {
        log::warn!("ssl_cipher (-u): {} cannot be had, and is left out", suites.unavailable().join(", "));
    }
    let acceptor = Acceptor::new(&AcceptorSettings { identity, clients, versions, suites }, UnixTime::now())?;
    acceptor.warnings().iter().for_each(|warning| log::warn!("{warning}"));
    Ok(acceptor)
}

/// The server that is relayed to.
pub(super) fn target(relay: &RelaySettings, config: &ServerConfig) -> Result<Target, StartError> {
    let tls = relay.tls.as_ref().map(|settings| Connector::new(settings, UnixTime::now())).transpose()?;
    tls.iter().flat_map(Connector::file_warnings).for_each(|warning| log::warn!("{warning}"));
    Ok(Target {
        host: relay.host.as_str().into(),
        port: relay.port,
        local: None,
        proxy: None,
        tls,
        timeout: config.limits.idle_timeout,
        quick_ack: true,
    })
}

/// What sessions admit.
pub(in crate::role::server) fn policy(settings: &StoreSettings) -> Policy {
    Policy {
        password: settings.password.as_ref().map(PasswordDigest::of),
        insecure: settings.insecure,
        max_size: settings.max_size,
        ..Policy::default()
    }
}

impl Service {
    /// Takes another configuration over: certificates, limits, filters, rules, for whoever comes from now on. What is
    /// under way goes on.
    ///
    /// # Errors
    /// It cannot be used; the last one stays.
    pub fn reload(&mut self, config: &ServerConfig) -> Result<(), StartError> {
        let entrance = Arc::new(entrance(config)?);
        match (&mut self.hall, &config.mode) {
            (Hall::Storage(storage, policy), Mode::Store(settings)) => {
                *policy = Arc::new(self::policy(settings));
                storage.change(settings.clone());
            }
            (Hall::Relay(upstream), Mode::Relay(relay)) => *upstream = Arc::new(target(relay, config)?),
            _ => {}
        }
        let target = if let Hall::Relay(target) = &self.hall { Some(&**target) } else { None };
        self.expiries.watch(expiry::reports(&entrance, target));
        for &listener in &self.listeners {
            self.net.set_entrance(listener, Arc::clone(&entrance));
        }
        self.gate.change(config.hosts_access.clone(), &config.limits);
        self.limits = config.limits;
        warn_of_restart(&self.started, config);
        Ok(())
    }
}

/// Says what will only change with a restart.
fn warn_of_restart(started: &ServerConfig, config: &ServerConfig) {
    let directory = |config: &ServerConfig| match &config.mode {
        Mode::Store(settings) => Some((settings.directory.clone(), settings.durability)),
        Mode::Relay(_) => None,
    };
    for (is_other, what) in [
        (started.listen != config.listen || started.port != config.port, "addresses and port"),
        (directory(started) != directory(config), "directory, durability, and storing or relaying at all"),
        (started.process != config.process, "user, umask and daemon"),
        (started.log != config.log, "log_file and verbose"),
    ] {
        if is_other {
            log::warn!("reloaded, but for {what}: these change with a restart");
        }
    }
}
