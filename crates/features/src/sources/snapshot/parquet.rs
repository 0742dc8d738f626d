//! Reading a Parquet file, row by row: numbers, truth values and texts; dates and times as texts.
//!
//! The file is the operator's own. What cannot be read in it ends in an error, a panic of the reader included: it runs on
//! a thread of its own.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::Repetition;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use super::table::{Layout, Table, TableBuilder};
use crate::data_file::DataFile;
use crate::sources::columns::{ColumnMapping, decimal_token, float_token, text_token};

pub(super) fn read(
    file: &DataFile,
    id_column: &str,
    mapping: &ColumnMapping,
) -> Result<Table, String> {
    let metadata = file.metadata().map_err(|fault| fault.message)?;
    if metadata.len() > file.max_bytes {
        return Err(format!("larger than {} bytes", file.max_bytes));
    }
    let opened = File::open(&file.path).map_err(|error| error.to_string())?;
    let reader = SerializedFileReader::new(opened).map_err(|error| error.to_string())?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = schema.get_fields();
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    let layout = Layout::of(&names, id_column, mapping)?;
    let wanted = wanted(schema, &layout)?;
    // Of the columns that are wanted only, in the order of the file.
    let names: Vec<&str> = wanted
        .get_fields()
        .iter()
        .map(|column| column.name())
        .collect();
    let layout = Layout::of(&names, id_column, mapping)?;
    let mut table = TableBuilder::new(&layout, file.max_bytes);
    let rows = reader.get_row_iter(Some(wanted.clone()));
    let rows = rows.map_err(|error| error.to_string())?;
    for (number, row) in rows.enumerate() {
        let at = |cause: String| format!("row {}: {cause}", number + 1);
        let fields = row.map_err(|error| at(error.to_string()))?.into_columns();
        let field = |place: usize| fields.get(place).map_or(&Field::Null, |(_, field)| field);
        let tokens: Result<Vec<String>, String> = layout
            .columns
            .iter()
            .map(|place| token(field(*place)).map_err(|cause| format!("{} {cause}", names[*place])))
            .collect();
        let key = key(field(layout.id)).map_err(at)?;
        table.add(&key, tokens.map_err(at)?.iter()).map_err(at)?;
    }
    Ok(table.finish())
}

/// The file's schema with the columns that are used, which must be plain.
fn wanted(schema: &Type, layout: &Layout) -> Result<Type, String> {
    let fields = schema.get_fields().iter().enumerate();
    let fields = fields.filter(|(place, _)| *place == layout.id || layout.columns.contains(place));
    let fields: Vec<Arc<Type>> = fields.map(|(_, column)| Arc::clone(column)).collect();
    let is_plain = |column: &Arc<Type>| {
        let info = column.get_basic_info();
        column.is_primitive() && info.repetition() != Repetition::REPEATED
    };
    if let Some(column) = fields.iter().find(|column| !is_plain(column)) {
        return Err(format!("the column {} is nested", column.name()));
    }
    let wanted = Type::group_type_builder(schema.name()).with_fields(fields);
    wanted.build().map_err(|error| error.to_string())
}

fn key(field: &Field) -> Result<String, String> {
    match field {
        Field::Str(text) => Ok(text.clone()),
        Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_) => Ok(field.to_string()),
        Field::Bytes(bytes) => utf8(bytes.data()).map(str::to_owned),
        Field::Null => Ok(String::new()),
        _ => Err("the key is neither a text nor a whole number".to_owned()),
    }
}

fn token(field: &Field) -> Result<String, String> {
    Ok(match field {
        Field::Null => String::new(),
        Field::Float16(number) => float_token(number.to_f64()),
        Field::Float(number) => float_token(f64::from(*number)),
        Field::Double(number) => float_token(*number),
        Field::Decimal(_) => decimal_token(&field.to_string()),
        Field::Bool(_)
        | Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_) => field.to_string(),
        Field::Str(text) => text_or_nothing(text),
        Field::Bytes(bytes) => text_or_nothing(utf8(bytes.data())?),
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => text_token(&field.to_string()),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            return Err("is nested".to_owned());
        }
    })
}

fn text_or_nothing(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        text_token(text)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}
