use std::io::{BufRead as _, BufReader};

use super::*;

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
        writer.add(&line(start + DAY * days, text)).unwrap();
    }
    writer.flush().unwrap();
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

/// A writer into something else than a plain file.
fn writing_to(file: File) -> Writer {
    Writer {
        directory: PathBuf::new(),
        name: "flow.log".to_owned(),
        day: local(SystemTime::now()).date(),
        file,
        shared: Arc::default(),
        batch: Batch::default(),
        has_failed: false,
        said: 0,
    }
}

/// A pipe that nobody reads is a disk that hangs.
fn hanging(folder: &Path) -> (File, File) {
    let path = folder.join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Open at both ends, so that neither waits for the other.
    let reader = File::options().read(true).write(true).open(&path);
    (reader.unwrap(), appending(&path).unwrap())
}

#[test]
fn what_waits_for_a_disk_that_hangs_is_bounded_in_bytes_and_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, pipe) = hanging(folder.path());
    let mut file = DailyFile::start(writing_to(pipe)).unwrap();
    let (big, count) = ("x".repeat(1 << 20), 40);
    for _ in 0..count {
        file.line(big.clone());
    }
    let dropped = file.dropped();
    let waiting = file.shared.waiting_bytes.load(Ordering::Relaxed);
    assert!(waiting <= MOST_BYTES, "{waiting}");
    // Seven have room, and the one that is on its way counts with them.
    assert_eq!(dropped, count - 7);

    let kept = usize::try_from(count - dropped).unwrap();
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines().take(kept);
        lines.map(|line| line.unwrap().len()).collect::<Vec<_>>()
    });
    file.close(Duration::from_secs(60));
    assert_eq!(reading.join().unwrap(), vec![big.len() + 24; kept]);
    assert_eq!(file.shared.waiting_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_disk_that_hangs_keeps_nobody_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let (_reader, pipe) = hanging(folder.path());
    let mut file = DailyFile::start(writing_to(pipe)).unwrap();
    file.line("x".repeat(1 << 20));
    let began = Instant::now();
    file.close(Duration::from_millis(50));
    assert!(began.elapsed() < CLOSE_PATIENCE);
}

#[test]
fn lines_that_a_full_disk_does_not_take_are_counted() {
    let full = appending(Path::new("/dev/full")).unwrap();
    let mut file = DailyFile::start(writing_to(full)).unwrap();
    for _ in 0..100 {
        file.line("x".repeat(10_000));
    }
    file.close(Duration::from_secs(60));
    assert_eq!(file.dropped(), 100);
    assert_eq!(file.shared.waiting_bytes.load(Ordering::Relaxed), 0);
}

/// Takes so many bytes, then none.
struct Small(Vec<u8>, usize);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.len().min(self.1 - self.0.len()) {
            0 => Err(io::ErrorKind::StorageFull.into()),
            count => {
                self.0.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_behind_a_torn_one_begins_anew() {
    let mut batch = Batch::default();
    let now = local(SystemTime::now());
    let add = |batch: &mut Batch, texts: &[&str]| {
        texts.iter().for_each(|text| batch.add(now, text));
    };
    // Each line has 24 characters of time, its text, and an end.
    let mut disk = Small(Vec::new(), 26 + 10);
    add(&mut batch, &["a", "b", "c"]);
    let (lost, outcome) = batch.write_to(&mut disk);
    assert!(lost == 2 && outcome.is_err() && batch.is_torn);
    add(&mut batch, &["d"]);
    assert_eq!(batch.write_to(&mut disk).0, 1, "still full");
    disk.1 += 100;
    add(&mut batch, &["e"]);
    assert!(matches!(batch.write_to(&mut disk), (0, Ok(()))));
    assert!(
        matches!(batch.write_to(&mut disk), (0, Ok(()))),
        "nothing to write"
    );
    let text = String::from_utf8(disk.0).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].ends_with("|a") && lines[2].ends_with("|e"),
        "{text}"
    );
    assert_eq!((lines.len(), lines[1].len()), (3, 10), "{text}");
}
