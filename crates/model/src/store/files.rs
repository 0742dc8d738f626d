//! The few file operations the store is built on. Nothing else in this crate writes to the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file under this ending was being written when the process ended; it was never part of the store.
pub(super) const TEMPORARY: &str = "tmp";

/// Writes all parts to `path` so that after success, and at any crash, the file is there whole or not at all:
/// temporary file, fsync, rename, fsync of the folder.
pub(super) fn write_durably(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    let temporary = PathBuf::from(name);
    let written = write_and_sync(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if let Err(cause) = written {
        // The first error is the one to report; a left-over is removed at the next start.
        let _ = fs::remove_file(&temporary);
        return Err(cause);
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Reads a regular file. Anything else could block for ever or have no end: `InvalidInput`.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    fs::read(path)
}

fn write_and_sync(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::create(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates the folder and makes it and every new parent durable.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(parent)?;
    match fs::create_dir(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    sync_folder(parent)
}

/// Renames a bad file to `<name>.bad-<n>` beside it, so that it neither disturbs nor gets lost.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for n in 1..=u32::MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bad-{n}"));
        let aside = PathBuf::from(name);
        if !aside.try_exists()? {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("no free name to set the file aside"))
}

pub(super) fn is_set_aside(name: &str) -> bool {
    name.rsplit_once(".bad-")
        .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}
