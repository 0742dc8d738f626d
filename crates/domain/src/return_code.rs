//! Return codes of FATE-Serving (contract 01 §5).

use std::fmt;

/// A `retcode` or `statusCode`. Codes of other parties may be any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReturnCode(pub i32);

impl ReturnCode {
    /// The call has a result.
    pub const SUCCESS: Self = Self(0);
    /// The request is malformed or incomplete.
    pub const PARAM: Self = Self(100);
    /// A feature source failed.
    pub const FEATURE: Self = Self(102);
    /// No such model, or none bound to the service id.
    pub const MODEL_NULL: Self = Self(104);
    /// Another party cannot be reached or did not answer in time.
    pub const NET: Self = Self(105);
    /// No route to other parties is configured.
    pub const ROUTER: Self = Self(106);
    /// Loading failed.
    pub const LOAD_MODEL: Self = Self(107);
    /// The parts of the parties cannot be merged to a score.
    pub const MERGE: Self = Self(108);
    /// Binding failed.
    pub const BIND_MODEL: Self = Self(109);
    /// Anything that Java does not tell apart.
    pub const SYSTEM: Self = Self(110);
    /// The server is stopping.
    pub const SHUTDOWN: Self = Self(111);
    /// The host has no features for the id.
    pub const HOST_FEATURE_NOT_EXIST: Self = Self(113);
    /// No feature source is configured, or it answered nonsense.
    pub const FEATURE_ADAPTOR: Self = Self(116);
    /// A parameter of a management call is wrong.
    pub const MANAGEMENT_PARAM: Self = Self(120);
    /// A role does not fit.
    pub const INVALID_ROLE: Self = Self(121);
    /// No such service.
    pub const SERVICE_NOT_FOUND: Self = Self(122);
    /// The model cannot be served.
    pub const MODEL_INIT: Self = Self(123);
    /// Too many calls.
    pub const OVERLOAD: Self = Self(124);
    /// A host does not know the command.
    pub const UNSUPPORTED_COMMAND: Self = Self(125);
    /// The service is not registered.
    pub const UNREGISTER: Self = Self(126);
    /// The caller's token is wrong.
    pub const INVALID_TOKEN: Self = Self(127);
    /// The proxy has no route.
    pub const PROXY_ROUTER: Self = Self(128);
    /// The proxy refuses the caller.
    pub const PROXY_AUTH: Self = Self(129);
    /// Models may not, or cannot, be copied between servers.
    pub const MODEL_SYNC: Self = Self(130);
    /// Too few features are filled.
    pub const FILL_RATE: Self = Self(131);
    /// The proxy cannot read its route table.
    pub const PROXY_LOAD_ROUTER_TABLE: Self = Self(132);
    /// The proxy cannot write its route table.
    pub const PROXY_UPDATE_ROUTER_TABLE: Self = Self(133);
    /// A parameter of a proxy call is wrong.
    pub const PROXY_PARAM: Self = Self(134);
    /// A peer's answer cannot be understood.
    pub const INVALID_RESPONSE: Self = Self(135);
    /// A tree cannot be walked with the data at hand.
    pub const SBT_DATA: Self = Self(136);

    /// Every code above.
    pub const KNOWN: [Self; 30] = [
        Self::SUCCESS,
        Self::PARAM,
        Self::FEATURE,
        Self::MODEL_NULL,
        Self::NET,
        Self::ROUTER,
        Self::LOAD_MODEL,
        Self::MERGE,
        Self::BIND_MODEL,
        Self::SYSTEM,
        Self::SHUTDOWN,
        Self::HOST_FEATURE_NOT_EXIST,
        Self::FEATURE_ADAPTOR,
        Self::MANAGEMENT_PARAM,
        Self::INVALID_ROLE,
        Self::SERVICE_NOT_FOUND,
        Self::MODEL_INIT,
        Self::OVERLOAD,
        Self::UNSUPPORTED_COMMAND,
        Self::UNREGISTER,
        Self::INVALID_TOKEN,
        Self::PROXY_ROUTER,
        Self::PROXY_AUTH,
        Self::MODEL_SYNC,
        Self::FILL_RATE,
        Self::PROXY_LOAD_ROUTER_TABLE,
        Self::PROXY_UPDATE_ROUTER_TABLE,
        Self::PROXY_PARAM,
        Self::INVALID_RESPONSE,
        Self::SBT_DATA,
    ];

    /// Whether this is [`ReturnCode::SUCCESS`].
    pub fn is_success(self) -> bool {
        self == Self::SUCCESS
    }

    /// Another party's code as the guest hands it on: `2` put before its text (104 → 2104, 7 → 27; contract 01 §5.3).
    ///
    /// Java fails on codes for which that is not an `int`; they saturate here, and a negative one becomes 110.
    pub fn prefixed(self) -> Self {
        if self.0 < 0 {
            return Self::SYSTEM;
        }
        let text = format!("2{}", self.0);
        Self(text.parse().unwrap_or(i32::MAX))
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_code_gets_a_two_in_front() {
        for (code, shown) in [
            (104, 2104),
            (7, 27),
            (628, 2628),
            (147_483_647, i32::MAX),
            (999_999_999, i32::MAX),
            (i32::MAX, i32::MAX),
            (-1, 110),
            (i32::MIN, 110),
        ] {
            assert_eq!(ReturnCode(code).prefixed(), ReturnCode(shown), "{code}");
        }
    }
}
