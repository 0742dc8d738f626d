//! Who waits for company: the questions of single calls, by what makes their packets alike. Nothing here asks a host.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::transport::CallError;

/// When single calls share packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalescing {
    /// How long a call waits for others.
    pub window: Duration,
    /// Calls that share one packet at most.
    pub max_calls: usize,
}

/// Calls that would wait for longer than that beyond the others' deadline, or less, do not share their packet.
const DEADLINE_TOLERANCE: Duration = Duration::from_millis(100);
/// A call waits for company only if it has so many times the window.
const PATIENCE: u32 = 4;
/// Ids of one call; longer ones travel alone.
const MAX_CALL_BYTES: usize = 16 << 10;
/// Ids of one packet.
const MAX_PACKET_BYTES: usize = 1 << 20;
/// How long everybody travels alone after a host refused a shared packet as a whole.
const APART: Duration = Duration::from_secs(5);
/// Kinds of questions that are remembered only because their host refused; beyond that those that are over go.
const MAX_QUIET_KINDS: usize = 1024;

/// What makes packets alike: everything but the ids, the case and the application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) model: ModelKey,
    pub(super) loaded_at_ms: i64,
    pub(super) party_id: String,
    pub(super) service_id: String,
    /// Whether the host is asked for figures.
    pub(super) asks_figures: bool,
}

/// Questions that wait for company or are under way. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Gatherings(Arc<Mutex<Kinds>>);

#[derive(Debug, Default)]
struct Kinds {
    traffic: HashMap<Kind, Traffic>,
    /// Gatherings so far, to tell them apart.
    opened: u64,
}

#[derive(Debug, Default)]
struct Traffic {
    /// Packets, and the gathering.
    under_way: usize,
    gathering: Option<Gathering>,
    apart_until: Option<Instant>,
}

#[derive(Debug)]
struct Gathering {
    number: u64,
    questions: Vec<Question>,
    bytes: usize,
    /// Takes the questions when there is no room for more.
    full: oneshot::Sender<Vec<Question>>,
}

/// One call's question.
#[derive(Debug)]
pub(super) struct Question {
    /// The text of an object.
    pub(super) ids: String,
    pub(super) deadline: Instant,
    told: oneshot::Sender<Told>,
}

/// What becomes of a question that waited for company.
#[derive(Debug)]
pub(super) enum Told {
    /// The body of the reply that a packet of its own would have brought.
    Reply(Bytes),
    /// The host refused; the body of a reply that says so.
    Refused(Bytes),
    /// The host gave no reply to the packet.
    Silent(CallError),
    /// It has to be asked alone.
    Alone(Option<UnderWay>),
}

/// Where a question goes.
#[derive(Debug)]
pub(super) enum Seat {
    Alone(Option<UnderWay>),
    /// Whoever gets a gathering has to see to it.
    Shared(oneshot::Receiver<Told>, Option<(Opened, UnderWay)>),
}

/// A gathering that has just begun. Dropping it sends those who wait away.
#[derive(Debug)]
pub(super) struct Opened {
    gatherings: Gatherings,
    kind: Kind,
    number: u64,
    window: Duration,
    full: oneshot::Receiver<Vec<Question>>,
}

/// Something of a kind is under way as long as this lives.
#[derive(Debug)]
pub(super) struct UnderWay {
    gatherings: Gatherings,
    kind: Kind,
}

impl Question {
    /// Tells whoever asked, if it still waits.
    pub(super) fn tell(self, told: Told) {
        // Nobody waits any longer: its call is over.
        let _ = self.told.send(told);
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.told.is_closed()
    }

    /// Ends when nobody waits any longer.
    pub(super) async fn forgotten(&mut self) {
        self.told.closed().await;
    }
}

impl Gatherings {
    /// Finds a place for a question. One that meets nothing of its kind under way goes at once: a lone call never waits.
    pub(super) fn join(&self, kind: Kind, ids: &str, deadline: Instant, rules: Coalescing) -> Seat {
        let now = Instant::now();
        let has_patience = deadline >= now + rules.window * PATIENCE;
        if !has_patience || ids.len() > MAX_CALL_BYTES {
            return Seat::Alone(None);
        }
        let mut kinds = self.0.lock();
        kinds.forget_quiet(now);
        let number = kinds.opened + 1;
        let traffic = kinds.traffic.entry(kind.clone()).or_default();
        if traffic.apart_until.is_some_and(|until| now < until) {
            return Seat::Alone(None);
        }
        if traffic.under_way == 0 {
            traffic.under_way = 1;
            return Seat::Alone(Some(self.under_way(kind)));
        }
        match traffic.gathering.as_ref().map(|one| one.suits(deadline)) {
            Some(Suits::TooEarly) => return Seat::Alone(None),
            // It is overdue: its task has not come to run.
            Some(Suits::TooLate) => traffic.close(),
            Some(Suits::Yes) | None => {}
        }
        let (told, answer) = oneshot::channel();
        let question = Question {
            ids: ids.to_owned(),
            deadline,
            told,
        };
        if let Some(gathering) = &mut traffic.gathering {
            gathering.bytes += ids.len();
            gathering.questions.push(question);
            if gathering.is_full(rules) {
                traffic.close();
            }
            return Seat::Shared(answer, None);
        }
        let (full, filled) = oneshot::channel();
        traffic.under_way += 1;
        traffic.gathering = Some(Gathering {
            number,
            bytes: ids.len(),
            questions: vec![question],
            full,
        });
        kinds.opened = number;
        let opened = Opened {
            gatherings: self.clone(),
            kind: kind.clone(),
            number,
            window: rules.window,
            full: filled,
        };
        Seat::Shared(answer, Some((opened, self.under_way(kind))))
    }

    fn under_way(&self, kind: Kind) -> UnderWay {
        UnderWay {
            gatherings: self.clone(),
            kind,
        }
    }
}

impl Kinds {
    fn forget_quiet(&mut self, now: Instant) {
        if self.traffic.len() >= MAX_QUIET_KINDS {
            self.traffic
                .retain(|_, traffic| traffic.under_way > 0 || traffic.apart_until > Some(now));
        }
    }

    fn take(&mut self, kind: &Kind, number: u64) -> Option<Vec<Question>> {
        let gathering = &mut self.traffic.get_mut(kind)?.gathering;
        let is_meant = |gathering: &mut Gathering| gathering.number == number;
        Some(gathering.take_if(is_meant)?.questions)
    }
}

impl Traffic {
    /// Hands the questions to whoever sees to the gathering.
    fn close(&mut self) {
        if let Some(Gathering {
            questions, full, ..
        }) = self.gathering.take()
        {
            // Without a taker they are sent away.
            let _ = full.send(questions);
        }
    }
}

/// Whether a call's deadline is near those of a gathering.
enum Suits {
    Yes,
    TooEarly,
    TooLate,
}

impl Gathering {
    fn suits(&self, deadline: Instant) -> Suits {
        let deadlines = || self.questions.iter().map(|question| question.deadline);
        if deadlines().any(|other| other > deadline + DEADLINE_TOLERANCE) {
            return Suits::TooEarly;
        }
        if deadlines().any(|other| other + DEADLINE_TOLERANCE < deadline) {
            return Suits::TooLate;
        }
        Suits::Yes
    }

    fn is_full(&self, rules: Coalescing) -> bool {
        self.questions.len() >= rules.max_calls || self.bytes >= MAX_PACKET_BYTES
    }
}

impl Opened {
    /// Those who came, when the window is over or there is no room for more.
    pub(super) async fn gathered(mut self) -> Vec<Question> {
        if let Ok(Ok(questions)) = timeout(self.window, &mut self.full).await {
            return questions;
        }
        let taken = self.gatherings.0.lock().take(&self.kind, self.number);
        match taken {
            Some(questions) => questions,
            // They are being handed over.
            None => (&mut self.full).await.unwrap_or_default(),
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        drop(self.gatherings.0.lock().take(&self.kind, self.number));
    }
}

impl UnderWay {
    /// The host does not want shared packets: everybody travels alone for a while.
    pub(super) fn keep_apart(&self) {
        if let Some(traffic) = self.gatherings.0.lock().traffic.get_mut(&self.kind) {
            traffic.apart_until = Some(Instant::now() + APART);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut kinds = self.gatherings.0.lock();
        if let Some(traffic) = kinds.traffic.get_mut(&self.kind) {
            traffic.under_way -= 1;
            if traffic.under_way == 0 && traffic.apart_until.is_none() {
                kinds.traffic.remove(&self.kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Coalescing = Coalescing {
        window: Duration::from_millis(5),
        max_calls: 3,
    };

    fn kind(service_id: &str) -> Kind {
        Kind {
            model: ModelKey::new("1", "guest#9999#m"),
            loaded_at_ms: 1,
            party_id: "10000".to_owned(),
            service_id: service_id.to_owned(),
            asks_figures: false,
        }
    }

    fn in_time() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    fn join(gatherings: &Gatherings, ids: &str) -> Seat {
        gatherings.join(kind("s"), ids, in_time(), RULES)
    }

    fn ids(questions: &[Question]) -> Vec<&str> {
        questions.iter().map(|one| one.ids.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_call_goes_at_once_and_the_next_ones_wait_for_each_other() {
        let gatherings = Gatherings::default();
        let first = join(&gatherings, "a");
        assert!(matches!(first, Seat::Alone(Some(_))), "{first:?}");
        let Seat::Shared(_second, Some((opened, under_way))) = join(&gatherings, "b") else {
            panic!("it travels alone");
        };
        let third = join(&gatherings, "c");
        assert!(matches!(third, Seat::Shared(_, None)), "{third:?}");
        // Another service is another kind.
        let other = gatherings.join(kind("t"), "x", in_time(), RULES);
        assert!(matches!(other, Seat::Alone(Some(_))));
        let started = Instant::now();
        let questions = opened.gathered().await;
        assert_eq!(ids(&questions), ["b", "c"]);
        assert!(started.elapsed() <= RULES.window + Duration::from_millis(2));
        // The next one begins another gathering.
        assert!(matches!(join(&gatherings, "d"), Seat::Shared(_, Some(_))));
        drop((first, under_way, other, questions));
        assert!(gatherings.0.lock().traffic.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_gathering_waits_no_longer() {
        let gatherings = Gatherings::default();
        let _first = join(&gatherings, "a");
        let mut seats: Vec<Seat> = ["b", "c", "d", "e"]
            .map(|ids| join(&gatherings, ids))
            .into();
        let started = Instant::now();
        let Seat::Shared(_, Some((opened, _under_way))) = seats.remove(0) else {
            panic!("it travels alone");
        };
        assert_eq!(ids(&opened.gathered().await), ["b", "c", "d"]);
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert!(matches!(seats.pop(), Some(Seat::Shared(_, Some(_)))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_wait_goes_alone() {
        let gatherings = Gatherings::default();
        let _first = join(&gatherings, "a");
        let soon = Instant::now() + RULES.window * 2;
        let hasty = gatherings.join(kind("s"), "b", soon, RULES);
        assert!(matches!(hasty, Seat::Alone(None)));
        let long = "x".repeat(MAX_CALL_BYTES + 1);
        assert!(matches!(join(&gatherings, &long), Seat::Alone(None)));
        let _second = join(&gatherings, "c");
        let second = Duration::from_secs(1);
        let earlier = gatherings.join(kind("s"), "d", in_time() - second, RULES);
        assert!(matches!(earlier, Seat::Alone(None)));
        // One that comes after an overdue gathering begins the next.
        let later = gatherings.join(kind("s"), "e", in_time() + second, RULES);
        assert!(matches!(later, Seat::Shared(_, Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gathering_that_nobody_sees_to_keeps_nobody_waiting() {
        let gatherings = Gatherings::default();
        let _first = join(&gatherings, "a");
        let Seat::Shared(second, Some(opened)) = join(&gatherings, "b") else {
            panic!("it travels alone");
        };
        drop(opened);
        assert!(second.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_everybody_travels_alone_for_a_while() {
        let gatherings = Gatherings::default();
        let Seat::Alone(Some(under_way)) = join(&gatherings, "a") else {
            panic!("it waits");
        };
        under_way.keep_apart();
        assert!(matches!(join(&gatherings, "b"), Seat::Alone(None)));
        tokio::time::advance(APART).await;
        assert!(matches!(join(&gatherings, "c"), Seat::Shared(..)));
    }

    #[test]
    fn kinds_that_are_over_take_no_room() {
        let gatherings = Gatherings::default();
        for service in 0..2 * MAX_QUIET_KINDS {
            let kind = kind(&service.to_string());
            let Seat::Alone(Some(under_way)) = gatherings.join(kind, "", in_time(), RULES) else {
                panic!("it waits");
            };
            under_way.keep_apart();
            let mut kinds = gatherings.0.lock();
            for traffic in kinds.traffic.values_mut() {
                traffic.apart_until = Some(Instant::now());
            }
        }
        assert!(gatherings.0.lock().traffic.len() <= MAX_QUIET_KINDS + 1);
    }
}
