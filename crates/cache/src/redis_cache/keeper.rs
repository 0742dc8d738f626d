//! Keeps a connection. Requests use one that is known to answer or none at all: none of them ever waits for a connection,
//! and after a failure Redis is left alone for a while.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::link::{Dialer, Link};

/// Before the first try after a failure, and at most between two.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// For one try, whatever is slow about it.
const DIAL_PATIENCE: Duration = Duration::from_secs(10);
/// A connection that has lasted so long is in order.
const SETTLED: Duration = Duration::from_secs(5);

/// The connection that requests use; open, as of a circuit, while there is none.
#[derive(Default)]
pub(super) struct Circuit {
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    cause: String,
}

impl Circuit {
    /// The connection, if there is one that is known to answer.
    pub(super) fn link(&self) -> Option<Link> {
        self.state.lock().link.clone()
    }

    /// Gives a connection up that has failed.
    pub(super) fn open(&self, failed: &Link, cause: String) {
        let mut state = self.state.lock();
        // Others may have given it up before.
        if state
            .link
            .as_ref()
            .is_some_and(|link| link.number == failed.number)
        {
            state.link = None;
            state.cause = cause;
            self.opened.notify_one();
        }
    }

    fn close(&self, link: Link) {
        self.state.lock().link = Some(link);
    }

    fn cause(&self) -> String {
        self.state.lock().cause.clone()
    }
}

/// Dials, waits until the connection is given up, dials again. What is wrong is said once, again when it is something else,
/// and once that it is over.
pub(super) async fn keep(dialer: Dialer, circuit: Arc<Circuit>) {
    let (mut pause, mut told) = (FIRST_PAUSE, None);
    for number in 0.. {
        let cause = match tokio::time::timeout(DIAL_PATIENCE, dialer.dial(number)).await {
            Err(_) => "it does not answer".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(link)) => {
                circuit.close(link);
                let opened = circuit.opened.notified();
                tokio::pin!(opened);
                if tokio::time::timeout(SETTLED, opened.as_mut())
                    .await
                    .is_err()
                {
                    tracing::info!("Redis remembers hosts' results");
                    (pause, told) = (FIRST_PAUSE, None);
                    opened.await;
                }
                circuit.cause()
            }
        };
        if told.as_ref() != Some(&cause) {
            tracing::warn!(
                cause,
                "Redis cannot be used: every host is asked until it answers again"
            );
            told = Some(cause);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
