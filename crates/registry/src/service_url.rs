//! The text of a registered service, `grpc://192.0.2.2:8000/serving/online/publishLoad?version=216`, as Java reads and
//! writes it (contract 03 §1.3.1). Nothing in it is escaped; [`crate::leaf`] makes the node name of it.

use std::collections::BTreeMap;
use std::fmt;

/// The parts of a service URL. Two are equal iff all parts and all parameters are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceUrl {
    /// `grpc`, `http`, …
    pub protocol: Option<String>,
    /// Name or address; an IPv6 address keeps its brackets.
    pub host: Option<String>,
    /// 0 when there is none.
    pub port: u16,
    /// The first path segment, or several of them joined by `/`.
    pub project: Option<String>,
    /// The last segment but one.
    pub environment: Option<String>,
    /// The last segment: the service's name.
    pub path: Option<String>,
    /// What follows the `?`.
    pub parameters: BTreeMap<String, String>,
}

/// Why a text is no service URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing, or blanks only.
    #[error("the URL is empty")]
    Empty,
    /// `://…`
    #[error("the URL {0:?} has no protocol before `:/`")]
    NoProtocol(String),
    /// `host:port` with a port that is no number up to 65535.
    #[error("the URL {0:?} has no usable port")]
    Port(String),
}

impl ServiceUrl {
    /// Reads a text in the order and with the oddities of `URL.valueOf`.
    ///
    /// # Errors
    /// An empty text, no protocol before `:/`, a port that is no number.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let (rest, parameters) = match text.split_once('?') {
            Some((rest, parameters)) => (rest, read_parameters(parameters)),
            None => (text, BTreeMap::new()),
        };
        let (protocol, rest) = split_protocol(rest, text)?;
        let (rest, path) = match rest.rsplit_once('/') {
            Some((rest, path)) => (rest, Some(path)),
            None => (rest, None),
        };
        let (authority, rest) = split_authority(rest, text)?;
        let (project, environment) = match rest.rsplit_once('/') {
            Some((project, environment)) if !project.is_empty() => (project, environment),
            _ => ("", ""),
        };
        let (host, port) = authority.unwrap_or(("", 0));
        Ok(Self {
            protocol: protocol.map(str::to_owned),
            host: not_empty(host),
            port,
            project: not_empty(project),
            environment: not_empty(environment),
            path: path.and_then(not_empty),
            parameters,
        })
    }

    /// A parameter's text.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

fn not_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Parameters are separated by `&` and split at their first `=`; a word alone is its own value.
fn read_parameters(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, part)))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn split_protocol<'a>(rest: &'a str, whole: &str) -> Result<(Option<&'a str>, &'a str), UrlError> {
    let found = rest.split_once("://").or_else(|| {
        // Of `file:/path` the slash belongs to what follows.
        let end = rest.find(":/")?;
        Some((rest.get(..end)?, rest.get(end + 1..)?))
    });
    match found {
        Some(("", _)) => Err(UrlError::NoProtocol(whole.to_owned())),
        Some((protocol, rest)) => Ok((Some(protocol), rest)),
        None => Ok((None, rest)),
    }
}

/// Host and port, then what follows them.
type Authority<'a> = (Option<(&'a str, u16)>, &'a str);

fn split_authority<'a>(rest: &'a str, whole: &str) -> Result<Authority<'a>, UrlError> {
    let Some((host, after)) = rest.rsplit_once(':') else {
        return Ok((None, rest));
    };
    // Java takes a `%` behind the colon for the zone of an IPv6 address and gives up.
    if after.is_empty() || after.contains('%') {
        return Ok((None, rest));
    }
    let (port, rest) = after.split_once('/').unwrap_or((after, ""));
    let port = port.parse().map_err(|_| UrlError::Port(whole.to_owned()))?;
    Ok((Some((host, port)), rest))
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = &self.protocol {
            write!(out, "{protocol}://")?;
        }
        if let Some(host) = &self.host {
            out.write_str(host)?;
            if self.port > 0 {
                write!(out, ":{}", self.port)?;
            }
        }
        let segments = [&self.project, &self.environment, &self.path];
        for segment in segments.into_iter().flatten() {
            write!(out, "/{segment}")?;
        }
        for (position, (key, value)) in self.parameters.iter().enumerate() {
            let separator = if position == 0 { '?' } else { '&' };
            write!(out, "{separator}{key}={}", value.trim())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// protocol, host, port, project, environment, path.
    type Parts<'a> = (&'a str, &'a str, u16, &'a str, &'a str, &'a str);

    fn parts(url: &ServiceUrl) -> Parts<'_> {
        fn text(part: &Option<String>) -> &str {
            part.as_deref().unwrap_or("")
        }
        (
            text(&url.protocol),
            text(&url.host),
            url.port,
            text(&url.project),
            text(&url.environment),
            text(&url.path),
        )
    }

    /// The table of contract 03 §1.3.1, which real Java answered.
    #[test]
    fn texts_that_java_reads() {
        let table: &[(&str, Parts<'_>)] = &[
            (
                "grpc://10.0.0.1:8000/serving/online/publishLoad?version=216",
                ("grpc", "10.0.0.1", 8000, "serving", "online", "publishLoad"),
            ),
            (
                "flow/online/transfer",
                ("", "", 0, "flow", "online", "transfer"),
            ),
            (
                "http://127.0.0.1:9380/v1/model/transfer",
                ("http", "127.0.0.1", 9380, "v1", "model", "transfer"),
            ),
            (
                "http://127.0.0.1:9380/v1/model/transfer/guest~9999~model/2020",
                (
                    "http",
                    "127.0.0.1",
                    9380,
                    "v1/model/transfer",
                    "guest~9999~model",
                    "2020",
                ),
            ),
            (
                "http://10.0.0.2:8059/federation/v1/inference?a=b",
                ("http", "10.0.0.2", 8059, "federation", "v1", "inference"),
            ),
            (
                "grpc://10.0.0.1:8000/serving/a%b/inference?x=1",
                ("grpc", "", 0, "10.0.0.1:8000/serving", "a%b", "inference"),
            ),
            (
                "zookeeper://localhost:2181/chroot",
                ("zookeeper", "localhost", 2181, "", "", "chroot"),
            ),
            (
                "empty:///serving/lr-test/inference?category=providers",
                ("empty", "", 0, "/serving", "lr-test", "inference"),
            ),
            (
                "grpc://127.0.0.1:8000/inference?x=1",
                ("grpc", "127.0.0.1", 8000, "", "", "inference"),
            ),
            (
                "grpc://[2001:db8::1]:8000/serving/online/inference",
                (
                    "grpc",
                    "[2001:db8::1]",
                    8000,
                    "serving",
                    "online",
                    "inference",
                ),
            ),
        ];
        for (text, expected) in table {
            let url = ServiceUrl::parse(text).unwrap();
            assert_eq!(parts(&url), *expected, "{text}");
        }
    }

    #[test]
    fn parameters_are_sorted_trimmed_and_not_unescaped() {
        let url = ServiceUrl::parse(" grpc://h:1/p/e/s?weight=300&a=1=2&word&b=%41 ").unwrap();
        assert_eq!(url.parameter("a"), Some("1=2"));
        assert_eq!(url.parameter("word"), Some("word"));
        assert_eq!(url.parameter("b"), Some("%41"));
        assert_eq!(
            url.to_string(),
            "grpc://h:1/p/e/s?a=1=2&b=%41&weight=300&word=word"
        );
    }

    #[test]
    fn what_is_no_url() {
        assert_eq!(ServiceUrl::parse(" "), Err(UrlError::Empty));
        assert!(matches!(
            ServiceUrl::parse("://h:1/s"),
            Err(UrlError::NoProtocol(_))
        ));
        for text in ["grpc://h:x/s/e/p", "grpc://h:70000/s/e/p", "grpc://h:-1/p"] {
            assert!(
                matches!(ServiceUrl::parse(text), Err(UrlError::Port(_))),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            let _ = ServiceUrl::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(
            host in "[a-z0-9.]{1,12}", port in 1_u16.., environment in "[^/?:%&\\s]{1,8}",
            parameters in proptest::collection::btree_map("[a-z]{1,4}", "[a-zA-Z0-9]{1,4}", 0..4),
        ) {
            let url = ServiceUrl {
                protocol: Some("grpc".into()), host: Some(host), port, project: Some("serving".into()),
                environment: Some(environment), path: Some("inference".into()), parameters,
            };
            prop_assert_eq!(ServiceUrl::parse(&url.to_string()).unwrap(), url);
        }
    }
}
