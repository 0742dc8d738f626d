//! A value made of files, replaced as a whole when they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::time::MissedTickBehavior;

use super::TlsError;
use super::pem::PemFile;
use crate::small_file;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

type Build<T> = dyn Fn(&[PemFile]) -> Result<T, TlsError> + Send + Sync;

pub(super) struct Watched<T> {
    paths: Vec<PathBuf>,
    build: Box<Build<T>>,
    current: ArcSwap<T>,
    looks: Mutex<Looks>,
}

/// What the looks have seen so far.
struct Looks {
    /// Of the contents that are in force or were refused; they are not tried again.
    judged: [u8; 32],
    /// The last failure that was logged.
    complaint: Option<String>,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Builds the value and goes on watching the files as long as the value is used. Must be called inside a tokio
    /// runtime; reads files.
    pub(super) fn open(
        paths: Vec<PathBuf>,
        build: impl Fn(&[PemFile]) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        let files = read(&paths)?;
        let watched = Arc::new(Self {
            current: ArcSwap::from_pointee(build(&files)?),
            build: Box::new(build),
            looks: Mutex::new(Looks {
                judged: fingerprint(&files),
                complaint: None,
            }),
            paths,
        });
        watch(&watched);
        Ok(watched)
    }

    /// What is in force.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files; new contents that can be used are in force when this returns.
    fn look(&self) {
        let mut looks = self.looks.lock();
        let outcome = read(&self.paths).and_then(|files| {
            let print = fingerprint(&files);
            if print == looks.judged {
                return Ok(false);
            }
            let fresh = (self.build)(&files);
            // Contents that are half replaced are refused as well: the other half changes them once more.
            looks.judged = print;
            self.current.store(Arc::new(fresh?));
            Ok(true)
        });
        match outcome {
            Ok(has_changed) => {
                if has_changed {
                    tracing::info!(files = ?self.paths, "TLS files have changed and are in force");
                }
                looks.complaint = None;
            }
            Err(error) => looks.complain(error.to_string()),
        }
    }
}

impl Looks {
    /// Says the same thing once only.
    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!(
                cause = complaint,
                "TLS files have changed and cannot be used; those before stay in force"
            );
            self.complaint = Some(complaint);
        }
    }
}

fn watch<T: Send + Sync + 'static>(watched: &Arc<Watched<T>>) {
    let watched = Arc::downgrade(watched);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(watched) = watched.upgrade() else {
                return;
            };
            // A look that panicked must not end the watching; the panic itself is in the log.
            let _ = tokio::task::spawn_blocking(move || watched.look()).await;
        }
    });
}

fn read(paths: &[PathBuf]) -> Result<Vec<PemFile>, TlsError> {
    let files = paths.iter().map(|path| {
        let bytes =
            small_file::read(path).map_err(|cause| TlsError::file(path, cause.to_string()))?;
        Ok(PemFile {
            path: path.clone(),
            bytes,
        })
    });
    files.collect()
}

fn fingerprint(files: &[PemFile]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.bytes.len() as u64).to_le_bytes());
        hash.update(&file.bytes);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose content is its value, unless that is `bad`.
    fn open(path: &std::path::Path) -> Arc<Watched<String>> {
        let build = |files: &[PemFile]| match String::from_utf8_lossy(&files[0].bytes).into_owned()
        {
            bad if bad == "bad" => Err(TlsError::setup("bad")),
            good => Ok(good),
        };
        Watched::open(vec![path.to_owned()], build).unwrap()
    }

    #[tokio::test]
    async fn good_files_replace_and_bad_ones_leave_what_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "first").unwrap();
        let watched = open(&path);
        for (content, expected) in [
            (Some("first"), "first"),
            (Some("second"), "second"),
            (Some("bad"), "second"),
            (None, "second"),
            (Some("bad"), "second"),
            (Some("third"), "third"),
        ] {
            match content {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            watched.look();
            assert_eq!(*watched.current(), expected, "{content:?}");
        }
    }

    #[tokio::test]
    async fn a_bad_file_is_no_value_at_all_at_first() {
        let directory = tempfile::tempdir().unwrap();
        let paths = vec![directory.path().join("missing")];
        assert!(Watched::open(paths, |_| Ok(())).is_err());
    }

    #[tokio::test]
    async fn what_nobody_uses_is_not_watched_any_longer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "first").unwrap();
        let watched = open(&path);
        let weak = Arc::downgrade(&watched);
        drop(watched);
        let gone = async {
            while weak.upgrade().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone)
            .await
            .unwrap();
    }
}
