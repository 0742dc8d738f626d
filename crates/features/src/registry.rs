//! The one table of sources: Java class names, short names, constructors.

use std::sync::Arc;

use crate::{
    FeatureSource, Settings, file_pick, http, http_header, mock, parallel, sources, test_file,
};

const JAVA_PACKAGE: &str = "com.webank.ai.fate.serving.adaptor.dataaccess.";

type Open = fn(&Settings) -> Result<Arc<dyn FeatureSource>, Error>;

struct Entry {
    short: &'static str,
    /// Java class and constructor for `feature.single.adaptor`.
    single: Option<(&'static str, Open)>,
    /// Java class and constructor for `feature.batch.adaptor`.
    batch: Option<(&'static str, Open)>,
}

const SOURCES: &[Entry] = &[
    Entry {
        short: "mock",
        single: Some(("MockAdapter", mock::open)),
        batch: Some(("MockBatchAdapter", mock::open)),
    },
    Entry {
        short: "file",
        single: Some(("TestFileAdapter", test_file::open)),
        batch: Some(("BatchTestFileAdapter", test_file::open)),
    },
    Entry {
        short: "file-pick",
        single: Some(("TestFilePickAdapter", file_pick::open)),
        batch: Some(("BatchTestFilePickAdapter", file_pick::open)),
    },
    Entry {
        short: "http",
        single: Some(("HttpAdapter", http::open)),
        batch: None,
    },
    Entry {
        short: "http-header",
        single: Some(("HttpAdapterByHeader", http_header::open)),
        batch: None,
    },
    Entry {
        short: "parallel",
        single: None,
        batch: Some(("ParallelBatchToSingleFeatureAdaptor", parallel::open)),
    },
    // Java has none of this kind.
    Entry {
        short: sources::NAME,
        single: Some((sources::NAME, sources::opened)),
        batch: Some((sources::NAME, sources::opened)),
    },
];

/// Why a source cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No source has that name for that use.
    #[error("no {usage} feature source is called '{name}'; known are {known}")]
    Unknown {
        /// `single` or `batch`.
        usage: &'static str,
        /// The name as configured.
        name: String,
        /// All names that fit, with their Java classes.
        known: String,
    },
    /// The source needs a setting that is missing or wrong.
    #[error("feature source '{source_name}': {reason}")]
    Setting {
        /// Short name of the source.
        source_name: &'static str,
        /// Cause and remedy.
        reason: String,
    },
}

/// The source of single calls by its Java class name, full or bare, or by its short name.
///
/// # Errors
/// The name is unknown, or a setting that the source needs is missing or wrong.
pub fn single_source(name: &str, settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    open("single", name, settings, |entry| entry.single)
}

/// The source of batch calls, named as for [`single_source`].
///
/// # Errors
/// As for [`single_source`].
pub fn batch_source(name: &str, settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    open("batch", name, settings, |entry| entry.batch)
}

fn open(
    usage: &'static str,
    name: &str,
    settings: &Settings,
    side: fn(&Entry) -> Option<(&'static str, Open)>,
) -> Result<Arc<dyn FeatureSource>, Error> {
    let name = name.trim();
    let bare = name.strip_prefix(JAVA_PACKAGE).unwrap_or(name);
    let mut known = Vec::new();
    for entry in SOURCES {
        let Some((class, open)) = side(entry) else {
            continue;
        };
        if bare == class || name == entry.short {
            return open(settings);
        }
        known.push(if class == entry.short {
            class.to_owned()
        } else {
            format!("{} ({class})", entry.short)
        });
    }
    Err(Error::Unknown {
        usage,
        name: name.to_owned(),
        known: known.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Opened = Result<Arc<dyn FeatureSource>, Error>;

    fn settings() -> Settings {
        Settings {
            http_url: Some("http://127.0.0.1:1/".to_owned()),
            batch_single_source: Some("mock".to_owned()),
            sources: Some(Arc::new(crate::SourceSet::open(&[], None).unwrap())),
            ..Settings::default()
        }
    }

    #[test]
    fn every_source_has_its_java_name_in_full_and_bare_and_a_short_name() {
        for entry in SOURCES {
            check(entry.short, entry.single, single_source);
            check(entry.short, entry.batch, batch_source);
        }
    }

    fn check(short: &str, side: Option<(&str, Open)>, by_name: fn(&str, &Settings) -> Opened) {
        let Some((class, _)) = side else {
            assert!(by_name(short, &settings()).is_err(), "{short}");
            return;
        };
        let full = format!("{JAVA_PACKAGE}{class}");
        for name in [&full, &format!(" {class} "), short] {
            let source = by_name(name, &settings()).expect(name);
            assert_eq!(source.name(), short);
        }
    }

    #[test]
    fn other_names_are_unknown() {
        for name in [
            "",
            "DTest",
            "mockadapter",
            "com.example.HttpAdapter",
            "parallel",
        ] {
            let error = single_source(name, &settings()).expect_err(name);
            assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
        }
        for name in ["DTest", "HttpAdapter", "http", "http-header", "MockAdapter"] {
            let error = batch_source(name, &settings()).expect_err(name);
            let text = error.to_string();
            assert!(
                text.contains("parallel (ParallelBatchToSingleFeatureAdaptor)"),
                "{text}"
            );
        }
    }
}
