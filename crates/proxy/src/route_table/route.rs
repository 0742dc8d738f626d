//! One address of a route table.

use std::path::PathBuf;

use fate_edge::config::Address;
use hyper::Uri;

use super::OwnAddresses;
use crate::lenient_json::{FormatError, Place};

/// An address and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `ip:port` as Java's messages have it, or the `url`.
    pub shown: String,
    /// Where calls go.
    pub target: Target,
}

/// Where calls go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// gRPC, in the clear without `tls`.
    Grpc {
        /// Host and port.
        address: Address,
        /// What the connection is secured with.
        tls: Option<TlsSettings>,
    },
    /// Packets as JSON, posted to the peer's `/unary` (A.5.3).
    Http(HttpTarget),
    /// The server in this process. No table says so: it is known by its address.
    OwnServer,
    /// Nowhere: what the table says cannot be followed safely. The text says why.
    Unusable(String),
}

/// A `url` route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpTarget {
    /// `http` or `https`, with a host.
    pub uri: Uri,
    /// For `https` only.
    pub tls: TlsSettings,
}

/// Files and names of a secured connection. Paths are as the table has them, trimmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlsSettings {
    /// Own certificate chain, PEM; together with the key or not at all.
    pub cert_chain_file: Option<PathBuf>,
    /// Own private key, PEM.
    pub private_key_file: Option<PathBuf>,
    /// Authorities that may have issued the peer's certificate, PEM; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The name that the peer's certificate must carry, when it is not the address.
    pub server_name: Option<String>,
}

/// The members of an endpoint object. `serverName` is ours.
pub(super) const MEMBERS: &[&str] = &[
    "ip",
    "port",
    "hostname",
    "url",
    "useSSL",
    "negotiationType",
    "certChainFile",
    "privateKeyFile",
    "caFile",
    "serverName",
];

/// The members of one endpoint object as they were written.
#[derive(Debug, Default)]
struct Endpoint {
    ip: String,
    port: i64,
    hostname: String,
    url: String,
    use_ssl: bool,
    negotiation_type: String,
    cert_chain_file: String,
    private_key_file: String,
    ca_file: String,
    server_name: String,
}

impl Route {
    /// Reads an endpoint object.
    ///
    /// # Errors
    /// A member has a value of another kind. What reads well but cannot work is [`Target::Unusable`] instead: one bad
    /// address must not cost the others.
    pub(super) fn read(place: &Place<'_>, own: &OwnAddresses) -> Result<Self, FormatError> {
        let mut endpoint = Endpoint::default();
        for (name, member) in place.members()? {
            match name {
                "ip" => endpoint.ip = trimmed(&member)?,
                "port" => endpoint.port = member.integer()?,
                "hostname" => endpoint.hostname = trimmed(&member)?,
                "url" => endpoint.url = trimmed(&member)?,
                "useSSL" => endpoint.use_ssl = member.flag()?,
                "negotiationType" => endpoint.negotiation_type = trimmed(&member)?,
                "certChainFile" => endpoint.cert_chain_file = trimmed(&member)?,
                "privateKeyFile" => endpoint.private_key_file = trimmed(&member)?,
                "caFile" => endpoint.ca_file = trimmed(&member)?,
                "serverName" => endpoint.server_name = trimmed(&member)?,
                _ => {}
            }
        }
        Ok(Self {
            shown: endpoint.shown(),
            target: endpoint.target(own).unwrap_or_else(Target::Unusable),
        })
    }

    /// Why calls cannot be sent there, if they cannot.
    pub fn fault(&self) -> Option<&str> {
        match &self.target {
            Target::Unusable(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Enough of a text to find it in the file.
fn begin_of(text: &str) -> String {
    text.chars().take(128).collect()
}

fn trimmed(place: &Place<'_>) -> Result<String, FormatError> {
    Ok(place.text()?.trim().to_owned())
}

impl Endpoint {
    fn host(&self) -> &str {
        if self.ip.is_empty() {
            &self.hostname
        } else {
            &self.ip
        }
    }

    fn shown(&self) -> String {
        if !self.url.is_empty() && !self.url.contains('@') {
            return self.url.clone();
        }
        format!("{}:{}", self.host(), self.port)
    }

    fn target(&self, own: &OwnAddresses) -> Result<Target, String> {
        if !self.url.is_empty() {
            return self.http_target(own);
        }
        let address = self.address()?;
        if own.contains(&address.host, address.port) {
            return Err(format!("it leads back to this proxy ({address})"));
        }
        let tls = if self.is_secured()? {
            Some(self.tls()?)
        } else {
            None
        };
        Ok(Target::Grpc { address, tls })
    }

    fn address(&self) -> Result<Address, String> {
        let host = self.host();
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = literal.unwrap_or(host);
        if host.is_empty() {
            return Err("it has neither ip nor hostname nor url".to_owned());
        }
        let is_name = host
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_'));
        if !is_name && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!(
                "`{}` is neither a name nor an IP address",
                begin_of(host)
            ));
        }
        let port = u16::try_from(self.port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| format!("port {} is not a TCP port", self.port))?;
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }

    /// Java needs `negotiationType` beside `useSSL` and sends in the clear when anything is missing; here a route that
    /// asks for TLS gets TLS or nothing.
    fn is_secured(&self) -> Result<bool, String> {
        match (self.use_ssl, self.negotiation_type.as_str()) {
            (false, _) | (true, "PLAINTEXT") => Ok(false),
            (true, "" | "TLS") => Ok(true),
            (true, other) => Err(format!(
                "negotiationType `{other}` is neither TLS nor PLAINTEXT"
            )),
        }
    }

    fn tls(&self) -> Result<TlsSettings, String> {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        if self.cert_chain_file.is_empty() != self.private_key_file.is_empty() {
            return Err(
                "certChainFile and privateKeyFile belong together; one of them is missing"
                    .to_owned(),
            );
        }
        Ok(TlsSettings {
            cert_chain_file: path(&self.cert_chain_file),
            private_key_file: path(&self.private_key_file),
            ca_file: path(&self.ca_file),
            server_name: (!self.server_name.is_empty()).then(|| self.server_name.clone()),
        })
    }

    fn http_target(&self, own: &OwnAddresses) -> Result<Target, String> {
        if self.url.contains('@') {
            // A password may be part of it: not repeated.
            return Err("the url carries a user name, which is not supported".to_owned());
        }
        let wrong = |what: &str| format!("url `{}` {what}", begin_of(&self.url));
        let uri: Uri = self.url.parse().map_err(|_| wrong("is not a URL"))?;
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(wrong("does not begin with http:// or https://")),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("has no host"))?;
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if own.contains(
            literal.unwrap_or(host),
            uri.port_u16().unwrap_or(default_port),
        ) {
            return Err(wrong("leads back to this proxy"));
        }
        Ok(Target::Http(HttpTarget {
            tls: self.tls()?,
            uri,
        }))
    }
}
