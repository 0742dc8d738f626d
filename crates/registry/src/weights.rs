//! Weights and router modes that were set while running, and the file in which Java keeps them (contract 03 §2.4, §2.6).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::disk;

/// A file of this kind is small; a larger one is not ours.
const MAX_BYTES: u64 = 16 << 20;

const ALL_ALLOWED: &str = "ALL_ALLOWED";

/// What was set for one `<environment>/<service>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weight {
    /// `None`: never set, which consumers take for 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<i32>,
    #[serde(rename = "routerMode", default = "all_allowed")]
    pub(crate) router_mode: String,
}

fn all_allowed() -> String {
    ALL_ALLOWED.to_owned()
}

/// All that was set. It outlives the process and applies whenever that service is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Weights(BTreeMap<String, Weight>);

impl Weights {
    pub(crate) fn get(&self, environment: &str, service: &str) -> Weight {
        let known = self.0.get(&format!("{environment}/{service}")).cloned();
        known.unwrap_or_else(|| Weight {
            weight: None,
            router_mode: all_allowed(),
        })
    }

    /// `None` leaves a part as it is.
    pub(crate) fn set(
        &mut self,
        environment: &str,
        service: &str,
        router_mode: Option<&str>,
        weight: Option<i32>,
    ) {
        let mut entry = self.get(environment, service);
        if let Some(mode) = router_mode {
            mode.clone_into(&mut entry.router_mode);
        }
        entry.weight = weight.or(entry.weight);
        self.0.insert(format!("{environment}/{service}"), entry);
    }
}

/// `fate-service-<project>-<host>-<port>.cache`: Base64 of JSON.
#[derive(Debug, Clone)]
pub(crate) struct WeightFile {
    path: PathBuf,
}

impl WeightFile {
    pub(crate) fn new(directory: &Path, project: &str, zookeeper: &str) -> Self {
        Self {
            path: directory.join(format!("fate-service-{project}-{zookeeper}.cache")),
        }
    }

    /// What the file holds; nothing, and a warning, when it cannot be read.
    pub(crate) fn read(&self) -> Weights {
        match self.try_read() {
            Ok(weights) => weights,
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "weights cannot be read, none is known");
                Weights::default()
            }
        }
    }

    fn try_read(&self) -> std::io::Result<Weights> {
        let Some(bytes) = disk::read(&self.path, MAX_BYTES)? else {
            return Ok(Weights::default());
        };
        let json = STANDARD
            .decode(bytes.trim_ascii())
            .map_err(std::io::Error::other)?;
        Ok(Weights(serde_json::from_slice(&json)?))
    }

    /// Writes `weights` over the entries of the same names; entries of other instances stay.
    pub(crate) fn write(&self, weights: &Weights) -> std::io::Result<()> {
        let mut all = self.read();
        all.0.extend(weights.0.clone());
        let text = STANDARD.encode(serde_json::to_vec(&all.0)?);
        disk::replace(&self.path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_wrote_is_read_and_what_is_written_java_reads() {
        let directory = tempfile::tempdir().unwrap();
        let file = WeightFile::new(directory.path(), "serving", "127.0.0.1-2181");
        assert_eq!(file.read(), Weights::default());
        let path = directory
            .path()
            .join("fate-service-serving-127.0.0.1-2181.cache");
        let java = r#"{"online/publishLoad":{"routerMode":"ALL_ALLOWED"},"lr-test/inference":{"weight":300,"routerMode":"VERSION_EQUALS"}}"#;
        std::fs::write(&path, STANDARD.encode(java)).unwrap();
        let mut weights = file.read();
        assert_eq!(weights.get("online", "publishLoad").weight, None);
        let lr = weights.get("lr-test", "inference");
        assert_eq!(
            (lr.weight, lr.router_mode.as_str()),
            (Some(300), "VERSION_EQUALS")
        );

        weights.set("lr-test", "inference", None, Some(5));
        file.write(&weights).unwrap();
        let written = STANDARD.decode(std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            r#"{"lr-test/inference":{"weight":5,"routerMode":"VERSION_EQUALS"},"online/publishLoad":{"routerMode":"ALL_ALLOWED"}}"#
        );
    }

    #[test]
    fn a_damaged_file_is_no_reason_to_stop() {
        let directory = tempfile::tempdir().unwrap();
        let file = WeightFile::new(directory.path(), "serving", "h-1");
        for damaged in [&b"\xff\xfe"[..], b"aGk=", b"{}", b"bnVsbA=="] {
            std::fs::write(&file.path, damaged).unwrap();
            assert_eq!(file.read(), Weights::default());
        }
    }
}
