//! A limit on calls in flight that follows how late this process's threads are.
//!
//! Not how long calls take: most of that is the time of hosts and of sources of features, and calls that only wait for a
//! slow one of those are no reason to refuse others. Lateness is what calls do to each other here: when every alarm of a
//! whole second came late, more is ready than the processors can do, and one call more would only make all of them later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::lane;

/// Between two alarms of a thread.
const PERIOD: Duration = Duration::from_millis(100);
/// What a thread may always be late without consequences.
const TOLERATED: Duration = Duration::from_millis(50);
/// One step takes away no more than half, and gives back an eighth.
const LARGEST_CUT: f64 = 0.5;
const GROWTH: usize = 8;
/// The limit never falls below this many calls, nor below this many for each processor.
const FEWEST: usize = 16;
const FEWEST_PER_PROCESSOR: usize = 2;
/// Of a thread that no alarm has come to yet.
const NONE: u64 = u64::MAX;

/// How late the alarms of the lanes and of the rest of the process come.
#[derive(Debug)]
pub struct Lateness {
    /// The least late alarm since it was last asked, in nanoseconds: of the process, and of each lane.
    least_ns: Box<[AtomicU64]>,
    last_ns: AtomicU64,
}

impl Lateness {
    /// Of a process with so many lanes.
    pub fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Self {
            least_ns: (0..=lanes).map(|_| AtomicU64::new(NONE)).collect(),
            last_ns: AtomicU64::new(0),
        })
    }

    /// Sets alarms where it is polled, without end.
    pub async fn watch(&self) {
        loop {
            let due = Instant::now() + PERIOD;
            sleep_until(due).await;
            self.note(lane::place(), due.elapsed());
        }
    }

    fn note(&self, place: usize, late: Duration) {
        let late = u64::try_from(late.as_nanos()).unwrap_or(NONE - 1);
        self.least_ns[place % self.least_ns.len()].fetch_min(late, Ordering::Relaxed);
    }

    /// By how much even the least late alarm was late since this was last asked, on the thread that is worst off. A pause
    /// of the whole machine is one late alarm among many, and does not show.
    pub fn take(&self) -> Duration {
        let least = self.least_ns.iter();
        let known = least
            .map(|least| least.swap(NONE, Ordering::Relaxed))
            .filter(|least| *least != NONE);
        let worst = known.max().unwrap_or(0);
        self.last_ns.store(worst, Ordering::Relaxed);
        Duration::from_nanos(worst)
    }

    /// What was taken last.
    pub fn last(&self) -> Duration {
        Duration::from_nanos(self.last_ns.load(Ordering::Relaxed))
    }
}

/// The limit never falls below this, as long as the hard one is not lower.
pub fn floor() -> usize {
    FEWEST.max(FEWEST_PER_PROCESSOR * lane::fitting())
}

/// The limit for the next second, after one with `limit` in which `in_flight` calls were seen and the threads were late.
/// `cap` is the hard limit.
pub fn next_limit(limit: usize, cap: usize, in_flight: usize, late: Duration) -> usize {
    let limit = limit.min(cap);
    let floor = floor().min(cap);
    if late <= TOLERATED {
        return (limit + limit / GROWTH + 1).min(cap);
    }
    // So few calls are not what makes the threads late.
    if in_flight < floor {
        return limit;
    }
    let kept = (TOLERATED.as_secs_f64() / late.as_secs_f64()).max(LARGEST_CUT);
    ((limit.min(in_flight) as f64 * kept) as usize).clamp(floor, cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 4096;

    /// A second of a server whose processors need so long for each call in flight.
    fn second(limit: usize, offered: usize, cost: Duration) -> usize {
        let in_flight = offered.min(limit);
        let in_flight_now = u32::try_from(in_flight).unwrap();
        next_limit(limit, CAP, in_flight, cost * in_flight_now)
    }

    #[test]
    fn under_overload_the_limit_finds_what_the_processors_can_do_and_comes_back() {
        let cost = Duration::from_micros(200);
        let mut limit = CAP;
        let limits: Vec<usize> = (0..60)
            .map(|_| {
                limit = second(limit, 100_000, cost);
                limit
            })
            .collect();
        // 250 calls of 200 us each are 50 ms of work.
        for limit in &limits[10..] {
            assert!((200..=290).contains(limit), "{limits:?}");
        }
        let seconds = (0..).take_while(|_| {
            limit = second(limit, 100, cost);
            limit < CAP
        });
        assert!(seconds.count() < 60);
    }

    #[test]
    fn steps_are_bounded_and_there_is_a_floor() {
        let long = Duration::from_secs(3600);
        assert_eq!(next_limit(1000, CAP, 1000, long), 500);
        assert_eq!(next_limit(1000, CAP, 400, long), 200.max(floor()));
        assert_eq!(next_limit(floor() + 1, CAP, CAP, long), floor());
        assert_eq!(next_limit(4, 4, 4, long), 4, "a hard limit below the floor");
        assert_eq!(next_limit(800, CAP, 800, Duration::ZERO), 901);
        assert_eq!(next_limit(800, 100, 800, Duration::ZERO), 100);
    }

    #[test]
    fn slow_hosts_and_a_machine_that_others_keep_busy_take_no_places_away() {
        assert_eq!(next_limit(CAP, CAP, CAP, TOLERATED), CAP);
        let late = Duration::from_secs(1);
        assert_eq!(next_limit(CAP, CAP, floor() - 1, late), CAP);
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_late_alarm_of_the_thread_that_is_worst_off_counts() {
        let lateness = Lateness::new(2);
        assert_eq!(lateness.take(), Duration::ZERO);
        for (place, millis) in [(0, 90), (0, 1), (1, 70), (1, 60), (1, 500)] {
            lateness.note(place, Duration::from_millis(millis));
        }
        assert_eq!(lateness.take(), Duration::from_millis(60));
        assert_eq!(lateness.last(), Duration::from_millis(60));
        assert_eq!(lateness.take(), Duration::ZERO, "it was taken");
        lateness.note(7, Duration::from_millis(5));
        assert_eq!(lateness.take(), Duration::from_millis(5));
    }

    #[tokio::test]
    async fn a_thread_that_is_kept_busy_is_late() {
        let lateness = Lateness::new(0);
        let busy = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                std::thread::sleep(3 * PERIOD);
            }
        };
        tokio::select! {
            () = lateness.watch() => {}
            () = busy => {}
        }
        assert!(lateness.take() >= PERIOD, "{:?}", lateness.last());
    }
}
