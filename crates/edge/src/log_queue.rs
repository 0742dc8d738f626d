//! The log on its way out: lines go to a thread of their own, so that nobody waits for whoever reads them.
//!
//! Lines are gathered for a moment and written together. What waits is bounded in bytes; what does not fit is dropped,
//! counted, and said in the log as soon as there is room.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use crate::prometheus::Counter;

/// Bytes of lines that wait; as many again may be on their way out.
const MOST_BYTES: usize = 4 << 20;
/// A line waits for others this long, so that a busy process does not wake the thread for each.
const GATHER: Duration = Duration::from_millis(20);
/// Room that is kept from one time to the next.
const KEPT_BYTES: usize = 64 << 10;

/// The end that lines are given to.
#[derive(Debug, Clone)]
pub struct LogQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or somebody waits for it.
    wanted: Condvar,
    written: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    is_writing: bool,
    is_urgent: bool,
}

impl LogQueue {
    /// Starts the thread that writes to `out` as long as the process lives.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let queue = Self {
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || shared.write_to(out))?;
        Ok(queue)
    }

    /// A line with its end, or several.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.shared.state.lock();
        if state.pending.len() + line.len() > MOST_BYTES {
            self.shared.dropped.add(1);
            return;
        }
        let was_empty = state.pending.is_empty();
        state.pending.extend_from_slice(line);
        if was_empty {
            self.shared.wanted.notify_one();
        }
    }

    /// Waits until everything is written, but not for longer than `patience`: false.
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.shared.state.lock();
        state.is_urgent = true;
        self.shared.wanted.notify_one();
        let mut is_late = false;
        while (!state.pending.is_empty() || state.is_writing) && !is_late {
            is_late = self.shared.written.wait_until(&mut state, end).timed_out();
        }
        state.is_urgent = false;
        !is_late
    }

    /// Lines that nobody took in time.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.get()
    }
}

impl Shared {
    fn write_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        let mut said = 0;
        loop {
            self.next(&mut batch);
            // Nobody is left to tell when the log is closed.
            let _ = out.write_all(&batch).and_then(|()| out.flush());
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
            let has_room = self.written();
            let dropped = self.dropped.get();
            if dropped > said && has_room {
                let lines = dropped - said;
                tracing::warn!(
                    lines,
                    "lines of the log are missing: nobody took them in time"
                );
                said = dropped;
            }
        }
    }

    /// Waits for lines, and a moment longer for others.
    fn next(&self, batch: &mut Vec<u8>) {
        let mut state = self.state.lock();
        while state.pending.is_empty() {
            self.wanted.wait(&mut state);
        }
        if !state.is_urgent {
            self.wanted.wait_for(&mut state, GATHER);
        }
        std::mem::swap(batch, &mut state.pending);
        state.is_writing = true;
    }

    /// Tells those who wait for it; whether there is room for a line of our own now.
    fn written(&self) -> bool {
        let mut state = self.state.lock();
        state.is_writing = false;
        self.written.notify_all();
        state.pending.len() < MOST_BYTES / 2
    }
}

/// Takes one line whole.
#[derive(Debug)]
pub struct Line<'a>(&'a LogQueue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let (mut taken, out) = io::pipe().unwrap();
        let queue = LogQueue::start(out).unwrap();
        for number in 0..100 {
            queue.push(format!("{number}\n").as_bytes());
        }
        assert!(queue.flush(PATIENCE));
        let mut text = vec![0; 290];
        taken.read_exact(&mut text).unwrap();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert_eq!(queue.dropped(), 0);
        assert!(queue.flush(Duration::ZERO), "there is nothing to wait for");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let (mut taken, out) = io::pipe().unwrap();
        let queue = LogQueue::start(out).unwrap();
        let line = [b'x'; 1024];
        // Three times what may wait and be on its way.
        for _ in 0..6 * MOST_BYTES / line.len() {
            queue.push(&line);
        }
        let dropped = queue.dropped();
        assert!(dropped > 0);
        assert!(!queue.flush(Duration::from_millis(10)), "it gives up");
        let reader = std::thread::spawn(move || {
            let mut seen = 0;
            let mut some = [0; 64 << 10];
            while let Ok(count @ 1..) = taken.read(&mut some) {
                seen += count;
                if some[..count].ends_with(b"end") {
                    break;
                }
            }
            seen
        });
        assert!(queue.flush(PATIENCE));
        queue.push(b"end");
        assert!(queue.flush(PATIENCE));
        let seen = reader.join().unwrap();
        let expected = 6 * MOST_BYTES - usize::try_from(dropped).unwrap() * line.len() + 3;
        assert_eq!(seen, expected, "what was not dropped has come");
    }
}
