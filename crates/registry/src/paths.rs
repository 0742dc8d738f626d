//! Where things stand in ZooKeeper (contract 03 §1.1): the environment is written raw, the service encoded.

use crate::leaf;

/// Below it every service: `/FATE-SERVICES/<project>/<environment>/<service>/providers/<leaf>`.
pub const SERVICES: &str = "/FATE-SERVICES";
/// Below it every process: `/FATE-COMPONENTS/<project>/<host>:<port>`.
pub const COMPONENTS: &str = "/FATE-COMPONENTS";

/// The node whose children are the providers of a service.
pub fn providers(project: &str, environment: &str, service: &str) -> String {
    let service = leaf::encode(service);
    format!("{SERVICES}/{project}/{environment}/{service}/providers")
}

/// The node of one process.
pub fn component(project: &str, host: &str, port: u16) -> String {
    format!("{COMPONENTS}/{project}/{host}:{port}")
}

/// The node above.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Why a text cannot be a path segment, in words; `None` when it can.
///
/// Refuses what ZooKeeper refuses, and what would make a leaf that Java peers cannot read (contract 03 §1.4, Q20).
pub fn unfit_segment(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is blank".to_owned());
    }
    if text == "." || text == ".." {
        return Some(format!("is {text:?}"));
    }
    let unfit = |c: &char| {
        matches!(c, '/' | '?' | ':' | '&' | '%')
            || c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
    };
    let c = text.chars().find(unfit)?;
    Some(format!("contains {c:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_raw_and_the_service_encoded() {
        assert_eq!(
            providers("serving", "服务", "inference"),
            "/FATE-SERVICES/serving/服务/inference/providers"
        );
        assert_eq!(
            providers("serving", "svc#1", "a b"),
            "/FATE-SERVICES/serving/svc#1/a+b/providers"
        );
        assert_eq!(
            component("serving", "[::1]", 8000),
            "/FATE-COMPONENTS/serving/[::1]:8000"
        );
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "");
    }

    #[test]
    fn segments() {
        for fit in [
            "online",
            "lr-test",
            "服务",
            "svc#1",
            "0c9b0a11a225bf04139e5465dabcb0ee",
        ] {
            assert_eq!(unfit_segment(fit), None, "{fit}");
        }
        for unfit in [
            "", " ", ".", "..", "a/b", "a?b", "a:b", "a&b", "a%b", "a b", "a\u{1}", "\u{e001}",
        ] {
            assert!(unfit_segment(unfit).is_some(), "{unfit:?}");
        }
    }
}
