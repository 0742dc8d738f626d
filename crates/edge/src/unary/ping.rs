//! Pings tell a dead connection from a quiet one.

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

/// Ends when the peer has not answered a ping for `limit`; one goes out `every` so often.
pub(crate) async fn until_silent(pings: Option<PingPong>, every: Duration, limit: Duration) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(every).await;
        match timeout(limit, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection is over; that is told by itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}
