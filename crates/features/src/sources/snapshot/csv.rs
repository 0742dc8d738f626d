//! Reading a CSV file: UTF-8, commas, quotes, names in the first line.

use super::table::{Layout, Table, TableBuilder};
use crate::data_file::DataFile;
use crate::sources::columns::{ColumnMapping, text_token};

pub(super) fn read(
    file: &DataFile,
    id_column: &str,
    mapping: &ColumnMapping,
) -> Result<Table, String> {
    let text = file.read().map_err(|fault| fault.message)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    let names: Vec<&str> = names.iter().collect();
    let layout = Layout::of(&names, id_column, mapping)?;
    let mut table = TableBuilder::new(&layout, file.max_bytes);
    let mut record = csv::StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|error| error.to_string())?
    {
        let field = |place: usize| record.get(place).unwrap_or_default();
        let tokens = layout.columns.iter().map(|place| match field(*place) {
            "" => String::new(),
            text => text_token(text),
        });
        table.add(field(layout.id), tokens).map_err(|cause| {
            let line = record.position().map_or(0, csv::Position::line);
            format!("line {line}: {cause}")
        })?;
    }
    Ok(table.finish())
}
