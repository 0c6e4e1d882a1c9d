//! Types in casts and columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use volley_storage::ErrorKind;

use super::{error_of, lowered, parse};
use crate::sql::{Statement, column_type, parse_expression, parse_statement, type_name};

fn type_of(name: &str) -> DataType {
    let Statement::CreateTable(create) = parse(&format!("CREATE TABLE t (c {name})")) else { panic!("{name}") };
    column_type(&create.columns[0].sql_type, "+00:00").unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn columns() {
    for (name, expected) in [
        ("boolean", DataType::Boolean),
        ("smallint", DataType::Int16),
        ("INT", DataType::Int32),
        ("integer", DataType::Int32),
        ("int4", DataType::Int32),
        ("bigint", DataType::Int64),
        ("INT8", DataType::Int64),
        ("real", DataType::Float32),
        ("float4", DataType::Float32),
        ("double precision", DataType::Float64),
        ("double", DataType::Float64),
        ("float8", DataType::Float64),
        ("float(53)", DataType::Float64),
        ("numeric(12, 2)", DataType::Decimal128(12, 2)),
        ("decimal(5)", DataType::Decimal128(5, 0)),
        ("numeric", DataType::Decimal128(38, 10)),
        ("numeric(50, 5)", DataType::Decimal256(50, 5)),
        ("text", DataType::Utf8View),
        ("varchar(20)", DataType::Utf8View),
        ("character varying", DataType::Utf8View),
        ("char(3)", DataType::Utf8View),
        ("json", DataType::Utf8View),
        ("jsonb", DataType::Utf8View),
        ("bytea", DataType::Binary),
        ("date", DataType::Date32),
        ("time", DataType::Time64(TimeUnit::Nanosecond)),
        ("interval", DataType::Interval(IntervalUnit::MonthDayNano)),
        ("timestamp", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ("timestamp(3)", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("timestamp without time zone", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ("timestamptz", DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()))),
        ("timestamp with time zone", DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()))),
        ("int[]", DataType::List(Arc::new(Field::new("item", DataType::Int32, true)))),
        ("vector(3)", DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), 3)),
        ("VECTOR(32768)", DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), 32_768)),
    ] {
        assert_eq!(type_of(name), expected, "{name}");
    }
}

#[test]
fn refused_columns() {
    for (name, kind, part) in [
        ("vector", ErrorKind::InvalidValue, "as in vector(384)"),
        ("vector(0)", ErrorKind::InvalidValue, "1 to 32768"),
        ("vector(32769)", ErrorKind::InvalidValue, "1 to 32768"),
        ("vector(3, 4)", ErrorKind::InvalidValue, "1 to 32768"),
        ("vector(3)[]", ErrorKind::Unsupported, "arrays of vectors"),
        ("halfvec(3)", ErrorKind::Unsupported, "use vector(n)"),
        ("sparsevec(3)", ErrorKind::Unsupported, "use vector(n)"),
        ("serial", ErrorKind::Unsupported, "bigint"),
        ("bigserial", ErrorKind::Unsupported, "bigint"),
        ("uuid", ErrorKind::Unsupported, "use text"),
        ("timestamp(4)", ErrorKind::Unsupported, "0, 3, 6 or 9"),
        ("numeric(77, 2)", ErrorKind::InvalidValue, "1 to 76"),
        ("numeric(5, 6)", ErrorKind::InvalidValue, "1 to 76"),
        ("bigin", ErrorKind::UndefinedObject, "did you mean \"bigint\""),
        ("point3d", ErrorKind::UndefinedObject, "the types are boolean"),
    ] {
        let error = parse_statement(&format!("CREATE TABLE t (c {name})")).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(part), "{name}: {error}");
    }
}

#[test]
fn casts_to_vectors() {
    assert_eq!(lowered("CAST(x AS vector(3))"), "to_vector(x, 3)");
    assert_eq!(lowered("CAST(x AS VECTOR)"), "to_vector(x, 0)");
    assert_eq!(lowered("'[1,2]'::vector(2)"), "to_vector('[1,2]', 2)");
    assert_eq!(lowered("$1::vector <-> y::Vector(2)"), "l2_distance(to_vector($1, 0), to_vector(y, 2))");
    assert_eq!(lowered("x::vector::text"), "to_vector(x, 0)::TEXT");
    assert_eq!(lowered("ARRAY[1,2]::vector(2)"), "to_vector(ARRAY[1, 2], 2)");
    assert_eq!(lowered("CAST(? AS varchar)::vector"), "to_vector(CAST($1 AS TEXT), 0)");
    assert!(parse_expression("x::vector(0)").is_err());
    assert!(parse_expression("x::halfvec(3)").is_err());
    assert!(error_of("SELECT TRY_CAST(x AS vector(3))").contains("use CAST"));
}

#[test]
fn other_casts_get_the_names_datafusion_knows() {
    assert_eq!(lowered("x::jsonb"), "x::TEXT");
    assert_eq!(lowered("CAST(x AS character varying(10))"), "CAST(x AS TEXT)");
    assert_eq!(lowered("x::float8[]"), "x::FLOAT8[]");
    assert_eq!(lowered("x::double"), "x::DOUBLE PRECISION");
    assert_eq!(lowered("DATE '2020-01-01'"), "DATE '2020-01-01'");
    assert_eq!(lowered("JSON '{}'"), "TEXT '{}'");
    assert_eq!(lowered("INTERVAL '1 day'"), "INTERVAL '1 day'");
    assert!(parse_expression("x::uuid").unwrap_err().to_string().contains("use text"));
    assert!(parse_expression("x::integr").unwrap_err().to_string().contains("did you mean \"integer\""));
}

#[test]
fn names_of_types() {
    for name in
        ["bigint", "text", "vector(3)", "numeric(12, 2)", "integer[]", "boolean", "double precision", "timestamp(3)"]
    {
        assert_eq!(type_name(&type_of(name)), name);
    }
    assert_eq!(type_name(&type_of("timestamptz")), "timestamp with time zone");
}
