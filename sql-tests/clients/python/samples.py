"""One table with every type, in SQL and in Arrow."""

import datetime
from decimal import Decimal

import pyarrow as pa

from common import vector_type

# (column, SQL type, Arrow type, SQL literal, Arrow value)
COLUMNS = [
    ("id", "BIGINT", pa.int64(), "1", 1),
    ("truth", "BOOLEAN", pa.bool_(), "true", True),
    ("tiny", "TINYINT", pa.int8(), "-128", -128),
    ("small", "SMALLINT", pa.int16(), "-32768", -32768),
    ("int", "INTEGER", pa.int32(), "2147483647", 2147483647),
    ("big", "BIGINT", pa.int64(), "-9223372036854775807", -9223372036854775807),
    ("unsigned", "BIGINT UNSIGNED", pa.uint64(), "18446744073709551615", 18446744073709551615),
    ("single", "REAL", pa.float32(), "0.1", 0.10000000149011612),
    ("double", "DOUBLE PRECISION", pa.float64(), "0.1", 0.1),
    ("exact", "NUMERIC(12, 3)", pa.decimal128(12, 3), "'-123456789.125'", Decimal("-123456789.125")),
    ("wide", "NUMERIC(50, 10)", pa.decimal256(50, 10), "'1234567890123456789012345678901234567.0123456789'",
     Decimal("1234567890123456789012345678901234567.0123456789")),
    ("words", "TEXT", pa.string(), "'naïve ☃ ''quoted'''", "naïve ☃ 'quoted'"),
    ("bytes", "BYTEA", pa.binary(), "X'00ff41'", b"\x00\xffA"),
    ("day", "DATE", pa.date32(), "'2024-02-29'", datetime.date(2024, 2, 29)),
    ("clock", "TIME", pa.time64("ns"), "'12:34:56.789012'", datetime.time(12, 34, 56, 789012)),
    ("moment", "TIMESTAMP", pa.timestamp("ns"), "'2024-02-29 12:34:56.123456789'", 1709210096123456789),
    ("moment0", "TIMESTAMP(0)", pa.timestamp("s"), "'1969-12-31 23:59:59'", -1),
    ("moment3", "TIMESTAMP(3)", pa.timestamp("ms"), "'2024-02-29 12:34:56.123'", 1709210096123),
    ("moment6", "TIMESTAMP(6)", pa.timestamp("us"), "'9999-12-31 23:59:59.999999'", 253402300799999999),
    ("zoned", "TIMESTAMP(6) WITH TIME ZONE", pa.timestamp("us", "UTC"), "'2024-02-29 12:34:56+02'", 1709202896000000),
    ("span", "INTERVAL", pa.month_day_nano_interval(), "'1 year 2 months 3 days 4 hours'",
     pa.MonthDayNano([14, 3, 14_400_000_000_000])),
    ("document", "JSON", pa.string(), "'{\"a\": [1, null]}'", '{"a": [1, null]}'),
    ("vector", "vector(3)", vector_type(3), "'[1, -2.5, 3e-3]'", [1.0, -2.5, 0.003]),
    ("ints", "INTEGER[]", pa.list_(pa.int32()), "ARRAY[1, NULL, 3]", [1, None, 3]),
    ("texts", "TEXT[]", pa.list_(pa.string()), "ARRAY['a', NULL, '']", ["a", None, ""]),
    ("doubles", "DOUBLE PRECISION[]", pa.list_(pa.float64()), "ARRAY[1.5, -0.25]", [1.5, -0.25]),
]

NAMES = [column[0] for column in COLUMNS]
SCHEMA = pa.schema([pa.field(name, kind) for name, _, kind, _, _ in COLUMNS])


def sql_columns():
    """The columns for CREATE TABLE; `id` is the primary key."""
    return ", ".join(f"{name} {kind}{' PRIMARY KEY' if name == 'id' else ''}" for name, kind, _, _, _ in COLUMNS)


def sql_values():
    """The row of values as SQL literals."""
    return ", ".join(literal for _, _, _, literal, _ in COLUMNS)


def row():
    """The row of values as an Arrow batch."""
    arrays = [pa.array([value], kind) for _, _, kind, _, value in COLUMNS]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def nulls(id):
    """A row of NULLs, but for the id."""
    arrays = [pa.array([id if name == "id" else None], kind) for name, _, kind, _, _ in COLUMNS]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
