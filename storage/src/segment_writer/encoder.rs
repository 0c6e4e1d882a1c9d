//! Rows in, files out: synchronous, so that it can run on a thread of its own.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};

use super::data_file::DataFile;
use super::layout::{Layout, ParquetLayout, SEGMENT_BYTES_MAX};
use super::output::{Delivery, Destination, Output};
use super::rows::Checker;
use super::size::data_bytes;
use super::statistics::Accumulator;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::SegmentId;
use crate::primary_key;
use crate::segment::{FileRef, SegmentData, Sidecar, SidecarKind};
use crate::store::StagedSegment;
use crate::vectors;

/// A segment whose bytes are all produced, but not all delivered yet.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) segment: StagedSegment,
    pub(super) deliveries: Vec<Delivery>,
}

/// Encodes a sequence of batches into segments.
#[derive(Debug)]
pub(super) struct Encoder {
    env: Env,
    layout: Arc<Layout>,
    parquet: Arc<ParquetLayout>,
    destination: Destination,
    checker: Checker,
    current: Option<Open>,
    done: Vec<Encoded>,
}

/// The segment being written.
#[derive(Debug)]
struct Open {
    id: SegmentId,
    rows: usize,
    bytes: usize,
    data: DataFile,
    vectors: Vec<vectors::Writer<Output>>,
    stats: Vec<Accumulator>,
    keys: Vec<u128>,
}

impl Encoder {
    pub(super) fn new(env: Env, layout: Arc<Layout>, destination: Destination) -> Result<Self> {
        let parquet = Arc::new(ParquetLayout::new(&layout)?);
        Ok(Self { env, layout, parquet, destination, checker: Checker::default(), current: None, done: Vec::new() })
    }

    /// Checks and writes rows, beginning new segments where one is full.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (batch, keys) = self.checker.check(&self.layout, batch)?;
        let mut from = 0;
        while from < batch.num_rows() {
            let mut open = match self.current.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            let count = (batch.num_rows() - from).min(self.layout.segment_rows_max - open.rows);
            let keys = keys.get(from..from + count).unwrap_or_default();
            open.write(&self.layout, &batch.slice(from, count), keys).map_err(|e| self.explain(e))?;
            from += count;
            if open.rows >= self.layout.segment_rows_max || open.bytes >= SEGMENT_BYTES_MAX {
                self.end(open)?;
            } else {
                self.current = Some(open);
            }
        }
        Ok(())
    }

    /// Ends the last segment.
    pub(super) fn finish(mut self) -> Result<Vec<Encoded>> {
        if let Some(open) = self.current.take() {
            self.end(open)?;
        }
        Ok(self.done)
    }

    fn begin(&self) -> Result<Open> {
        let id = SegmentId(self.env.new_ulid());
        let output = |name: &str| Output::new(&self.destination, format!("seg/{id}/{name}"));
        let layout = &self.layout;
        let data = DataFile::new(Arc::clone(layout), Arc::clone(&self.parquet), output("data.parquet"));
        let vectors: std::io::Result<Vec<_>> =
            layout.vectors.iter().map(|v| vectors::Writer::new(output(&format!("{}.f32", v.field)), v.dim)).collect();
        Ok(Open {
            id,
            rows: 0,
            bytes: 0,
            data: data.map_err(|e| self.explain(e.into()))?,
            vectors: vectors.map_err(|e| self.explain(e.into()))?,
            stats: layout.columns.iter().map(|(_, field)| Accumulator::new(*field)).collect(),
            keys: Vec::new(),
        })
    }

    fn end(&mut self, open: Open) -> Result<()> {
        let encoded = open.finish(&self.layout, &self.destination).map_err(|e| self.explain(e))?;
        self.done.push(encoded);
        Ok(())
    }

    /// The reason behind an error: a failed upload reaches the encoder only as a closed channel.
    fn explain(&self, error: Fault) -> Error {
        if let Some(cause) = self.destination.failure.lock().take() {
            return cause;
        }
        match error {
            Fault::Io(source) => Error::Io { action: "write", path: "a segment".into(), source },
            Fault::Parquet(source) => Error::Internal { detail: format!("cannot encode a segment: {source}") },
            Fault::Storage(error) => error,
        }
    }
}

/// What can fail while a segment is encoded.
#[derive(Debug)]
enum Fault {
    Io(std::io::Error),
    Parquet(parquet::errors::ParquetError),
    Storage(Error),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Fault::Io(error)
    }
}

impl From<parquet::errors::ParquetError> for Fault {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Fault::Parquet(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Storage(error)
    }
}

impl Open {
    fn write(&mut self, layout: &Layout, batch: &RecordBatch, keys: &[u128]) -> Result<(), Fault> {
        self.data.write(batch)?;
        for (column, writer) in layout.vectors.iter().zip(&mut self.vectors) {
            writer.push(batch.column(column.position).as_fixed_size_list())?;
        }
        for ((position, _), stats) in layout.columns.iter().zip(&mut self.stats) {
            stats.update(batch.column(*position));
        }
        self.keys.extend_from_slice(keys);
        self.rows += batch.num_rows();
        self.bytes += data_bytes(batch);
        Ok(())
    }

    fn finish(self, layout: &Layout, destination: &Destination) -> Result<Encoded, Fault> {
        let mut deliveries = Vec::new();
        let mut finish = |output: Output| -> Result<FileRef, Fault> {
            let (file, delivery) = output.finish()?;
            deliveries.push(delivery);
            Ok(file)
        };
        let data = finish(self.data.finish()?)?;
        let mut sidecars = Vec::new();
        for (column, writer) in layout.vectors.iter().zip(self.vectors) {
            sidecars.push(Sidecar {
                kind: SidecarKind::Vectors,
                columns: vec![column.field],
                parameters: Vec::new(),
                format_version: vectors::FORMAT_VERSION,
                file: finish(writer.finish()?)?,
            });
        }
        if !layout.schema.primary_key.is_empty() {
            let mut output = Output::new(destination, format!("seg/{}/pk.vpk", self.id));
            std::io::Write::write_all(&mut output, &primary_key::encode(&self.keys)?)?;
            sidecars.push(Sidecar {
                kind: SidecarKind::PrimaryKey,
                columns: layout.schema.primary_key.clone(),
                parameters: Vec::new(),
                format_version: primary_key::FORMAT_VERSION,
                file: finish(output)?,
            });
        }
        let segment = StagedSegment {
            id: self.id,
            begun_ms: self.id.0.timestamp_ms(),
            rows: self.rows as u64,
            has_row_id_column: layout.has_row_ids,
            data: SegmentData::File(data),
            stats: self.stats.into_iter().map(Accumulator::finish).collect(),
            sidecars,
            key_hashes: self.keys.into(),
        };
        Ok(Encoded { segment, deliveries })
    }
}
