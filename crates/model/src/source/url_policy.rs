//! Which addresses a load request may make this node ask (`model.transfer.allow`). Load requests are not
//! authenticated: without a policy they could make the node post to any address it can reach.

use fate_domain::model_key::ModelKey;
use hyper::Uri;

use crate::error::Error;

/// FATE-Flow's endpoint; model-specific addresses add `/<party model id with ~ for #>/<version>`.
const TRANSFER_PATH: &str = "/v1/model/transfer";

/// A well-formed http or https address without user name, fragment and dot segments.
#[derive(Debug, Clone)]
pub(crate) struct TransferUrl {
    uri: Uri,
    text: String,
}

impl TransferUrl {
    pub(crate) fn parse(text: &str) -> Result<TransferUrl, String> {
        if text.contains('#') {
            return Err(
                "a URL with '#' is cut off there; write '~' for the '#' of a model id".to_owned(),
            );
        }
        let uri: Uri = text
            .parse()
            .map_err(|cause| format!("not a URL: {cause}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("only http and https URLs can be asked".to_owned());
        }
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.host().is_empty() {
            return Err("the URL names no host".to_owned());
        }
        if authority.as_str().contains('@') {
            return Err("a user name in a URL is not supported".to_owned());
        }
        let port = authority.as_str().strip_prefix(authority.host());
        if port != Some("") && authority.port_u16().is_none() {
            return Err("the URL's port is not a number from 0 to 65535".to_owned());
        }
        if path_segments(&uri).any(is_dot_segment) {
            return Err("the path must not contain '.' or '..'".to_owned());
        }
        Ok(TransferUrl {
            text: text.to_owned(),
            uri,
        })
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// `host:port`, as written between `//` and the next `/`.
    pub(crate) fn address(&self) -> &str {
        self.uri
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// A model-specific address answers with its own model whatever the body says: asked for another one it would
    /// publish a wrong model under the requested name (contract 01 §3.7).
    pub(crate) fn not_of_another_model(self, key: &ModelKey) -> Result<TransferUrl, String> {
        let Some((model, version)) = self.named_model() else {
            return Ok(self);
        };
        let namespace = percent_decode(model, false)?.replace('~', "#");
        let table_name = percent_decode(version, false)?;
        if namespace == key.namespace.replace('~', "#") && table_name == key.table_name {
            return Ok(self);
        }
        Err(format!(
            "the URL is that of another model, version {table_name} of {namespace}"
        ))
    }

    fn named_model(&self) -> Option<(&str, &str)> {
        let start = self.uri.path().rfind(TRANSFER_PATH)?;
        let rest = self.uri.path()[start + TRANSFER_PATH.len()..].strip_prefix('/')?;
        let (model, version) = rest.split_once('/')?;
        (!model.is_empty() && !version.is_empty() && !version.contains('/'))
            .then_some((model, version))
    }

    fn is_flow_endpoint(&self) -> bool {
        self.uri.query().is_none()
            && (self.uri.path().ends_with(TRANSFER_PATH) || self.named_model().is_some())
    }
}

/// The operator's allow-list.
#[derive(Debug, Clone, Default)]
pub(crate) struct UrlPolicy {
    prefixes: Vec<TransferUrl>,
}

impl UrlPolicy {
    /// Without entries every address of FATE-Flow's transfer endpoint is allowed.
    pub(crate) fn new(entries: &[String]) -> Result<UrlPolicy, Error> {
        let mut prefixes = Vec::with_capacity(entries.len());
        for entry in entries {
            let prefix = TransferUrl::parse(entry.trim()).map_err(|cause| Error::Setting {
                key: "model.transfer.allow",
                value: entry.clone(),
                cause,
            })?;
            prefixes.push(prefix);
        }
        Ok(UrlPolicy { prefixes })
    }

    pub(crate) fn admit(&self, url: TransferUrl, key: &ModelKey) -> Result<TransferUrl, String> {
        let allowed = if self.prefixes.is_empty() {
            url.is_flow_endpoint()
        } else {
            self.prefixes
                .iter()
                .any(|prefix| is_below(&url.uri, &prefix.uri))
        };
        if !allowed {
            return Err("not allowed by model.transfer.allow (default: URLs that end in /v1/model/transfer)".to_owned());
        }
        url.not_of_another_model(key)
    }
}

/// Same scheme, host and port, and the path equal or continued at a segment border.
fn is_below(uri: &Uri, prefix: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    if uri.scheme_str() != prefix.scheme_str()
        || host(uri) != host(prefix)
        || port(uri) != port(prefix)
    {
        return false;
    }
    let wanted = prefix.path().trim_end_matches('/');
    match uri.path().strip_prefix(wanted) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16()
        .unwrap_or(if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        })
}

fn path_segments(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.path().split('/')
}

fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

/// `filePath` is form-encoded: `+` is a blank, `%XX` a byte (contract 03 Q25).
pub(crate) fn decode_form(text: &str) -> Result<String, String> {
    percent_decode(text, true)
}

fn percent_decode(text: &str, plus_is_blank: bool) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let [high, low, tail @ ..] = tail else {
                    return Err("a '%' must be followed by two hexadecimal digits".to_owned());
                };
                let digit = |byte: &u8| (*byte as char).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                    return Err("a '%' must be followed by two hexadecimal digits".to_owned());
                };
                bytes.push((high * 16 + low) as u8);
                rest = tail;
            }
            b'+' if plus_is_blank => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| "the %-escapes are not UTF-8".to_owned())
}
