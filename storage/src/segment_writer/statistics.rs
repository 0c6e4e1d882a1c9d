//! Least and greatest value and number of NULLs of each column, gathered batch by batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, LargeStringArray, PrimitiveArray, StringArray,
    StringViewArray,
};
use arrow::compute::{
    concat, max, max_boolean, max_string, max_string_view, min, min_boolean, min_string, min_string_view,
};
use arrow::datatypes::*;

use crate::ids::FieldId;
use crate::segment::ColumnStats;

/// Text bounds are cut to so many bytes.
const TEXT_BYTES_MAX: usize = 64;

/// What is known about the bounds of some rows.
#[derive(Debug, Clone)]
enum Bounds {
    /// No row has a value.
    Empty,
    /// One-element arrays of the column's type.
    Known { low: ArrayRef, high: ArrayRef },
    /// The type has no bounds, or a NaN was seen, which has no place in an order.
    Unknown,
}

/// The statistics of one column of the segment being written.
#[derive(Debug)]
pub(super) struct Accumulator {
    field: FieldId,
    bounds: Bounds,
    null_count: u64,
}

impl Accumulator {
    pub(super) fn new(field: FieldId) -> Self {
        Self { field, bounds: Bounds::Empty, null_count: 0 }
    }

    pub(super) fn update(&mut self, array: &ArrayRef) {
        self.null_count += array.logical_null_count() as u64;
        self.bounds = match (&self.bounds, bounds_of(array)) {
            (Bounds::Unknown, _) | (_, Bounds::Unknown) => Bounds::Unknown,
            (Bounds::Empty, new) => new,
            (old, Bounds::Empty) => old.clone(),
            (Bounds::Known { low, high }, Bounds::Known { low: new_low, high: new_high }) => {
                merge(low, high, &new_low, &new_high)
            }
        };
    }

    pub(super) fn finish(self) -> ColumnStats {
        let (field, null_count) = (self.field, self.null_count);
        let (min, max, exact) = match self.bounds {
            Bounds::Known { low, high } => {
                let (low, low_exact) = cut(low, cut_down);
                let (high, high_exact) = cut(high, cut_up);
                (low, high, low_exact && high_exact)
            }
            Bounds::Empty | Bounds::Unknown => (None, None, false),
        };
        ColumnStats { field, min, max, exact, null_count }
    }
}

fn merge(low: &ArrayRef, high: &ArrayRef, new_low: &ArrayRef, new_high: &ArrayRef) -> Bounds {
    let all = [low, high, new_low, new_high].map(|a| a.as_ref() as &dyn Array);
    concat(&all).map_or(Bounds::Unknown, |array| bounds_of(&array))
}

fn one<T: ArrowPrimitiveType>(value: T::Native, data_type: &DataType) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(vec![value].into(), None).with_data_type(data_type.clone()))
}

fn known(low: Option<ArrayRef>, high: Option<ArrayRef>) -> Bounds {
    match (low, high) {
        (Some(low), Some(high)) => Bounds::Known { low, high },
        _ => Bounds::Empty,
    }
}

macro_rules! primitive {
    ($array:expr, $type:ty) => {{
        let values = $array.as_primitive::<$type>();
        let one = |v| one::<$type>(v, values.data_type());
        known(min(values).map(one), max(values).map(one))
    }};
}

macro_rules! float {
    ($array:expr, $type:ty) => {{
        // Slots of NULL rows may hold anything; taking a NaN there for one only loses bounds.
        if $array.as_primitive::<$type>().values().iter().any(|v| v.is_nan()) {
            Bounds::Unknown
        } else {
            primitive!($array, $type)
        }
    }};
}

fn bounds_of(array: &ArrayRef) -> Bounds {
    use DataType::*;
    match array.data_type() {
        Int8 => primitive!(array, Int8Type),
        Int16 => primitive!(array, Int16Type),
        Int32 => primitive!(array, Int32Type),
        Int64 => primitive!(array, Int64Type),
        UInt8 => primitive!(array, UInt8Type),
        UInt16 => primitive!(array, UInt16Type),
        UInt32 => primitive!(array, UInt32Type),
        UInt64 => primitive!(array, UInt64Type),
        Float32 => float!(array, Float32Type),
        Float64 => float!(array, Float64Type),
        Decimal128(..) => primitive!(array, Decimal128Type),
        Decimal256(..) => primitive!(array, Decimal256Type),
        Date32 => primitive!(array, Date32Type),
        Date64 => primitive!(array, Date64Type),
        Time32(TimeUnit::Second) => primitive!(array, Time32SecondType),
        Time32(TimeUnit::Millisecond) => primitive!(array, Time32MillisecondType),
        Time64(TimeUnit::Microsecond) => primitive!(array, Time64MicrosecondType),
        Time64(TimeUnit::Nanosecond) => primitive!(array, Time64NanosecondType),
        Timestamp(TimeUnit::Second, _) => primitive!(array, TimestampSecondType),
        Timestamp(TimeUnit::Millisecond, _) => primitive!(array, TimestampMillisecondType),
        Timestamp(TimeUnit::Microsecond, _) => primitive!(array, TimestampMicrosecondType),
        Timestamp(TimeUnit::Nanosecond, _) => primitive!(array, TimestampNanosecondType),
        Boolean => {
            let one = |v| Arc::new(BooleanArray::from(vec![v])) as ArrayRef;
            known(min_boolean(array.as_boolean()).map(one), max_boolean(array.as_boolean()).map(one))
        }
        Utf8 => {
            let values = array.as_string::<i32>();
            known(min_string(values).map(|v| text(v, &Utf8)), max_string(values).map(|v| text(v, &Utf8)))
        }
        LargeUtf8 => {
            let values = array.as_string::<i64>();
            known(min_string(values).map(|v| text(v, &LargeUtf8)), max_string(values).map(|v| text(v, &LargeUtf8)))
        }
        Utf8View => {
            let values = array.as_string_view();
            known(
                min_string_view(values).map(|v| text(v, &Utf8View)),
                max_string_view(values).map(|v| text(v, &Utf8View)),
            )
        }
        _ => Bounds::Unknown,
    }
}

/// A text of the given type.
fn text(value: &str, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Utf8 => Arc::new(StringArray::from(vec![value])),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from(vec![value])),
        _ => Arc::new(StringViewArray::from(vec![value])),
    }
}

/// Cuts a bound if it is a long text; the flag says whether it is still the exact value.
fn cut(bound: ArrayRef, shorten: fn(&str) -> Option<String>) -> (Option<ArrayRef>, bool) {
    let value = match bound.data_type() {
        DataType::Utf8 => bound.as_string::<i32>().value(0),
        DataType::LargeUtf8 => bound.as_string::<i64>().value(0),
        DataType::Utf8View => bound.as_string_view().value(0),
        _ => return (Some(bound), true),
    };
    if value.len() <= TEXT_BYTES_MAX {
        return (Some(bound), true);
    }
    (shorten(value).map(|short| text(&short, bound.data_type())), false)
}

/// A prefix, which is never greater.
fn cut_down(value: &str) -> Option<String> {
    Some(value[..value.floor_char_boundary(TEXT_BYTES_MAX)].to_string())
}

/// The least text after every one with this prefix; `None` when there is none.
fn cut_up(value: &str) -> Option<String> {
    let mut short = cut_down(value)?;
    while let Some(last) = short.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(other as u32 + 1),
        };
        if let Some(next) = next {
            short.push(next);
            return Some(short);
        }
    }
    None
}
