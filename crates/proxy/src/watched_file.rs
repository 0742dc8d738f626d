//! Files that are read again when they change: the route table, the keys of the other proxies.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the file's stamp is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Every so many looks the file is read even if its stamp is unchanged, as Java reads it every ten seconds.
const LOOKS_PER_READ: u32 = 10;

/// Reads a regular file that is not larger than `max_bytes`.
pub(crate) fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max_bytes {
        return Err(io::Error::other(format!(
            "it is larger than {max_bytes} bytes"
        )));
    }
    Ok(bytes)
}

/// Replaces a file at once: a reader sees the old content or the new one. The old one stays beside it as `<name>.bak`.
/// A symbolic link is followed, so that the link itself stays.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let fresh = beside(&path, ".new");
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(&path) {
        file.set_permissions(old.permissions())?;
        fs::copy(&path, beside(&path, ".bak"))?;
    }
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    File::open(directory)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// What changes when a file does. A file that is written twice within the clock's resolution is caught by the next
/// unconditional read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok()?,
            bytes: metadata.len(),
        })
    }
}

/// Calls `reload` whenever the file may have changed, until `stop`. `reload` may block.
pub(crate) async fn follow(
    path: PathBuf,
    stop: CancellationToken,
    reload: impl Fn() + Send + Sync + 'static,
) {
    let reload = Arc::new(reload);
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    let mut looks = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        looks = (looks + 1) % LOOKS_PER_READ;
        let (path, reload) = (path.clone(), Arc::clone(&reload));
        let (before, is_due) = (known.clone(), looks == 0);
        let look = move || {
            // Taken before reading: a change during the reading is seen at the next look.
            let stamp = Stamp::of(&path);
            if is_due || stamp != before {
                reload();
            }
            stamp
        };
        known = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_its_predecessor_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.json");
        replace(&path, b"one").unwrap();
        assert!(!directory.path().join("table.json.bak").exists());
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"two");
        assert_eq!(
            read(&directory.path().join("table.json.bak"), 10).unwrap(),
            b"one"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn directories_and_giants_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path(), 10).is_err());
        let path = directory.path().join("file");
        fs::write(&path, "0123456789x").unwrap();
        assert!(read(&path, 10).is_err() && read(&path, 11).is_ok());
    }
}
