//! `.fate/flowRules.json`: the limits in the Java server's format (contract 01 §7.2).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Far above what the server itself ever writes.
const MAX_FILE_BYTES: u64 = 64 << 20;

#[derive(Serialize)]
struct Rule<'a> {
    source: &'a str,
    allow_qps: f64,
}

#[derive(Deserialize)]
struct StoredRule {
    source: String,
    allow_qps: serde_json::Value,
}

/// Reads the rules; a missing file is none, a damaged one is reported and skipped.
pub(super) fn read(path: &Path) -> BTreeMap<String, f64> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Ok(metadata) if metadata.len() <= MAX_FILE_BYTES => {}
        _ => {
            tracing::warn!(path = %path.display(), "flow rules cannot be read, none are in force");
            return BTreeMap::new();
        }
    }
    let stored = fs::read(path).map_err(|error| error.to_string());
    let rules = stored.and_then(|bytes| {
        serde_json::from_slice::<Vec<StoredRule>>(&bytes).map_err(|error| error.to_string())
    });
    match rules {
        Ok(rules) => rules.into_iter().filter_map(limit_of).collect(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "flow rules are damaged, none are in force");
            BTreeMap::new()
        }
    }
}

/// Java reads the rate from its text form, so a number in quotes counts as well.
fn limit_of(rule: StoredRule) -> Option<(String, f64)> {
    let limit = match &rule.allow_qps {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match limit.filter(|limit| !limit.is_nan()) {
        Some(limit) => Some((rule.source, limit)),
        None => {
            tracing::warn!(
                source = rule.source,
                "flow rule has no numeric allow_qps, skipped"
            );
            None
        }
    }
}

/// Replaces the file as a whole: written beside it, synced, renamed.
pub(super) fn write(path: &Path, rules: &BTreeMap<String, f64>) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let rules: Vec<Rule<'_>> = rules
        .iter()
        .map(|(source, limit)| Rule {
            source,
            allow_qps: limit.clamp(f64::MIN, f64::MAX),
        })
        .collect();
    let text = serde_json::to_vec(&rules)?;
    let temporary = path.with_extension("json.tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_java_format() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".fate/flowRules.json");
        let rules = BTreeMap::from([("M_x".to_owned(), 2.5), ("I_LIST_PROPS".to_owned(), 0.0)]);
        write(&path, &rules).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"[{"source":"I_LIST_PROPS","allow_qps":0.0},{"source":"M_x","allow_qps":2.5}]"#
        );
        assert_eq!(read(&path), rules);
    }

    #[test]
    fn damaged_files_and_entries_are_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flowRules.json");
        for (text, rules) in [
            ("", 0),
            ("{", 0),
            ("{}", 0),
            (
                r#"[{"source":"a","allow_qps":null},{"source":"b","allow_qps":"1.5"}]"#,
                1,
            ),
            (r#"[{"source":"a","allow_qps":"NaN"}]"#, 0),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).len(), rules, "{text}");
        }
        assert!(read(&directory.path().join("none.json")).is_empty());
    }

    #[test]
    fn infinite_rates_are_stored_as_the_largest_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flowRules.json");
        write(&path, &BTreeMap::from([("a".to_owned(), f64::INFINITY)])).unwrap();
        assert_eq!(read(&path)["a"], f64::MAX);
    }
}
