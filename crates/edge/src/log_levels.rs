//! Log levels that can be changed while the server runs (contract 01 §9.5).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, reload};

use crate::log_queue::LogQueue;

/// Packages that may have a level of their own.
const MAX_PACKAGES: usize = 256;

type Apply = dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync;

/// The levels in force and the way to change them. The embedding program owns the subscriber and hands this over; roles
/// of one process share it.
#[derive(Clone)]
pub struct LogLevels {
    levels: Arc<Mutex<Levels>>,
    apply: Arc<Apply>,
    /// Whether lines are written as JSON; whoever writes them looks at it.
    is_json: Arc<AtomicBool>,
    queue: Option<LogQueue>,
    /// Whether whoever started the process chose the levels; the configuration then has no say.
    is_chosen: bool,
}

#[derive(Clone)]
struct Levels {
    base: String,
    packages: BTreeMap<String, &'static str>,
}

impl LogLevels {
    /// `base` are the directives in force, for example `info`; `handle` reloads the filter made from them.
    pub fn new<S>(base: impl Into<String>, handle: reload::Handle<EnvFilter, S>) -> Self
    where
        S: Subscriber + 'static,
    {
        Self {
            levels: Arc::new(Mutex::new(Levels {
                base: base.into(),
                packages: BTreeMap::new(),
            })),
            apply: Arc::new(move |filter| handle.reload(filter).map_err(|e| e.to_string())),
            is_json: Arc::default(),
            queue: None,
            is_chosen: false,
        }
    }

    /// The same for levels that come from the command line or the environment.
    pub fn chosen(self) -> Self {
        Self {
            is_chosen: true,
            ..self
        }
    }

    /// The same with somebody who writes JSON while this is true.
    pub fn with_json(self, is_json: Arc<AtomicBool>) -> Self {
        Self { is_json, ..self }
    }

    /// The same where lines go through this queue, flow lines beginning as [`crate::flow_log::begin`] does unless they are JSON.
    pub fn with_queue(self, queue: LogQueue) -> Self {
        Self {
            queue: Some(queue),
            ..self
        }
    }

    /// Where lines of text may be put as they are; none while lines are JSON.
    pub(crate) fn text_queue(&self) -> Option<&LogQueue> {
        let is_json = self.is_json.load(Ordering::Relaxed);
        self.queue.as_ref().filter(|_| !is_json)
    }

    /// Lines that nobody took in time.
    pub fn dropped_lines(&self) -> u64 {
        self.queue.as_ref().map_or(0, LogQueue::dropped)
    }

    /// Whether lines are JSON.
    pub fn set_json(&self, is_json: bool) {
        self.is_json.store(is_json, Ordering::Relaxed);
    }

    /// Sets filters as the configuration has them, unless the levels were chosen at start.
    pub fn set_configured(&self, filters: &str) -> Result<(), String> {
        if self.is_chosen {
            return Ok(());
        }
        self.change(|levels| {
            levels.base = own(filters);
            Ok(())
        })
    }

    /// Sets the level of everything that has no level of its own. Of libraries no more than `info` is logged, unless they
    /// are named.
    pub fn set_root(&self, level: &str) -> Result<(), String> {
        let level = directive(level)?;
        self.change(|levels| {
            levels.base = own(level);
            Ok(())
        })
    }

    /// Sets the level of one package, a Rust module path such as `fate_model` or the target `flow`.
    pub fn set_package(&self, package: &str, level: &str) -> Result<(), String> {
        let level = directive(level)?;
        let is_path = !package.is_empty()
            && package.len() <= 256
            && package
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-'));
        if !is_path {
            return Err("the package name is not a module path".to_owned());
        }
        self.change(|levels| {
            if levels.packages.len() >= MAX_PACKAGES && !levels.packages.contains_key(package) {
                return Err(format!("{MAX_PACKAGES} packages have levels already"));
            }
            levels.packages.insert(package.to_owned(), level);
            Ok(())
        })
    }

    fn change(&self, edit: impl FnOnce(&mut Levels) -> Result<(), String>) -> Result<(), String> {
        let mut levels = self.levels.lock();
        let mut changed = levels.clone();
        edit(&mut changed)?;
        let filter = EnvFilter::try_new(changed.directives()).map_err(|e| e.to_string())?;
        (self.apply)(filter)?;
        *levels = changed;
        Ok(())
    }
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("LogLevels")
            .field(&self.levels.lock().directives())
            .finish()
    }
}

impl Levels {
    fn directives(&self) -> String {
        let mut directives = self.base.clone();
        for (package, level) in &self.packages {
            directives.push_str(&format!(",{package}={level}"));
        }
        directives
    }
}

/// Filters, as far as they mean something. A word alone that is no level would be taken for the name of a package, and
/// everything else would fall silent.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(filters: &str) -> Result<EnvFilter, String> {
    for filter in filters.split(',').map(str::trim) {
        let (name, level) = match filter.rsplit_once('=') {
            Some((name, level)) => (Some(name), level),
            None => (None, filter),
        };
        let is_level = level.parse::<LevelFilter>().is_ok() && !level.is_empty();
        let is_package = name.is_none() && (level.contains("::") || level.starts_with("fate"));
        let is_span = filter.ends_with(']') || level.contains(['"', '{']);
        if !filter.is_empty() && !is_level && !is_package && !is_span {
            return Err(format!(
                "{level:?} is no level: error, warn, info, debug, trace or off, alone or behind a package, as in fate_model=debug"
            ));
        }
        if name.is_some_and(|name| name.trim().is_empty()) {
            return Err(format!("{filter:?} names no package"));
        }
    }
    EnvFilter::builder()
        .parse(filters)
        .map_err(|cause| cause.to_string())
}

/// The filters that a text means. A level alone that is milder than `info` is for what is ours: a library that tells of
/// every frame would drown it.
pub fn own(filters: &str) -> String {
    let of_ours = |filter: &str| {
        let level = filter.trim().to_ascii_lowercase();
        match level.as_str() {
            "debug" | "trace" => format!("info,fate={level},flow={level}"),
            _ => filter.to_owned(),
        }
    };
    let filters: Vec<String> = filters.split(',').map(of_ours).collect();
    filters.join(",")
}

/// log4j2's level names, in any case.
fn directive(level: &str) -> Result<&'static str, String> {
    match level.to_ascii_uppercase().as_str() {
        "TRACE" | "ALL" => Ok("trace"),
        "DEBUG" => Ok("debug"),
        "INFO" => Ok("info"),
        "WARN" => Ok("warn"),
        "ERROR" | "FATAL" => Ok("error"),
        "OFF" => Ok("off"),
        _ => Err("the level is not a log4j2 level name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn levels_change_what_is_logged() {
        let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(EnvFilter::new("info"));
        let levels = LogLevels::new("info", handle);
        let subscriber = tracing_subscriber::registry().with(filter);
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(target: "fate_model::x", tracing::Level::DEBUG));
            levels.set_package("fate_model", "debug").unwrap();
            assert!(tracing::enabled!(target: "fate_model::x", tracing::Level::DEBUG));
            assert!(!tracing::enabled!(target: "other", tracing::Level::DEBUG));
            levels.set_root("ALL").unwrap();
            assert!(tracing::enabled!(target: "fate_edge", tracing::Level::TRACE));
            assert!(tracing::enabled!(target: "other", tracing::Level::INFO));
            assert!(!tracing::enabled!(target: "other", tracing::Level::DEBUG));
            levels.set_package("other", "trace").unwrap();
            assert!(tracing::enabled!(target: "other", tracing::Level::TRACE));
            levels.set_package("other", "off").unwrap();
            levels.set_root("OFF").unwrap();
            assert!(!tracing::enabled!(target: "other", tracing::Level::ERROR));
            assert!(tracing::enabled!(target: "fate_model", tracing::Level::DEBUG));
            levels.clone().chosen().set_configured("trace").unwrap();
            assert!(!tracing::enabled!(target: "other", tracing::Level::ERROR));
            levels.set_configured("warn,third=debug").unwrap();
            assert!(tracing::enabled!(target: "third", tracing::Level::DEBUG));
            assert!(!tracing::enabled!(target: "fourth", tracing::Level::INFO));
        });
    }

    #[test]
    fn a_level_alone_is_for_what_is_ours() {
        for (given, meant) in [
            ("debug,h2=debug", "info,fate=debug,flow=debug,h2=debug"),
            ("TRACE", "info,fate=trace,flow=trace"),
            ("fate_model=debug,warn", "fate_model=debug,warn"),
            ("info", "info"),
        ] {
            assert_eq!(own(given), meant);
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in [
            "info",
            "WARN",
            "fate_model=debug,warn",
            "fate_model",
            "h2::proto",
            "off",
            "info,fate=trace,flow=trace",
            "fate_edge[call]=debug",
            "",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "verbose",
            "warning",
            "inof",
            "trace;drop",
            "fate_model=",
            "=debug",
            "info,fate_model=loud",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nonsense_changes_nothing() {
        let (_filter, handle) = reload::Layer::<EnvFilter, Registry>::new(EnvFilter::new("info"));
        let levels = LogLevels::new("info", handle);
        assert!(levels.set_root("LOUD").is_err());
        assert!(levels.set_package("a,b=trace", "info").is_err());
        assert!(levels.set_package("", "info").is_err());
        assert_eq!(levels.levels.lock().directives(), "info");
    }
}
