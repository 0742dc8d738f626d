//! The endpoints that change log levels (contract 01 §9.5, 04 A.2.3): `ok` or `failed`, whose reason is in a header and in
//! the log.

use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::Response;

use super::text_response;
use crate::log_levels::LogLevels;

/// Scripts compare the body with `failed`.
const REASON: HeaderName = HeaderName::from_static("fate-reason");

/// `…/alterSysLogLevel/{level}`: the level of everything that has none of its own.
pub fn change_system_level(levels: Option<&LogLevels>, level: &str) -> Response {
    changed(levels, level, "everything", |levels| levels.set_root(level))
}

/// `…/alterPkgLogLevel?level=&pkgName=`: the level of one module path.
pub fn change_package_level(levels: Option<&LogLevels>, uri: &Uri) -> Response {
    let level = query_parameter(uri, "level");
    let package = query_parameter(uri, "pkgName");
    changed(levels, level, package, |levels| {
        levels.set_package(package, level)
    })
}

/// Levels and module paths need no escapes, so none are undone.
fn query_parameter<'a>(uri: &'a Uri, name: &str) -> &'a str {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    values.next().unwrap_or_default()
}

fn changed(
    levels: Option<&LogLevels>,
    level: &str,
    of: &str,
    change: impl FnOnce(&LogLevels) -> Result<(), String>,
) -> Response {
    let outcome = match levels {
        Some(levels) => change(levels),
        None => Err("this process gives no access to its log levels".to_owned()),
    };
    match outcome {
        Ok(()) => {
            // `level` is the line's own.
            tracing::info!(to = ?level, ?of, "log level changed over HTTP");
            text_response("ok")
        }
        Err(cause) => {
            tracing::warn!(to = ?level, ?of, cause, "log level not changed");
            let mut response = text_response("failed");
            // Causes are our own words.
            if let Ok(reason) = HeaderValue::try_from(cause) {
                response.headers_mut().insert(REASON, reason);
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_reason_in_a_header() {
        let response = change_system_level(None, "info");
        let reason = response.headers()[REASON].to_str().unwrap();
        assert_eq!(reason, "this process gives no access to its log levels");
    }
}
