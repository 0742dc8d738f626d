#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Knows keys that begin with `k`, takes `delay` for it, and can be down.
#[derive(Debug, Default)]
struct Scripted {
    reads: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    is_down: AtomicBool,
    delay: Duration,
}

/// The test keeps the other end.
#[derive(Debug)]
struct Shared(Arc<Scripted>);

/// Counts the read out, also one that is given up.
struct EndOfRead<'a>(&'a Scripted);

impl Drop for EndOfRead<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Remote for Shared {
    fn read<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Answer>, String>> {
        Box::pin(async move {
            let script = &self.0;
            script.reads.fetch_add(1, Ordering::SeqCst);
            let now = script.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            let _end = EndOfRead(script);
            script.most_at_once.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(script.delay).await;
            if script.is_down.load(Ordering::SeqCst) {
                return Err("it is down".to_owned());
            }
            Ok(keys.iter().map(|key| answer(key)).collect())
        })
    }
}

fn answer(key: &str) -> Answer {
    if key.starts_with('k') {
        Answer::Row(Arc::new(vec![("x".into(), key.into())]))
    } else {
        Answer::Nothing
    }
}

fn settings() -> ReadSettings {
    ReadSettings {
        timeout: Duration::from_secs(1),
        pool: 2,
        memory: MemorySettings::default(),
        breaker_failures: 3,
        breaker_pause: Duration::from_secs(5),
    }
}

fn gate(delay_ms: u64, settings: &ReadSettings) -> (Arc<Gate>, Arc<Scripted>) {
    let script = Arc::new(Scripted {
        delay: Duration::from_millis(delay_ms),
        ..Scripted::default()
    });
    let gate = Gate::new("s", Box::new(Shared(Arc::clone(&script))), settings);
    (Arc::new(gate), script)
}

fn keys(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

#[tokio::test(start_paused = true)]
async fn callers_that_want_the_same_share_a_read() {
    let (gate, script) = gate(100, &settings());
    let calls = (0..50).map(|_| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.ask(&keys(&["k1", "other", "k1"])).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let outcomes = call.await.unwrap();
        let expected = ["k1", "other", "k1"].map(|key| Ok(answer(key)));
        assert_eq!(outcomes, expected);
    }
    assert_eq!(script.reads.load(Ordering::SeqCst), 1);
    gate.ask(&keys(&["k1"])).await;
    assert_eq!(
        script.reads.load(Ordering::SeqCst),
        2,
        "nothing is remembered"
    );
    assert!(gate.inner.flights.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_takes_nobody_along() {
    let (gate, script) = gate(100, &settings());
    let impatient = Arc::clone(&gate);
    let first = tokio::spawn(async move { impatient.ask(&keys(&["k1"])).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let other = Arc::clone(&gate);
    let second = tokio::spawn(async move { other.ask(&keys(&["k1", "k2"])).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.abort();
    assert_eq!(second.await.unwrap(), [Ok(answer("k1")), Ok(answer("k2"))]);
    assert_eq!(script.reads.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn rows_and_absences_are_remembered_for_their_times() {
    let memory = MemorySettings {
        rows: Some(Duration::from_secs(60)),
        absences: Some(Duration::from_secs(10)),
        max_entries: 100,
        max_bytes: 1 << 20,
    };
    let (gate, script) = gate(
        1,
        &ReadSettings {
            memory,
            ..settings()
        },
    );
    let reads = || script.reads.load(Ordering::SeqCst);
    for _ in 0..3 {
        gate.ask(&keys(&["k1", "none"])).await;
    }
    assert_eq!(reads(), 1);
    tokio::time::sleep(Duration::from_secs(11)).await;
    gate.ask(&keys(&["k1"])).await;
    assert_eq!(reads(), 1);
    gate.ask(&keys(&["k1", "none"])).await;
    assert_eq!(reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn reads_at_a_time_are_bounded_and_end() {
    let (gate, script) = gate(300, &settings());
    let calls = (0..20).map(|number| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.ask(&[format!("k{number}").into()]).await })
    });
    let began = tokio::time::Instant::now();
    let mut failed = 0;
    for call in calls.collect::<Vec<_>>() {
        failed += usize::from(call.await.unwrap()[0].is_err());
    }
    assert!(
        began.elapsed() <= Duration::from_millis(1010),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(script.most_at_once.load(Ordering::SeqCst), 2);
    assert!((10..20).contains(&failed), "{failed}");
    assert!(gate.inner.flights.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_is_left_alone_and_found_again() {
    let (gate, script) = gate(1, &settings());
    script.is_down.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        let outcome = &gate.ask(&keys(&["k1"])).await[0];
        assert!(
            outcome.as_ref().unwrap_err().contains("it is down"),
            "{outcome:?}"
        );
    }
    assert_eq!(script.reads.load(Ordering::SeqCst), 3);
    script.is_down.store(false, Ordering::SeqCst);
    assert!(gate.ask(&keys(&["k1"])).await[0].is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(gate.ask(&keys(&["k1"])).await, [Ok(answer("k1"))]);
}

#[tokio::test(start_paused = true)]
async fn large_batches_are_read_in_lots() {
    let (gate, script) = gate(1, &settings());
    let many: Vec<Arc<str>> = (0..2500).map(|n| format!("k{n}").into()).collect();
    let outcomes = gate.ask(&many).await;
    assert!(
        outcomes
            .iter()
            .zip(&many)
            .all(|(outcome, key)| *outcome == Ok(answer(key)))
    );
    assert_eq!(script.reads.load(Ordering::SeqCst), 3);
}
