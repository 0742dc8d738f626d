//! Telling a packet that goes in circles: every proxy adds its name to a header that Java proxies do not know.
//!
//! A route to oneself is refused when a table is read; this is for circles over several proxies and names that change.

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use hyper::http::HeaderValue;

use super::Arrival;

/// The proxies that a packet has passed, separated by commas: gRPC metadata, or a header over HTTP.
pub const HOPS_HEADER: &str = "x-fate-hops";

/// More proxies than any exchange needs.
const MAX_HOPS: usize = 16;
/// Their names need a quarter of it. Peers refuse calls with long headers.
const MAX_BYTES: usize = 2048;

/// This proxy's name in the header, other after every start.
#[derive(Debug)]
pub struct Hops {
    name: String,
}

impl Hops {
    pub(super) fn new() -> Self {
        Self {
            name: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// The header to send on with a packet that came with `received`. A packet may come from this party's servers once
    /// and from other parties once: both ends of an exchange may share a proxy.
    ///
    /// # Errors
    /// 105: the packet has been here before, or passed more proxies than there can be.
    pub fn next(
        &self,
        arrival: Arrival,
        received: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Fault> {
        let refuse = |text: &str| Err(Fault::new(ReturnCode::NET, text));
        let own = match arrival {
            Arrival::Intra => format!("{}-intra", self.name),
            Arrival::Inter => format!("{}-inter", self.name),
        };
        if received.is_some_and(|value| value.len() > MAX_BYTES) {
            return refuse("the packet has passed too many proxies");
        }
        // What is no text is not ours.
        let passed = received
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let names = || {
            passed
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
        };
        if names().any(|name| name == own) {
            return refuse("the packet goes in circles: it has been at this proxy before");
        }
        if names().count() >= MAX_HOPS {
            return refuse("the packet has passed too many proxies");
        }
        let all: Vec<&str> = names().chain([own.as_str()]).collect();
        HeaderValue::from_str(&all.join(","))
            .or_else(|_| refuse("the packet's list of proxies cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_once_by_each_way() {
        let (one, two) = (Hops::new(), Hops::new());
        let first = one.next(Arrival::Intra, None).unwrap();
        let second = two.next(Arrival::Inter, Some(&first)).unwrap();
        let third = one.next(Arrival::Inter, Some(&second)).unwrap();
        assert_eq!(third.to_str().unwrap().split(',').count(), 3);
        for (proxy, arrival) in [
            (&one, Arrival::Intra),
            (&one, Arrival::Inter),
            (&two, Arrival::Inter),
        ] {
            let fault = proxy.next(arrival, Some(&third)).unwrap_err();
            assert!(fault.code == ReturnCode::NET && fault.message.contains("circles"));
        }
    }

    #[test]
    fn the_list_is_bounded() {
        let mut header = None;
        for _ in 0..MAX_HOPS {
            header = Some(Hops::new().next(Arrival::Inter, header.as_ref()).unwrap());
        }
        assert!(Hops::new().next(Arrival::Inter, header.as_ref()).is_err());
        let long = HeaderValue::from_str(&"x".repeat(MAX_BYTES + 1)).unwrap();
        assert!(Hops::new().next(Arrival::Inter, Some(&long)).is_err());
        let strange = HeaderValue::from_bytes(b"\xff, ,").unwrap();
        assert!(Hops::new().next(Arrival::Inter, Some(&strange)).is_ok());
    }
}
