//! Deadlines of calls. On a lane all of them share one timer of the runtime.
//!
//! A timer of the runtime that is earlier than all others wakes the thread that waits for its sockets, which is a system
//! call and a look at all of them; every call has several deadlines, and hardly one is ever reached. The shared timer stays
//! as it is when calls end, and goes off about once in the time that a call may take.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    /// None on a thread that is no lane.
    static ALARMS: RefCell<Option<Alarms>> = const { RefCell::new(None) };
}

/// The deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Works until `deadline`, and looks at the work first.
///
/// # Errors
/// The deadline passed before the work was done.
pub async fn until<T>(
    deadline: Instant,
    mut work: impl Future<Output = T> + Unpin,
) -> Result<T, Elapsed> {
    let mut bell = Bell::At(deadline);
    poll_fn(|context| match Pin::new(&mut work).poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => bell.poll_rung(context).map(|()| Err(Elapsed)),
    })
    .await
}

type Key = (Instant, u64);

/// One deadline; nothing rings after it is dropped.
enum Bell {
    At(Instant),
    /// Among the alarms of this thread. A lane's tasks never leave it.
    Shared(Key),
    Own(Pin<Box<Sleep>>),
}

impl Bell {
    fn poll_rung(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::At(deadline) = *self {
            let key = with(|alarms| alarms.set(deadline, context.waker()));
            *self = match key {
                Some(key) => Self::Shared(key),
                None => Self::Own(Box::pin(sleep_until(deadline))),
            };
        }
        match self {
            Self::Own(timer) => timer.as_mut().poll(context),
            Self::Shared(key) => match with(|alarms| alarms.waits(key, context.waker())) {
                Some(true) => Poll::Pending,
                _ => Poll::Ready(()),
            },
            Self::At(_) => Poll::Pending,
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Self::Shared(key) = self {
            with(|alarms| alarms.waiting.remove(key));
        }
    }
}

/// The alarms of a lane.
#[derive(Debug, Default)]
struct Alarms {
    waiting: BTreeMap<Key, Waker>,
    /// Tells equal deadlines apart.
    set: u64,
    /// When the shared timer goes off; never later than the first deadline, often earlier.
    armed: Option<Instant>,
    keeper: Option<Waker>,
}

/// None on a thread that is no lane.
fn with<T>(act: impl FnOnce(&mut Alarms) -> T) -> Option<T> {
    ALARMS
        .try_with(|alarms| alarms.borrow_mut().as_mut().map(act))
        .ok()?
}

impl Alarms {
    fn set(&mut self, deadline: Instant, waker: &Waker) -> Key {
        self.set += 1;
        let key = (deadline, self.set);
        self.waiting.insert(key, waker.clone());
        let is_first = self.armed.is_none_or(|armed| deadline < armed);
        if let Some(keeper) = self.keeper.take_if(|_| is_first) {
            keeper.wake();
        }
        key
    }

    /// Whether it has not rung yet; if so, this is who is to be woken.
    fn waits(&mut self, key: &Key, waker: &Waker) -> bool {
        let Some(known) = self.waiting.get_mut(key) else {
            return false;
        };
        if !known.will_wake(waker) {
            known.clone_from(waker);
        }
        true
    }

    /// Takes out what has to ring now.
    fn due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    fn first(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|key| key.0)
    }
}

/// Rings for the tasks of this thread, which is a lane's from now on; never ends.
pub(crate) async fn keep() {
    ALARMS.set(Some(Alarms::default()));
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        loop {
            let due = with(|alarms| alarms.due(Instant::now()));
            for waker in due.unwrap_or_default() {
                waker.wake();
            }
            // What is armed already is kept although its call may be over: the next one's deadline is later.
            let armed = timer.as_ref().map(|timer| timer.deadline());
            let first = with(|alarms| alarms.first()).flatten();
            match (first, armed) {
                (Some(first), Some(armed)) if armed <= first => {}
                (Some(first), _) => timer = Some(Box::pin(sleep_until(first))),
                (None, _) => {}
            }
            let rang = match &mut timer {
                Some(timer) => timer.as_mut().poll(context).is_ready(),
                None => false,
            };
            if !rang {
                with(|alarms| {
                    alarms.armed = timer.as_ref().map(|timer| timer.deadline());
                    alarms.keeper = Some(context.waker().clone());
                });
                return Poll::Pending;
            }
            timer = None;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    async fn rings_after(limit: Duration) -> Duration {
        let started = Instant::now();
        let rung = until(started + limit, pending::<()>()).await;
        assert_eq!(rung, Err(Elapsed));
        started.elapsed()
    }

    async fn rings_in_order_and_in_time() {
        let (first, second, third) = tokio::join!(
            rings_after(3 * SHORT),
            rings_after(SHORT),
            rings_after(2 * SHORT)
        );
        assert!(second >= SHORT && third >= 2 * SHORT && first >= 3 * SHORT);
        let done = until(Instant::now() + LONG, pin!(async { 7 })).await;
        assert_eq!(done, Ok(7));
        // What is over does not keep the next one from ringing.
        let late = tokio::time::timeout(SHORT, rings_after(LONG)).await;
        assert!(late.is_err());
        assert!(rings_after(SHORT).await < LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_a_deadline_is_a_timer() {
        rings_in_order_and_in_time().await;
        assert!(with(|_| ()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_lane_deadlines_share_one() {
        let keeper = tokio::spawn(keep());
        tokio::task::yield_now().await;
        rings_in_order_and_in_time().await;
        assert_eq!(with(|alarms| alarms.waiting.len()), Some(0));
        // Calls with later deadlines leave the timer alone.
        let limit = Instant::now() + SHORT;
        for _ in 0..5 {
            let quick = tokio::time::sleep(SHORT / 10);
            until(Instant::now() + SHORT, pin!(quick)).await.unwrap();
        }
        let armed = with(|alarms| alarms.armed).flatten().unwrap();
        assert!(armed <= limit);
        tokio::time::sleep(2 * SHORT).await;
        assert_eq!(with(|alarms| alarms.armed), Some(None));
        keeper.abort();
        ALARMS.set(None);
    }
}
