//! What the configuration comes to, at the start and when it is read again.

use std::sync::Arc;

use super::{Backend, Service, StartError, expiry};
use crate::config::server::{Mode, Passphrase, RelaySettings, ServerConfig, ServerTls, StoreSettings};
use crate::net::{ListenerConfig, Target, date};
use crate::proto::PasswordDigest;
use crate::proto::server::{Clock, Policy};
use crate::tls::{Acceptor, AcceptorSettings, ClientAuth, Connector, IdentitySettings, Suites, UnixTime, Versions};

/// How clients come in, and what there is to warn of.
pub(super) fn listener_config(config: &ServerConfig) -> Result<(ListenerConfig, Vec<String>), StartError> {
    let (tls, warnings) = match &config.tls {
        None => (None, Vec::new()),
        Some(tls) => {
            let (acceptor, warnings) = acceptor(tls, &config.mode)?;
            (Some(acceptor), warnings)
        }
    };
    Ok((ListenerConfig { tls, quick_ack: true, timeout: config.limits.idle_timeout }, warnings))
}

fn acceptor(tls: &ServerTls, mode: &Mode) -> Result<(Acceptor, Vec<String>), StartError> {
    let passphrase = match &tls.passphrase {
        Passphrase::Known(passphrase) => Some(passphrase.clone()),
        Passphrase::None | Passphrase::Ask => None,
    };
    let identity = IdentitySettings { cert: tls.cert.clone(), key: tls.key.clone(), passphrase };
    let rules_ask = matches!(mode, Mode::Store(settings) if settings.rules.look_at_certificates());
    let clients = match &tls.client_ca {
        Some(ca) => ClientAuth::Required { ca: ca.clone() },
        None if rules_ask => ClientAuth::Optional,
        None => ClientAuth::NotAsked,
    };
    let versions = tls.versions.as_deref().map(Versions::from_option).transpose()?.unwrap_or_default();
    let (suites, mut warnings) = suites(tls, versions)?;
    let acceptor = Acceptor::new(&AcceptorSettings { identity, clients, versions, suites }, UnixTime::now())?;
    warnings.extend(acceptor.warnings().iter().map(ToString::to_string));
    Ok((acceptor, warnings))
}

/// To OpenSSL, and so to stock, a cipher string has no effect on TLS 1.3.
fn suites(tls: &ServerTls, versions: Versions) -> Result<(Suites, Vec<String>), StartError> {
    let Some(text) = &tls.ciphers else { return Ok((Suites::default(), Vec::new())) };
    if versions == Versions::Only13 {
        let warning = format!("ssl_cipher (-u): {text} has no effect on TLS 1.3, and ssl_version (-z) allows no other");
        return Ok((Suites::default(), vec![warning]));
    }
    let suites = Suites::from_option(text)?;
    let unavailable = suites.unavailable().join(", ");
    let warning = format!("ssl_cipher (-u): {unavailable} is not supported, and is left out");
    let warnings = if unavailable.is_empty() { Vec::new() } else { vec![warning] };
    Ok((suites, warnings))
}

/// The server that is relayed to, and what there is to warn of.
pub(super) fn target(relay: &RelaySettings, config: &ServerConfig) -> Result<(Target, Vec<String>), StartError> {
    let tls = relay.tls.as_ref().map(|settings| Connector::new(settings, UnixTime::now())).transpose()?;
    let warnings = tls.iter().flat_map(Connector::file_warnings).collect();
    let target = Target {
        host: relay.host.as_str().into(),
        port: relay.port,
        local: None,
        proxy: None,
        tls,
        timeout: config.limits.idle_timeout,
        quick_ack: true,
    };
    Ok((target, warnings))
}

/// What sessions admit, and the clock that they tell the time by.
pub(in crate::server) fn policy(settings: &StoreSettings, clock: Option<Clock>) -> Policy {
    Policy {
        extension: settings.extension,
        compression: settings.compression,
        password: settings.password.as_ref().map(PasswordDigest::of),
        insecure: settings.insecure,
        max_size: settings.max_size,
        clock,
    }
}

/// What the machine's clock shows, in nanoseconds since 1970.
pub(super) fn wall_clock() -> Option<u64> {
    u64::try_from(date().as_nanos()).ok().filter(|time| *time > 0)
}

impl Service {
    /// Takes another configuration over: certificates, limits, filters, rules, for whoever comes from now on. What is
    /// under way goes on.
    ///
    /// # Errors
    /// It cannot be used; the last one stays.
    pub fn reload(&mut self, config: &ServerConfig) -> Result<(), StartError> {
        let (listener_config, mut warnings) = listener_config(config)?;
        let listener_config = Arc::new(listener_config);
        match (&mut self.backend, &config.mode) {
            (Backend::Storage(storage, policy), Mode::Store(settings)) => {
                *policy = Arc::new(self::policy(settings, Some(wall_clock)));
                storage.change(settings.clone());
            }
            (Backend::Relay(upstream), Mode::Relay(relay)) => {
                let (target, more) = target(relay, config)?;
                *upstream = Arc::new(target);
                warnings.extend(more);
            }
            _ => {}
        }
        for warning in warnings {
            log::warn!("{warning}");
        }
        let target = if let Backend::Relay(target) = &self.backend { Some(&**target) } else { None };
        self.certificate_end = expiry::first_end(&listener_config, target);
        self.adopt_http(&config.http);
        let target = if let Backend::Relay(target) = &self.backend { Some(&**target) } else { None };
        self.expiry_log.watch(expiry::reports(&listener_config, target, self.http.as_ref()));
        for &listener in &self.listeners {
            self.net.set_listener_config(listener, Arc::clone(&listener_config));
        }
        self.admission.change(config.hosts_access.clone(), &config.limits);
        self.limits = config.limits;
        warn_of_restart(&self.started, config);
        Ok(())
    }
}

/// Warns of what only a restart changes.
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
        (started.control != config.control, "control_socket, control_mode and control_group"),
    ] {
        if is_other {
            log::warn!("reloaded, but for {what}: these change with a restart");
        }
    }
}
