//! The endpoints that change log levels (contract 01 §9.5, 04 A.2.3): `ok`, or `failed` and the reason.

use axum::http::Uri;
use axum::response::Response;

use super::text_response;
use crate::log_levels::LogLevels;

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
            tracing::info!(?level, ?of, "log level changed over HTTP");
            text_response("ok")
        }
        Err(cause) => {
            tracing::warn!(?level, ?of, cause, "log level not changed");
            text_response(format!("failed: {cause}"))
        }
    }
}
