//! `admin.token`: what an administrator's HTTP request has to bring along.

use std::fmt;

use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

const SCHEME: &str = "Bearer ";

/// Kept as a digest, so that neither a log nor a core dump shows the token.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    digest: [u8; 32],
}

impl AdminToken {
    pub fn new(token: &str) -> Self {
        Self {
            digest: Sha256::digest(token).into(),
        }
    }

    /// Whether the request has it, as `Authorization: Bearer …`. Takes the same time for every wrong one.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.as_bytes().strip_prefix(SCHEME.as_bytes()));
        let digest = Sha256::digest(given.unwrap_or_default());
        let pairs = self.digest.iter().zip(digest);
        let difference = pairs.fold(0, |all, (known, given)| all | (known ^ given));
        given.is_some() && std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AdminToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let token = AdminToken::new("open sesame");
        let opens = |text: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = text.and_then(|text| text.parse().ok()) {
                headers.insert(header::AUTHORIZATION, value);
            }
            token.is_in(&headers)
        };
        assert!(opens(Some("Bearer open sesame")));
        for wrong in [
            None,
            Some(""),
            Some("Bearer "),
            Some("Bearer open sesam"),
            Some("Bearer open sesame "),
            Some("open sesame"),
            Some("Basic open sesame"),
        ] {
            assert!(!opens(wrong), "{wrong:?}");
        }
        assert!(!format!("{token:?}").contains("sesame"));
    }
}
