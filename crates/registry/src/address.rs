//! The address that peers are told (contract 03 §1.7).

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Why no address can be told to peers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The configured one cannot stand in a URL.
    #[error("register.ip {0:?} is neither an IP address nor a host name")]
    Override(String),
    /// Nothing but loopback.
    #[error("this machine has no address but loopback; set register.ip")]
    None,
}

/// The host that peers are told: `configured` (`register.ip`) if there is one, else Java's order: the host name's own
/// IPv4 address, `eth0`, any interface that is up. Where there is no IPv4 at all, an IPv6 address is taken.
///
/// An IPv6 address comes in brackets. Looks a name up and may block; never gives an empty text.
///
/// # Errors
/// A configured text that is no host, or a machine without an address.
pub fn own_host(configured: Option<&str>) -> Result<String, AddressError> {
    if let Some(text) = configured.map(str::trim).filter(|text| !text.is_empty()) {
        return spelled(text).ok_or_else(|| AddressError::Override(text.to_owned()));
    }
    let interfaces = interfaces();
    address_of_host_name()
        .or_else(|| {
            first_of(&interfaces, |one| {
                one.name == "eth0" && one.address.is_ipv4()
            })
        })
        .or_else(|| first_of(&interfaces, |one| one.address.is_ipv4()))
        .or_else(|| first_of(&interfaces, |_| true))
        .map(in_url)
        .ok_or(AddressError::None)
}

fn spelled(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        return (bare.is_none() || address.is_ipv6()).then(|| in_url(address));
    }
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    is_name.then(|| text.to_owned())
}

fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Java asks for the first address of the host name only.
fn address_of_host_name() -> Option<IpAddr> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let first = (name.as_str(), 0).to_socket_addrs().ok()?.next()?.ip();
    (first.is_ipv4() && is_for_peers(first)).then_some(first)
}

struct Interface {
    name: String,
    address: IpAddr,
}

/// Those that are up, with an address that others can reach. Names with a colon are aliases of another one.
fn interfaces() -> Vec<Interface> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP))
        .filter(|one| !one.interface_name.contains(':'))
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            Some(Interface {
                name: one.interface_name,
                address: v4.or(v6)?,
            })
        })
        .filter(|one| is_for_peers(one.address))
        .collect()
}

fn is_for_peers(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

fn first_of(interfaces: &[Interface], fits: impl Fn(&Interface) -> bool) -> Option<IpAddr> {
    interfaces
        .iter()
        .find(|one| fits(one))
        .map(|one| one.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_host_wins_as_it_is_spelled() {
        for (text, host) in [
            ("192.0.2.7", "192.0.2.7"),
            (" serving-1.example ", "serving-1.example"),
            ("2001:DB8::1", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(own_host(Some(text)).as_deref(), Ok(host));
        }
        for text in ["a b", "http://x", "x:1", "[192.0.2.7]", "a/b", "[::1"] {
            assert_eq!(
                own_host(Some(text)),
                Err(AddressError::Override(text.to_owned()))
            );
        }
    }

    #[test]
    fn a_found_host_is_never_empty_nor_loopback() {
        match own_host(Some("  ")) {
            Ok(host) => {
                let address: IpAddr = host.trim_matches(['[', ']']).parse().unwrap();
                assert!(is_for_peers(address), "{host}");
            }
            Err(error) => assert_eq!(error, AddressError::None),
        }
    }

    #[test]
    fn only_what_others_can_reach_is_for_peers() {
        for text in [
            "127.0.0.1",
            "127.0.1.1",
            "0.0.0.0",
            "169.254.1.1",
            "::1",
            "fe80::1",
            "::",
        ] {
            assert!(!is_for_peers(text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1", "192.0.2.1", "2001:db8::1"] {
            assert!(is_for_peers(text.parse().unwrap()), "{text}");
        }
    }
}
