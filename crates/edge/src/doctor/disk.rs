//! Whether a directory can be written to, and how much room is left there.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::{Finding, Verdict};

const LITTLE: u64 = 1 << 30;
const TOO_LITTLE: u64 = 64 << 20;

/// Of the directory, or of the first one above it that exists: the others will be made.
pub fn disk(what: &str, directory: &Path) -> Finding {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let existing = absolute.ancestors().find(|one| one.exists());
    let Some(existing) = existing.filter(|one| one.is_dir()) else {
        let text = format!(
            "{} is no directory and cannot become one",
            directory.display()
        );
        return Finding::new(Verdict::Fail, what, text);
    };
    let shown = existing.display();
    if let Err(cause) = try_to_write(existing) {
        let text = format!("{shown} cannot be written to: {cause}");
        return Finding::new(Verdict::Fail, what, text);
    }
    match statvfs(existing) {
        Ok(room) => {
            let free = room.blocks_available().saturating_mul(room.fragment_size());
            let text = format!("{shown} can be written to, {} MiB free", free >> 20);
            Finding::new(verdict(free), what, text)
        }
        Err(cause) => {
            let text = format!("{shown} can be written to, free space unknown: {cause}");
            Finding::new(Verdict::Warn, what, text)
        }
    }
}

fn verdict(free: u64) -> Verdict {
    match free {
        0..TOO_LITTLE => Verdict::Fail,
        TOO_LITTLE..LITTLE => Verdict::Warn,
        LITTLE.. => Verdict::Ok,
    }
}

fn try_to_write(directory: &Path) -> std::io::Result<()> {
    let probe = directory.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&probe, b"x")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_exist_will_exist_and_never_can() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        for path in [folder.path(), &below] {
            let found = disk("disk", path);
            assert_ne!(found.verdict, Verdict::Fail, "{found}");
            assert!(found.text.contains("MiB free"), "{found}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(disk("disk", &file.join("x")).verdict, Verdict::Fail);
        assert_eq!(
            disk("disk", Path::new("/proc/self/x")).verdict,
            Verdict::Fail
        );
    }

    #[test]
    fn little_room() {
        let cases = [
            (1, Verdict::Fail),
            (500, Verdict::Warn),
            (5000, Verdict::Ok),
        ];
        for (mib, expected) in cases {
            assert_eq!(verdict(mib << 20), expected);
        }
    }
}
