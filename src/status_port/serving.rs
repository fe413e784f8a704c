//! The port's clients: they come, ask, are answered, and go.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use log::{info, warn};

use super::client::{Client, Step};
use super::{ADMITTED, Host, MOST_CLIENTS, Resource, Served, StatusPort, listener_config};
use crate::config::HttpSettings;
use crate::http::{Openness, Rejection, Request, Response};
use crate::net::{ConnId, Event, ListenerConfig};
use crate::tls::Acceptor;

/// Requests of one client that are answered in one turn.
const REQUESTS: usize = 8;

/// Serves it from now on as these settings say. Where that cannot be done, all stays as it was. Whether it is another port.
pub(crate) fn adopt(host: &mut impl Host, settings: &HttpSettings) -> bool {
    let (port, net) = host.parts();
    let is_as_before = match port {
        Some(port) => port.served.settings == *settings,
        None => settings.listen.is_none(),
    };
    // What is in a certificate's file may be another one by now.
    if is_as_before && settings.identity.is_none() {
        return false;
    }
    let (is_served, date, mut settings) = (port.is_some(), net.date(), settings.clone());
    let config = settings
        .read_secrets()
        .map_err(|error| error.to_string())
        .and_then(|()| listener_config(&settings, date).map_err(|error| error.to_string()));
    match config.and_then(|config| replace(host, settings, Arc::new(config))) {
        Ok(()) => true,
        Err(why) => {
            let as_it_is = if is_served { "as it was" } else { "not served" };
            warn!("reason=http the status port is {as_it_is} before a reload: {why}");
            false
        }
    }
}

fn replace<H: Host>(host: &mut H, settings: HttpSettings, config: Arc<ListenerConfig>) -> Result<(), String> {
    config.tls.iter().flat_map(Acceptor::warnings).for_each(|warning| warn!("{warning}"));
    let (port, net) = host.parts();
    let before = port.take().map(|port| port.close(net));
    let Some(address) = settings.listen else { return Ok(()) };
    let (before, answers) = match before {
        Some((served, answers)) => (Some(served), answers),
        None => (None, host.start_answers().map_err(|error| format!("cannot start its thread: {error}"))?),
    };
    let (port, net) = host.parts();
    match StatusPort::open(net, Served { address, settings, listener_config: config }, answers) {
        Ok(opened) => {
            info!("status port: {}", opened.url());
            *port = Some(opened);
            Ok(())
        }
        Err((why, answers)) => {
            match before.map(|served| StatusPort::open(net, served, answers)) {
                None => {}
                Some(Ok(restored)) => *port = Some(restored),
                Some(Err((error, _))) => warn!("reason=http {error}"),
            }
            Err(why)
        }
    }
}

/// Takes an event that is of the port's: `None` where it was.
pub(crate) fn take_event<H: Host>(host: &mut H, event: Event) -> Option<Event> {
    let (Some(port), net) = host.parts() else { return Some(event) };
    match event {
        Event::Accepted(id, _, listener) if listener == port.listener => {
            let since = net.now();
            if port.clients.len() >= MOST_CLIENTS {
                let Some(idle) = port.most_idle() else {
                    net.abort(id);
                    return None;
                };
                port.forget(idle);
                net.abort(idle);
            }
            port.clients.insert(id, Client::Waiting { since });
        }
        Event::Arrived(id) if port.clients.contains_key(&id) => port.arrived.push_back(id),
        Event::Opened(id) if port.clients.contains_key(&id) => {
            if let Some(mut io) = net.client(id) {
                port.clients.insert(id, Client::opened(&mut *io));
            }
            hear(host, id);
        }
        Event::Ready(id) if port.clients.contains_key(&id) => hear(host, id),
        Event::Failed(id, _) if port.clients.contains_key(&id) => port.forget(id),
        other => return Some(other),
    }
    None
}

/// Lets clients in that have said something.
pub(crate) fn go_on(host: &mut impl Host) {
    let (Some(port), net) = host.parts() else { return };
    for id in port.arrived.drain(..ADMITTED.min(port.arrived.len())) {
        net.admit(id);
    }
}

/// Hears a client, and answers it.
pub(crate) fn hear<H: Host>(host: &mut H, id: ConnId) {
    for _ in 0..REQUESTS {
        let (Some(port), net) = host.parts() else { return };
        let Some(client) = port.clients.get_mut(&id) else { return };
        let Some(step) = net.client(id).map(|mut io| client.go_on(&mut *io)) else { return };
        match step {
            Ok(Step::Blocked) => return,
            Ok(Step::Asked(request)) => match request.and_then(|request| respond(host, id, &request)) {
                Ok(None) => return,
                Ok(Some(response)) => answer(host, id, &response),
                Err(rejection) => answer(host, id, &rejection.response()),
            },
            Ok(Step::Over) => {
                *client = Client::Parting { since: net.now() };
                net.half_close(id);
            }
            Ok(Step::Gone) | Err(_) => {
                port.forget(id);
                return net.abort(id);
            }
        }
    }
    host.parts().1.wake(id);
}

/// What a request is answered; `None` where that is being made.
fn respond<H: Host>(host: &mut H, id: ConnId, request: &Request) -> Result<Option<Response>, Rejection> {
    let resource = H::Resource::of(request);
    if let (Some(port), _) = host.parts() {
        // Who may ask for nothing is not told what there is.
        port.access.check(request, resource.as_ref().map_or(Openness::Program, Resource::openness))?;
    }
    host.respond(id, resource?)
}

/// Gives a client the answer to what it asked for.
pub(crate) fn answer<H: Host>(host: &mut H, id: ConnId, response: &Response) {
    let (Some(port), net) = host.parts() else { return };
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(net.date().as_secs()));
    if let (Some(client), Some(mut io)) = (port.clients.get_mut(&id), net.client(id)) {
        client.answer(response, &date, &mut *io);
    }
}
