//! The compiled plans of both semantics against a slow interpreter (maps of values, a walk down a tree), written from
//! contract 02 and FATE's sources without a line of the plan's: on random models behind random preprocessing and random
//! rows (every type that JSON has) both must give the same score and label, or both a fault.
//!
//! 200,000 cases, a row in one semantics each, the same in every run. `INTERPRETER_MODELS=100000` tries more models,
//! `PROPTEST_RNG_SEED=7` others. A failing model shrinks to its essence.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod binning;
mod clusters;
mod dice;
mod encoding;
mod forest;
mod linear;
mod machine;
mod offline_table;
mod party;
mod pipeline;
mod scaling;
mod table;
mod values;

use std::cell::Cell;

use fate_inference::{Score, Semantics};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use dice::Dice;
use party::{Component, Plans};
use values::Row;

const TOLERANCE: f64 = 1e-12;
/// Numbers that a model and its rows are made of, at most.
const TAPE: usize = 12_000;
/// Random models of each kind.
const MODELS: u32 = 2_000;
/// Rows per model, each in both semantics.
const ROWS: usize = 25;
const SYSTEM: i32 = 110;
/// Releases between which something changed, and a model that does not tell.
const VERSIONS: [&str; 8] = [
    "1.11.4", "", "1.10.0", "1.9.2", "1.7.0", "1.6.1", "1.4.6", "1.4.0",
];

/// How many rows had a score and how many a fault: a test that only sees one of them shows little.
#[derive(Default)]
struct Seen {
    scores: Cell<usize>,
    faults: Cell<usize>,
}

/// What the interpreter says: numbers and a label, or none for a fault.
type Expected = Option<(Vec<f64>, Option<String>)>;

/// A random model of all parties, and its interpreter.
trait Model: std::fmt::Debug {
    fn version(&self) -> &'static str;
    /// Each party's components, the guest's first.
    fn components(&self) -> Vec<Vec<Component>>;
    /// A row for each party.
    fn random_rows(&self, dice: &mut Dice<'_>) -> Vec<Row>;
    fn interpret(&self, rows: &[Row], semantics: Semantics) -> Expected;
    /// Those that have the kind.
    fn semantics(&self) -> &'static [Semantics] {
        &[Semantics::Java, Semantics::Fate]
    }
}

impl Seen {
    fn compare(
        &self,
        found: &Result<Score, i32>,
        expected: &Expected,
    ) -> Result<(), TestCaseError> {
        match (found, expected) {
            (Ok(score), Some((numbers, label))) if agrees(score, numbers, label.as_deref()) => {
                self.scores.set(self.scores.get() + 1);
                Ok(())
            }
            (Err(SYSTEM), None) => {
                self.faults.set(self.faults.get() + 1);
                Ok(())
            }
            _ => Err(TestCaseError::fail(format!(
                "plan: {found:?}, interpreter: {expected:?}"
            ))),
        }
    }

    fn assert_both(&self) {
        let (scores, faults) = (self.scores.get(), self.faults.get());
        assert!(scores > faults / 2, "{scores} scores, {faults} faults");
        assert!(faults > scores / 100, "{scores} scores, {faults} faults");
    }
}

fn agrees(score: &Score, numbers: &[f64], label: Option<&str>) -> bool {
    let is_near = |(found, expected): (&f64, &f64)| {
        let is_same = found == expected || (found.is_nan() && expected.is_nan());
        is_same || (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
    };
    score.scores().len() == numbers.len()
        && score.scores().iter().zip(numbers).all(is_near)
        && score.label() == label
}

fn on_random_tapes(check: impl Fn(&mut Dice<'_>) -> Result<(), TestCaseError>) {
    let models = std::env::var("INTERPRETER_MODELS").ok();
    let mut config = Config {
        cases: models.map_or(MODELS, |models| models.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 50_000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(2);
    }
    let tapes = proptest::collection::vec(proptest::num::u32::ANY, 0..=TAPE);
    let result = TestRunner::new(config).run(&tapes, |tape| check(&mut Dice::new(&tape)));
    if let Err(TestError::Fail(reason, _)) = result {
        panic!("{reason}");
    }
    result.unwrap();
}

impl Seen {
    fn check(&self, model: &impl Model, dice: &mut Dice<'_>) -> Result<(), TestCaseError> {
        let mut plans = Vec::new();
        for &semantics in model.semantics() {
            let compiled = Plans::compile(model.version(), model.components(), semantics);
            let described = |refusal| fail(format!("{semantics}: {refusal}\n{model:?}"));
            plans.push((semantics, compiled.map_err(described)?));
        }
        for _ in 0..ROWS {
            let rows = model.random_rows(dice);
            for (semantics, plans) in &plans {
                let expected = model.interpret(&rows, *semantics);
                let described = |fault| fail(format!("{semantics}: {fault}\n{rows:?}\n{model:?}"));
                self.compare(&plans.score(&rows), &expected)
                    .map_err(described)?;
            }
        }
        Ok(())
    }
}

fn fail(reason: String) -> TestCaseError {
    TestCaseError::fail(reason)
}

#[test]
fn linear_plans_agree_with_the_interpreter() {
    let seen = Seen::default();
    on_random_tapes(|dice| seen.check(&linear::Linear::random(dice), dice));
    seen.assert_both();
}

#[test]
fn forest_plans_agree_with_the_interpreter() {
    let seen = Seen::default();
    on_random_tapes(|dice| seen.check(&forest::Forest::random(dice), dice));
    seen.assert_both();
}

#[test]
fn factorization_machines_agree_with_the_interpreter() {
    let seen = Seen::default();
    on_random_tapes(|dice| seen.check(&machine::Machine::random(dice), dice));
    seen.assert_both();
}

#[test]
fn clusters_agree_with_the_interpreter() {
    let seen = Seen::default();
    on_random_tapes(|dice| seen.check(&clusters::Clusters::random(dice), dice));
    seen.assert_both();
}
