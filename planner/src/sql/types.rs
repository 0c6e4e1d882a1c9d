//! SQL types: the ones Volley has, and one clear sentence for each it has not.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, TimezoneInfo};
use volley_storage::ErrorKind;
use volley_storage::schema::VECTOR_DIMENSIONS_MAX;

use crate::error::{Error, ObjectKind, Result};

/// The names that error messages suggest.
const SUPPORTED: &str = "boolean, smallint, integer, bigint, real, double precision, numeric(p, s), text, bytea, date, time, \
                         timestamp, timestamptz, interval, json, vector(n) and arrays of these";

/// What a type in the text means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning {
    /// `vector(n)`; without n only where a value brings its own dimension.
    Vector(Option<usize>),
    /// A type that DataFusion's SQL planner knows under this name.
    Plain(SqlType),
}

/// Reads a type, mapping synonyms to the names that DataFusion's SQL planner knows.
pub(crate) fn meaning(sql_type: &SqlType) -> Result<Meaning> {
    Ok(Meaning::Plain(match sql_type {
        SqlType::Custom(name, modifiers) => {
            let name = name.to_string().trim_matches('"').to_lowercase();
            match name.as_str() {
                "vector" => return dimension(modifiers).map(Meaning::Vector),
                "bpchar" | "name" => SqlType::Text,
                _ => return Err(unknown(&name)),
            }
        }
        // The length of a text is not enforced, as with TEXT.
        SqlType::Character(_)
        | SqlType::Char(_)
        | SqlType::CharacterVarying(_)
        | SqlType::CharVarying(_)
        | SqlType::Varchar(_)
        | SqlType::Nvarchar(_)
        | SqlType::String(_)
        | SqlType::Clob(_)
        | SqlType::JSON
        | SqlType::JSONB => SqlType::Text,
        SqlType::Int16 => SqlType::SmallInt(None),
        SqlType::Int32 => SqlType::Int(None),
        SqlType::Int64 => SqlType::BigInt(None),
        SqlType::Float32 => SqlType::Real,
        SqlType::Float64 | SqlType::Double(_) => SqlType::DoublePrecision,
        SqlType::Float(ExactNumberInfo::Precision(25..=53)) => SqlType::DoublePrecision,
        SqlType::UInt8 => SqlType::TinyIntUnsigned(None),
        SqlType::UInt16 => SqlType::SmallIntUnsigned(None),
        SqlType::UInt32 => SqlType::IntUnsigned(None),
        SqlType::UInt64 => SqlType::BigIntUnsigned(None),
        SqlType::Dec(info) => SqlType::Decimal(*info),
        SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Blob(_) | SqlType::Bytes(_) => SqlType::Bytea,
        SqlType::Datetime(precision) => SqlType::Timestamp(*precision, TimezoneInfo::None),
        SqlType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => match meaning(element)? {
            Meaning::Plain(element) => SqlType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None)),
            Meaning::Vector(_) => {
                return Err(Error::unsupported("arrays of vectors are not supported; use one row for each"));
            }
        },
        plain => {
            // Structs and whatever else DataFusion may know; it reports what it does not.
            if is_unsupported(plain) {
                return Err(unknown(&plain.to_string().to_lowercase()));
            }
            plain.clone()
        }
    }))
}

/// The Arrow type of a column declared with this SQL type. `time_zone` is the session's, for `timestamptz`.
///
/// It agrees with what DataFusion's SQL planner makes of the same name in a CAST.
pub fn column_type(sql_type: &SqlType, time_zone: &str) -> Result<DataType> {
    match meaning(sql_type)? {
        Meaning::Vector(Some(dimension)) => Ok(vector_type(dimension)),
        Meaning::Vector(None) => Err(Error::invalid(
            ErrorKind::InvalidValue,
            "a vector column needs its number of dimensions, as in vector(384)",
        )),
        Meaning::Plain(plain) => plain_type(&plain, time_zone),
    }
}

fn vector_type(dimension: usize) -> DataType {
    // `dimension` is at most VECTOR_DIMENSIONS_MAX, which fits.
    DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), dimension as i32)
}

fn plain_type(plain: &SqlType, time_zone: &str) -> Result<DataType> {
    Ok(match plain {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::TinyInt(_) => DataType::Int8,
        SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::Int16,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int64,
        SqlType::TinyIntUnsigned(_) => DataType::UInt8,
        SqlType::SmallIntUnsigned(_) | SqlType::Int2Unsigned(_) => DataType::UInt16,
        SqlType::IntUnsigned(_) | SqlType::IntegerUnsigned(_) | SqlType::Int4Unsigned(_) => DataType::UInt32,
        SqlType::BigIntUnsigned(_) | SqlType::Int8Unsigned(_) => DataType::UInt64,
        SqlType::Float(_) | SqlType::Real | SqlType::Float4 => DataType::Float32,
        SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
        SqlType::Text => DataType::Utf8View,
        SqlType::Bytea => DataType::Binary,
        SqlType::Date => DataType::Date32,
        SqlType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time64(TimeUnit::Nanosecond)
        }
        SqlType::Interval { fields: None, precision: None } => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Timestamp(precision, zone) => {
            let zone = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone).then(|| time_zone.into());
            DataType::Timestamp(time_unit(*precision)?, zone)
        }
        SqlType::Numeric(info) | SqlType::Decimal(info) => decimal_type(info)?,
        SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
            DataType::List(Arc::new(Field::new("item", plain_type(element, time_zone)?, true)))
        }
        SqlType::Struct(fields, _) => {
            let fields = fields.iter().enumerate().map(|(at, field)| {
                let name = field.field_name.as_ref().map_or_else(|| format!("c{at}"), super::names::normalize);
                Ok(Field::new(name, column_type(&field.field_type, time_zone)?, true))
            });
            DataType::Struct(fields.collect::<Result<Vec<_>>>()?.into())
        }
        other => return Err(unknown(&other.to_string().to_lowercase())),
    })
}

fn time_unit(precision: Option<u64>) -> Result<TimeUnit> {
    match precision {
        None | Some(9) => Ok(TimeUnit::Nanosecond),
        Some(6) => Ok(TimeUnit::Microsecond),
        Some(3) => Ok(TimeUnit::Millisecond),
        Some(0) => Ok(TimeUnit::Second),
        Some(other) => Err(Error::unsupported(format!(
            "timestamp({other}) is not supported; the precision of a timestamp is 0, 3, 6 or 9 digits"
        ))),
    }
}

fn decimal_type(info: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (u64::from(DECIMAL128_MAX_PRECISION), 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let out_of_range = || {
        Error::invalid(
            ErrorKind::InvalidValue,
            format!(
                "numeric({precision}, {scale}) is not possible; the precision is 1 to 76 digits, the scale 0 to the precision"
            ),
        )
    };
    let (Ok(p), Ok(s)) = (u8::try_from(precision), i8::try_from(scale)) else { return Err(out_of_range()) };
    if p == 0 || p > 76 || s < 0 || scale.unsigned_abs() > precision {
        return Err(out_of_range());
    }
    Ok(if p <= DECIMAL128_MAX_PRECISION { DataType::Decimal128(p, s) } else { DataType::Decimal256(p, s) })
}

fn dimension(modifiers: &[String]) -> Result<Option<usize>> {
    let [text] = modifiers else {
        return if modifiers.is_empty() { Ok(None) } else { Err(bad_dimension(&modifiers.join(", "))) };
    };
    match text.parse::<usize>() {
        Ok(dimension) if (1..=VECTOR_DIMENSIONS_MAX).contains(&dimension) => Ok(Some(dimension)),
        _ => Err(bad_dimension(text)),
    }
}

fn bad_dimension(found: &str) -> Error {
    Error::invalid(
        ErrorKind::InvalidValue,
        format!("vector({found}) is not possible; a vector has 1 to {VECTOR_DIMENSIONS_MAX} dimensions"),
    )
}

fn is_unsupported(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Uuid
            | SqlType::Regclass
            | SqlType::Bit(_)
            | SqlType::BitVarying(_)
            | SqlType::VarBit(_)
            | SqlType::Enum(..)
            | SqlType::Set(_)
            | SqlType::Time(Some(_), _)
            | SqlType::Time(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone)
            | SqlType::Unspecified
    )
}

/// The sentence for a type that Volley has not, with what to use instead where that is known.
fn unknown(name: &str) -> Error {
    let bare = name.split(['(', ' ']).next().unwrap_or(name);
    let instead = match bare {
        "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" | "serial2" => {
            "declare the column bigint and give its values yourself, for example with row_number()"
        }
        "halfvec" | "sparsevec" => "use vector(n)",
        "uuid" => "use text; uuid() makes new values",
        "bit" | "varbit" => "use text or bytea",
        "money" => "use numeric(19, 2)",
        "time" | "timetz" => "use time without time zone and without precision",
        "inet" | "cidr" | "macaddr" | "xml" | "citext" | "enum" | "set" => "use text",
        "" | "unspecified" => return Error::invalid(ErrorKind::Syntax, "every column needs a type, as in: id bigint"),
        _ => {
            let known = [
                "boolean",
                "smallint",
                "integer",
                "bigint",
                "real",
                "double",
                "numeric",
                "text",
                "varchar",
                "bytea",
                "date",
                "time",
                "timestamp",
                "timestamptz",
                "interval",
                "json",
                "vector",
            ];
            return match Error::undefined(ObjectKind::Type, name, known) {
                Error::Undefined { name, nearest: None, .. } => Error::invalid(
                    ErrorKind::UndefinedObject,
                    format!("type \"{name}\" does not exist; the types are {SUPPORTED}"),
                ),
                suggestion => suggestion,
            };
        }
    };
    Error::unsupported(format!("the type {name} is not supported; {instead}"))
}
