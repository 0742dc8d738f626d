//! One process that offers a service, as a consumer sees it.

use crate::service_url::ServiceUrl;

/// Weight of a provider that names none.
pub const DEFAULT_WEIGHT: i32 = 100;

/// Who may use a provider (contract 03 §1.10). Only asked when the consumer names its own version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouterMode {
    /// Everybody.
    #[default]
    AllAllowed,
    /// Consumers of a greater version than the provider's; the registry spells it `VERSION_BIGER`.
    Greater,
    /// Of a greater or the same version; spelled `VERSION_BIGTHAN_OR_EQUAL`.
    GreaterOrEqual,
    /// Of a smaller version.
    Smaller,
    /// Of the same version.
    Equal,
    /// A mode that this version does not know, which excludes nobody who has a version.
    Unknown,
}

impl RouterMode {
    /// Reads the spelling of the registry.
    pub fn parse(text: &str) -> Self {
        match text {
            "ALL_ALLOWED" => Self::AllAllowed,
            "VERSION_BIGER" => Self::Greater,
            "VERSION_BIGTHAN_OR_EQUAL" => Self::GreaterOrEqual,
            "VERSION_SMALLER" => Self::Smaller,
            "VERSION_EQUALS" => Self::Equal,
            _ => Self::Unknown,
        }
    }

    fn admits(self, consumer: i64, provider: Option<i64>) -> bool {
        if self == Self::AllAllowed {
            return true;
        }
        let Some(provider) = provider.filter(|&version| version != 0 && consumer != 0) else {
            return false;
        };
        match self {
            Self::AllAllowed | Self::Unknown => true,
            Self::Greater => consumer > provider,
            Self::GreaterOrEqual => consumer >= provider,
            Self::Smaller => consumer < provider,
            Self::Equal => consumer == provider,
        }
    }
}

/// A provider with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// `grpc` or `http`.
    pub protocol: String,
    /// Name or address, never empty; an IPv6 address stands in brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Share of the calls beside other providers, 0 for none; 100 when the provider names none.
    pub weight: i32,
    /// The provider's version, 216 for FATE-Serving 2.1.7.
    pub version: Option<i64>,
    /// Who may use it.
    pub router_mode: RouterMode,
    /// The whole text, as the registry holds it.
    pub url: String,
}

impl Provider {
    /// A provider of `service`; `None` when the text is no URL, has no host or port, or is another service's.
    pub fn read(text: &str, service: &str) -> Option<Self> {
        let url = ServiceUrl::parse(text).ok()?;
        if url.protocol.as_deref() == Some("empty") || !serves(&url, service) {
            return None;
        }
        Some(Self {
            weight: read_weight(&url),
            version: url.parameter("version").and_then(|text| text.parse().ok()),
            router_mode: url
                .parameter("router_mode")
                .map_or(RouterMode::AllAllowed, RouterMode::parse),
            protocol: url.protocol.unwrap_or_default(),
            host: url.host?,
            port: Some(url.port).filter(|&port| port != 0)?,
            url: text.to_owned(),
        })
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether a consumer of that version may use it.
    pub fn admits(&self, consumer_version: i64) -> bool {
        self.router_mode.admits(consumer_version, self.version)
    }
}

/// Java matches a URL with a subscription by the parameter `interface` or the last path segment.
fn serves(url: &ServiceUrl, service: &str) -> bool {
    let name = url.parameter("interface").or(url.path.as_deref());
    name == Some(service)
}

/// Java throws at a weight that is no number and subtracts a negative one; here both are harmless.
fn read_weight(url: &ServiceUrl) -> i32 {
    url.parameter("weight")
        .and_then(|text| text.parse().ok())
        .map_or(DEFAULT_WEIGHT, |weight: i32| weight.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_of_a_serving_server() {
        let text = "grpc://192.0.2.2:8000/serving/lr-test/inference?router_mode=VERSION_EQUALS&timestamp=1&version=216&weight=300";
        let provider = Provider::read(text, "inference").unwrap();
        assert_eq!(provider.authority(), "192.0.2.2:8000");
        assert_eq!((provider.weight, provider.version), (300, Some(216)));
        assert_eq!(provider.router_mode, RouterMode::Equal);
        assert_eq!(provider.url, text);
    }

    #[test]
    fn what_is_no_provider() {
        for text in [
            "",
            "grpc://:8000/serving/online/inference",
            "grpc://h:0/serving/online/inference",
            "grpc://h:1/serving/online/batchInference",
            "empty:///serving/online/inference?category=providers",
            "grpc://h:1/serving/a%b/inference",
        ] {
            assert_eq!(Provider::read(text, "inference"), None, "{text}");
        }
    }

    #[test]
    fn odd_weights() {
        for (text, weight) in [
            ("", 100),
            ("?weight=x", 100),
            ("?weight=-5", 0),
            ("?weight=0", 0),
        ] {
            let provider = Provider::read(&format!("grpc://h:1/p/e/s{text}"), "s").unwrap();
            assert_eq!(provider.weight, weight, "{text}");
        }
    }

    /// The table of contract 03 §1.10.
    #[test]
    fn modes() {
        let admits =
            |mode: &str, consumer, provider| RouterMode::parse(mode).admits(consumer, provider);
        for consumer in [0, 215, 216, 217] {
            assert!(admits("ALL_ALLOWED", consumer, None));
            for mode in ["VERSION_BIGER", "VERSION_EQUALS", "SOMETHING"] {
                assert!(!admits(mode, consumer, None));
                assert!(!admits(mode, consumer, Some(0)));
                assert!(!admits(mode, 0, Some(216)));
            }
        }
        let by_mode = |mode: &str| [215, 216, 217].map(|version| admits(mode, version, Some(216)));
        assert_eq!(by_mode("VERSION_BIGER"), [false, false, true]);
        assert_eq!(by_mode("VERSION_BIGTHAN_OR_EQUAL"), [false, true, true]);
        assert_eq!(by_mode("VERSION_SMALLER"), [true, false, false]);
        assert_eq!(by_mode("VERSION_EQUALS"), [false, true, false]);
        assert_eq!(by_mode("SOMETHING"), [true, true, true]);
    }
}
