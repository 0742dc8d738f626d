//! `HeteroFeatureSelection` under all its names: keep the chosen columns (contract 02 A8).

use std::collections::BTreeSet;

use fate_domain::fault::Fault;
use fate_proto::buffer::{FeatureSelectionMeta, FeatureSelectionParam};

use super::{Context, Part, Source, Transform};
use crate::{
    Refusal, Row,
    symbols::{Column, bitmap},
};

#[derive(Debug)]
struct Selection {
    keep: Vec<bool>,
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: FeatureSelectionMeta = source.meta()?;
    let param: FeatureSelectionParam = source.param()?;
    if !meta.need_run {
        return Ok(Part::pass_through("switched off"));
    }
    let left = param.final_left_cols.unwrap_or_default().left_cols;
    let kept: Vec<_> = left
        .iter()
        .filter(|(_, kept)| **kept)
        .map(|(name, _)| context.symbols.intern(name))
        .collect();
    if left.is_empty() && !context.java() {
        return Err(source.refuse("it keeps no column, and knows of none"));
    }
    let detail = format!("keeps {} of {} columns", kept.len(), left.len());
    Ok(Part::transform(
        Selection {
            keep: bitmap(kept.into_iter()),
        },
        detail,
    ))
}

impl Transform for Selection {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        row.keep_only(&self.keep);
        Ok(())
    }

    fn trace_back(&self, needed: &mut BTreeSet<Column>) {
        needed.retain(|column| self.keep.get(column.index()).copied().unwrap_or(false));
    }
}
