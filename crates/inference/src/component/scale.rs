//! `Scale`: min-max and standard scaling (contract 02 A5; B2 rows 6 and 7).

use fate_domain::{fault::Fault, return_code::ReturnCode};
use fate_proto::buffer::{ScaleMeta, ScaleParam};

use super::{Context, Part, Source, Transform};
use crate::{Cell, Refusal, Row, dsl::FateVersion, symbols::Column};

/// Below this a range counts as no range.
const NO_RANGE: f64 = 1e-6;

#[derive(Debug)]
struct Scale {
    columns: Vec<Scaled>,
    java: bool,
    /// FATE rounded to six places up to 1.4.0.
    rounds: bool,
}

#[derive(Debug)]
struct Scaled {
    column: Column,
    upper: f64,
    lower: f64,
    how: How,
}

#[derive(Debug)]
enum How {
    MinMax { range: f64 },
    Standard { mean: f64, std: f64 },
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: ScaleMeta = source.meta()?;
    let param: ScaleParam = source.param()?;
    let method = meta.method.to_lowercase();
    if !meta.need_run {
        source.refuse_results_without_run(!param.col_scale_param.is_empty())?;
        return Ok(Part::pass_through("switched off"));
    }
    if !matches!(method.as_str(), "min_max_scale" | "standard_scale") {
        if context.java() {
            return Ok(Part::pass_through("no scaling"));
        }
        return Err(source.refuse(format!("its method {:?} is unknown", meta.method)));
    }

    let mut columns = Vec::new();
    for (name, scale) in &param.col_scale_param {
        let (upper, lower) = (scale.column_upper, scale.column_lower);
        let figures = [upper, lower, scale.mean, scale.std];
        if !context.java() && (figures.iter().any(|figure| figure.is_nan()) || scale.std < 0.0) {
            return Err(source.refuse(format!("the figures of column {name:?} are damaged")));
        }
        let how = if method == "min_max_scale" {
            let range = upper - lower;
            if !context.java() && range < 0.0 {
                return Err(source.refuse(format!(
                    "the upper bound of column {name:?} is below its lower bound"
                )));
            }
            if range.abs() < NO_RANGE {
                context.differs(format!("column {name:?} is constant: FATE-Serving 2.1.7 scales values above it to 1, FATE to about 0"));
            }
            How::MinMax { range }
        } else {
            How::Standard {
                mean: scale.mean,
                std: if scale.std == 0.0 { 1.0 } else { scale.std },
            }
        };
        columns.push(Scaled {
            column: context.symbols.intern(name),
            upper,
            lower,
            how,
        });
    }
    let detail = format!("{method} of {} columns", columns.len());
    let rounds = !context.java() && context.version() <= FateVersion(1, 4, 0);
    if rounds {
        context
            .differs("FATE 1.4.0 rounds scaled values to six places, FATE-Serving 2.1.7 does not");
    }
    // Offline an array of its own (min_max_scale.py, standard_scale.py).
    context.integers = false;
    Ok(Part::transform(
        Scale {
            columns,
            java: context.java(),
            rounds,
        },
        detail,
    ))
}

impl Transform for Scale {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for scaled in &self.columns {
            let cell = row.cell(scaled.column);
            if cell.is_missing() && !(self.java && matches!(cell, Cell::Number(..))) {
                continue;
            }
            let Some(value) = cell.number() else {
                if self.java {
                    continue;
                }
                return Err(not_a_number());
            };
            let mut value = if self.java {
                scaled.java(value)
            } else {
                scaled.fate(value)
            };
            if self.rounds {
                value = (value * 1e6).round_ties_even() / 1e6;
            }
            row.set(scaled.column, Cell::double(value));
        }
        Ok(())
    }
}

fn not_a_number() -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        "a feature that is scaled is not a number",
    )
}

impl Scaled {
    fn fate(&self, value: f64) -> f64 {
        let value = self.clip(value);
        match self.how {
            How::MinMax { range } => {
                (value - self.lower) / if range.abs() < NO_RANGE { 1.0 } else { range }
            }
            How::Standard { mean, std } => (value - mean) / std,
        }
    }

    /// As FATE, but a value outside the range of min-max becomes 0 or 1 directly.
    fn java(&self, value: f64) -> f64 {
        match self.how {
            How::MinMax { .. } if value > self.upper => 1.0,
            How::MinMax { .. } if value < self.lower => 0.0,
            How::MinMax { range } if range < 0.0 => 0.0,
            _ => self.fate(value),
        }
    }

    /// NaN is neither above nor below and stays.
    fn clip(&self, value: f64) -> f64 {
        if value > self.upper {
            self.upper
        } else if value < self.lower {
            self.lower
        } else {
            value
        }
    }
}
