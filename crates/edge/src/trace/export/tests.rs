use std::time::Instant;

use fate_testkit::{Collector, free_port, wait_for};
use http::HeaderMap;

use super::*;
use crate::prometheus::Page;
use crate::trace::{self, TraceContext, Tracing};

const PATIENCE: Duration = Duration::from_secs(30);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn open(endpoint: &str, ratio: f64) -> Tracing {
    let service = ServiceInstance {
        service: "serving-server",
        instance: "127.0.0.1:1".to_owned(),
    };
    Tracing::open(&Endpoint::read(endpoint).unwrap(), service, ratio).unwrap()
}

fn caller(parent: &str) -> Option<TraceContext> {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", parent.parse().unwrap());
    TraceContext::of_headers(&headers)
}

fn meter(tracing: &Tracing, outcome: &str) -> f64 {
    let mut page = Page::default();
    tracing.write(&mut page);
    let text = page.finish();
    let label = format!("outcome=\"{outcome}\"}} ");
    let line = text.lines().find(|line| line.contains(&label)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn endpoints() {
    for (text, shown) in [
        ("http://collector:4317", "collector:4317"),
        ("http://collector", "collector:4317"),
        ("http://127.0.0.1:1/", "127.0.0.1:1"),
        ("https://[::1]:5", "[::1]:5"),
    ] {
        let endpoint = Endpoint::read(text).unwrap();
        assert_eq!(endpoint.address.to_string(), shown);
        assert_eq!(endpoint.is_secured, text.starts_with("https"));
    }
    for text in [
        "",
        "collector:4317",
        "grpc://a:1",
        "http://a:1/v1/traces",
        "http://user@a:1",
        "http://a:1?x",
    ] {
        assert!(Endpoint::read(text).is_err(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_have_parents_in_and_outside_of_the_process() {
    let collector = Collector::start();
    let tracing = open(&collector.endpoint(), 1.0);
    let mut span = tracing.received("singleInference", caller(PARENT));
    let inner = span.around(async {
        let mut child = trace::child("remote", Kind::Client);
        child.note("fate.party", "10000");
        child.fail(|| "no answer".to_owned());
        let sent = child.context().unwrap().clone();
        (sent, trace::current().unwrap())
    });
    let (sent, current) = inner.await;
    assert_eq!(span.context(), Some(&current));
    span.answered(0);
    drop(span);
    tracing.flush(PATIENCE).await;
    let spans = collector.spans();
    let [child, server] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(server.parent_id, &PARENT[36..52]);
    assert_eq!(child.parent_id, server.span_id);
    assert!(spans.iter().all(|span| span.trace_id == PARENT[3..35]));
    let mut headers = HeaderMap::new();
    sent.write(&mut headers);
    let expected = format!("00-{}-{}-01", child.trace_id, child.span_id);
    assert_eq!(headers["traceparent"], expected);
    assert!(child.is_client && child.has_failed && !server.is_client && !server.has_failed);
    assert_eq!(child.attributes["fate.party"], "10000");
    assert_eq!(server.attributes["fate.return_code"], "0");
    assert_eq!(server.service, "serving-server");
    assert!(server.start_ns <= child.start_ns && child.end_ns <= server.end_ns);
    assert_eq!(meter(&tracing, "exported"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_choice_counts_before_the_ratio() {
    let collector = Collector::start();
    let tracing = open(&collector.endpoint(), 0.0);
    let unwanted = PARENT.replace("-01", "-00");
    for caller in [caller(&unwanted), None] {
        let span = tracing.received("a", caller.clone());
        let context = span.context().unwrap().clone();
        assert!(!context.is_sampled());
        // Nothing is made of it that a collector will never see.
        if let Some(caller) = caller {
            assert_eq!(context, caller);
        }
        let inner = span.around(async { trace::child("b", Kind::Client).context().cloned() });
        assert_eq!(inner.await, Some(context));
    }
    drop(tracing.received("wanted", caller(PARENT)));
    tracing.flush(PATIENCE).await;
    let names: Vec<String> = collector.spans().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["wanted"]);
}

#[tokio::test]
async fn without_an_endpoint_contexts_are_handed_on_and_none_begins() {
    let off = Tracing::default();
    let handed_on = off.received("a", caller(PARENT));
    assert!(handed_on.context().is_none());
    let current = handed_on.around(async { (trace::current(), trace::child("b", Kind::Client)) });
    let (current, child) = current.await;
    assert_eq!(current, caller(PARENT));
    assert!(child.context().is_none());
    let none = off.received("a", None);
    assert_eq!(none.around(async { trace::current() }).await, None);
    assert_eq!(trace::current(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_costs_nothing_but_spans() {
    let tracing = open(&format!("http://127.0.0.1:{}", free_port()), 1.0);
    let started = Instant::now();
    for _ in 0..20_000 {
        drop(tracing.received("a", None));
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let dropped = meter(&tracing, "dropped");
    assert!(dropped >= 10_000.0, "the queue is bounded: {dropped}");
    tracing.flush(Duration::from_millis(100)).await;
    assert_eq!(meter(&tracing, "exported"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_refused_are_counted_and_later_ones_arrive() {
    let collector = Collector::start();
    let tracing = open(&collector.endpoint(), 1.0);
    collector.refuse(true);
    drop(tracing.received("refused", None));
    tokio::task::block_in_place(|| {
        wait_for("the refusal is counted", PATIENCE, || {
            (meter(&tracing, "lost") == 1.0).then_some(())
        });
    });
    collector.refuse(false);
    drop(tracing.received("taken", None));
    tokio::task::block_in_place(|| {
        wait_for("the next span", PATIENCE, || {
            collector
                .spans()
                .into_iter()
                .find(|one| one.name == "taken")
        });
    });
}
