//! The vectors of one column of a batch, whatever type they arrived in.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};

use crate::error::{Error, Result};
use crate::types::{check_dimension, text, type_name, vector_item_field};

/// Rows that are vectors or NULL.
///
/// A `vector(n)` column is taken as it lies in memory. Lists of other numbers and text are converted once, element by
/// element, and may have a different length in every row.
#[derive(Debug, Clone)]
pub struct Vectors {
    values: ScalarBuffer<f32>,
    layout: Layout,
    nulls: Option<NullBuffer>,
    len: usize,
}

/// Where a row's elements lie in the values.
#[derive(Debug, Clone)]
enum Layout {
    /// Row `i` is `values[i * n..(i + 1) * n]`.
    Fixed(usize),
    /// Row `i` is `values[offsets[i]..offsets[i + 1]]`.
    Ragged(Vec<usize>),
}

impl Vectors {
    /// Reads an array: a vector, a list of numbers, text, NULLs, or a dictionary of those.
    ///
    /// Elements of a `vector(n)` array are not looked at, because they were checked when they entered the database and
    /// this runs over every batch of a scan.
    ///
    /// # Errors
    /// [`Error::ArgumentType`] for other types; errors of the elements where a conversion takes place.
    pub fn try_new(array: &dyn Array) -> Result<Vectors> {
        let len = array.len();
        match array.data_type() {
            DataType::Null => Ok(Vectors {
                values: ScalarBuffer::from(Vec::new()),
                layout: Layout::Fixed(0),
                nulls: Some(NullBuffer::new_null(len)),
                len,
            }),
            DataType::FixedSizeList(item, n) if item.data_type() == &DataType::Float32 => {
                Vectors::from_vector_array(array.as_fixed_size_list(), *n as usize)
            }
            DataType::FixedSizeList(_, n) => {
                let list = array.as_fixed_size_list();
                let offsets = (0..=len).map(|row| row * *n as usize).collect();
                Vectors::from_elements(list.values(), offsets, list.logical_nulls(), len)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets().iter().map(|offset| *offset as usize).collect();
                Vectors::from_elements(list.values(), offsets, list.logical_nulls(), len)
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let offsets = list.value_offsets().iter().map(|offset| *offset as usize).collect();
                Vectors::from_elements(list.values(), offsets, list.logical_nulls(), len)
            }
            DataType::ListView(item) => Vectors::try_new(&cast_array(array, &DataType::List(Arc::clone(item)))?),
            DataType::LargeListView(item) => {
                Vectors::try_new(&cast_array(array, &DataType::LargeList(Arc::clone(item)))?)
            }
            DataType::Utf8 => Vectors::from_texts(array.as_string::<i32>().iter(), array.logical_nulls()),
            DataType::LargeUtf8 => Vectors::from_texts(array.as_string::<i64>().iter(), array.logical_nulls()),
            DataType::Utf8View => Vectors::from_texts(array.as_string_view().iter(), array.logical_nulls()),
            DataType::Dictionary(_, value) => Vectors::try_new(&cast_array(array, value)?),
            other => Err(Error::ArgumentType { detail: format!("cannot take {} as a vector", type_name(other)) }),
        }
    }

    /// Like [`Vectors::try_new`], and every element of every row is checked to be finite.
    ///
    /// # Errors
    /// Those of [`Vectors::try_new`]; [`Error::NotFinite`]; [`Error::NoDimensions`] and [`Error::TooManyDimensions`].
    pub fn try_checked(array: &dyn Array) -> Result<Vectors> {
        let vectors = Vectors::try_new(array)?;
        for row in 0..vectors.len {
            if let Some(vector) = vectors.get(row) {
                check_dimension(vector.len())?;
                check_finite(vector)?;
            }
        }
        Ok(vectors)
    }

    fn from_vector_array(list: &FixedSizeListArray, dimension: usize) -> Result<Vectors> {
        let elements = list.values().as_primitive::<Float32Type>();
        let vectors = Vectors {
            // `values()` of a sliced list is sliced too, so row 0 begins at element 0.
            values: elements.values().clone(),
            layout: Layout::Fixed(dimension),
            nulls: list.nulls().cloned(),
            len: list.len(),
        };
        if let Some(element_nulls) = elements.nulls().filter(|nulls| nulls.null_count() > 0) {
            vectors.check_no_null_elements(element_nulls)?;
        }
        Ok(vectors)
    }

    /// Converts a list's elements; `offsets` point into `elements`.
    fn from_elements(
        elements: &ArrayRef,
        offsets: Vec<usize>,
        nulls: Option<NullBuffer>,
        len: usize,
    ) -> Result<Vectors> {
        let element_type = elements.data_type();
        if !element_type.is_numeric() && !element_type.is_null() {
            let detail = format!("cannot take a list of {} as a vector", type_name(element_type));
            return Err(Error::ArgumentType { detail });
        }
        let shape = Vectors { values: ScalarBuffer::from(Vec::new()), layout: Layout::Ragged(offsets), nulls, len };
        let numbers = cast_array(elements, &DataType::Float64)?;
        let numbers: &Float64Array = numbers.as_primitive::<Float64Type>();
        if let Some(element_nulls) = numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
            shape.check_no_null_elements(element_nulls)?;
        }
        // Elements outside of any valid row keep a zero: nobody reads them, and they may be anything.
        let mut values = vec![0f32; numbers.len()];
        for row in (0..len).filter(|row| shape.is_valid(*row)) {
            let range = shape.range(row);
            for (position, index) in range.enumerate() {
                values[index] = narrow(numbers.value(index), position + 1)?;
            }
        }
        Ok(Vectors { values: ScalarBuffer::from(values), ..shape })
    }

    fn from_texts<'a>(texts: impl Iterator<Item = Option<&'a str>>, nulls: Option<NullBuffer>) -> Result<Vectors> {
        let mut values = Vec::new();
        let mut offsets = vec![0];
        for text in texts {
            if let Some(text) = text {
                values.extend(text::parse(text)?);
            }
            offsets.push(values.len());
        }
        let len = offsets.len() - 1;
        Ok(Vectors { values: ScalarBuffer::from(values), layout: Layout::Ragged(offsets), nulls, len })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The vector of a row; `None` for NULL. Panics when there is no such row, as indexing a slice does.
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        self.is_valid(row).then(|| &self.values[self.range(row)])
    }

    /// All elements and the dimension, if every row has the same by its type: row-major, NULL rows hold anything.
    pub fn matrix(&self) -> Option<(&[f32], usize)> {
        match self.layout {
            Layout::Fixed(dimension) if dimension > 0 => Some((&self.values[..self.len * dimension], dimension)),
            _ => None,
        }
    }

    /// Which rows are NULL; `None` if none is.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    /// The rows as an array of type `vector(dimension)`; NULL rows hold zeros.
    ///
    /// # Errors
    /// [`Error::WrongDimension`] if a row has another dimension.
    pub fn into_array(self, dimension: usize) -> Result<FixedSizeListArray> {
        let values = match self.layout {
            Layout::Fixed(own) if own == dimension => self.values.slice(0, self.len * dimension),
            _ => {
                let mut values = Vec::with_capacity(self.len * dimension);
                for row in 0..self.len {
                    match self.get(row) {
                        Some(vector) if vector.len() == dimension => values.extend_from_slice(vector),
                        Some(vector) => {
                            return Err(Error::WrongDimension { expected: dimension, actual: vector.len() });
                        }
                        None => values.resize(values.len() + dimension, 0.0),
                    }
                }
                ScalarBuffer::from(values)
            }
        };
        vector_array(values, dimension, self.nulls, self.len)
    }

    fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        match &self.layout {
            Layout::Fixed(dimension) => row * dimension..(row + 1) * dimension,
            Layout::Ragged(offsets) => offsets[row]..offsets[row + 1],
        }
    }

    /// Refuses NULL elements in rows that are not NULL themselves.
    fn check_no_null_elements(&self, element_nulls: &NullBuffer) -> Result<()> {
        for row in (0..self.len).filter(|row| self.is_valid(*row)) {
            let mut range = self.range(row);
            let start = range.start;
            if let Some(index) = range.find(|index| element_nulls.is_null(*index)) {
                return Err(Error::NullElement { position: index - start + 1 });
            }
        }
        Ok(())
    }
}

/// An array of type `vector(dimension)` over row-major values.
///
/// # Errors
/// [`Error::Internal`] if the values do not fit the shape.
pub(crate) fn vector_array(
    values: ScalarBuffer<f32>,
    dimension: usize,
    nulls: Option<NullBuffer>,
    len: usize,
) -> Result<FixedSizeListArray> {
    let size = i32::try_from(dimension).map_err(|_| Error::Internal { detail: format!("dimension {dimension}") })?;
    let elements = Arc::new(Float32Array::new(values, None));
    FixedSizeListArray::try_new_with_length(vector_item_field(), size, elements, nulls, len)
        .map_err(|error| Error::Internal { detail: format!("cannot build vectors: {error}") })
}

/// Refuses NaN and infinities.
pub(crate) fn check_finite(vector: &[f32]) -> Result<()> {
    match vector.iter().position(|element| !element.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite { value: f64::from(vector[index]), position: index + 1 }),
    }
}

/// A number as a vector element.
fn narrow(number: f64, position: usize) -> Result<f32> {
    let element = number as f32;
    if element.is_finite() {
        Ok(element)
    } else if number.is_finite() {
        Err(Error::ElementOutOfRange { value: number.to_string(), position })
    } else {
        Err(Error::NotFinite { value: number, position })
    }
}

fn cast_array(array: &dyn Array, to: &DataType) -> Result<ArrayRef> {
    cast(array, to).map_err(|error| Error::ArgumentType {
        detail: format!("cannot take {} as a vector: {error}", type_name(array.data_type())),
    })
}
