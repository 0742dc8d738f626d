//! `DataIO` and `DataTransform`: how a row is read (contract 02 A4; B2 rows 2, 5, 14, 15).
//!
//! A row is always names and values. For a table of the tag format (`tag` or `tag:value` cells) the names are tags, for
//! one of the sparse format (svmlight, `3:0.5`) they are the header's or the numbers of columns; names left out are zero.

use std::collections::{BTreeMap, HashSet};

use fate_proto::buffer::{DataIoMeta, DataIoParam, DataTransformMeta, DataTransformParam};

use super::{Context, Part, Source};
use crate::{Refusal, dsl::FateVersion};

mod fate;
mod java;

use fate::{Cast, FateDataTransform};
use java::JavaDataTransform;

/// The two message families carry the same fields; this is what both say.
#[derive(Debug, Default)]
struct Settings {
    input: Input,
    /// Rows become sparse vectors: zeros are left out, and what was left out stays so.
    sparse_output: bool,
    data_type: String,
    exclusive_data_type: BTreeMap<String, String>,
    header: Vec<String>,
    missing: Option<Replacing>,
    outlier: Option<Replacing>,
}

/// How the table looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Input {
    #[default]
    Dense,
    /// A number of the column and a value.
    Sparse,
    /// A name and a value.
    TagValue,
    /// A name that is there or not.
    Tag,
}

impl Input {
    fn of(input_format: &str, tag_with_value: bool) -> Self {
        match (input_format, tag_with_value) {
            ("tag", true) => Input::TagValue,
            ("tag", false) => Input::Tag,
            ("sparse", _) => Input::Sparse,
            _ => Input::Dense,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Input::Dense => "dense",
            Input::Sparse => "sparse",
            Input::TagValue => "tags with values",
            Input::Tag => "tags",
        }
    }
}

/// Tokens, and by column what stands in for them.
#[derive(Debug)]
struct Replacing {
    tokens: Vec<String>,
    values: BTreeMap<String, String>,
}

macro_rules! settings {
    ($meta:expr, $param:expr) => {{
        let (meta, param) = ($meta, $param);
        let imputer = meta.imputer_meta.unwrap_or_default();
        let outlier = meta.outlier_meta.unwrap_or_default();
        Settings {
            input: Input::of(&meta.input_format, meta.tag_with_value),
            sparse_output: meta.output_format == "sparse",
            data_type: meta.data_type,
            exclusive_data_type: meta.exclusive_data_type,
            header: param.header,
            missing: imputer.is_imputer.then(|| Replacing {
                tokens: imputer.missing_value,
                values: param
                    .imputer_param
                    .unwrap_or_default()
                    .missing_replace_value,
            }),
            outlier: outlier.is_outlier.then(|| Replacing {
                tokens: outlier.outlier_value,
                values: param
                    .outlier_param
                    .unwrap_or_default()
                    .outlier_replace_value,
            }),
        }
    }};
}

pub(crate) fn build_data_io(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let settings = settings!(source.meta::<DataIoMeta>()?, source.param::<DataIoParam>()?);
    build(source, settings, context)
}

pub(crate) fn build_data_transform(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let settings = settings!(
        source.meta::<DataTransformMeta>()?,
        source.param::<DataTransformParam>()?
    );
    if lowers_names(context.version()) && settings.input == Input::Dense && !context.java() {
        context.symbols.lower_unknown_names();
    }
    build(source, settings, context)
}

/// These releases read a table's header in lower case (data_transform.py `generate_header`), so that the model never
/// knew the names of the table. DataIO does not.
fn lowers_names(version: FateVersion) -> bool {
    (FateVersion(1, 6, 0)..FateVersion(1, 9, 0)).contains(&version)
}

fn build(
    source: &Source<'_>,
    settings: Settings,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let detail = detail(&settings);
    if context.java() {
        return Ok(Part::transform(
            JavaDataTransform::new(settings, context),
            detail,
        ));
    }
    note_differences(&settings, context);
    let cast = cast_of(source, &settings.data_type)?;
    // Only dense vectors have types by column (gen_output_format of data_transform.py). Names are compared as they are:
    // FATE since 1.9 writes them in lower case, and so finds no column of another name either.
    let listed: HashSet<&String> = settings.header.iter().collect();
    let exclusive = settings.exclusive_data_type.iter();
    let exclusive: BTreeMap<String, Cast> = exclusive
        .filter(|(name, _)| listed.contains(name))
        .filter(|_| settings.input == Input::Dense && !settings.sparse_output)
        .map(|(name, data_type)| Ok((name.clone(), cast_of(source, data_type)?)))
        .collect::<Result<_, Refusal>>()?;
    context.sparse = settings.sparse_output;
    context.integers = cast == Cast::Integer && !settings.sparse_output && exclusive.is_empty();
    let transform = FateDataTransform::new(settings, cast, &exclusive, context);
    Ok(Part::transform(transform, detail))
}

fn cast_of(source: &Source<'_>, data_type: &str) -> Result<Cast, Refusal> {
    Cast::of(data_type)
        .ok_or_else(|| source.refuse(format!("its data type {data_type:?} is none of FATE's")))
}

fn detail(settings: &Settings) -> String {
    let columns = settings.header.len();
    let mut detail = format!("{columns} columns, {}", settings.input.word());
    let data_type = settings.data_type.as_str();
    if !matches!(data_type, "" | "float" | "float64" | "double") {
        detail.push_str(&format!(", of type {data_type}"));
    }
    if settings.missing.is_some() {
        detail.push_str(", fills missing values");
    }
    if settings.outlier.is_some() {
        detail.push_str(", replaces outliers");
    }
    detail
}

fn note_differences(settings: &Settings, context: &mut Context<'_>) {
    for (replacing, kind) in [
        (&settings.missing, "missing value"),
        (&settings.outlier, "outlier"),
    ] {
        let tokens = replacing.iter().flat_map(|replacing| &replacing.tokens);
        let unmet: Vec<String> = tokens.filter(|token| is_unmet(token)).cloned().collect();
        if !unmet.is_empty() {
            context.differs(format!(
                "FATE-Serving 2.1.7 compares in lower case and so never finds the {kind} {unmet:?}"
            ));
        }
    }
    let is_imputer_left_out = matches!(settings.input, Input::Sparse | Input::Tag);
    if settings.missing.is_some() && is_imputer_left_out {
        context.differs("FATE fills nothing in rows of this format, FATE-Serving 2.1.7 does");
    } else if let Some(missing) = &settings.missing {
        context.differs(
            "a feature that is null or \"\" is filled as one left out; in FATE-Serving 2.1.7 null is an error",
        );
        let has_no_value = |name: &&String| !missing.values.contains_key(*name);
        let without = settings.header.iter().filter(has_no_value).count();
        if without > 0 {
            context.differs(format!(
                "{without} columns have no replacement: FATE-Serving 2.1.7 drops them"
            ));
        }
    }
    if settings.input == Input::Tag {
        context.differs("a tag counts 1 when it is there; FATE-Serving 2.1.7 takes its value");
    }
    let casts = settings.exclusive_data_type.values();
    let casts = casts.chain([&settings.data_type]);
    let to_float = |data_type: &&String| matches!(Cast::of(data_type), Some(Cast::Float64));
    if !casts.into_iter().all(|data_type| to_float(&data_type)) {
        context.differs(
            "values become integers, float32 or text as the table says; FATE-Serving 2.1.7 takes them as they come",
        );
    }
    if settings.sparse_output && settings.input == Input::Dense {
        context.differs("values below 1e-8 are zero; FATE-Serving 2.1.7 takes them as they are");
    }
}

/// A token that no value in lower case equals.
fn is_unmet(token: &str) -> bool {
    token.to_lowercase() != token
}
