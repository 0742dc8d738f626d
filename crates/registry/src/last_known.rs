//! The providers that were known last, in Java's file (contract 03 §2.4): with them calls are routed while ZooKeeper is
//! away, also by a process that starts meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fate_domain::properties;

use crate::disk;
use crate::snapshot::{Service, Snapshot};

/// Some hundred thousand providers.
const MAX_BYTES: u64 = 256 << 20;

/// `fate-registry-<project>-<host>-<port>.cache`: properties, the providers of a service joined by blanks.
#[derive(Debug, Clone)]
pub(crate) struct LastKnownFile {
    path: PathBuf,
}

impl LastKnownFile {
    pub(crate) fn new(directory: &Path, project: &str, zookeeper: &str) -> Self {
        Self {
            path: directory.join(format!("fate-registry-{project}-{zookeeper}.cache")),
        }
    }

    /// The services of `projects` in the file; none, and a warning, when it cannot be read.
    pub(crate) fn read(&self, projects: &[String]) -> Snapshot {
        let projects: BTreeSet<&str> = projects.iter().map(String::as_str).collect();
        match self.try_read(&projects) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "last known providers cannot be read, none is known");
                Snapshot::default()
            }
        }
    }

    fn try_read(&self, projects: &BTreeSet<&str>) -> std::io::Result<Snapshot> {
        let Some(bytes) = disk::read(&self.path, MAX_BYTES)? else {
            return Ok(Snapshot::default());
        };
        let file = properties::parse(&bytes).map_err(std::io::Error::other)?;
        let services = file.iter().filter_map(|entry| {
            let (project, rest) = entry.key.split_once('/')?;
            let (environment, name) = rest.split_once('/')?;
            let texts = entry.value.split_whitespace();
            let texts = texts.filter(|text| !text.starts_with("empty:"));
            let texts = texts.map(str::to_owned).collect();
            projects
                .contains(project)
                .then(|| Arc::new(Service::new(project, environment, name, texts)))
        });
        Ok(Snapshot::new(services))
    }

    /// Replaces the file.
    pub(crate) fn write(&self, snapshot: &Snapshot) -> std::io::Result<()> {
        let mut entries: Vec<(String, String)> = snapshot
            .services()
            .map(|service| (service.key(), value(service)))
            .collect();
        entries.sort();
        let entries = entries
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let text = properties::write("Fate Registry Cache", entries);
        disk::replace(&self.path, text.as_bytes())
    }
}

fn value(service: &Service) -> String {
    let urls: Vec<&str> = service
        .providers()
        .iter()
        .map(|provider| provider.url.as_str())
        .filter(|url| !url.contains(char::is_whitespace))
        .collect();
    if urls.is_empty() {
        return format!("empty:///{}?category=providers", service.key());
    }
    urls.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &str = "#Fate Registry Cache\n#Mon Nov 23 10:11:40 UTC 2026\n\
        serving/lr-test/inference=grpc\\://192.0.2.2\\:8001/serving/lr-test/inference?router_mode\\=ALL_ALLOWED&timestamp\\=1795386700802&version\\=216 grpc\\://192.0.2.3\\:8001/serving/lr-test/inference?version\\=216\n\
        serving/other/inference=empty\\:///serving/other/inference?category\\=providers\n\
        proxy/online/unaryCall=grpc\\://192.0.2.9\\:8879/proxy/online/unaryCall?version\\=216\n";

    #[test]
    fn what_java_wrote_is_read_and_written_alike() {
        let directory = tempfile::tempdir().unwrap();
        let file = LastKnownFile::new(directory.path(), "proxy", "127.0.0.1-2181");
        let path = directory
            .path()
            .join("fate-registry-proxy-127.0.0.1-2181.cache");
        std::fs::write(&path, JAVA).unwrap();
        let snapshot = file.read(&["serving".to_owned()]);
        let service = snapshot.service("serving", "lr-test", "inference").unwrap();
        let hosts: Vec<&str> = service
            .providers()
            .iter()
            .map(|one| one.host.as_str())
            .collect();
        assert_eq!(hosts, ["192.0.2.2", "192.0.2.3"]);
        assert!(
            snapshot
                .resolve("serving", "other", "inference", None)
                .is_none()
        );
        assert!(snapshot.service("proxy", "online", "unaryCall").is_none());

        file.write(&snapshot).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = written
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let java: Vec<&str> = JAVA.lines().skip(2).take(2).collect();
        assert_eq!(lines, java);
        assert!(written.starts_with("#Fate Registry Cache\n"), "{written}");
    }

    #[test]
    fn a_damaged_file_is_no_reason_to_stop() {
        let directory = tempfile::tempdir().unwrap();
        let file = LastKnownFile::new(directory.path(), "proxy", "h-1");
        std::fs::write(&file.path, "serving/a/inference=\\u12").unwrap();
        assert_eq!(file.read(&["serving".to_owned()]).services().count(), 0);
    }
}
