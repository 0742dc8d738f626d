//! `scheme://user:password@host:port/database`: the address of a server, with what it takes to log in. Servers of a cluster
//! are `host:port,host:port,…`.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Where a server is. Its text never shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub scheme: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    /// More servers of the same cluster.
    pub others: Vec<(String, Option<u16>)>,
    pub database: Option<String>,
}

impl ServerUrl {
    /// Reads an address of one of these schemes. Options behind a `?` are refused: they could hide a secret.
    ///
    /// # Errors
    /// What is wrong, without the text itself, which may hold a password.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let form = || {
            format!(
                "not {}://user:password@host:port/name",
                schemes.join(":// or ")
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        if !schemes.contains(&scheme) {
            return Err(form());
        }
        if text.contains(['?', '#']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(
                "blanks, ? and # do not belong here; write %3F for a ? in a password".to_owned(),
            );
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
        {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None => (None, None),
        };
        let mut servers = address.split(',').map(|address| {
            host_and_port(address).ok_or_else(|| {
                "the host and port cannot be told from the rest; write %2F for a / and %40 for a @ in a password".to_owned()
            })
        });
        // A split has one part at least.
        let (host, port) = servers.next().unwrap_or_else(|| Err(form()))?;
        let others = servers.collect::<Result<_, _>>()?;
        if path.contains('/') {
            return Err("the name behind the host holds a /".to_owned());
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            user,
            password,
            host,
            port,
            others,
            database: decoded(path)?,
        })
    }
}

fn host_and_port(address: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                if port.is_empty() {
                    None
                } else {
                    Some(port.strip_prefix(':')?)
                },
            )
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (!host.is_empty() && host.chars().all(is_plain)).then(|| (host.to_owned(), port))
}

fn decoded(text: &str) -> Result<Option<String>, String> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| "a %-sequence is not UTF-8 text".to_owned())?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://", self.scheme)?;
        if self.user.is_some() || self.password.is_some() {
            out.write_str("******@")?;
        }
        write_server(out, &self.host, self.port)?;
        for (host, port) in &self.others {
            out.write_str(",")?;
            write_server(out, host, *port)?;
        }
        match &self.database {
            Some(database) => write!(out, "/{database}"),
            None => Ok(()),
        }
    }
}

fn write_server(out: &mut fmt::Formatter<'_>, host: &str, port: Option<u16>) -> fmt::Result {
    if host.contains(':') {
        write!(out, "[{host}]")?;
    } else {
        out.write_str(host)?;
    }
    match port {
        Some(port) => write!(out, ":{port}"),
        None => Ok(()),
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["redis", "rediss"];

    #[test]
    fn addresses_are_taken_apart() {
        let url = ServerUrl::parse("redis://us%40er:p%2Fw:x@[::1]:6379/3", SCHEMES).unwrap();
        assert_eq!(url.user.as_deref(), Some("us@er"));
        assert_eq!(url.password.as_deref(), Some("p/w:x"));
        assert_eq!((url.host.as_str(), url.port), ("::1", Some(6379)));
        assert_eq!(url.database.as_deref(), Some("3"));
        assert_eq!(url.to_string(), "redis://******@[::1]:6379/3");
        let short = ServerUrl::parse("rediss://h", SCHEMES).unwrap();
        assert_eq!((short.port, short.database, short.user), (None, None, None));
        let cluster = ServerUrl::parse("redis://:pw@h:1,[::1]:2,i", SCHEMES).unwrap();
        let others = [("::1".to_owned(), Some(2)), ("i".to_owned(), None)];
        assert_eq!(cluster.others, others);
        assert_eq!(cluster.to_string(), "redis://******@h:1,[::1]:2,i");
        let only_password = ServerUrl::parse("redis://:pw@h:1", SCHEMES).unwrap();
        assert_eq!(only_password.user, None);
        assert!(!format!("{only_password:?} {only_password}").contains("pw"));
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused_without_being_shown() {
        for wrong in [
            "redis:/h",
            "http://h",
            "redis://",
            "redis://:secret",
            "redis://:sec/ret@h:1",
            "redis://h:0",
            "redis://h:1,",
            "redis://h:1,,i:2",
            "redis://:secret@h:1,i:x",
            "redis://h:x",
            "redis://u:secret@h/a/b",
            "redis://h?password=secret",
            "redis://u:sec ret@h",
            "redis://[x]:1",
            "redis://u:%ff@h",
        ] {
            let error = ServerUrl::parse(wrong, SCHEMES).expect_err(wrong);
            assert!(!error.contains("sec"), "{error}");
        }
    }
}
