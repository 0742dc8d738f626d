use std::sync::Arc;

use fate_features::{
    ColumnMapping, FeatureSource as _, REDIS_SCHEMES, RedisForm, ServerUrl, SourceKind, TlsSettings,
};
use fate_testkit::{Link, Redis, RedisCluster};

use crate::contract::{self, Place, ids, set, settings, text};

struct RedisPlace {
    server: Redis,
    form: RedisForm,
}

impl RedisPlace {
    fn start(form: RedisForm) -> Option<Self> {
        let place = Self {
            server: Redis::start_with_password("pa:ss")?,
            form,
        };
        place.fill();
        Some(place)
    }

    fn fill(&self) {
        fill(self.form, |command| self.server.ask(command));
    }
}

struct ClusterPlace {
    cluster: RedisCluster,
    links: Vec<Arc<Link>>,
    form: RedisForm,
}

impl ClusterPlace {
    fn start(form: RedisForm) -> Option<Self> {
        let (cluster, links) = RedisCluster::start_behind_links("pa:ss")?;
        let place = Self {
            cluster,
            links: links.into_iter().map(Arc::new).collect(),
            form,
        };
        place.fill();
        Some(place)
    }

    fn fill(&self) {
        fill(self.form, |command| self.cluster.ask(command));
    }
}

fn fill(form: RedisForm, ask: impl Fn(&[&str]) -> Option<String>) {
    let does = |command: &[&str]| {
        let answer = ask(command).unwrap();
        assert!(!answer.starts_with('-'), "{command:?}: {answer}");
    };
    // Bytes that are no text, and a text that would be long on the way.
    let sets = |key: &str, script: &str| does(&["EVAL", script, "1", key]);
    match form {
        RedisForm::Hash => {
            does(&["HSET", "k:a", "n", "1.5", "t", "text", "o", "other"]);
            does(&["HSET", "k:b", "n", "-2", "t", ""]);
            does(&["SET", "k:type", "text"]);
            sets(
                "k:bytes",
                "return redis.call('HSET', KEYS[1], 'n', '\\255')",
            );
            let huge = "return redis.call('HSET', KEYS[1], 't', string.rep('x', 2000000))";
            sets("k:huge", huge);
        }
        RedisForm::Json => {
            does(&["SET", "k:a", r#"{"n":1.5,"t":"text","o":{"nested":[]}}"#]);
            does(&["SET", "k:b", r#" {"n" : -2, "t":null} "#]);
            does(&["HSET", "k:type", "n", "1"]);
            does(&["SET", "k:list", "[1]"]);
            does(&["SET", "k:nan", r#"{"n":NaN}"#]);
            let bytes = "return redis.call('SET', KEYS[1], '{\"n\":\"\\255\"}')";
            sets("k:bytes", bytes);
            let huge = "return redis.call('SET', KEYS[1], string.rep(' ', 2000000))";
            sets("k:huge", huge);
        }
    }
}

fn numbers(form: RedisForm) -> [&'static str; 2] {
    match form {
        RedisForm::Hash => ["\"1.5\"", "\"-2\""],
        RedisForm::Json => ["1.5", "-2"],
    }
}

fn poisoned(form: RedisForm) -> Vec<(&'static str, &'static str)> {
    let mut ids = vec![
        ("type", "another type"),
        ("bytes", "not UTF-8"),
        ("huge", "larger than"),
    ];
    if form == RedisForm::Json {
        ids.extend([("list", "not a JSON object"), ("nan", "not a JSON object")]);
    }
    ids
}

fn at(address: &str, form: RedisForm) -> SourceKind {
    let url = format!("redis://:pa%3Ass@{address}/0");
    SourceKind::Redis {
        server: ServerUrl::parse(&url, REDIS_SCHEMES).unwrap(),
        is_cluster: false,
        form,
        tls: TlsSettings::default(),
    }
}

impl Place for RedisPlace {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    fn kind(&self, address: &str) -> SourceKind {
        at(address, self.form)
    }

    fn numbers(&self) -> [&'static str; 2] {
        numbers(self.form)
    }

    fn poisoned(&self) -> Vec<(&'static str, &'static str)> {
        poisoned(self.form)
    }

    fn stop(&mut self) {
        self.server.kill();
    }

    fn start_again(&mut self) {
        self.server.restart();
        self.fill();
    }
}

/// Three servers, each behind a link whose address it names: whoever asks one is sent to the links of the others.
impl Place for ClusterPlace {
    fn address(&self) -> String {
        let addresses: Vec<String> = self.links.iter().map(|link| link.address()).collect();
        addresses.join(",")
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.links.clone()
    }

    fn kind(&self, address: &str) -> SourceKind {
        at(address, self.form)
    }

    fn numbers(&self) -> [&'static str; 2] {
        numbers(self.form)
    }

    fn poisoned(&self) -> Vec<(&'static str, &'static str)> {
        poisoned(self.form)
    }

    fn stop(&mut self) {
        self.cluster.kill();
    }

    fn start_again(&mut self) {
        self.cluster.restart();
        self.fill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_in_a_cluster_hold_the_contract() {
    let Some(mut place) = ClusterPlace::start(RedisForm::Hash) else {
        return;
    };
    contract::holds(&mut place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_in_a_cluster_holds_the_contract() {
    let Some(mut place) = ClusterPlace::start(RedisForm::Json) else {
        return;
    };
    contract::holds(&mut place).await;
}

/// One address of a cluster is enough, and each of its servers has a part of the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_found_through_one_of_its_servers() {
    let Some(place) = ClusterPlace::start(RedisForm::Hash) else {
        return;
    };
    for number in 0..100 {
        let key = format!("k:{number}");
        let answer = place.cluster.ask(&["HSET", &key, "n", &number.to_string()]);
        assert_eq!(answer.as_deref(), Some(":1"));
    }
    for server in &place.cluster.servers {
        let keys = server.ask(&["DBSIZE"]).unwrap();
        assert!(keys[1..].parse::<usize>().unwrap() >= 10, "{keys}");
    }
    let SourceKind::Redis { server, form, .. } = place.kind(&place.links[1].address()) else {
        unreachable!()
    };
    let kind = SourceKind::Redis {
        server,
        is_cluster: true,
        form,
        tls: TlsSettings::default(),
    };
    let set = set(&[settings("it", kind)]);
    let ids: Vec<String> = (0..100).map(|number| ids(&number.to_string())).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = set.fetch_batch(&ids).await.unwrap();
    for (number, row) in rows.into_iter().enumerate() {
        assert_eq!(text(row), Ok(format!(r#"{{"x0":"{number}"}}"#)));
    }
    assert!(set.probe().await[0].1.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_hold_the_contract() {
    let Some(mut place) = RedisPlace::start(RedisForm::Hash) else {
        return;
    };
    contract::holds(&mut place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_holds_the_contract() {
    let Some(mut place) = RedisPlace::start(RedisForm::Json) else {
        return;
    };
    contract::holds(&mut place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_hashes_are_taken_and_wrong_passwords_told() {
    let Some(place) = RedisPlace::start(RedisForm::Hash) else {
        return;
    };
    let mut whole = settings("whole", place.kind(&place.address()));
    whole.columns = ColumnMapping::default();
    let row = text(set(&[whole.clone()]).fetch(&ids("a")).await);
    assert_eq!(row.as_deref(), Ok(r#"{"n":"1.5","t":"text","o":"other"}"#));
    let row = text(set(&[whole.clone()]).fetch(&ids("none")).await);
    assert_eq!(row.unwrap_err().0, 113);

    let url = format!("redis://:wrong-secret@{}", place.address());
    whole.kind = SourceKind::Redis {
        server: ServerUrl::parse(&url, REDIS_SCHEMES).unwrap(),
        is_cluster: false,
        form: RedisForm::Hash,
        tls: TlsSettings::default(),
    };
    let set = set(&[whole]);
    let (code, message) = text(set.fetch(&ids("a")).await).unwrap_err();
    assert_eq!(code, 102);
    assert!(
        message.contains("whole: redis://******@127.0.0.1"),
        "{message}"
    );
    assert!(!message.contains("secret") && !format!("{set:?}").contains("secret"));
    assert!(set.probe().await[0].1.is_err());
}

/// Two sources, the second with features that the first has, too.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_put_together() {
    let (Some(hash), Some(mut json)) = (
        RedisPlace::start(RedisForm::Hash),
        RedisPlace::start(RedisForm::Json),
    ) else {
        return;
    };
    let first = settings("first", hash.kind(&hash.address()));
    let mut second = settings("second", json.kind(&json.address()));
    second.columns = ColumnMapping::of(["n=x0", "t=x1", "o=x2"]).unwrap();
    second.key = "k:${other}".parse().unwrap();
    let both = set(&[first.clone(), second.clone()]);
    let row = async |ids: &str| text(both.fetch(ids).await);
    let merged = row(r#"{"id":"b","other":"a"}"#).await;
    assert_eq!(
        merged.as_deref(),
        Ok(r#"{"x0":"-2","x1":"text","x2":{"nested":[]}}"#)
    );
    let merged = row(r#"{"id":"a"}"#).await;
    assert_eq!(merged.as_deref(), Ok(r#"{"x0":"1.5","x1":"text"}"#));
    let merged = row(r#"{"id":"none","other":"b"}"#).await;
    assert_eq!(merged.as_deref(), Ok(r#"{"x0":-2}"#));
    assert_eq!(
        row(r#"{"id":"none","other":"none"}"#).await.unwrap_err().0,
        113
    );
    assert_eq!(
        row(r#"{"id":"a","other":"list"}"#).await.unwrap_err().0,
        102
    );

    second.required = false;
    let lenient = set(&[first, second]);
    json.stop();
    let ids = [r#"{"id":"a","other":"a"}"#, r#"{"id":"none","other":"a"}"#];
    let found = text(lenient.fetch(ids[0]).await);
    assert_eq!(found.as_deref(), Ok(r#"{"x0":"1.5","x1":"text"}"#));
    let (code, message) = text(lenient.fetch(ids[1]).await).unwrap_err();
    assert!(code == 102 && message.contains("second"), "{message}");
    assert!(lenient.fetch_batch(&ids).await.is_err());
    assert_eq!(text(both.fetch(ids[0]).await).unwrap_err().0, 102);
    let (found, reports) = lenient.inspect(ids[0]).await;
    assert!(found.is_ok() && reports[0].features == Ok(Some(2)));
    assert!(reports[1].name == "second" && reports[1].features.is_err());
}
