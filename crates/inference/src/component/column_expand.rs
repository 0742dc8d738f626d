//! `ColumnExpand`: columns of one value each, appended to the table before it is read (contract 02 B4; column_expand.py).

use std::collections::BTreeSet;

use fate_domain::fault::Fault;
use fate_proto::buffer::{ColumnExpandMeta, ColumnExpandParam};

use super::{Context, Part, Source, Transform};
use crate::{Cell, Refusal, Row, symbols::Column};

#[derive(Debug)]
struct ColumnExpand {
    columns: Vec<(Column, Box<str>)>,
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: ColumnExpandMeta = source.meta()?;
    let _param: ColumnExpandParam = source.param()?;
    if !meta.need_run {
        return Ok(Part::pass_through("switched off"));
    }
    if meta.append_header.is_empty() {
        return Ok(Part::pass_through("appends nothing"));
    }
    if meta.method != "manual" {
        return Err(source.refuse(format!("its method {:?} is unknown", meta.method)));
    }
    let columns = meta.append_header.len();
    let values = match meta.fill_value.as_slice() {
        [value] => vec![value; columns],
        values if values.len() == columns => values.iter().collect(),
        values => {
            let values = values.len();
            return Err(source.refuse(format!("it has {values} values for {columns} columns")));
        }
    };
    // Offline the values are cells of a line that is split again.
    if let Some(value) = values.iter().find(|value| value.contains(',')) {
        return Err(source.refuse(format!("its value {value:?} has a comma in it")));
    }
    let columns = meta
        .append_header
        .iter()
        .map(|name| context.symbols.intern(name.trim()))
        .zip(values.into_iter().map(|value| value.as_str().into()))
        .collect::<Vec<_>>();
    let detail = format!("appends {} columns", columns.len());
    Ok(Part::transform(ColumnExpand { columns }, detail))
}

impl Transform for ColumnExpand {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for (column, value) in &self.columns {
            row.set(*column, Cell::Text(value.as_ref().into()));
        }
        Ok(())
    }

    fn trace_back(&self, needed: &mut BTreeSet<Column>) {
        for (column, _) in &self.columns {
            needed.remove(column);
        }
    }
}
