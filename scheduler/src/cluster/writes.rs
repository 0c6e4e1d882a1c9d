//! The messages of writing and indexing: what coordinators ask of executors, and how rows travel to them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, FlightDescriptor, SchemaAsIpc};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use prost::Message;
use tonic::Status;
use ulid::Ulid;
use volley_storage::ErrorKind;
use volley_storage::ids::{FieldId, SegmentId, TableId, Version};
use volley_storage::index_definition::IndexDefinition;

use super::messages::{Put, PutTask};

/// What follows the last row. A call that its caller broke off looks like one that ended, so that the end has to be said.
const END: &[u8] = b"end";

/// Rows to write as segments of a table.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StageRows {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    table: Bytes,
    /// The version whose schema the rows have.
    #[prost(uint64, tag = "2")]
    version: u64,
}

impl StageRows {
    pub(super) fn new(table: TableId, version: Version) -> Self {
        Self { table: id_bytes(table.0), version: version.0 }
    }

    /// The table and the version.
    pub(super) fn target(&self) -> Result<(TableId, Version), Status> {
        Ok((TableId(id_of(&self.table)?), Version(self.version)))
    }
}

/// A job on the index of one segment.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IndexTask {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    table: Bytes,
    #[prost(uint64, tag = "2")]
    version: u64,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    segment: Bytes,
    #[prost(string, tag = "4")]
    method: String,
    #[prost(sint32, repeated, tag = "5")]
    columns: Vec<i32>,
    /// Names and values, one after the other.
    #[prost(string, repeated, tag = "6")]
    parameters: Vec<String>,
    /// Whether queries are to keep half of the threads.
    #[prost(bool, tag = "7")]
    pub(super) in_background: bool,
    /// Vectors to measure with, as little-endian numbers of 4 bytes; rows of the segment are used where there are none.
    #[prost(bytes = "bytes", optional, tag = "8")]
    queries: Option<Bytes>,
}

impl IndexTask {
    pub(crate) fn new(
        table: TableId,
        version: Version,
        segment: SegmentId,
        definition: &IndexDefinition,
        in_background: bool,
        queries: Option<&[f32]>,
    ) -> Self {
        let parameters = definition.parameters.iter();
        Self {
            table: id_bytes(table.0),
            version: version.0,
            segment: id_bytes(segment.0),
            method: definition.method.clone(),
            columns: definition.columns.iter().map(|column| column.0).collect(),
            parameters: parameters.flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
            in_background,
            queries: queries.map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    }

    /// The table, the version and the segment.
    pub(super) fn target(&self) -> Result<(TableId, Version, SegmentId), Status> {
        Ok((TableId(id_of(&self.table)?), Version(self.version), SegmentId(id_of(&self.segment)?)))
    }

    /// The index.
    pub(super) fn definition(&self) -> IndexDefinition {
        let (pairs, _) = self.parameters.as_chunks::<2>();
        IndexDefinition {
            method: self.method.clone(),
            columns: self.columns.iter().copied().map(FieldId).collect(),
            parameters: pairs.iter().cloned().map(|[name, value]| (name, value)).collect(),
        }
    }

    /// The vectors to measure with.
    pub(super) fn measured_by(&self) -> Option<Arc<[f32]>> {
        let (values, _) = self.queries.as_ref()?.as_chunks::<4>();
        Some(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }
}

/// The answer to a measurement.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Calibrated {
    /// The sidecar, as storage writes it.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) sidecar: Bytes,
    /// Whether the measurement before was made with vectors that somebody gave.
    #[prost(bool, tag = "2")]
    pub(crate) was_by_queries: bool,
}

fn id_bytes(id: Ulid) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

fn id_of(bytes: &[u8]) -> Result<Ulid, Status> {
    let bytes = bytes.try_into().map_err(|_| Status::invalid_argument("an id is not 16 bytes long"))?;
    Ok(Ulid::from_bytes(bytes))
}

/// Turns batches into the messages of a stream, one after the other.
pub(super) struct RowEncoder {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl RowEncoder {
    pub(super) fn new() -> Self {
        Self {
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
            context: IpcWriteContext::default(),
        }
    }

    /// The first message: what is to be done with the rows, and their schema.
    pub(super) fn first(&self, task: &StageRows, schema: &Schema) -> FlightData {
        let task = PutTask { task: Some(Put::Stage(task.encode_to_vec().into())) };
        let first: FlightData = SchemaAsIpc::new(schema, &self.options).into();
        first.with_descriptor(FlightDescriptor::new_cmd(task.encode_to_vec()))
    }

    /// The messages of a batch.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<FlightData>, ArrowError> {
        let columns = batch.columns().iter().map(compact).collect();
        let batch = RecordBatch::try_new(batch.schema(), columns)?;
        let (dictionaries, rows) =
            self.generator.encode(&batch, &mut self.dictionaries, &self.options, &mut self.context)?;
        Ok(dictionaries.into_iter().chain([rows]).map(FlightData::from).collect())
    }
}

/// The message behind the last row.
pub(super) fn end() -> FlightData {
    FlightData::new().with_app_metadata(END)
}

/// The rows of a stream, up to the message that ends it.
pub(super) fn decoded(
    rows: BoxStream<'static, Result<FlightData, Status>>,
) -> impl Stream<Item = volley_storage::Result<RecordBatch>> {
    let messages = stream::try_unfold(rows, |mut rows| async move {
        match rows.try_next().await? {
            Some(message) if message.data_header.is_empty() && message.app_metadata == END => Ok(None),
            Some(message) => Ok(Some((message, rows))),
            None => Err(FlightError::ProtocolError("the stream was broken off".to_owned())),
        }
    });
    FlightRecordBatchStream::new_from_flight_data(messages.boxed()).map_err(|error| volley_storage::Error::Elsewhere {
        kind: ErrorKind::Cancelled,
        sentence: format!("the rows to write did not arrive: {error}"),
    })
}

/// Views may point into buffers of any size; only the bytes that are shown travel.
fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::Field;

    fn batch() -> RecordBatch {
        let texts = StringViewArray::from_iter_values(["a", "a text of more than twelve bytes", "c"]);
        let fields = vec![Field::new("id", DataType::Int64, true), Field::new("t", DataType::Utf8View, true)];
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2, 3])), Arc::new(texts)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn messages() -> Vec<FlightData> {
        let task = StageRows::new(TableId(Ulid::from_parts(1, 2)), Version(3));
        let mut encoder = RowEncoder::new();
        let mut messages = vec![encoder.first(&task, &batch().schema())];
        messages.extend(encoder.rows(&batch()).unwrap());
        messages.extend(encoder.rows(&batch().slice(1, 1)).unwrap());
        messages
    }

    async fn read(messages: Vec<FlightData>) -> volley_storage::Result<Vec<RecordBatch>> {
        decoded(stream::iter(messages.into_iter().map(Ok)).boxed()).try_collect().await
    }

    #[tokio::test]
    async fn rows_arrive_and_a_stream_that_breaks_off_is_none() {
        let whole = read(messages().into_iter().chain([end()]).collect()).await.unwrap();
        assert_eq!(whole, [batch(), batch().slice(1, 1)]);
        for count in 1..=messages().len() {
            let broken = read(messages().into_iter().take(count).collect()).await;
            assert_eq!(broken.unwrap_err().kind(), ErrorKind::Cancelled, "{count} messages");
        }
    }

    #[test]
    fn tasks_say_what_they_are_about() {
        let definition = IndexDefinition {
            method: "hnsw".into(),
            columns: vec![FieldId(3)],
            parameters: vec![("m".into(), "16".into()), ("metric".into(), "l2".into())],
        };
        let (table, segment) = (TableId(Ulid::from_parts(1, 2)), SegmentId(Ulid::from_parts(3, 4)));
        let task = IndexTask::new(table, Version(7), segment, &definition, true, Some(&[0.5, -1.0]));
        let read = IndexTask::decode(Bytes::from(task.encode_to_vec())).unwrap();
        assert_eq!((read.target().unwrap(), read.definition()), ((table, Version(7), segment), definition));
        assert_eq!(read.measured_by().as_deref(), Some(&[0.5, -1.0][..]));
        IndexTask::default().target().unwrap_err();
    }
}
