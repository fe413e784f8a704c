//! Names under which the port is asked for.

use std::net::{IpAddr, Ipv6Addr};

/// Whether a Host field's value is an address, a name of this machine alone, or one of `names`.
///
/// A page of somebody else's that has its own name lead here (DNS rebinding) is asked for by that name, and never by an
/// address.
pub(super) fn is_ours(host: &str, names: &[String]) -> bool {
    let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
    let is_address = name.parse::<IpAddr>().is_ok()
        || name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()).is_some();
    is_address || name == "localhost" || name.ends_with(".localhost") || names.contains(&name)
}

/// `name:80`, `name`, `[::1]:80`, `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_of_this_machine_and_those_of_the_configuration_are_ours() {
        let names = ["collector.example.org".to_owned()];
        for host in [
            "127.0.0.1",
            "127.0.0.1:41122",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:41122",
            "localhost",
            "LOCALHOST:41122",
            "a.localhost:1",
            "localhost.",
            "Collector.Example.org:41122",
        ] {
            assert!(is_ours(host, &names), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:41122",
            "notlocalhost",
            "collector.example.org.evil.example",
            "127.0.0.1@evil.example",
            "[::1",
            "[evil.example]",
            "1.2.3",
        ] {
            assert!(!is_ours(host, &names), "{host}");
        }
    }
}
