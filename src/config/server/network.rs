//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// An address range: those that share their first bits with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// With nothing set after the prefix.
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a range.
    #[error("{0:?} is no address; expected one such as 10.1.2.3, fd00::1, or a range such as 10.1.0.0/16")]
    NoAddress(String),
    /// A prefix longer than an address.
    #[error("{text:?} has a prefix that is no number from 0 to {longest}")]
    Prefix {
        /// As written.
        text: String,
        /// As long as an address.
        longest: u8,
    },
    /// An address within the range: it is not clear which was intended.
    #[error("{text:?} is an address in a range; write {network} for the range, or {address} for the address")]
    HostBits {
        /// As written.
        text: String,
        /// The range.
        network: Network,
        /// The address.
        address: IpAddr,
    },
}

impl Network {
    /// Every IPv4 address that begins as `address` does.
    pub(super) fn v4(address: Ipv4Addr, prefix: u8) -> Self {
        Self::around(address.into(), prefix)
    }

    /// The range of `prefix` bits that `address` is in.
    fn around(address: IpAddr, prefix: u8) -> Self {
        Self { address: masked(address, prefix), prefix }
    }

    /// The range of `prefix` bits at `address`; `text` is what was written.
    pub(super) fn exactly(address: IpAddr, prefix: u8, text: &str) -> Result<Self, NetworkError> {
        let network = Self::around(address, prefix);
        if network.address == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits { text: text.to_owned(), network, address })
        }
    }

    /// Whether `address` is in the range. IPv4 addresses that came in by IPv6 count as what they are.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

/// `address` with nothing set after its first `prefix` bits.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// An address, or an address and the length of its prefix.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        // An IPv4 address in IPv6 dress would match nothing.
        let plain = |address: &IpAddr| address.to_canonical() == *address;
        let address = address.parse().ok().filter(plain).ok_or_else(|| NetworkError::NoAddress(text.to_owned()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) => parse_prefix(digits)
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(|| NetworkError::Prefix { text: text.to_owned(), longest })?,
        };
        Self::exactly(address, prefix, text)
    }
}

fn parse_prefix(digits: &str) -> Option<u8> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = if self.address.is_ipv4() { 32 } else { 128 };
        match self.prefix {
            whole if whole == longest => write!(f, "{}", self.address),
            prefix => write!(f, "{}/{prefix}", self.address),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_they_say() {
        for (network, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.0.0/16", "::ffff:10.1.2.3", "::ffff:10.2.2.3"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "fd00::1", "10.0.0.1"),
            ("fd00:1::/33", "fd00:1:7fff::", "fd00:1:8000::"),
            ("10.1.2.2/31", "10.1.2.3", "10.1.2.4"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{outside} in {network}");
            assert_eq!(parsed.to_string(), network);
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_advice() {
        for (text, message) in [
            (
                "10.1.2.3/16",
                "\"10.1.2.3/16\" is an address in a range; write 10.1.0.0/16 for the range, or 10.1.2.3 for the address",
            ),
            ("10.1.0.0/33", "\"10.1.0.0/33\" has a prefix that is no number from 0 to 32"),
            ("::/+1", "\"::/+1\" has a prefix that is no number from 0 to 128"),
            ("site", "\"site\" is no address; expected one such as 10.1.2.3, fd00::1, or a range such as 10.1.0.0/16"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap_err().to_string(), message);
        }
        for text in ["", "/", "10.1.0.0/", "10.1/16", "10.1.0.0/300", "[::1]", "::ffff:10.0.0.1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
