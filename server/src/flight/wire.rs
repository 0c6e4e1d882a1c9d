//! Types as clients take them.
//!
//! Inside, text and bytes are views and repeated values dictionaries. Clients in the field know neither: JDBC's driver throws
//! on a view, and others refuse a stream whose schema is not the announced one. So every schema and every batch that leaves
//! goes through here, alike in `FlightInfo`, in prepared statements, in `GetTables` and in the stream.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use volley_storage::schema::vector_dimension;

/// Bytes of a slice that is converted at once.
const SLICE_BYTES: usize = 8 << 20;
/// The key under which Flight SQL gives a column the name of its type.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
/// The same for the precision and the scale of a number.
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";
/// The key of Arrow's extension types, which clients that know them understand.
const EXTENSION: &str = "ARROW:extension:";

/// How the batches of one stream become what clients take.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    schema: SchemaRef,
    /// Whether any column has to be converted.
    converts: bool,
}

impl Wire {
    /// For batches of this schema.
    pub(crate) fn of(schema: &Schema) -> Self {
        let fields: Fields = schema.fields().iter().map(|field| Arc::new(column(field))).collect();
        let converts = fields.iter().zip(schema.fields()).any(|(sent, had)| sent.data_type() != had.data_type());
        Self { schema: Arc::new(Schema::new(fields)), converts }
    }

    /// The columns of a table, of which it is known whether they can be NULL.
    pub(crate) fn table(schema: &Schema) -> Schema {
        let fields = schema.fields().iter().map(|field| column(field).with_nullable(field.is_nullable()));
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// The schema that is announced and sent.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// About how many bytes a batch has as it is sent: what views and dictionaries share is sent with every row.
    pub(crate) fn bytes(&self, batch: &RecordBatch) -> usize {
        let bytes = |(array, field): (&ArrayRef, &FieldRef)| match array.data_type() == field.data_type() {
            true => array.get_array_memory_size(),
            false => sent_bytes(array),
        };
        batch.columns().iter().zip(self.schema.fields()).map(bytes).fold(0, usize::saturating_add)
    }

    /// The batch in slices, each of a few megabytes as it is sent.
    pub(crate) fn slices(&self, batch: RecordBatch) -> Vec<RecordBatch> {
        let slices = match self.converts {
            true => self.bytes(&batch).div_ceil(SLICE_BYTES).clamp(1, batch.num_rows().max(1)),
            false => 1,
        };
        let rows = batch.num_rows().div_ceil(slices).max(1);
        let starts = (0..batch.num_rows().max(1)).step_by(rows);
        starts.map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect()
    }

    /// A batch under that schema.
    pub(crate) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let convert = |(array, field): (&ArrayRef, &FieldRef)| match array.data_type() == field.data_type() {
            true => Ok(Arc::clone(array)),
            false => cast(array, field.data_type()),
        };
        let columns = match self.converts {
            true => batch.columns().iter().zip(self.schema.fields()).map(convert).collect::<Result<_, _>>()?,
            false => batch.columns().to_vec(),
        };
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
    }
}

/// Bytes of an array as its plain type holds it.
fn sent_bytes(array: &ArrayRef) -> usize {
    let texts = |lengths: &mut dyn Iterator<Item = u32>| lengths.map(|length| length as usize + 4).sum();
    match array.data_type() {
        DataType::Utf8View => texts(&mut array.as_string_view().lengths()),
        DataType::BinaryView => texts(&mut array.as_binary_view().lengths()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            // As if every row had the mean of the values.
            (sent_bytes(values) / values.len().max(1)).saturating_add(8).saturating_mul(array.len())
        }
        _ => array.get_array_memory_size(),
    }
}

/// A column as it is announced. What only the engine's files need is left out.
fn column(field: &Field) -> Field {
    let mut metadata: HashMap<String, String> = field
        .metadata()
        .iter()
        .filter(|(key, _)| key.starts_with(EXTENSION))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if let Some(dimension) = vector_dimension(field.data_type()) {
        metadata.insert(TYPE_NAME.to_owned(), format!("VECTOR({dimension})"));
    }
    if let DataType::Decimal32(p, s)
    | DataType::Decimal64(p, s)
    | DataType::Decimal128(p, s)
    | DataType::Decimal256(p, s) = field.data_type()
    {
        metadata.insert(PRECISION.to_owned(), p.to_string());
        metadata.insert(SCALE.to_owned(), s.to_string());
    }
    // Whether a column of an answer can be NULL is not known for certain before it is computed.
    Field::new(field.name(), plain(field.data_type()), true).with_metadata(metadata)
}

/// The type without views and dictionaries.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    let item = |field: &FieldRef| {
        let inner = plain(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(inner).with_metadata(HashMap::new()))
    };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, value) => plain(value.data_type()),
        // A batch has not so many elements that it takes 64 bits to count them, and arrow-flight sends no large lists.
        DataType::List(field)
        | DataType::ListView(field)
        | DataType::LargeList(field)
        | DataType::LargeListView(field) => DataType::List(item(field)),
        DataType::FixedSizeList(field, n) => DataType::FixedSizeList(item(field), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect()),
        DataType::Map(field, sorted) => DataType::Map(item(field), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_values() {
        let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("view", Arc::new(StringViewArray::from(vec!["x", "y", "z"]))), ("words", Arc::new(words))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let wire = Wire::of(&batch.schema());
        let sent = wire.batch(&batch).unwrap();
        assert_eq!(sent.schema(), *wire.schema());
        assert!(sent.columns().iter().all(|column| column.data_type() == &DataType::Utf8));
        assert_eq!(sent.column(1).as_string::<i32>().value(2), "a");
    }

    #[test]
    fn what_grows_is_cut_first() {
        // One text of a megabyte, in a hundred rows that share it.
        let long = "x".repeat(1 << 20);
        let text = StringViewArray::from_iter_values(std::iter::repeat_n(long.as_str(), 100));
        let batch = RecordBatch::try_from_iter([("text", Arc::new(text) as ArrayRef)]).unwrap();
        let wire = Wire::of(&batch.schema());
        let slices = wire.slices(batch);
        assert!(slices.len() >= 12, "{}", slices.len());
        assert_eq!(slices.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
        assert!(slices.iter().all(|slice| wire.bytes(slice) <= 2 * SLICE_BYTES));
    }

    #[test]
    fn nested_types_are_reached() {
        let item = Field::new_list_field(DataType::Utf8View, true);
        let list = DataType::List(Arc::new(item));
        let nested = DataType::Struct(Fields::from(vec![Field::new("tags", list, true)]));
        let plain = plain(&nested);
        assert_eq!(plain.to_string().matches("Utf8View").count(), 0, "{plain}");
    }

    #[test]
    fn vectors_have_a_name_and_files_details_stay_here() {
        let vector = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), 3);
        let field = Field::new("embedding", vector, false)
            .with_metadata(HashMap::from([("PARQUET:field_id".to_owned(), "7".to_owned())]));
        let wire = Wire::of(&Schema::new(vec![field]));
        let expected = HashMap::from([(TYPE_NAME.to_owned(), "VECTOR(3)".to_owned())]);
        assert_eq!(wire.schema().field(0).metadata(), &expected);
    }
}
