//! Kinds of property values: how a text of the file is read, checked and shown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What a key's text must look like. Texts are trimmed before they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text; blank means unset.
    Text,
    /// Any text, never shown.
    Secret,
    /// `true` or `false`, in any case.
    Flag,
    /// A decimal integer within the bounds, both included.
    Number {
        /// Smallest value accepted.
        min: i64,
        /// Largest value accepted.
        max: i64,
    },
    /// A decimal number from 0 to 1; blank means unset.
    Share,
    /// A TCP port; 0 lets the system choose.
    Port,
    /// A TCP port, or blank or `-1` for none.
    OptionalPort,
    /// An IP address to listen at.
    Ip,
    /// `host:port`; blank means unset.
    Address,
    /// `partyId=host:port` pairs separated by commas; blank means none.
    HostTable,
    /// An `http://` or `https://` address; blank means unset.
    Url,
    /// Texts separated by commas; blank means unset.
    List,
    /// `http://` or `https://` addresses separated by commas; blank means unset.
    UrlList,
    /// `host:port` addresses separated by commas; blank means unset.
    AddressList,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A value after reading.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// From `Text`, `Url` and `Choice`.
    Text(String),
    /// From `Secret`.
    Secret(String),
    /// From `Flag`.
    Flag(bool),
    /// From `Number` and `Port`.
    Number(i64),
    /// From `Share`.
    Share(f64),
    /// From `Ip`.
    Ip(IpAddr),
    /// From `Address`.
    Address(Address),
    /// From `HostTable`.
    Hosts(BTreeMap<String, Address>),
    /// From `List`, `UrlList` and `AddressList`.
    List(Vec<String>),
}

/// A network address as `host:port`; IPv6 hosts are written in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Name or literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address; write host:port, or [IPv6]:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(literal) => {
                literal.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                literal
            }
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        let name_is_plain = !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
        match port.parse::<u16>() {
            Ok(port) if port > 0 && name_is_plain => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(wrong()),
        }
    }
}

impl Kind {
    /// Reads a trimmed text; `None` is an unset optional value.
    pub fn read(self, text: &str) -> Result<Option<Value>, String> {
        match self {
            Self::Text => Ok(not_blank(text).map(|t| Value::Text(t.to_owned()))),
            Self::Secret => Ok(not_blank(text).map(|t| Value::Secret(t.to_owned()))),
            Self::Flag => read_flag(text).map(Some),
            Self::Number { min, max } => read_number(text, min, max).map(Some),
            Self::Share => not_blank(text).map(read_share).transpose(),
            Self::Port => read_number(text, 0, i64::from(u16::MAX)).map(Some),
            Self::OptionalPort if text.is_empty() || text == "-1" => Ok(None),
            Self::OptionalPort => read_number(text, 0, i64::from(u16::MAX)).map(Some),
            Self::Ip => read_ip(text).map(Some),
            Self::Address => not_blank(text)
                .map(|t| t.parse().map(Value::Address))
                .transpose(),
            Self::HostTable => read_hosts(text),
            Self::Url => not_blank(text).map(read_url).transpose(),
            Self::List => Ok(read_list(text)),
            Self::UrlList => read_urls(text),
            Self::AddressList => read_addresses(text),
            Self::Choice(words) => read_choice(text, words).map(Some),
        }
    }
}

fn not_blank(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn read_flag(text: &str) -> Result<Value, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(Value::Flag(true))
    } else if text.eq_ignore_ascii_case("false") {
        Ok(Value::Flag(false))
    } else {
        Err(format!("`{text}` is neither true nor false"))
    }
}

fn read_number(text: &str, min: i64, max: i64) -> Result<Value, String> {
    match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
        _ => Err(format!(
            "`{text}` is not a whole number from {min} to {max}"
        )),
    }
}

fn read_share(text: &str) -> Result<Value, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(Value::Share(share)),
        _ => Err(format!("`{text}` is not a number from 0 to 1")),
    }
}

fn read_ip(text: &str) -> Result<Value, String> {
    text.parse()
        .map(Value::Ip)
        .map_err(|_| format!("`{text}` is no IP address"))
}

fn read_hosts(text: &str) -> Result<Option<Value>, String> {
    let mut hosts = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        let (party, address) = entry
            .split_once('=')
            .ok_or_else(|| format!("`{entry}` is not of the form partyId=host:port"))?;
        let party = party.trim();
        if party.is_empty() {
            return Err(format!("`{entry}` has no party id"));
        }
        let address = address.trim().parse()?;
        if hosts.insert(party.to_owned(), address).is_some() {
            return Err(format!("party {party} is named twice"));
        }
    }
    Ok((!hosts.is_empty()).then_some(Value::Hosts(hosts)))
}

fn read_url(text: &str) -> Result<Value, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .ok_or_else(|| "not an http:// or https:// address".to_owned())?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the address names no host or contains blanks".to_owned());
    }
    Ok(Value::Text(text.to_owned()))
}

fn read_list(text: &str) -> Option<Value> {
    let parts: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    (!parts.is_empty()).then_some(Value::List(parts))
}

fn read_urls(text: &str) -> Result<Option<Value>, String> {
    let list = read_list(text);
    if let Some(Value::List(urls)) = &list {
        for url in urls {
            read_url(url)
                .map_err(|cause| format!("entry `{}`: {cause}", without_credentials(url)))?;
        }
    }
    Ok(list)
}

fn read_addresses(text: &str) -> Result<Option<Value>, String> {
    let list = read_list(text);
    if let Some(Value::List(addresses)) = &list {
        for address in addresses {
            address.parse::<Address>()?;
        }
    }
    Ok(list)
}

fn read_choice(text: &str, words: &[&str]) -> Result<Value, String> {
    words
        .iter()
        .find(|word| **word == text)
        .map(|word| Value::Text((*word).to_owned()))
        .ok_or_else(|| format!("`{text}` is none of: {}", words.join(", ")))
}

/// What stands in the place of a secret.
pub const MASK: &str = "******";

impl Value {
    /// The value as `listProps` shows it: native JSON types, secrets masked.
    pub fn shown(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => without_credentials(text).into(),
            Self::Secret(_) => MASK.into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Number(number) => (*number).into(),
            Self::Share(share) => (*share).into(),
            Self::Ip(address) => address.to_string().into(),
            Self::Address(address) => address.to_string().into(),
            Self::Hosts(hosts) => hosts
                .iter()
                .map(|(party, address)| format!("{party}={address}"))
                .collect::<Vec<_>>()
                .join(",")
                .into(),
            Self::List(parts) => parts
                .iter()
                .map(|part| without_credentials(part))
                .collect::<Vec<_>>()
                .join(",")
                .into(),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.shown())
    }
}

/// Masks `user:password@` of a URL; other texts pass unchanged.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("127.0.0.1:8001", "127.0.0.1:8001"),
            ("proxy-1.local:80", "proxy-1.local:80"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "::1:80",
            "[x]:1",
            "a/b:1",
            "a b:1",
            "[]:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn tables_of_hosts() {
        let read = Kind::HostTable.read("10000=127.0.0.1:1, 10001=[::1]:2,");
        let Ok(Some(Value::Hosts(hosts))) = read else {
            panic!("{read:?}")
        };
        assert_eq!(hosts["10001"].to_string(), "[::1]:2");
        assert_eq!(Kind::HostTable.read(""), Ok(None));
        for wrong in ["10000", "=a:1", "1=a:1,1=b:2", "1=a"] {
            assert!(Kind::HostTable.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(Kind::Share.read("0.5"), Ok(Some(Value::Share(0.5))));
        assert_eq!(Kind::Share.read("1"), Ok(Some(Value::Share(1.0))));
        assert_eq!(Kind::Share.read(""), Ok(None));
        for wrong in ["-0.1", "1.01", "50%", "NaN", "inf", "half"] {
            assert!(Kind::Share.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_and_credentials_are_masked() {
        assert_eq!(Value::Secret("pw".into()).shown(), MASK);
        assert_eq!(
            Value::Text("http://u:p@h/x".into()).shown(),
            "http://******@h/x"
        );
        assert_eq!(Value::Text("http://h/x@y".into()).shown(), "http://h/x@y");
        assert!(!format!("{:?}", Value::Secret("pw".into())).contains("pw"));
    }
}
