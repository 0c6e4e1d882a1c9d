//! Arrow types under the names that SQL has for them, for messages and catalogs.

use arrow::datatypes::{DataType, TimeUnit};
use volley_storage::schema::vector_dimension;

/// The SQL name of an Arrow type: `bigint`, `text`, `vector(384)`, `timestamp with time zone`, `integer[]`.
pub fn type_name(data_type: &DataType) -> String {
    if let Some(dimension) = vector_dimension(data_type) {
        return format!("vector({dimension})");
    }
    let name = match data_type {
        DataType::Null => "unknown",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::UInt8 => "tinyint unsigned",
        DataType::UInt16 => "smallint unsigned",
        DataType::UInt32 => "integer unsigned",
        DataType::UInt64 => "bigint unsigned",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Timestamp(unit, zone) => return timestamp_name(*unit, zone.is_some()),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            return format!("numeric({p}, {s})");
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => return format!("{}[]", type_name(item.data_type())),
        DataType::Dictionary(_, values) => return type_name(values),
        DataType::RunEndEncoded(_, values) => return type_name(values.data_type()),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            return format!("struct({})", fields.join(", "));
        }
        DataType::Map(..) => "map",
        DataType::Union(..) => "union",
    };
    name.to_string()
}

fn timestamp_name(unit: TimeUnit, with_zone: bool) -> String {
    let digits = match unit {
        TimeUnit::Second => "(0)",
        TimeUnit::Millisecond => "(3)",
        TimeUnit::Microsecond => "(6)",
        TimeUnit::Nanosecond => "",
    };
    format!("timestamp{digits}{}", if with_zone { " with time zone" } else { "" })
}
