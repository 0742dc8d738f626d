//! A file of lines that is put away every midnight: `<directory>/<name>` becomes
//! `<directory>/<yyyy-MM-dd>/<name>.<yyyy-MM-dd>`, as the Java roles have it (contract 01 §10). Days are the machine's.
//!
//! Nobody waits for the disk: lines go to a thread of the file's own. What waits is bounded in bytes; what does not fit, and
//! what cannot be written, is dropped, counted, and said in the log. Lines stay whole, also behind one that a full disk
//! cut short. Old days are the operator's to delete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use time::{Date, OffsetDateTime, UtcOffset};

use crate::prometheus::Counter;

/// Bytes of lines that wait for the disk.
const MOST_BYTES: usize = 8 << 20;
/// What a line that waits takes beside its text.
const LINE_BYTES: usize = 64;
/// Lines are written together up to this size.
const BATCH_BYTES: usize = 64 << 10;
/// How long the end of a role waits for the disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Dropping it writes what waits, if the disk takes it within five seconds.
#[derive(Debug)]
pub struct DailyFile {
    lines: Option<Sender<Line>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    dropped: Counter,
}

#[derive(Debug)]
struct Line {
    time: SystemTime,
    text: String,
}

impl DailyFile {
    /// Opens the file to append to it; the directory is made.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(directory: &Path, name: &str) -> io::Result<Self> {
        Self::start(Writer::open(directory, name, SystemTime::now())?)
    }

    fn start(writer: Writer) -> io::Result<Self> {
        let shared = Arc::clone(&writer.shared);
        let (lines, queue) = channel();
        let thread = std::thread::Builder::new().name(writer.name.clone());
        Ok(Self {
            lines: Some(lines),
            writer: Some(thread.spawn(move || writer.run(&queue))?),
            shared,
        })
    }

    /// Writes `yyyy-MM-dd HH:mm:ss,SSS|` and a text, soon.
    pub fn line(&self, text: String) {
        let time = SystemTime::now();
        let line = Line { time, text };
        let size = line.size();
        let waiting = &self.shared.waiting_bytes;
        let has_room = waiting.fetch_add(size, Ordering::Relaxed) + size <= MOST_BYTES;
        let lines = self.lines.as_ref().filter(|_| has_room);
        let is_taken = lines.is_some_and(|lines| lines.send(line).is_ok());
        if !is_taken {
            waiting.fetch_sub(size, Ordering::Relaxed);
            self.shared.dropped.add(1);
        }
    }

    /// Lines that the disk was too slow or too small for.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.get()
    }

    /// The writer ends when it has written what waits; a disk that hangs keeps nobody from ending.
    fn close(&mut self, patience: Duration) {
        drop(self.lines.take());
        let Some(writer) = self.writer.take() else {
            return;
        };
        let end = Instant::now() + patience;
        while !writer.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        if writer.is_finished() {
            let _ = writer.join();
        } else {
            tracing::warn!("a log file takes no lines; those that wait are lost");
        }
    }
}

impl Drop for DailyFile {
    fn drop(&mut self) {
        self.close(CLOSE_PATIENCE);
    }
}

impl Line {
    fn size(&self) -> usize {
        LINE_BYTES + self.text.capacity()
    }
}

struct Writer {
    directory: PathBuf,
    name: String,
    day: Date,
    file: File,
    shared: Arc<Shared>,
    batch: Batch,
    /// So that the log says it once.
    has_failed: bool,
    /// Dropped lines that the log has told of.
    said: u64,
}

/// Lines that are written together.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    /// Whether the file ends in the middle of a line.
    is_torn: bool,
}

impl Writer {
    fn open(directory: &Path, name: &str, now: SystemTime) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(name);
        let today = local(now).date();
        // A process that did not live at midnight.
        if let Ok(last) = fs::metadata(&path).and_then(|file| file.modified()) {
            let day = local(last).date();
            if day < today {
                put_away(directory, name, day)?;
            }
        }
        Ok(Self {
            file: appending(&path)?,
            shared: Arc::default(),
            batch: Batch::default(),
            directory: directory.to_owned(),
            name: name.to_owned(),
            day: today,
            has_failed: false,
            said: 0,
        })
    }

    fn run(mut self, queue: &Receiver<Line>) {
        while let Ok(line) = queue.recv() {
            let mut written = self.take(line);
            while let Ok(line) = queue.try_recv() {
                written = written.and(self.take(line));
            }
            let written = written.and(self.flush());
            self.say(written);
        }
    }

    fn take(&mut self, line: Line) -> io::Result<()> {
        let written = self.add(&line);
        let size = line.size();
        drop(line);
        let waiting = &self.shared.waiting_bytes;
        waiting.fetch_sub(size, Ordering::Relaxed);
        written
    }

    fn say(&mut self, outcome: io::Result<()>) {
        let has_failed = outcome.is_err();
        if let Err(error) = outcome
            && !self.has_failed
        {
            tracing::warn!(name = self.name, %error, "a log file cannot be written");
        }
        self.has_failed = has_failed;
        let dropped = self.shared.dropped.get();
        if dropped > self.said && !has_failed {
            let lines = dropped - self.said;
            tracing::warn!(name = self.name, lines, "lines of a log file are missing");
            self.said = dropped;
        }
    }

    fn add(&mut self, line: &Line) -> io::Result<()> {
        let time = local(line.time);
        let mut written = Ok(());
        if time.date() > self.day {
            written = self.flush();
            if let Err(error) = self.next_day(time.date()) {
                self.shared.dropped.add(1);
                return Err(error);
            }
        }
        self.batch.add(time, &line.text);
        if self.batch.bytes.len() >= BATCH_BYTES {
            written = written.and(self.flush());
        }
        written
    }

    fn next_day(&mut self, day: Date) -> io::Result<()> {
        put_away(&self.directory, &self.name, self.day)?;
        self.file = appending(&self.directory.join(&self.name))?;
        self.batch.is_torn = false;
        self.day = day;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let (lost, outcome) = self.batch.write_to(&mut self.file);
        self.shared.dropped.add(lost);
        outcome
    }
}

impl Batch {
    fn add(&mut self, time: OffsetDateTime, text: &str) {
        let (hour, minute, second, milli) = time.to_hms_milli();
        let day = text_of(time.date());
        // Into memory, which takes everything.
        let _ = writeln!(
            self.bytes,
            "{day} {hour:02}:{minute:02}:{second:02},{milli:03}|{text}"
        );
        self.ends.push(self.bytes.len());
    }

    /// Writes all lines, or as many as there is room for: how many are lost. Nothing stays here to be tried again.
    fn write_to(&mut self, out: &mut impl Write) -> (u64, io::Result<()>) {
        let mut written = 0;
        let outcome = self.write(out, &mut written);
        let lost = self.ends.iter().filter(|end| **end > written).count();
        if written > 0 {
            self.is_torn = !self.ends.contains(&written);
        }
        self.bytes.clear();
        self.bytes.shrink_to(2 * BATCH_BYTES);
        self.ends.clear();
        (u64::try_from(lost).unwrap_or(u64::MAX), outcome)
    }

    fn write(&mut self, out: &mut impl Write, written: &mut usize) -> io::Result<()> {
        if self.is_torn && !self.bytes.is_empty() {
            out.write_all(b"\n")?;
            self.is_torn = false;
        }
        while *written < self.bytes.len() {
            match out.write(&self.bytes[*written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Never over a file that is there already.
fn put_away(directory: &Path, name: &str, day: Date) -> io::Result<()> {
    let day = text_of(day);
    let folder = directory.join(&day);
    fs::create_dir_all(&folder)?;
    let numbered = (1..).map(|number| folder.join(format!("{name}.{day}.{number}")));
    let plain = folder.join(format!("{name}.{day}"));
    let free = std::iter::once(plain)
        .chain(numbered)
        .find(|path| !path.exists());
    match free {
        Some(free) => fs::rename(directory.join(name), free),
        None => Ok(()),
    }
}

fn local(time: SystemTime) -> OffsetDateTime {
    let utc = OffsetDateTime::from(time);
    utc.to_offset(UtcOffset::local_offset_at(utc).unwrap_or(UtcOffset::UTC))
}

fn text_of(day: Date) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        day.year(),
        u8::from(day.month()),
        day.day()
    )
}

#[cfg(test)]
mod tests;
