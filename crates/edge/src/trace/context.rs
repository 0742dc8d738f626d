//! What of a trace travels with a call: the W3C headers `traceparent` and `tracestate`.

use std::fmt::{self, Write as _};

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
/// A longer state is not passed on: it belongs to the tracing system, and no peer should refuse a call for it.
const MAX_STATE_BYTES: usize = 512;
const SAMPLED: u8 = 0x01;
/// Flags that may be passed on: sampled, and that the trace id is random.
const KNOWN_FLAGS: u8 = 0x03;

/// A whole trace.
pub(super) type TraceId = [u8; 16];
/// One span of it.
pub(super) type SpanId = [u8; 8];

/// The span that a call belongs to, as the caller says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) flags: u8,
    pub(super) state: Option<HeaderValue>,
}

impl TraceContext {
    /// The beginning of a trace.
    pub(super) fn new(is_sampled: impl FnOnce(TraceId) -> bool) -> Self {
        let trace_id = rand::random::<u128>().max(1).to_be_bytes();
        Self {
            trace_id,
            span_id: new_span_id(),
            flags: u8::from(is_sampled(trace_id)),
            state: None,
        }
    }

    /// Another span of the same trace.
    pub(super) fn child(&self) -> Self {
        Self {
            span_id: new_span_id(),
            ..self.clone()
        }
    }

    /// From the headers of a request, gRPC or HTTP; `None` when there is none, or none that can be read: the standard
    /// wants such a trace to begin anew.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACE_PARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let (trace_id, span_id, flags) = read_parent(parent.as_bytes())?;
        Some(Self {
            trace_id,
            span_id,
            flags,
            state: read_state(headers),
        })
    }

    /// Makes a request belong to this span, whatever its headers said before.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.remove(TRACE_STATE);
        // It is made of hexadecimal digits.
        if let Ok(parent) = HeaderValue::from_str(&self.parent_text()) {
            headers.insert(TRACE_PARENT, parent);
            if let Some(state) = &self.state {
                headers.insert(TRACE_STATE, state.clone());
            }
        }
    }

    /// Whether somebody wants to see the spans of this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> impl fmt::Display + '_ {
        Hex(&self.trace_id)
    }

    fn parent_text(&self) -> String {
        let (trace, span) = (Hex(&self.trace_id), Hex(&self.span_id));
        format!("00-{trace}-{span}-{:02x}", self.flags)
    }
}

fn new_span_id() -> SpanId {
    rand::random::<u64>().max(1).to_be_bytes()
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// `00-<trace id>-<span id>-<flags>`. Later versions may have more behind a further dash.
fn read_parent(text: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (fixed, rest) = text.split_at_checked(55)?;
    let [version] = hex::<1>(&fixed[..2])?;
    let is_whole = rest.is_empty() || (version > 0 && rest[0] == b'-');
    let has_dashes = [2, 35, 52].iter().all(|at| fixed[*at] == b'-');
    if version == 0xff || !is_whole || !has_dashes {
        return None;
    }
    let trace_id = hex::<16>(&fixed[3..35])?;
    let span_id = hex::<8>(&fixed[36..52])?;
    let [flags] = hex::<1>(&fixed[53..])?;
    let are_ids = trace_id != TraceId::default() && span_id != SpanId::default();
    are_ids.then_some((trace_id, span_id, flags & KNOWN_FLAGS))
}

/// Digits in lower case only, as the standard wants.
fn hex<const BYTES: usize>(digits: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// It is passed on unread; several headers are one list.
fn read_state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = headers.get_all(TRACE_STATE).iter();
    let first = all.next()?;
    if first.len() > MAX_STATE_BYTES {
        return None;
    }
    let mut whole = first.to_str().ok()?.to_owned();
    for more in all {
        // Writing to a string cannot fail.
        let _ = write!(whole, ",{}", more.to_str().ok()?);
        if whole.len() > MAX_STATE_BYTES {
            return None;
        }
    }
    HeaderValue::from_str(&whole)
        .ok()
        .filter(|state| !state.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(parent: &str) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACE_PARENT, parent.parse().unwrap());
        TraceContext::of_headers(&headers)
    }

    #[test]
    fn parents_as_the_standard_has_them() {
        let read = context(PARENT).unwrap();
        assert_eq!(read.parent_text(), PARENT);
        assert_eq!(read.trace_id().to_string(), &PARENT[3..35]);
        assert!(read.is_sampled());
        assert!(!context(&PARENT.replace("-01", "-00")).unwrap().is_sampled());
        let later = context(&format!("{}-more", PARENT.replacen("00", "01", 1)));
        assert_eq!(later.unwrap(), read);
        for wrong in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-more"),
            &format!("{PARENT}0"),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.to_uppercase(),
            &PARENT.replacen('-', "_", 1),
            &PARENT.replace("00f067aa0ba902b7", "0000000000000000"),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &PARENT.replace("4bf9", "4bg9"),
        ] {
            assert_eq!(context(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACE_PARENT, PARENT.parse().unwrap());
        headers.append(TRACE_PARENT, PARENT.parse().unwrap());
        assert_eq!(TraceContext::of_headers(&headers), None);
    }

    #[test]
    fn a_state_is_passed_on_with_its_trace_and_only_so() {
        let mut headers = HeaderMap::new();
        headers.append(TRACE_STATE, "a=1".parse().unwrap());
        headers.append(TRACE_STATE, "b=2".parse().unwrap());
        assert_eq!(TraceContext::of_headers(&headers), None);
        headers.append(TRACE_PARENT, PARENT.parse().unwrap());
        let child = TraceContext::of_headers(&headers).unwrap().child();
        let mut sent = HeaderMap::new();
        sent.insert(TRACE_STATE, "of=another".parse().unwrap());
        child.write(&mut sent);
        assert_eq!(sent[TRACE_STATE], "a=1,b=2");
        assert_eq!(sent[TRACE_PARENT].to_str().unwrap()[..36], PARENT[..36]);
        assert_ne!(sent[TRACE_PARENT], PARENT);
        headers.append(TRACE_STATE, "x".repeat(600).parse().unwrap());
        let long = TraceContext::of_headers(&headers).unwrap();
        assert_eq!(long.state, None);
    }
}
