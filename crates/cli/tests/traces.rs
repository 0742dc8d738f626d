//! One trace of an application's call, from the guest's proxy to the host's source of features and back, as an OTLP
//! collector gets it from processes that know nothing of each other but the W3C headers.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod pair;
mod party;
mod process;

use std::collections::HashMap;

use fate_testkit::{CollectedSpan, Collector, wait_for};

use party::chain::Chain;
use party::{PATIENCE, Setting, address};

const SET: &str = "lr_minmax_cap_imputer";
const CLIENT: &str = "00f067aa0ba902b7";

fn traced(collector: &Collector, is_node: bool) -> Setting {
    let properties = format!("trace.otlp.endpoint={}\n", collector.endpoint());
    Setting {
        is_node,
        server_properties: properties.clone(),
        proxy_properties: properties,
        ..Setting::default()
    }
}

/// From the source of features up to the client.
const WAY: [(&str, &str); 10] = [
    ("serving-server", "features"),
    ("serving-server", "hostInferenceProvider"),
    ("serving-proxy", "forward"),
    ("serving-proxy", "unaryCall"),
    ("serving-proxy", "forward"),
    ("serving-proxy", "unaryCall"),
    ("serving-server", "remote"),
    ("serving-server", "singleInference"),
    ("serving-proxy", "forward"),
    ("serving-proxy", "inference"),
];

/// All spans of a trace that has come to its end.
fn whole(collector: &Collector, trace_id: &str) -> HashMap<String, CollectedSpan> {
    wait_for("every span of the trace", PATIENCE, || {
        let spans = collector.spans().into_iter();
        let spans = spans.filter(|span| span.trace_id == trace_id);
        let spans: HashMap<_, _> = spans.map(|span| (span.span_id.clone(), span)).collect();
        (spans.len() >= WAY.len()).then_some(spans)
    })
}

/// Follows the parents up; the last one's parent is answered.
fn walk(spans: &HashMap<String, CollectedSpan>) -> String {
    let mut span = spans.values().find(|span| span.name == "features").unwrap();
    let mut way = Vec::new();
    loop {
        way.push((span.service.as_str(), span.name.as_str()));
        assert!(!span.has_failed, "{span:?}");
        let Some(parent) = spans.get(&span.parent_id) else {
            assert_eq!(way, WAY);
            assert_eq!(spans.len(), WAY.len(), "{spans:?}");
            return span.parent_id.clone();
        };
        // Clocks of one machine: whoever asks waits for the answer.
        assert!(parent.start_ns <= span.start_ns && span.end_ns <= parent.end_ns);
        span = parent;
    }
}

fn assert_traces(guest_is_node: bool, host_is_node: bool) {
    let collector = Collector::start();
    let host = |_: &str, _: &std::path::Path| traced(&collector, host_is_node);
    let guest = |_: &std::path::Path| traced(&collector, guest_is_node);
    let chain = Chain::start(SET, host, guest, |host| vec![address(host.inter)]);
    let row = chain.set.guest().table.rows[0].id.clone();
    let ask = |number: u8, flags: &str| {
        let trace_id = format!("4bf92f3577b34da6a3ce929d0e0e47{number:02x}");
        let parent = format!("traceparent: 00-{trace_id}-{CLIENT}-{flags}\r\ntracestate: a=b\r\n");
        // Routes may not be known at first.
        wait_for("a score", PATIENCE, || {
            (chain.infer_with(&row, &parent)["retcode"] == 0).then_some(())
        });
        trace_id
    };
    let unwanted = ask(1, "00");
    let wanted = ask(2, "01");
    let spans = whole(&collector, &wanted);
    assert_eq!(walk(&spans), CLIENT);
    assert!(spans.values().all(|span| span.state == "a=b"));
    let of_host = |name: &str| spans.values().find(|span| span.name == name).unwrap();
    let party = &chain.set.hosts()[0].party_id;
    assert_eq!(&of_host("remote").attributes["fate.party"], party);
    assert_eq!(of_host("features").attributes["fate.source"], "file-pick");
    // Without a client's trace the guest's proxy begins one.
    chain.infer(&row);
    let begun = wait_for("a trace of this party", PATIENCE, || {
        let mut spans = collector.spans().into_iter();
        spans.find(|span| span.name == "inference" && span.parent_id.is_empty())
    });
    assert_eq!(walk(&whole(&collector, &begun.trace_id)), "");
    assert!(
        collector
            .spans()
            .iter()
            .all(|span| span.trace_id != unwanted)
    );
    chain.stop();
}

#[test]
fn through_four_processes() {
    assert_traces(false, false);
}

#[test]
fn through_nodes_of_two_roles() {
    assert_traces(true, true);
}
