//! A circuit breaker: a source that failed several times in a row is left alone for a while, and then tried by one read.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Breaker {
    limit: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// One read is out to see whether the source is back.
    is_tried: bool,
    cause: Arc<str>,
}

impl Breaker {
    /// Opens at the failure number `limit` in a row, for `pause` each time.
    pub(crate) fn new(limit: u32, pause: Duration) -> Self {
        Self {
            limit,
            pause,
            state: Mutex::default(),
        }
    }

    /// Whether a read may begin; if not, why. Who may, must report how it ended.
    pub(crate) fn admit(&self) -> Result<(), Arc<str>> {
        let mut state = self.state.lock();
        let Some(open) = &mut state.open else {
            return Ok(());
        };
        if open.is_tried || Instant::now() < open.until {
            return Err(format!("left alone after failures: {}", open.cause).into());
        }
        open.is_tried = true;
        Ok(())
    }

    /// True when this is news: the source was given up before.
    pub(crate) fn succeeded(&self) -> bool {
        let mut state = self.state.lock();
        state.failures = 0;
        state.open.take().is_some()
    }

    /// True when this is news: from now on the source is left alone.
    pub(crate) fn failed(&self, cause: &Arc<str>) -> bool {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < self.limit {
            return false;
        }
        let open = Open {
            until: Instant::now() + self.pause,
            is_tried: false,
            cause: Arc::clone(cause),
        };
        state.open.replace(open).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_waits_and_lets_one_try() {
        let breaker = Breaker::new(2, Duration::from_secs(1));
        let cause = Arc::from("gone");
        assert!(breaker.admit().is_ok() && !breaker.failed(&cause));
        assert!(!breaker.succeeded(), "it was never given up");
        assert!(!breaker.failed(&cause) && breaker.admit().is_ok());
        assert!(breaker.failed(&cause), "the second in a row");
        let refused = breaker.admit().unwrap_err();
        assert!(refused.contains("gone"), "{refused}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(breaker.admit().is_ok() && breaker.admit().is_err());
        assert!(!breaker.failed(&cause) && breaker.admit().is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(breaker.admit().is_ok());
        assert!(breaker.succeeded() && breaker.admit().is_ok() && breaker.admit().is_ok());
    }
}
