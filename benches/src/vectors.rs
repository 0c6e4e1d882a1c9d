//! Vectors to measure with: random ones of a given shape, or those of a Parquet file.

use std::{error::Error, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Float32Type},
    error::ArrowError,
};
use parquet::arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Rows of a batch of a file.
const BATCH_ROWS: usize = 8192;

/// Rows of f32 vectors and what to call them.
#[derive(Debug, Clone)]
pub struct Vectors {
    /// A name for the report.
    pub name: String,
    /// How many values make a row.
    pub dim: usize,
    /// All values, row after row.
    pub data: Vec<f32>,
}

impl Vectors {
    /// Random components between −1 and 1, the same ones every time.
    pub fn random(rows: usize, dim: usize) -> Self {
        let mut rng = SmallRng::seed_from_u64(42);
        let data = (0..rows * dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        Self { name: "random".to_owned(), dim, data }
    }

    /// The first column of fixed-size lists of f32 in a Parquet file.
    ///
    /// # Errors
    /// The file cannot be read, has no such column, or one of the vectors is null.
    pub fn from_parquet(path: &Path) -> Result<Self, Box<dyn Error>> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let (column, dim) = builder
            .schema()
            .fields()
            .iter()
            .enumerate()
            .find_map(|(index, field)| match field.data_type() {
                DataType::FixedSizeList(item, dim) if *item.data_type() == DataType::Float32 => Some((index, *dim)),
                _ => None,
            })
            .ok_or_else(|| format!("{} has no column of vectors", path.display()))?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
        let mut data = Vec::new();
        for batch in builder.with_projection(mask).build()? {
            append(&batch?, &mut data)?;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, dim: usize::try_from(dim)?, data })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Writes a Parquet file of a column `id`, ascending from 0, and the vectors as a column `v`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_parquet(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut writer = None;
        for (batch, data) in self.data.chunks(BATCH_ROWS * self.dim).enumerate() {
            let first = (batch * BATCH_ROWS) as i64;
            let ids = Int64Array::from_iter_values(first..first + (data.len() / self.dim) as i64);
            let list: ArrayRef = Arc::new(vector_array(data, self.dim)?);
            let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("v", list)])?;
            if writer.is_none() {
                writer = Some(ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?);
            }
            if let Some(writer) = &mut writer {
                writer.write(&batch)?;
            }
        }
        if let Some(writer) = writer {
            writer.close()?;
        }
        Ok(())
    }
}

/// Vectors as an array.
///
/// # Errors
/// There are not whole ones, or their dimension is out of range.
pub fn vector_array(data: &[f32], dim: usize) -> Result<FixedSizeListArray, Box<dyn Error>> {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let values = Arc::new(Float32Array::from(data.to_vec()));
    Ok(FixedSizeListArray::try_new(item, i32::try_from(dim)?, values, None)?)
}

/// Appends the vectors of a batch's only column.
fn append(batch: &RecordBatch, data: &mut Vec<f32>) -> Result<(), ArrowError> {
    let vectors = batch.column(0).as_fixed_size_list();
    if vectors.null_count() > 0 {
        return Err(ArrowError::InvalidArgumentError("a vector is null".to_owned()));
    }
    let dim = vectors.value_length() as usize;
    let values = vectors.values().as_primitive::<Float32Type>().values();
    let start = vectors.offset() * dim;
    data.extend_from_slice(&values[start..start + vectors.len() * dim]);
    Ok(())
}
