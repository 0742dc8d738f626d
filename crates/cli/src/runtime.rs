//! The tokio runtime of a command.

use std::io;
use std::time::Duration;

use tokio::runtime::Builder;

/// What still runs on blocking threads when a command is done gets this long to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Runs a command's work on a multi-threaded runtime and ends the runtime.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_multi_thread()
        .thread_name("fate-serving")
        .enable_all()
        .build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    Ok(done)
}
