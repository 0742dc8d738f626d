//! Flow control: counters per resource and the limits set by `updateFlowRule` (contract 01 §7.1, §7.2).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use parking_lot::Mutex;

use super::rules_file;
use super::window::Window;

/// Rules beyond this many, or with a longer name, are refused: the file and the counters stay bounded.
const MAX_RULES: usize = 10_000;
const MAX_SOURCE_BYTES: usize = 4096;

/// Where the counters get their time from, in milliseconds since some fixed moment.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's, from this moment on.
    Since(Instant),
    /// A test's.
    #[cfg(test)]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock, from now on.
    pub fn system() -> Self {
        Self::Since(Instant::now())
    }

    fn now_ms(&self) -> u64 {
        match self {
            Self::Since(start) => start.elapsed().as_millis() as u64,
            #[cfg(test)]
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// Counters of all resources and their limits. Without a limit a pass costs one lock-free look-up and one atomic add.
#[derive(Debug)]
pub struct FlowControl {
    clock: Clock,
    resources: ArcSwap<HashMap<Box<str>, Arc<Resource>>>,
    rules: Mutex<BTreeMap<String, f64>>,
    rules_file: PathBuf,
}

/// Counters of one interface (`I_…`) or model (`M_…`).
#[derive(Debug)]
struct Resource {
    name: Arc<str>,
    limit: Limit,
    /// What the limit looks at.
    last_second: Window,
    passed: Count,
    blocked: Count,
    succeeded: Count,
    failed: Count,
}

/// Events since they were last taken. The samples of `queryMetrics` come from here and not from the window, which ends at
/// a whole tenth of a second: of what it counted, every tenth would be in no sample.
#[derive(Debug, Default)]
struct Count(AtomicU64);

/// A rate limit: the bits of an `f64`, `NaN` for none, and the lock under which it is checked and used.
#[derive(Debug)]
struct Limit {
    bits: AtomicU64,
    turn: Mutex<()>,
}

/// What one resource has counted from one sample to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// `I_…` an interface, `M_…` a model.
    pub resource: Arc<str>,
    /// Calls (of a model: rows) that passed.
    pub passed: u64,
    /// Those that were refused.
    pub blocked: u64,
    /// Finished ones that succeeded.
    pub succeeded: u64,
    /// Finished ones that failed.
    pub failed: u64,
}

impl FlowControl {
    /// Reads the rules of an earlier run. A damaged file is reported and set aside, never a reason not to start.
    pub fn open(rules_file: PathBuf, clock: Clock) -> Self {
        let rules = rules_file::read(&rules_file);
        let resources = rules
            .iter()
            .map(|(source, limit)| (source.as_str().into(), Resource::shared(source, *limit)))
            .collect();
        Self {
            clock,
            resources: ArcSwap::from_pointee(resources),
            rules: Mutex::new(rules),
            rules_file,
        }
    }

    /// Sets the rate a resource may pass per second: 0 and less block everything. Effective at once and stored.
    pub fn set_limit(&self, source: &str, allow_qps: f64) -> Result<(), Fault> {
        if source.len() > MAX_SOURCE_BYTES || allow_qps.is_nan() {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "flow rule has a name that is too long or a rate that is not a number",
            ));
        }
        let mut rules = self.rules.lock();
        if rules.len() >= MAX_RULES && !rules.contains_key(source) {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                format!("there are already {MAX_RULES} flow rules"),
            ));
        }
        let before = rules.insert(source.to_owned(), allow_qps);
        if let Err(error) = rules_file::write(&self.rules_file, &rules) {
            match before {
                Some(limit) => rules.insert(source.to_owned(), limit),
                None => rules.remove(source),
            };
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                format!(
                    "flow rule cannot be stored in {}: {error}",
                    self.rules_file.display()
                ),
            ));
        }
        self.resource(source).limit.set(allow_qps);
        Ok(())
    }

    /// The limit of a resource, if a rule exists.
    pub fn limit(&self, resource: &str) -> Option<f64> {
        self.resources
            .load()
            .get(resource)
            .and_then(|resource| resource.limit.get())
    }

    /// Takes `times` from the resource's rate, or refuses; either is counted.
    pub fn pass(&self, resource: &str, times: u32) -> bool {
        let now = self.clock.now_ms();
        self.with(resource, |resource| resource.pass(now, times))
    }

    /// Counts finished work that succeeded.
    pub fn succeeded(&self, resource: &str, times: u32) {
        if times > 0 {
            self.with(resource, |resource| resource.succeeded.add(times));
        }
    }

    /// Counts finished work that failed.
    pub fn failed(&self, resource: &str, times: u32) {
        if times > 0 {
            self.with(resource, |resource| resource.failed.add(times));
        }
    }

    /// Counts calls that were refused before they could ask to pass.
    pub fn blocked(&self, resource: &str, times: u32) {
        self.with(resource, |resource| resource.blocked.add(times));
    }

    /// What every resource seen so far has counted since this was last asked, in no order. Asked once a second, these
    /// are rates.
    pub fn take_rates(&self) -> Vec<Rates> {
        let resources = self.resources.load();
        resources.values().map(|one| one.take_rates()).collect()
    }

    /// Forgets the counters of models that are no longer loaded; limits stay.
    pub fn retain_models(&self, loaded: impl Fn(&str) -> bool) {
        let gone = |name: &str, resource: &Resource| {
            name.starts_with("M_") && resource.limit.get().is_none() && !loaded(name)
        };
        if self.resources.load().iter().any(|(n, r)| gone(n, r)) {
            self.resources.rcu(|resources| {
                let mut kept = HashMap::clone(resources);
                kept.retain(|name, resource| !gone(name, resource));
                kept
            });
        }
    }

    fn with<T>(&self, resource: &str, act: impl FnOnce(&Resource) -> T) -> T {
        let resources = self.resources.load();
        match resources.get(resource) {
            Some(resource) => act(resource),
            None => act(&self.resource(resource)),
        }
    }

    fn resource(&self, name: &str) -> Arc<Resource> {
        if let Some(resource) = self.resources.load().get(name) {
            return Arc::clone(resource);
        }
        let fresh = Resource::shared(name, f64::NAN);
        self.resources.rcu(|resources| {
            let mut more = HashMap::clone(resources);
            more.entry(name.into())
                .or_insert_with(|| Arc::clone(&fresh));
            more
        });
        let resources = self.resources.load();
        resources.get(name).map_or(fresh, Arc::clone)
    }
}

impl Resource {
    fn shared(name: &str, limit: f64) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            limit: Limit {
                bits: AtomicU64::new(limit.to_bits()),
                turn: Mutex::new(()),
            },
            last_second: Window::default(),
            passed: Count::default(),
            blocked: Count::default(),
            succeeded: Count::default(),
            failed: Count::default(),
        })
    }

    fn pass(&self, now_ms: u64, times: u32) -> bool {
        let fits = self.fits(now_ms, times);
        if fits {
            self.passed.add(times);
        } else {
            self.blocked.add(times);
        }
        fits
    }

    /// Takes room in the last second, if there is as much.
    fn fits(&self, now_ms: u64, times: u32) -> bool {
        let Some(limit) = self.limit.get() else {
            self.last_second.add(now_ms, times);
            return true;
        };
        let _turn = self.limit.turn.lock();
        let fits = self.last_second.sum(now_ms) as f64 + f64::from(times) <= limit;
        if fits {
            self.last_second.add(now_ms, times);
        }
        fits
    }

    fn take_rates(&self) -> Rates {
        Rates {
            resource: Arc::clone(&self.name),
            passed: self.passed.take(),
            blocked: self.blocked.take(),
            succeeded: self.succeeded.take(),
            failed: self.failed.take(),
        }
    }
}

impl Count {
    fn add(&self, times: u32) {
        self.0.fetch_add(u64::from(times), Ordering::Relaxed);
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Limit {
    fn get(&self) -> Option<f64> {
        let limit = f64::from_bits(self.bits.load(Ordering::Relaxed));
        (!limit.is_nan()).then_some(limit)
    }

    fn set(&self, limit: f64) {
        self.bits.store(limit.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> (FlowControl, Arc<AtomicU64>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(0));
        let control = FlowControl::open(
            directory.path().join(".fate/flowRules.json"),
            Clock::Manual(Arc::clone(&now)),
        );
        (control, now, directory)
    }

    #[test]
    fn no_rule_lets_everything_pass_and_counts() {
        let (control, _, _directory) = control();
        assert!((0..1000).all(|_| control.pass("I_singleInference", 1)));
        assert_eq!(control.take_rates()[0].passed, 1000);
    }

    #[test]
    fn every_event_is_in_one_sample() {
        let (control, now, _directory) = control();
        let (mut passed, mut blocked) = (0, 0);
        for ms in 0..10_000 {
            now.store(ms, Ordering::Relaxed);
            control.pass("I_x", 1);
            control.blocked("I_x", 1);
            if ms % 1000 == 8 {
                let rates = control.take_rates().remove(0);
                passed += rates.passed;
                blocked += rates.blocked;
            }
        }
        let rest = control.take_rates().remove(0);
        assert_eq!(
            (passed + rest.passed, blocked + rest.blocked),
            (10_000, 10_000)
        );
    }

    #[test]
    fn a_limit_blocks_within_the_second_and_lets_pass_after_it() {
        let (control, now, _directory) = control();
        control.set_limit("I_x", 2.5).unwrap();
        assert_eq!(
            [1, 1, 1].map(|n| control.pass("I_x", n)),
            [true, true, false]
        );
        now.store(999, Ordering::Relaxed);
        assert!(!control.pass("I_x", 1));
        now.store(1000, Ordering::Relaxed);
        assert!(control.pass("I_x", 2));
        assert!(!control.pass("I_x", 1));
        let rates = control.take_rates().remove(0);
        assert_eq!((rates.passed, rates.blocked), (4, 3), "{rates:?}");
    }

    #[test]
    fn zero_and_negative_limits_block_everything() {
        let (control, _, _directory) = control();
        for limit in [0.0, -1.0] {
            control.set_limit("I_x", limit).unwrap();
            assert!(!control.pass("I_x", 1));
        }
    }

    #[test]
    fn a_batch_larger_than_the_limit_never_passes() {
        let (control, _, _directory) = control();
        control.set_limit("M_x", 10.0).unwrap();
        assert!(!control.pass("M_x", 11));
        assert!(control.pass("M_x", 10));
    }

    #[test]
    fn a_changed_limit_works_at_once() {
        let (control, _, _directory) = control();
        control.set_limit("I_x", 0.0).unwrap();
        assert!(!control.pass("I_x", 1));
        control.set_limit("I_x", 5.0).unwrap();
        assert!(control.pass("I_x", 1));
        assert_eq!(control.limit("I_x"), Some(5.0));
        assert_eq!(control.limit("I_y"), None);
    }

    #[test]
    fn limits_are_exact_under_concurrency() {
        let (control, _, _directory) = control();
        control.set_limit("I_x", 100.0).unwrap();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..100).filter(|_| control.pass("I_x", 1)).count()))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }

    #[test]
    fn rules_survive_a_restart() {
        let (control, _, directory) = control();
        control.set_limit("I_x", 1.0).unwrap();
        let again = FlowControl::open(
            directory.path().join(".fate/flowRules.json"),
            Clock::system(),
        );
        assert_eq!(again.limit("I_x"), Some(1.0));
    }

    #[test]
    fn nonsense_rules_are_refused() {
        let (control, _, _directory) = control();
        assert!(control.set_limit("I_x", f64::NAN).is_err());
        assert!(control.set_limit(&"x".repeat(5000), 1.0).is_err());
        assert_eq!(control.limit("I_x"), None);
    }

    #[test]
    fn counters_of_unloaded_models_are_forgotten() {
        let (control, _, _directory) = control();
        control.pass("M_old", 1);
        control.pass("M_new", 1);
        control.pass("I_x", 1);
        control.set_limit("M_ruled", 3.0).unwrap();
        control.retain_models(|name| name == "M_new");
        let mut names: Vec<_> = control
            .take_rates()
            .iter()
            .map(|r| r.resource.to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["I_x", "M_new", "M_ruled"]);
    }
}
