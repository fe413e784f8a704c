//! Listening on the addresses of a configuration.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use super::StartError;
use crate::config::server::{ListenAddress, ServerConfig};
use crate::net::{ListenerConfig, ListenerId, Net, Presence};

/// Listens on every address that the configuration comes to. One of several that is none of this machine's, such as a
/// cluster's that another machine has now, keeps nobody from the others, and is served once it is here.
pub(super) fn listen(
    net: &mut Net,
    config: &ServerConfig,
    listener_config: &Arc<ListenerConfig>,
) -> Result<Vec<ListenerId>, StartError> {
    let (mut listeners, mut absent) = (Vec::new(), Vec::new());
    for address in &config.listen {
        if *address == ListenAddress::Any {
            // Without IPv6 on this machine its failure is no error: 0.0.0.0 follows.
            listeners.extend(net.listen((Ipv6Addr::UNSPECIFIED, config.port).into(), Arc::clone(listener_config)));
        }
        for address in addresses(address, config.port)? {
            match net.listen(address, Arc::clone(listener_config)) {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => absent.push((address, error)),
                Err(error) => return Err(cannot_listen(address, error)),
            }
        }
    }
    if listeners.is_empty()
        && let Some((address, error)) = absent.pop()
    {
        return Err(cannot_listen(address, error));
    }
    for (address, _) in absent {
        match net.listen_with(address, Presence::Later, Arc::clone(listener_config)) {
            Ok(listener) => {
                listeners.push(listener);
                log::warn!("{address} is none of this machine's addresses: clients come in there as soon as it is one");
            }
            Err(error) => {
                let text = "is none of this machine's addresses, and is left out until a restart";
                log::warn!("{address} {text}: {error}");
            }
        }
    }
    Ok(listeners)
}

fn addresses(address: &ListenAddress, port: u16) -> Result<Vec<SocketAddr>, StartError> {
    Ok(match address {
        ListenAddress::Any => vec![(Ipv4Addr::UNSPECIFIED, port).into()],
        ListenAddress::Ip(ip) => vec![(*ip, port).into()],
        ListenAddress::Name(name) => {
            let failed = |error| StartError::Listen { address: name.clone(), port, error };
            (name.as_str(), port).to_socket_addrs().map_err(failed)?.collect()
        }
    })
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> StartError {
    StartError::Listen { address: address.to_string(), port: address.port(), error }
}
