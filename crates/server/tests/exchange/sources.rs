//! A host whose rows come from configured sources: the same scores as from a file, and what is told when they fail.

use fate_testkit::Redis;
use fate_testkit::metrics::{Scrape, promtool};

use crate::cluster::{http, pair};

const BATCH: &str = r#"{"serviceId":"lr-test","batchDataList":[
    {"index":0,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}},
    {"index":1,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"2"}},
    {"index":2,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"3"}}]}"#;

fn single(id: &str) -> String {
    format!(
        r#"{{"serviceId":"lr-test","featureData":{{"x0":0.5}},"sendToRemoteFeatureData":{{"id":"{id}"}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_those_of_a_file_and_failures_have_their_codes() {
    let Some(mut redis) = Redis::start_with_password("hunter2") else {
        return;
    };
    let fill = |redis: &Redis| {
        for command in [
            &["HSET", "user:1", "a", "1", "x999", "7"][..],
            &["SET", "more:1", r#"{"x301":2,"x300":99}"#],
            &["HSET", "user:2", "a", "-3.25"],
            &["SET", "more:2", r#"{"x1000":0.5}"#],
        ] {
            assert!(!redis.ask(command).unwrap().starts_with('-'));
        }
    };
    fill(&redis);
    let url = format!("redis://:hunter2@127.0.0.1:{}", redis.port());
    let sources = pair(
        &[],
        &[
            ("feature.single.adaptor", "sources"),
            ("feature.batch.adaptor", "sources"),
            ("feature.sources", "user,more"),
            ("feature.source.user.type", "redis"),
            ("feature.source.user.url", &url),
            ("feature.source.user.key", "user:${id}"),
            ("feature.source.user.columns", "a=x300,x999"),
            ("feature.source.user.breaker.pause", "50"),
            ("feature.source.more.type", "redis"),
            ("feature.source.more.url", &url),
            ("feature.source.more.key", "more:${id}"),
            ("feature.source.more.format", "json"),
            ("feature.source.more.breaker.pause", "50"),
        ],
    )
    .await;
    let file = pair(&[], &[]).await;
    for id in ["1", "2"] {
        let expected = file.guest.infer(&single(id)).await;
        let score = &sources.guest.infer(&single(id)).await["data"]["score"];
        assert!(
            score.is_f64() && *score == expected["data"]["score"],
            "{id}"
        );
    }
    assert_eq!(sources.guest.infer(&single("3")).await["retcode"], 2113);
    let (by_sources, by_file) = (
        sources.guest.infer_batch(BATCH).await,
        file.guest.infer_batch(BATCH).await,
    );
    assert_eq!(by_sources["batchDataList"], by_file["batchDataList"]);
    assert_eq!(by_sources["batchDataList"][2]["retcode"], 2113);

    let (_, page) = http(sources.host.http(), "GET /metrics", b"").await;
    if let Some(said) = promtool(&page) {
        assert_eq!(said, "");
    }
    let scrape = Scrape::read(&page);
    let user = [("source", "user")];
    let seconds = "fate_serving_feature_fetch_duration_seconds_count";
    assert_eq!(scrape.sum(seconds, &user), Some(4.0));
    assert_eq!(
        scrape.sum("fate_serving_feature_miss_total", &user),
        Some(2.0)
    );
    assert_eq!(
        scrape.sum("fate_serving_feature_failures_total", &user),
        Some(0.0)
    );

    redis.kill();
    let down = sources.guest.infer(&single("1")).await;
    assert_eq!(down["retcode"], 2102, "{down}");
    assert_eq!(sources.guest.infer_batch(BATCH).await["retcode"], 2102);
    redis.restart();
    fill(&redis);
    fate_testkit::wait_for(
        "the sources answer",
        std::time::Duration::from_secs(20),
        || {
            let again = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(sources.guest.infer(&single("1")))
            });
            (again["retcode"] == 0).then_some(())
        },
    );
}
