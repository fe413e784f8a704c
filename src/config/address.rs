//! Host names and addresses, with or without a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host name or address, without brackets.
    pub(super) host: String,
    /// The port, where one was given.
    pub(super) port: Option<u16>,
}

/// `host`, `host:port`, `1.2.3.4:port`, `::1`, `[::1]`, `[::1]:port`.
pub(super) fn parse_endpoint(text: &str) -> Option<Endpoint> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        let port = match after {
            "" => None,
            _ => Some(parse_port(after.strip_prefix(':')?)?),
        };
        return Some(Endpoint { host: parse_ipv6(inside)?, port });
    }
    if let Some(host) = parse_ipv6(text) {
        return Some(Endpoint { host, port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    Some(Endpoint { host: parse_name_or_ipv4(host)?, port })
}

/// `host` as it stands in a URL or before a port: IPv6 in brackets.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A port that can be connected to.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// Host names are compared without case, addresses by what they are: both are kept in one spelling.
fn parse_name_or_ipv4(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.to_string());
    }
    let labels = text.strip_suffix('.').unwrap_or(text);
    let valid = text.len() <= 253 && labels.split('.').all(is_label);
    // No top-level domain is a number, so this is an IPv4 address gone wrong.
    let numeric = labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (valid && !numeric).then(|| text.to_ascii_lowercase())
}

/// Underscores are no part of a host name, and found in many.
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
}

/// With a zone (`fe80::1%eth0`), if there is one.
fn parse_ipv6(text: &str) -> Option<String> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    match zone {
        None => Some(IpAddr::V6(address).to_string()),
        Some(zone) if is_zone(zone) => Some(format!("{address}%{zone}")),
        Some(_) => None,
    }
}

fn is_zone(zone: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=15).contains(&zone.len()) && zone.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_notation() {
        for (text, host, port) in [
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:4000", "10.0.0.1", Some(4000)),
            ("Site-1.example.org.", "site-1.example.org.", None),
            ("site_1:41121", "site_1", Some(41121)),
            ("::1", "::1", None),
            ("2001:DB8:0::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[::1]:4000", "::1", Some(4000)),
            ("fe80::1%eth0", "fe80::1%eth0", None),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", Some(1)),
        ] {
            assert_eq!(parse_endpoint(text), Some(Endpoint { host: host.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a b",
            "10.0.0.300",
            "10.0.0",
            "010.0.0.1",
            "host:0",
            "host:65536",
            "host:",
            ":1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[10.0.0.1]",
            "::1%",
            "::1%a/b",
            "1:2:3",
            "http://a",
            "a,b",
            "münchen",
            "a\0b",
        ] {
            assert_eq!(parse_endpoint(text), None, "{text}");
        }
    }

    #[test]
    fn only_ipv6_is_bracketed() {
        assert_eq!(bracketed("::1"), "[::1]");
        assert_eq!(bracketed("site"), "site");
    }
}
