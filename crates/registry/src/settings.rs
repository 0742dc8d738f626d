//! How to reach ZooKeeper, and as whom.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::offer::Instance;

/// Everything a registry in ZooKeeper needs to know.
#[derive(Debug, Clone)]
pub struct ZooKeeperSettings {
    /// `zk.url`.
    pub addresses: Addresses,
    /// `acl.username` and `acl.password`, when `acl.enable` is set.
    pub login: Option<Login>,
    /// The project of this process: `serving`, `proxy`, `admin`, `client`.
    pub project: String,
    /// Where this process can be reached; without it nothing is ever registered.
    pub instance: Option<Instance>,
    /// Projects whose services are to be found: `proxy` and `flow` for a server, `serving` for a proxy.
    pub follow: Vec<String>,
    /// Directory of the last known answers and the weights (Java: `~/.fate`); without it both live in memory only.
    pub directory: Option<PathBuf>,
    /// After this time of silence ZooKeeper removes what this process has registered. The server has the last word
    /// (2 to 20 of its ticks).
    pub session_timeout: Duration,
}

impl ZooKeeperSettings {
    /// Settings of a process that only looks.
    pub fn new(addresses: Addresses, project: &str) -> Self {
        Self {
            addresses,
            login: None,
            project: project.to_owned(),
            instance: None,
            follow: Vec::new(),
            directory: None,
            session_timeout: Duration::from_secs(20),
        }
    }
}

/// User and password of the digest scheme. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The servers of an ensemble, `h1:2181,h2:2181` (contract 03 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

/// Why a text is no list of servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressesError {
    /// Nothing in it.
    #[error("no ZooKeeper address is given")]
    Empty,
    /// One of them is not `host:port`.
    #[error("the ZooKeeper address {0:?} is not host:port")]
    NotHostPort(String),
}

impl FromStr for Addresses {
    type Err = AddressesError;

    /// Blanks around commas, a path behind an address and parameters are ignored, as in Java.
    fn from_str(text: &str) -> Result<Self, AddressesError> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let addresses: Vec<String> = parts.map(host_and_port).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(AddressesError::Empty);
        }
        Ok(Self(addresses))
    }
}

fn host_and_port(part: &str) -> Result<String, AddressesError> {
    let bare = part.strip_prefix("zookeeper://").unwrap_or(part);
    let bare = bare.split(['/', '?']).next().unwrap_or(bare);
    let is_usable = bare.rsplit_once(':').is_some_and(|(host, port)| {
        let is_one = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && is_one && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if !is_usable {
        return Err(AddressesError::NotHostPort(part.to_owned()));
    }
    Ok(bare.to_owned())
}

impl Addresses {
    /// How many servers there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// `<host>-<port>` of the first server, part of file names; brackets and colons of IPv6 become `_`.
    pub(crate) fn file_name_part(&self) -> String {
        let first = self.0.first().map_or("", String::as_str);
        let (host, port) = first.rsplit_once(':').unwrap_or((first, ""));
        let host = host.replace(['[', ']', ':'], "_");
        format!("{host}-{port}")
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_java_reads_them() {
        let addresses: Addresses = " h1:2181 , h2:2182/chroot,[::1]:2183".parse().unwrap();
        assert_eq!(addresses.to_string(), "h1:2181,h2:2182,[::1]:2183");
        assert_eq!(addresses.file_name_part(), "h1-2181");
        assert_eq!("".parse::<Addresses>(), Err(AddressesError::Empty));
        for text in ["h1", "h1:", "h1:0", ":2181", "h1:x", "::1:2181", "h1:70000"] {
            assert_eq!(
                text.parse::<Addresses>(),
                Err(AddressesError::NotHostPort(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = Login {
            user: "fate".to_owned(),
            password: "secret".to_owned(),
        };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
