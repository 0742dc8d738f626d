//! A panic in a handler becomes an answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use futures::FutureExt;

/// Runs a handler's future; a panic is logged and comes back as a fault with code 110.
pub async fn guarded<T>(service: &str, work: impl Future<Output = T>) -> Result<T, Fault> {
    // Nothing of the future is used after a panic, so broken invariants inside it cannot be seen.
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|payload| {
            let cause = text_of(payload.as_ref());
            tracing::error!(
                service,
                cause,
                "a handler panicked; this is a bug of the server"
            );
            Fault::new(ReturnCode::SYSTEM, "internal error, see the server's log")
        })
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else {
        payload
            .downcast_ref::<String>()
            .map_or("no text", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_fault_and_the_task_goes_on() {
        let broken = guarded("test", async {
            tokio::task::yield_now().await;
            assert_eq!(1 + 1, 3);
        });
        assert_eq!(broken.await.unwrap_err().code.0, 110);
        assert_eq!(guarded("test", async { 5 }).await.unwrap(), 5);
    }
}
