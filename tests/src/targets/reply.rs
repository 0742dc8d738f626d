//! What a host says to a guest: for every set of `models/`, single and batch. Input: the set's tag, flags, the first host's
//! reply as a part, and the rest is the second host's.
//!
//! Promises: as for requests; a guest never makes a score of a host's refusal.

use std::cell::RefCell;

use super::exchange::{Exchange, check_batch, check_single};
use super::models::Set;
use super::{tagged, take_byte, take_part, take_u16};

/// Set in the flags for a batch.
pub(super) const BATCH: u8 = 1;
/// Set in the flags when the guest is to tell what the rows brought along.
pub(super) const EXPLAIN: u8 = 2;

/// For each set a guest's single and batch request, and both with `explain`, with the features of a real row.
#[derive(Debug)]
struct Bench {
    exchange: Exchange,
    requests: Vec<[String; 4]>,
}

impl Bench {
    fn new() -> Bench {
        let exchange = Exchange::new();
        Bench {
            requests: exchange
                .sets
                .iter()
                .map(|set| requests(set, r#"{"id":"1"}"#))
                .collect(),
            exchange,
        }
    }
}

/// In the order of the flags.
pub(super) fn requests(set: &Set, ids: &str) -> [String; 4] {
    let features = &set.rows[0];
    let row = format!(r#""featureData":{features},"sendToRemoteFeatureData":{ids}"#);
    let rows = format!(r#""batchDataList":[{{"index":0,{row}}},{{"index":1,{row}}}]"#);
    let request =
        |rest: &str, explain: &str| format!(r#"{{"serviceId":"{}",{explain}{rest}}}"#, set.name);
    let explain = r#""explain":true,"#;
    [
        request(&row, ""),
        request(&rows, ""),
        request(&row, explain),
        request(&rows, explain),
    ]
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

pub(super) fn run(mut input: &[u8]) {
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::new);
        let names = bench.exchange.sets.iter().map(|set| set.name.as_str());
        let set = tagged(names, take_u16(&mut input));
        let flags = take_byte(&mut input) & (BATCH | EXPLAIN);
        let is_batch = flags & BATCH != 0;
        let first = take_part(&mut input);
        let request = &bench.requests[set][usize::from(flags)];
        let answer = bench
            .exchange
            .infer_answered(request, is_batch, [first, input]);
        if is_batch {
            check_batch(&answer);
        } else {
            check_single(&answer);
        }
        let refuses = |reply: &[u8]| {
            let reply: Option<serde_json::Value> = serde_json::from_slice(reply).ok();
            let code = reply.and_then(|reply| reply["retcode"].as_i64());
            code.is_some_and(|code| code != 0)
        };
        assert!(!refuses(first) || !answer.record.return_code.is_success());
    });
}
