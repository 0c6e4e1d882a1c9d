//! Answers as rows of values that can be compared: between engines, and with the published answers.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// Any number.
    Number(f64),
    /// Everything else, as text without spaces at its end.
    Text(String),
}

/// Rows of an answer, in the order they came.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(pub Vec<Vec<Value>>);

/// How far two numbers may lie apart: `absolute + relative × |second|`.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Whatever the numbers' size.
    pub absolute: f64,
    /// As a share of the second number.
    pub relative: f64,
}

impl Tolerance {
    /// Between two engines that compute with the same types.
    pub const ENGINES: Tolerance = Tolerance { absolute: 1e-9, relative: 1e-9 };
    /// Against answers that are rounded to two decimals.
    pub const PUBLISHED: Tolerance = Tolerance { absolute: 0.0051, relative: 1e-7 };

    fn allows(self, a: f64, b: f64) -> bool {
        (a - b).abs() <= self.absolute + self.relative * b.abs()
    }
}

impl Answer {
    /// The rows of record batches.
    ///
    /// # Errors
    /// A column cannot be shown as text or number.
    pub fn from_batches(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let mut rows = Vec::new();
        for batch in batches {
            let columns: Vec<Vec<Value>> =
                batch.columns().iter().map(|column| values(column.as_ref())).collect::<Result<_, _>>()?;
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()));
        }
        Ok(Self(rows))
    }

    /// The published answer of one query at scale factor 1: made by the benchmark's own tools, not by any engine here.
    pub fn published(number: i32) -> Option<Self> {
        let table = tpchgen::q_and_a::answers_sf1::answer(number)?;
        let rows = table.lines().filter(|line| !line.is_empty()).skip(1);
        Some(Self(rows.map(|line| line.split('|').map(value).collect()).collect()))
    }

    /// Why the answers differ; `None` when they are equal within the tolerance, whatever the order of the rows.
    pub fn difference(&self, other: &Answer, tolerance: Tolerance) -> Option<String> {
        if self.0.len() != other.0.len() {
            return Some(format!("{} rows against {}", self.0.len(), other.0.len()));
        }
        let pairs = |a: &Answer, b: &Answer| {
            let mut rows = a.0.iter().zip(&b.0);
            rows.find(|(a, b)| !equal_rows(a, b, tolerance)).map(|(a, b)| format!("{a:?} against {b:?}"))
        };
        pairs(self, other)?;
        pairs(&self.sorted(), &other.sorted())
    }

    fn sorted(&self) -> Answer {
        let mut rows = self.0.clone();
        rows.sort_by(|a, b| {
            a.iter().zip(b).map(|(a, b)| order(a, b)).find(|o| o.is_ne()).unwrap_or(a.len().cmp(&b.len()))
        });
        Answer(rows)
    }
}

fn equal_rows(a: &[Value], b: &[Value], tolerance: Tolerance) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| match (a, b) {
            (Value::Number(a), Value::Number(b)) => tolerance.allows(*a, *b),
            _ => a == b,
        })
}

fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::Text(_) => 2,
    }
}

fn values(column: &dyn Array) -> Result<Vec<Value>, ArrowError> {
    if column.data_type().is_numeric() {
        let numbers = cast(column, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        return Ok(numbers.iter().map(|number| number.map_or(Value::Null, Value::Number)).collect());
    }
    let texts = cast(column, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let text = |text: &str| Value::Text(text.trim_end().to_owned());
    Ok(texts.iter().map(|value| value.map_or(Value::Null, text)).collect())
}

/// A field of a published answer. A text of digits only does not occur there without being a number elsewhere too, but for
/// the country codes of query 22, which [`Answer::difference`]'s caller reads as numbers on both sides.
fn value(field: &str) -> Value {
    match field.trim().parse() {
        Ok(number) => Value::Number(number),
        Err(_) => Value::Text(field.trim_end().to_owned()),
    }
}

impl Answer {
    /// The same without the first columns.
    pub fn columns_from(&self, first: usize) -> Answer {
        Answer(self.0.iter().map(|row| row.iter().skip(first).cloned().collect()).collect())
    }

    /// The same with texts that are numbers as numbers: for comparing with answers that have no types.
    pub fn untyped(&self) -> Answer {
        let convert = |v: &Value| match v {
            Value::Text(text) => value(text),
            other => other.clone(),
        };
        Answer(self.0.iter().map(|row| row.iter().map(convert).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_answers_can_be_read() {
        let first = Answer::published(1).expect("known");
        assert_eq!(first.0.len(), 4);
        assert_eq!(first.0[0][0], Value::Text("A".into()));
        assert_eq!(first.0[0][9], Value::Number(1478493.0));
        assert_eq!(Answer::published(2).expect("known").0.len(), 100);
        assert!(Answer::published(23).is_none());
    }

    #[test]
    fn differences_are_found() {
        let answer = |numbers: &[f64]| Answer(numbers.iter().map(|n| vec![Value::Number(*n)]).collect());
        let a = answer(&[1.0, 2.0]);
        assert_eq!(a.difference(&answer(&[2.0, 1.0]), Tolerance::ENGINES), None);
        assert_eq!(a.difference(&answer(&[1.004, 2.0]), Tolerance::PUBLISHED), None);
        assert!(a.difference(&answer(&[1.004, 2.0]), Tolerance::ENGINES).is_some());
        assert!(a.difference(&answer(&[1.0]), Tolerance::ENGINES).is_some());
        assert!(a.difference(&Answer(vec![vec![Value::Null], vec![Value::Number(2.0)]]), Tolerance::ENGINES).is_some());
    }
}
