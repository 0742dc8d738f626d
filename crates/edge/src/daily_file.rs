//! A file of lines that is put away every midnight: `<directory>/<name>` becomes
//! `<directory>/<yyyy-MM-dd>/<name>.<yyyy-MM-dd>`, as the Java roles have it (contract 01 §10). Days are the machine's.
//!
//! Nobody waits for the disk: lines go to a thread of the file's own through a bounded queue, and what does not fit is
//! dropped and counted. Old days are the operator's to delete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use time::{Date, OffsetDateTime, UtcOffset};

use crate::prometheus::Counter;

/// Lines that wait for the disk.
const QUEUE: usize = 8192;

/// Dropping it writes what waits.
#[derive(Debug)]
pub struct DailyFile {
    lines: Option<SyncSender<Line>>,
    writer: Option<JoinHandle<()>>,
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
        let writer = Writer::open(directory, name, SystemTime::now())?;
        let (lines, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name(name.to_owned());
        Ok(Self {
            lines: Some(lines),
            writer: Some(thread.spawn(move || writer.run(&queue))?),
            dropped: Counter::default(),
        })
    }

    /// Writes `yyyy-MM-dd HH:mm:ss,SSS|` and a text, soon.
    pub fn line(&self, text: String) {
        let time = SystemTime::now();
        let sent = self
            .lines
            .as_ref()
            .map(|lines| lines.try_send(Line { time, text }));
        if !matches!(sent, Some(Ok(()))) {
            self.dropped.add(1);
        }
    }

    /// Lines that the disk was too slow for.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

impl Drop for DailyFile {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.take() {
            // It ends when it has written what waits.
            let _ = writer.join();
        }
    }
}

struct Writer {
    directory: PathBuf,
    name: String,
    day: Date,
    file: BufWriter<File>,
    /// So that the log says it once.
    has_failed: bool,
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
            directory: directory.to_owned(),
            name: name.to_owned(),
            day: today,
            has_failed: false,
        })
    }

    fn run(mut self, queue: &Receiver<Line>) {
        while let Ok(line) = queue.recv() {
            let mut written = self.write(&line);
            while let Ok(line) = queue.try_recv() {
                written = written.and(self.write(&line));
            }
            let flushed = written.and_then(|()| self.file.flush());
            self.say(flushed);
        }
    }

    fn say(&mut self, outcome: io::Result<()>) {
        let has_failed = outcome.is_err();
        if let Err(error) = outcome
            && !self.has_failed
        {
            tracing::warn!(name = self.name, %error, "a log file cannot be written; lines are missing");
        }
        self.has_failed = has_failed;
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let time = local(line.time);
        if time.date() > self.day {
            self.file.flush()?;
            put_away(&self.directory, &self.name, self.day)?;
            self.file = appending(&self.directory.join(&self.name))?;
            self.day = time.date();
        }
        let (hour, minute, second, milli) = time.to_hms_milli();
        writeln!(
            self.file,
            "{} {hour:02}:{minute:02}:{second:02},{milli:03}|{}",
            text_of(time.date()),
            line.text
        )
    }
}

fn appending(path: &Path) -> io::Result<BufWriter<File>> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(BufWriter::new(file))
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
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn line(time: SystemTime, text: &str) -> Line {
        Line {
            time,
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_have_a_time_and_are_written_when_the_file_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs");
        let file = DailyFile::open(&logs, "flow.log").unwrap();
        for text in ["a|0", "b|1"] {
            file.line(text.to_owned());
        }
        drop(file);
        let text = fs::read_to_string(logs.join("flow.log")).unwrap();
        let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_at(23)).collect();
        assert_eq!(
            lines.iter().map(|line| line.1).collect::<Vec<_>>(),
            ["|a|0", "|b|1"]
        );
        let shape: String = lines[0].0.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(shape, "0000-00-00 00:00:00,000");
    }

    #[test]
    fn every_day_has_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let day = |days: u32| text_of(local(start + DAY * days).date());
        let mut writer = Writer::open(directory.path(), "flow.log", start).unwrap();
        for (days, text) in [(0, "first"), (0, "second"), (1, "third"), (3, "fourth")] {
            writer.write(&line(start + DAY * days, text)).unwrap();
        }
        writer.file.flush().unwrap();
        let texts = |path: PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            let texts = text.lines().map(|line| line[24..].to_owned());
            texts.collect::<Vec<_>>()
        };
        let old = |day: String| directory.path().join(&day).join(format!("flow.log.{day}"));
        assert_eq!(texts(old(day(0))), ["first", "second"]);
        assert_eq!(texts(old(day(1))), ["third"]);
        assert_eq!(texts(directory.path().join("flow.log")), ["fourth"]);
    }

    #[test]
    fn what_an_earlier_process_left_is_put_away_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flow.log");
        fs::write(&path, "old\n").unwrap();
        let now = SystemTime::now();
        drop(Writer::open(directory.path(), "flow.log", now).unwrap());
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "old\n",
            "it is of today"
        );
        for _ in 0..2 {
            fs::write(&path, "old\n").unwrap();
            drop(Writer::open(directory.path(), "flow.log", now + DAY).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), "");
        }
        let day = text_of(local(now).date());
        let folder = directory.path().join(&day);
        for name in [format!("flow.log.{day}"), format!("flow.log.{day}.1")] {
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), "old\n");
        }
    }
}
