//! What hosts answered before (contract 01 §6). Keys and values are Java's, so that nodes of both kinds can share one
//! cache: a host's data for an id is the same whoever asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use futures::future::BoxFuture;
use md5::{Digest as _, Md5};

use crate::flights::{Flights, Ticket};
use crate::java_json;
use crate::reply;

/// Text of an answer that needed no host, as Java's.
pub(crate) const HIT: &str = "hit host cache";

/// 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResultKey([u8; 32]);

impl ResultKey {
    /// The key of one host's part of a row: the MD5 of its party id, the guest's model and the row's ids as Java spells
    /// them. `ids` is the text of an object.
    pub fn of(host_party_id: &str, guest: &ModelKey, ids: &str) -> Self {
        let mut spelled = Vec::with_capacity(ids.len());
        java_json::write(ids, &mut spelled);
        let mut digest = Md5::new();
        for part in [host_party_id, &guest.table_name, &guest.namespace] {
            digest.update(part.as_bytes());
        }
        digest.update(&spelled);
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(digest.finalize()) {
            pair.copy_from_slice(&hexadecimal(byte));
        }
        Self(digits)
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn hexadecimal(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)])
}

impl fmt::Debug for ResultKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Remembers the `data` objects of hosts' successful answers, as JSON text. A cache is advisory: whatever is wrong with
/// it is its own affair and looks like nothing being remembered.
pub trait ResultCache: Send + Sync + fmt::Debug {
    /// What is remembered under each key, in the order of the keys. Takes no longer than `patience`.
    fn get<'a>(
        &'a self,
        keys: &'a [ResultKey],
        patience: Duration,
    ) -> BoxFuture<'a, Vec<Option<Bytes>>>;

    /// Remembers, without waiting for it to be done.
    fn put(&self, entries: Vec<(ResultKey, Bytes)>);

    /// Forgets what turned out to be of no use, without waiting for it to be done.
    fn forget(&self, keys: Vec<ResultKey>);
}

/// A cache, and the questions to hosts that are under way: of several that want to know the same, one asks.
#[derive(Debug, Clone)]
pub struct RemoteResults {
    pub(crate) cache: Arc<dyn ResultCache>,
    flights: Arc<Flights>,
}

/// A host's part of a single row.
#[derive(Debug)]
pub(crate) enum HostAnswer {
    /// The body of the reply it gave.
    Reply(Bytes),
    /// The `data` of a reply that it gave before.
    Remembered(Bytes),
}

impl RemoteResults {
    /// Results in this cache.
    pub fn new(cache: Arc<dyn ResultCache>) -> Self {
        Self {
            cache,
            flights: Arc::default(),
        }
    }

    /// Asks, unless somebody else is asking the same and gets an answer. A success is remembered. Whoever waits for
    /// somebody else's answer in vain asks for itself.
    pub(crate) async fn ask_once<E>(
        &self,
        key: ResultKey,
        ask: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<HostAnswer, E> {
        let lead = match self.flights.board(key) {
            Ticket::Lead(lead) => Some(lead),
            Ticket::Follow(flight) => match flight.landed().await {
                Some(data) => return Ok(HostAnswer::Remembered(data)),
                None => None,
            },
        };
        let reply = ask.await?;
        if let Some(data) = successful_data(&reply) {
            let data = Bytes::copy_from_slice(data.as_bytes());
            if let Some(lead) = lead {
                lead.land(data.clone());
            }
            self.cache.put(vec![(key, data)]);
        }
        Ok(HostAnswer::Reply(reply))
    }
}

fn successful_data(body: &[u8]) -> Option<&str> {
    let reply = reply::read_host_reply(body)?;
    let has_succeeded = reply.fault().is_none();
    reply.data().filter(|_| has_succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract 01 §6.
    #[test]
    fn keys_are_those_of_java() {
        let guest = ModelKey::new(
            "2020080416153238910324",
            "guest#9999#arbiter-10000#guest-9999#host-10000#model",
        );
        for ids in [
            r#"{"id":"1","b":2}"#,
            r#"{ "id" : "\u0031", "b":2, "c":null}"#,
        ] {
            let key = ResultKey::of("10000", &guest, ids);
            assert_eq!(format!("{key:?}"), "d9ac3fab1c1ddf873099103950dffd5d");
        }
        let other = ResultKey::of("10000", &guest, r#"{"b":2,"id":"1"}"#);
        assert_ne!(format!("{other:?}"), "d9ac3fab1c1ddf873099103950dffd5d");
    }

    #[test]
    fn only_the_data_of_a_success_is_remembered() {
        let data = |body: &str| successful_data(body.as_bytes()).map(str::to_owned);
        let kept = r#"{"hetero_lr_0":{"score":0.5},"retcode":0}"#;
        assert_eq!(
            data(&format!(r#"{{"retcode":0,"data":{kept}}}"#)).as_deref(),
            Some(kept)
        );
        for body in [
            r#"{"retcode":113,"data":{"score":1}}"#,
            r#"{"retcode":0,"data":null}"#,
            r#"{"retcode":0}"#,
            "no answer",
        ] {
            assert_eq!(data(body), None, "{body}");
        }
    }

    #[derive(Debug, Default)]
    struct Kept(parking_lot::Mutex<Vec<(ResultKey, Bytes)>>);

    impl ResultCache for Kept {
        fn get<'a>(
            &'a self,
            keys: &'a [ResultKey],
            _: Duration,
        ) -> BoxFuture<'a, Vec<Option<Bytes>>> {
            Box::pin(async move { vec![None; keys.len()] })
        }

        fn put(&self, entries: Vec<(ResultKey, Bytes)>) {
            self.0.lock().extend(entries);
        }

        fn forget(&self, keys: Vec<ResultKey>) {
            self.0.lock().retain(|(key, _)| !keys.contains(key));
        }
    }

    async fn reply(text: &str) -> Result<Bytes, String> {
        tokio::task::yield_now().await;
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn of_those_who_want_the_same_one_asks() {
        let kept = Arc::new(Kept::default());
        let results = RemoteResults::new(Arc::clone(&kept) as Arc<dyn ResultCache>);
        let key = ResultKey([b'a'; 32]);
        let asks = std::sync::atomic::AtomicUsize::new(0);
        let ask = || async {
            asks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            reply(r#"{"retcode":0,"data":{"score":1}}"#).await
        };
        let all = (0..5).map(|_| results.ask_once(key, ask()));
        let answers = futures::future::try_join_all(all).await.unwrap();
        assert_eq!(asks.load(std::sync::atomic::Ordering::SeqCst), 1);
        let remembered = answers.iter().filter(|answer| {
            matches!(answer, HostAnswer::Remembered(data) if data == &br#"{"score":1}"#[..])
        });
        assert_eq!(remembered.count(), 4);
        assert_eq!(kept.0.lock().len(), 1);
        // Over is over: the next one asks again.
        results.ask_once(key, ask()).await.unwrap();
        assert_eq!(asks.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_waits_in_vain_asks_for_itself() {
        let results = RemoteResults::new(Arc::new(Kept::default()));
        let key = ResultKey([b'a'; 32]);
        let fails = results.ask_once(key, async {
            tokio::task::yield_now().await;
            Err::<Bytes, _>("lost".to_owned())
        });
        let refused = r#"{"retcode":113,"retmsg":"","data":{}}"#;
        let (first, second) = futures::join!(fails, results.ask_once(key, reply(refused)));
        assert_eq!(first.unwrap_err(), "lost");
        assert!(matches!(second.unwrap(), HostAnswer::Reply(body) if body == refused));
        // Somebody who gave up altogether keeps nobody waiting.
        let gone = results.ask_once(key, std::future::pending::<Result<Bytes, String>>());
        let mut gone = Box::pin(gone);
        assert!(futures::poll!(gone.as_mut()).is_pending());
        let mut waits = Box::pin(results.ask_once(key, reply(refused)));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        drop(gone);
        assert!(matches!(waits.await.unwrap(), HostAnswer::Reply(_)));
    }
}
