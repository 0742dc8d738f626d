use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::registry::batch_source;
use crate::test_service::{Reply, TestService};

const LONG: Duration = Duration::from_secs(20);

/// Gives a row when the test says so: each call reports its ids and waits for the result.
#[derive(Debug)]
struct Scripted {
    asked: mpsc::UnboundedSender<Asked>,
}

type Asked = (String, oneshot::Sender<Result<FeatureRow, Fault>>);

impl FeatureSource for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.asked.send((ids.to_owned(), answer)).expect("test");
            // A sender that is dropped makes the row panic.
            answered.await.expect("the test dropped the row")
        })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        crate::one_by_one(self, ids)
    }
}

fn scripted(rows: usize, timeout: Duration) -> (Arc<Parallel>, mpsc::UnboundedReceiver<Asked>) {
    let (asked, calls) = mpsc::unbounded_channel();
    let parallel = Parallel {
        single: Arc::new(Scripted { asked }),
        rows: Arc::new(Semaphore::new(rows)),
        timeout,
    };
    (Arc::new(parallel), calls)
}

fn batch(parallel: &Arc<Parallel>, ids: &[&'static str]) -> tokio::task::JoinHandle<BatchRows> {
    let (parallel, ids) = (Arc::clone(parallel), ids.to_vec());
    tokio::spawn(async move { parallel.fetch_batch(&ids).await })
}

fn row(text: &str) -> Result<FeatureRow, Fault> {
    Ok(FeatureRow::Json(text.to_owned()))
}

async fn next(calls: &mut mpsc::UnboundedReceiver<Asked>) -> Asked {
    calls.recv().await.expect("a call")
}

/// Lets every task of this thread run as far as it can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rows_are_in_the_order_of_the_ids_and_fail_one_by_one() {
    let (parallel, mut calls) = scripted(10, LONG);
    let rows = batch(&parallel, &["a", "b", "c", "d"]);
    let mut open = HashMap::new();
    for _ in 0..4 {
        let (ids, answer) = next(&mut calls).await;
        open.insert(ids, answer);
    }
    let fault = Fault::new(ReturnCode::FEATURE_ADAPTOR, "own fault");
    // The last comes first.
    for (ids, result) in [("d", row("D")), ("c", Err(fault.clone())), ("a", row("A"))] {
        let answer = open.remove(ids).expect("asked");
        answer.send(result).expect("waiting");
        settle().await;
    }
    drop(open.remove("b"));
    let rows = rows.await.expect("task").expect("rows");
    assert_eq!(rows.len(), 4);
    assert_eq!(
        (&rows[0], &rows[2], &rows[3]),
        (&row("A"), &Err(fault), &row("D"))
    );
    let panicked = rows[1].as_ref().expect_err("panic");
    assert_eq!(panicked.code.0, 110, "{panicked}");
}

#[tokio::test]
async fn no_more_rows_are_under_way_than_allowed_over_all_batches() {
    let (parallel, mut calls) = scripted(3, LONG);
    let batches = [
        batch(&parallel, &["a", "b", "c", "d"]),
        batch(&parallel, &["e", "f", "g"]),
    ];
    let mut open = Vec::new();
    let mut asked = 0;
    while asked < 7 {
        settle().await;
        while let Ok(call) = calls.try_recv() {
            open.push(call);
            asked += 1;
        }
        assert_eq!(open.len(), 3.min(7 - asked + open.len()), "{asked} asked");
        let (ids, answer) = open.remove(0);
        answer.send(row(&ids)).expect("waiting");
    }
    for (ids, answer) in open {
        answer.send(row(&ids)).expect("waiting");
    }
    let [first, second] = batches;
    let expected = |ids: &[&str]| -> Vec<_> { ids.iter().map(|ids| row(ids)).collect() };
    assert_eq!(
        first.await.expect("task"),
        Ok(expected(&["a", "b", "c", "d"]))
    );
    assert_eq!(second.await.expect("task"), Ok(expected(&["e", "f", "g"])));
}

#[tokio::test]
async fn the_deadline_cuts_off_only_what_is_not_done() {
    let (parallel, mut calls) = scripted(1, Duration::from_millis(500));
    let rows = batch(&parallel, &["a", "b", "c"]);
    let (_, first) = next(&mut calls).await;
    first.send(row("A")).expect("waiting");
    // "b" never ends and "c" never gets its turn.
    let (_, mut second) = next(&mut calls).await;
    let rows = rows.await.expect("task").expect("rows");
    assert_eq!(rows[0], row("A"), "done while others waited for their turn");
    for late in &rows[1..] {
        let fault = late.as_ref().expect_err("late");
        assert_eq!(
            (fault.code.0, fault.message.as_str()),
            (113, "no features within 500ms")
        );
    }
    second.closed().await;
    assert!(
        calls.try_recv().is_err(),
        "no row is asked for after the end"
    );
    // The turn of the row that was cut off is free again.
    let again = batch(&parallel, &["d"]);
    let (ids, answer) = next(&mut calls).await;
    answer.send(row(&ids)).expect("waiting");
    assert_eq!(again.await.expect("task"), Ok(vec![row("d")]));
}

#[tokio::test]
async fn a_caller_that_gives_up_stops_its_rows() {
    let (parallel, mut calls) = scripted(1, LONG);
    let rows = batch(&parallel, &["a", "b"]);
    let (_, mut answer) = next(&mut calls).await;
    rows.abort();
    answer.closed().await;
    settle().await;
    assert!(calls.try_recv().is_err(), "b is not asked for");
    assert_eq!(parallel.rows.available_permits(), 1);
}

#[tokio::test]
async fn an_empty_batch_has_no_rows() {
    let (parallel, _calls) = scripted(1, LONG);
    assert_eq!(parallel.fetch_batch(&[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn over_http() {
    let service = TestService::start(Reply::answer(200, r#"{"code":0,"data":{"x":1}}"#)).await;
    let settings = Settings {
        batch_single_source: Some("HttpAdapter".to_owned()),
        parallel_rows: 4,
        ..service.settings()
    };
    let source = batch_source("ParallelBatchToSingleFeatureAdaptor", &settings).expect("source");
    let ids: Vec<String> = (0..50).map(|id| format!("{{\"id\":{id}}}")).collect();
    let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = source.fetch_batch(&texts).await.expect("rows");
    assert_eq!(rows, vec![row(r#"{"x":1}"#); 50]);
    let requests = service.requests().into_iter();
    let mut asked: Vec<String> = requests.map(|request| request.body).collect();
    asked.sort_unstable();
    let mut expected = ids.clone();
    expected.sort_unstable();
    assert_eq!(asked, expected);
    assert!(service.connections() <= 4, "{}", service.connections());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let with_single = |name: &str| Settings {
        batch_single_source: Some(name.to_owned()),
        ..Settings::default()
    };
    assert!(batch_source("parallel", &with_single("MockAdapter")).is_ok());
    let no_rows = Settings {
        parallel_rows: 0,
        ..with_single("mock")
    };
    for (settings, part) in [
        (
            Settings::default(),
            "feature.batch.single.adaptor is not set",
        ),
        (
            with_single("parallel"),
            "no single feature source is called 'parallel'",
        ),
        (
            with_single("ParallelBatchToSingleFeatureAdaptor"),
            "no single feature source",
        ),
        (with_single("MockBatchAdapter"), "no single feature source"),
        (with_single("HttpAdapter"), "http.adapter.url is not set"),
        (no_rows, "no row may be asked for"),
    ] {
        let error = batch_source("parallel", &settings).expect_err(part);
        assert!(
            matches!(
                error,
                Error::Setting {
                    source_name: "parallel",
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
