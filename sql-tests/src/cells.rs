//! Results as the text that sqllogictest compares: the conventions of DataFusion's published files, so that theirs and
//! ours read alike, and vectors as users write them.
//!
//! | value | text |
//! |---|---|
//! | NULL | `NULL` |
//! | empty text | `(empty)` |
//! | float | rounded to 12 digits behind the point, without trailing zeros |
//! | decimal | without trailing zeros |
//! | vector | `[1,2.5,3]` |
//! | anything else | Arrow's display |
//!
//! A last cell of several lines (a plan) becomes one row a line, numbered, its indent drawn as dashes, because
//! sqllogictest ignores white space.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

/// Digits behind the point that floats are compared by.
const FLOAT_DIGITS: usize = 12;

/// The type letters of a result's columns.
pub fn column_types(schema: &Schema) -> Vec<ColumnType> {
    schema.fields().iter().map(|field| ColumnType(letter(field.data_type()))).collect()
}

/// A column's type as sqllogictest writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType(char);

impl sqllogictest::ColumnType for ColumnType {
    fn from_char(value: char) -> Option<Self> {
        Some(ColumnType(if "BDIPRT".contains(value) { value } else { '?' }))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

fn letter(data_type: &DataType) -> char {
    match data_type {
        DataType::Boolean => 'B',
        integer if integer.is_integer() => 'I',
        number if number.is_numeric() => 'R',
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 'T',
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => 'D',
        DataType::Timestamp(..) => 'P',
        DataType::Dictionary(_, values) if letter(values) == 'T' => 'T',
        _ => '?',
    }
}

/// The rows of a result.
pub fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells: Result<Vec<_>, _> = batch.columns().iter().map(|column| cell(column, row)).collect();
            push_lines(cells?, &mut rows);
        }
    }
    Ok(rows)
}

/// One value.
pub fn cell(column: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    if column.is_null(row) {
        return Ok("NULL".to_owned());
    }
    Ok(match column.data_type() {
        DataType::Null => "NULL".to_owned(),
        DataType::Float32 => float(column.as_primitive::<Float32Type>().value(row).to_string()),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row).to_string()),
        DataType::Float16 => float(displayed(column, row)?),
        DataType::Utf8 => text(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(column.as_string::<i64>().value(row)),
        DataType::Utf8View => text(column.as_string_view().value(row)),
        decimal if decimal.is_decimal() => without_trailing_zeros(&displayed(column, row)?),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            return cell(dictionary.values(), dictionary.normalized_keys()[row]);
        }
        DataType::FixedSizeList(item, _) if item.data_type() == &DataType::Float32 && !item.is_nullable() => {
            let values = column.as_fixed_size_list().value(row);
            let values = values.as_primitive::<Float32Type>().values();
            format!("[{}]", values.iter().map(f32::to_string).collect::<Vec<_>>().join(","))
        }
        _ => displayed(column, row)?,
    })
}

fn displayed(column: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let options = FormatOptions::new().with_null("NULL").with_duration_format(DurationFormat::Pretty);
    ArrayFormatter::try_new(column.as_ref(), &options)?.value(row).try_to_string()
}

fn text(value: &str) -> String {
    match value {
        "" => "(empty)".to_owned(),
        value => value.trim_end_matches('\n').replace('\0', "\\0"),
    }
}

/// A float's shortest decimal form, rounded half to even.
fn float(shortest: String) -> String {
    match shortest.as_str() {
        "NaN" => return shortest,
        "inf" => return "Infinity".to_owned(),
        "-inf" => return "-Infinity".to_owned(),
        _ => {}
    }
    let (sign, digits) = shortest.strip_prefix('-').map_or(("", shortest.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let rounded = match fraction.len() > FLOAT_DIGITS {
        false => format!("{whole}.{fraction}"),
        true => rounded(whole, fraction),
    };
    match without_trailing_zeros(&rounded).as_str() {
        "0" => "0".to_owned(),
        digits => format!("{sign}{digits}"),
    }
}

fn rounded(whole: &str, fraction: &str) -> String {
    let (kept, dropped) = fraction.split_at(FLOAT_DIGITS);
    let mut digits: Vec<u8> = whole.bytes().chain(kept.bytes()).map(|byte| byte - b'0').collect();
    let half = dropped.trim_end_matches('0').cmp("5");
    let odd = digits.last().is_some_and(|digit| digit % 2 == 1);
    if half.is_gt() || (half.is_eq() && odd) {
        let mut position = digits.len();
        loop {
            match position.checked_sub(1) {
                None => {
                    digits.insert(0, 1);
                    break;
                }
                Some(at) if digits[at] == 9 => digits[at] = 0,
                Some(at) => {
                    digits[at] += 1;
                    break;
                }
            }
            position -= 1;
        }
    }
    let point = digits.len() - FLOAT_DIGITS;
    let text: String = digits.into_iter().map(|digit| char::from(b'0' + digit)).collect();
    format!("{}.{}", &text[..point], &text[point..])
}

fn without_trailing_zeros(number: &str) -> String {
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    if number == "-0" { "0".to_owned() } else { number.to_owned() }
}

/// A row is a line, so a cell that is not the last one shows its line breaks as `\n`.
fn within_a_line(cells: Vec<String>) -> Vec<String> {
    cells.into_iter().map(|cell| cell.replace('\n', "\\n")).collect()
}

/// Appends a row, its last cell's lines as rows of their own.
fn push_lines(mut cells: Vec<String>, rows: &mut Vec<Vec<String>>) {
    if !cells.last().is_some_and(|last| last.contains('\n')) {
        return rows.push(within_a_line(cells));
    }
    let last = cells.pop().unwrap_or_default();
    rows.push(within_a_line(cells));
    for (number, line) in last.split('\n').enumerate() {
        let content = line.trim_start();
        let dashes = "-".repeat(line.len() - content.len());
        rows.push(vec![format!("{:02}){dashes}{content}", number + 1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_rounded_half_to_even_and_lose_their_zeros() {
        let cases = [
            (1.0, "1"),
            (-0.0, "0"),
            (0.5, "0.5"),
            (1e300, &format!("1{}", "0".repeat(300))),
            (0.000_000_000_000_25, "0"),
            (0.000_000_000_000_75, "0.000000000001"),
            (0.999_999_999_999_95, "1"),
            (-2.000_000_000_000_4, "-2"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value.to_string()), text, "{value}");
        }
    }
}
