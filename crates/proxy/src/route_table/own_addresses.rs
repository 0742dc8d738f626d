//! Telling one's own ports from those of others: a route to oneself would send a packet in circles.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The addresses this proxy listens on.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses {
    bound: Vec<SocketAddr>,
}

impl OwnAddresses {
    /// As the listeners are bound; a wildcard stands for every address of this machine.
    pub fn new(bound: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            bound: bound.into_iter().collect(),
        }
    }

    /// Whether a connection to `host` would end here. Names other than `localhost` are not resolved: they may change,
    /// and packets carry the proxies they have passed for that case.
    pub fn contains(&self, host: &str, port: u16) -> bool {
        let mut same_port = self
            .bound
            .iter()
            .filter(|own| own.port() == port)
            .peekable();
        if same_port.peek().is_none() {
            return false;
        }
        if host.eq_ignore_ascii_case("localhost") {
            return same_port.any(|own| own.ip().is_loopback() || own.ip().is_unspecified());
        }
        let Ok(ip) = host.parse::<IpAddr>() else {
            return false;
        };
        let ip = ip.to_canonical();
        same_port.any(|own| {
            let own = own.ip().to_canonical();
            own == ip || own.is_unspecified() && is_of_this_machine(ip)
        })
    }
}

/// The system binds a socket to addresses of the machine only; nothing is sent.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(bound: &[&str]) -> OwnAddresses {
        OwnAddresses::new(bound.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn a_wildcard_is_every_address_of_the_machine() {
        let own = own(&["0.0.0.0:8869", "0.0.0.0:8879"]);
        for host in [
            "127.0.0.1",
            "127.8.9.1",
            "localhost",
            "LOCALHOST",
            "0.0.0.0",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(
                own.contains(host, 8869) && own.contains(host, 8879),
                "{host}"
            );
            assert!(!own.contains(host, 8059), "{host}");
        }
        // Documentation addresses belong to nobody.
        assert!(!own.contains("192.0.2.1", 8869));
        assert!(!own.contains("example.org", 8869));
    }

    #[test]
    fn a_bound_address_is_itself_only() {
        let own = own(&["127.0.0.1:8869"]);
        assert!(own.contains("127.0.0.1", 8869) && own.contains("localhost", 8869));
        assert!(!own.contains("127.0.0.2", 8869));
        assert!(!OwnAddresses::default().contains("127.0.0.1", 8869));
    }
}
