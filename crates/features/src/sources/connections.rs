//! Kept connections to a server that answers one question at a time on each.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;

use super::columns::Answer;
use super::gate::Remote;
use crate::BoxFuture;

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The connection is of no use any more.
    Broken(String),
    /// The server said no, and may be asked again.
    Refused(String),
}

/// How a kind of server is called and asked.
pub(crate) trait Dial: Send + Sync + Debug {
    type Connection: Send;

    /// A connection that is logged in and prepared.
    fn dial(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// One answer for each key, in their order.
    fn ask<'a>(
        &'a self,
        connection: &'a mut Self::Connection,
        keys: &'a [Arc<str>],
    ) -> impl Future<Output = Result<Vec<Answer>, AskError>> + Send + 'a;
}

/// A server with its idle connections. How many there are at a time, its gate bounds.
pub(crate) struct Pooled<D: Dial> {
    dialer: D,
    idle: Mutex<Vec<D::Connection>>,
}

impl<D: Dial> Pooled<D> {
    pub(crate) fn new(dialer: D) -> Self {
        Self {
            dialer,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// A kept connection may have died unseen, and with it all others: then the question is asked again over a new one.
    async fn ask(&self, keys: &[Arc<str>]) -> Result<Vec<Answer>, String> {
        let kept = self.idle.lock().pop();
        if let Some(mut connection) = kept {
            match self.dialer.ask(&mut connection, keys).await {
                Err(AskError::Broken(_)) => self.idle.lock().clear(),
                done => return self.done(connection, done),
            }
        }
        let mut connection = self.dialer.dial().await?;
        let done = self.dialer.ask(&mut connection, keys).await;
        self.done(connection, done)
    }

    fn done(
        &self,
        connection: D::Connection,
        done: Result<Vec<Answer>, AskError>,
    ) -> Result<Vec<Answer>, String> {
        if !matches!(done, Err(AskError::Broken(_))) {
            self.idle.lock().push(connection);
        }
        done.map_err(|(AskError::Broken(cause) | AskError::Refused(cause))| cause)
    }
}

impl<D: Dial> Debug for Pooled<D> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pooled")
            .field("dialer", &self.dialer)
            .field("idle", &self.idle.lock().len())
            .finish()
    }
}

impl<D: Dial> Remote for Pooled<D> {
    fn read<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Answer>, String>> {
        Box::pin(self.ask(keys))
    }
}
