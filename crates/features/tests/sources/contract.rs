//! What every kind of source on the network does, whatever happens to it: hit, miss, partial row, poisoned row, batch,
//! slow, silent, down, back again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fate_domain::fault::Fault;
use fate_features::{
    ColumnMapping, FeatureRow, FeatureSource as _, MemorySettings, ReadSettings, SourceKind,
    SourceSet, SourceSettings,
};
use fate_testkit::Link;

/// A read's time limit here.
pub(crate) const LIMIT: Duration = Duration::from_millis(700);
/// For what has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(20);

/// A real server with these rows, by key and column:
/// `k:a` has n = 1.5 and t = "text" and o = "other", `k:b` has n = -2 alone, and some rows cannot be used.
pub(crate) trait Place {
    /// host:port.
    fn address(&self) -> String;
    /// Ways to the server that can be disturbed, or to the servers.
    fn links(&self) -> Vec<Arc<Link>> {
        vec![Arc::new(Link::to(&self.address()))]
    }
    /// The source at this address, which leads to the server's; several are separated by commas.
    fn kind(&self, address: &str) -> SourceKind;
    /// The token of n in the rows a and b.
    fn numbers(&self) -> [&'static str; 2];
    /// Ids of rows that cannot be used, and a part of what is said of each.
    fn poisoned(&self) -> Vec<(&'static str, &'static str)>;
    fn stop(&mut self);
    /// With its rows.
    fn start_again(&mut self);
}

pub(crate) fn settings(name: &str, kind: SourceKind) -> SourceSettings {
    SourceSettings {
        name: name.to_owned(),
        kind,
        key: "k:${id}".parse().unwrap(),
        columns: ColumnMapping::of(["n=x0", "t=x1"]).unwrap(),
        required: true,
        reads: ReadSettings {
            timeout: LIMIT,
            pool: 4,
            memory: MemorySettings::default(),
            breaker_failures: 3,
            breaker_pause: Duration::from_millis(100),
        },
    }
}

pub(crate) fn set(settings: &[SourceSettings]) -> SourceSet {
    SourceSet::open(settings, None).unwrap()
}

pub(crate) fn ids(id: &str) -> String {
    format!(r#"{{"id":"{id}"}}"#)
}

pub(crate) fn text(row: Result<FeatureRow, Fault>) -> Result<String, (i32, String)> {
    match row {
        Ok(FeatureRow::Json(text)) => Ok(text),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err((fault.code.0, fault.message)),
    }
}

async fn one(set: &SourceSet, id: &str) -> Result<String, (i32, String)> {
    text(set.fetch(&ids(id)).await)
}

async fn many(set: &SourceSet, some: &[&str]) -> Result<Vec<Result<String, i32>>, i32> {
    let ids: Vec<String> = some.iter().map(|id| ids(id)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = set.fetch_batch(&ids).await.map_err(|fault| fault.code.0)?;
    let rows = rows
        .into_iter()
        .map(|row| text(row).map_err(|(code, _)| code));
    Ok(rows.collect())
}

/// Fails with 102 and this cause, in time.
async fn fails(set: &SourceSet, cause: &str) {
    let began = Instant::now();
    let (code, message) = one(set, "a").await.unwrap_err();
    assert_eq!(code, 102, "{message}");
    assert!(message.contains(cause), "{message} without {cause}");
    assert_eq!(many(set, &["a", "none"]).await, Err(102));
    assert!(began.elapsed() < 3 * LIMIT, "{:?}", began.elapsed());
}

async fn answers_again(set: &SourceSet, row: &str) {
    let began = Instant::now();
    while one(set, "a").await.as_deref() != Ok(row) {
        assert!(began.elapsed() < PATIENCE, "{:?}", one(set, "a").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn holds(place: &mut impl Place) {
    let links = place.links();
    let addresses: Vec<String> = links.iter().map(|link| link.address()).collect();
    let set = Arc::new(set(&[settings("it", place.kind(&addresses.join(",")))]));
    let [a, b] = place.numbers();
    let [row_a, row_b] = [
        format!(r#"{{"x0":{a},"x1":"text"}}"#),
        format!(r#"{{"x0":{b}}}"#),
    ];

    assert_eq!(one(&set, "a").await, Ok(row_a.clone()), "hit");
    assert_eq!(one(&set, "b").await, Ok(row_b.clone()), "partial");
    for id in ["none", "", "a'; --", "\u{e9}\u{1f600}", &"long".repeat(100)] {
        assert_eq!(one(&set, id).await.unwrap_err().0, 113, "miss {id}");
    }
    let without = text(set.fetch(r#"{"other":"a"}"#).await);
    assert_eq!(without.unwrap_err().0, 113, "a request without the id");
    let nested = text(set.fetch(r#"{"id":{"a":1}}"#).await);
    assert_eq!(nested.unwrap_err().0, 102, "an id that is none");

    for (id, cause) in place.poisoned() {
        let (code, message) = one(&set, id).await.unwrap_err();
        assert_eq!(code, 102, "{id}: {message}");
        assert!(message.contains(cause), "{id}: {message} without {cause}");
        let rows = many(&set, &["b", id, "a"]).await.unwrap();
        assert_eq!(
            rows,
            [Ok(row_b.clone()), Err(102), Ok(row_a.clone())],
            "{id}"
        );
    }

    let rows = many(&set, &["b", "none", "a", "b"]).await.unwrap();
    let expected = [Ok(row_b.clone()), Err(113), Ok(row_a.clone()), Ok(row_b)];
    assert_eq!(rows, expected, "batch");
    assert_eq!(many(&set, &[]).await, Ok(vec![]));

    let calls = (0..50).map(|_| {
        let set = Arc::clone(&set);
        tokio::spawn(async move { one(&set, "a").await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Ok(row_a.clone()), "many callers");
    }

    links.iter().for_each(|link| link.delay(3 * LIMIT));
    fails(&set, "no answer within 700 ms").await;
    links.iter().for_each(|link| link.delay(Duration::ZERO));
    answers_again(&set, &row_a).await;

    links.iter().for_each(|link| link.cut());
    fails(&set, "no answer within 700 ms").await;
    links.iter().for_each(|link| link.mend());
    answers_again(&set, &row_a).await;

    place.stop();
    fails(&set, "").await;
    place.start_again();
    answers_again(&set, &row_a).await;
    let row = one(&set, "a").await;
    assert_eq!(row, Ok(row_a.clone()));

    // A connection that dies unseen costs nobody an answer.
    place.stop();
    place.start_again();
    let began = Instant::now();
    let row = one(&set, "a").await;
    assert_eq!(row, Ok(row_a), "after {:?}", began.elapsed());
}
