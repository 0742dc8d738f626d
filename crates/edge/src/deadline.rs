//! How long a caller waits, as gRPC says it.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// When the caller stops waiting; `None` when it does not say, or says nonsense.
pub fn of_headers(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    Instant::now().checked_add(timeout(text)?)
}

/// At most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let amount: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn units_and_nonsense() {
        for (text, expected) in [
            ("500m", Some(500)),
            ("2S", Some(2000)),
            ("1M", Some(60_000)),
            ("1000000u", Some(1000)),
            ("0n", Some(0)),
            ("", None),
            ("S", None),
            ("5x", None),
            ("-1S", None),
            ("123456789m", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            let deadline = of_headers(&headers);
            let millis = deadline.map(|one| (one - Instant::now()).as_millis());
            assert_eq!(millis, expected, "{text}");
        }
        assert_eq!(of_headers(&HeaderMap::new()), None);
    }
}
