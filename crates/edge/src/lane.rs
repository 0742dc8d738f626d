//! Lanes: threads that serve connections, each with a runtime of its own.
//!
//! Between threads of one runtime, every message that arrives wakes another thread to look for work, and a call moves from
//! thread to thread: at a single client that is more than half of its changes of context. A connection and its calls stay
//! on their lane instead. What takes long there would keep other calls waiting; it goes to the process's own runtime, see
//! [`aside`].

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::alarm;
use crate::connections::{self, Arrivals, Places};

/// Blocking work of a lane gets this long when it ends.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

thread_local! {
    static LANE: RefCell<Option<Lane>> = const { RefCell::new(None) };
}

struct Lane {
    number: usize,
    /// The runtime that started the lanes.
    main: Handle,
}

/// The place of this thread among the lanes of the process, from 1; 0 on a thread that is none.
pub fn place() -> usize {
    LANE.with_borrow(|lane| lane.as_ref().map_or(0, |lane| lane.number + 1))
}

/// As many as the machine has processors.
pub fn fitting() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs work beside the lane that this thread is, if it is one. Dropping the future ends the work.
///
/// # Errors
/// The process is stopping, or the work panicked.
pub async fn aside<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let main = LANE.with_borrow(|lane| lane.as_ref().map(|lane| lane.main.clone()));
    match main {
        Some(main) => AbortOnDropHandle::new(main.spawn(work)).await,
        None => Ok(work.await),
    }
}

/// Accepts connections and hands them to lanes in turn until `stop` is cancelled; ends when the lanes have. `numbers` are
/// those of the lanes, at least one: no other listener's. `serve` serves what arrives at one lane and has to end after
/// `stop`, not before: then `failed` is called, and the other lanes go on, so that what is in flight there can be answered.
/// Dropping the future ends the lanes at once.
pub(crate) async fn run<F: Future<Output = ()>>(
    numbers: Range<usize>,
    listener: TcpListener,
    stop: CancellationToken,
    serve: impl Fn(Arrivals) -> F + Clone + Send + 'static,
    failed: impl Fn(usize),
) -> io::Result<()> {
    let abandoned = CancellationToken::new();
    let _abandon = abandoned.clone().drop_guard();
    let mut ended = JoinSet::new();
    let mut ways = Vec::with_capacity(numbers.len());
    for number in numbers {
        let (way, given) = mpsc::unbounded_channel();
        ways.push(way);
        let (serve, abandoned) = (serve.clone(), abandoned.clone());
        let end = start(number, move || async move {
            tokio::select! {
                () = serve(Arrivals::given(given)) => {}
                () = abandoned.cancelled() => {}
            }
        })?;
        ended.spawn(async move {
            // Nothing is ever sent: it ends with the thread.
            let _ = end.await;
            number
        });
    }
    let mut places = Places::new("gRPC");
    let mut turn = (0..ways.len()).cycle();
    loop {
        tokio::select! {
            biased;
            // First of all: lanes that the stop ends have not failed.
            () = stop.cancelled() => break,
            Some(Ok(number)) = ended.join_next() => failed(number),
            stream = connections::next(&listener) => {
                let way = turn.next().and_then(|number| ways.get(number));
                if let (Some(place), Some(way)) = (places.take(), way) {
                    // A connection that cannot be handed over, to a lane that has ended for instance, is closed.
                    let _ = stream.into_std().map(|stream| way.send((stream, place)));
                }
            }
        }
    }
    drop(listener);
    while ended.join_next().await.is_some() {}
    Ok(())
}

/// Starts a thread for some work; the result ends with it.
fn start<F: Future<Output = ()>>(
    number: usize,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    let lane = Lane {
        number,
        main: Handle::current(),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name(format!("lane-{number}"))
        .spawn(move || {
            LANE.set(Some(lane));
            runtime.spawn(alarm::keep());
            runtime.block_on(work());
            runtime.shutdown_timeout(SHUTDOWN_GRACE);
            drop(end);
        })?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// Answers every connection with the place of the thread that serves it, and once more beside the lane.
    async fn tell_places(mut arrivals: Arrivals, stop: CancellationToken) {
        loop {
            let (mut stream, _place) = tokio::select! {
                arrived = arrivals.next() => arrived,
                () = stop.cancelled() => return,
            };
            let own = u8::try_from(place()).unwrap();
            let beside = aside(async { u8::try_from(place()).unwrap() })
                .await
                .unwrap();
            stream.write_all(&[own, beside]).await.unwrap();
        }
    }

    async fn places_of(address: std::net::SocketAddr) -> (u8, u8) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut told = [9; 2];
        stream.read_exact(&mut told).await.unwrap();
        (told[0], told[1])
    }

    #[tokio::test]
    async fn connections_go_to_the_lanes_in_turn_until_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let of_lane = stop.clone();
        let serve = move |arrivals| tell_places(arrivals, of_lane.clone());
        let lanes = tokio::spawn(run(3..5, listener, stop.clone(), serve, |_| {}));
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(places_of(address).await);
        }
        assert_eq!(seen, [(4, 0), (5, 0), (4, 0), (5, 0)]);
        stop.cancel();
        lanes.await.unwrap().unwrap();
        assert!(
            TcpStream::connect(address).await.is_err(),
            "the port is closed"
        );
    }

    #[tokio::test]
    async fn a_lane_that_ends_is_told_of_and_the_others_go_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let of_lane = stop.clone();
        let serve = move |arrivals| {
            let stop = of_lane.clone();
            async move {
                if place() == 1 {
                    panic!("this lane dies");
                }
                tell_places(arrivals, stop).await;
            }
        };
        let (failed, mut told) = mpsc::unbounded_channel();
        let lanes = tokio::spawn(run(0..2, listener, stop.clone(), serve, move |number| {
            failed.send(number).unwrap();
        }));
        assert_eq!(told.recv().await, Some(0));
        let mut closed = TcpStream::connect(address).await.unwrap();
        assert!(closed.read_exact(&mut [0; 2]).await.is_err());
        assert_eq!(places_of(address).await, (2, 0));
        stop.cancel();
        lanes.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn dropping_the_future_ends_the_lanes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = Arc::new(Mutex::new(()));
        let held = Arc::clone(&alive);
        let serve = move |_| {
            let held = Arc::clone(&held);
            async move {
                let _held = held;
                std::future::pending::<()>().await;
            }
        };
        let stop = CancellationToken::new();
        let lanes = tokio::spawn(run(0..2, listener, stop, serve, |_| {}));
        tokio::task::yield_now().await;
        lanes.abort();
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while Arc::strong_count(&alive) > 1 {
            assert!(std::time::Instant::now() < limit, "lanes go on");
            tokio::task::yield_now().await;
        }
    }
}
