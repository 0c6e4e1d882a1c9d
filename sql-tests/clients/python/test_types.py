"""Every type, from SQL and from parameters, back to the client."""

import datetime
import unittest
from decimal import Decimal

import pyarrow as pa

import samples
from common import ClientTest


class Types(ClientTest):
    def fields(self, schema):
        return [(field.name, field.type) for field in schema]

    def check_rows(self, table, rows):
        """The rows are the sample, then NULLs: types, values, and validity."""
        answer = self.arrow(f"SELECT * FROM {table} ORDER BY id")
        self.assertEqual(self.fields(answer.schema), self.fields(samples.SCHEMA))
        expected = pa.Table.from_batches(rows, samples.SCHEMA)
        for name in samples.NAMES:
            self.assertTrue(
                answer[name].combine_chunks().equals(expected[name].combine_chunks()),
                f"{name}: {answer[name].to_pylist()} instead of {expected[name].to_pylist()}",
            )

    def test_literals(self):
        table = self.table(samples.sql_columns())
        self.run_sql(f"INSERT INTO {table} VALUES ({samples.sql_values()})")
        self.run_sql(f"INSERT INTO {table} (id) VALUES (2)")
        self.check_rows(table, [samples.row(), samples.nulls(2)])

    def test_parameters(self):
        """A batch of parameters inserts its rows, one execution each."""
        table = self.table(samples.sql_columns())
        places = ", ".join(f"${i + 1}" for i in range(len(samples.COLUMNS)))
        batch = pa.Table.from_batches([samples.row(), samples.nulls(2)]).combine_chunks().to_batches()[0]
        with self.db.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", batch)
            self.assertEqual(cursor.rowcount, 2)
        self.check_rows(table, [samples.row(), samples.nulls(2)])

    def test_parameters_question_marks(self):
        table = self.table(samples.sql_columns())
        places = ", ".join("?" for _ in samples.COLUMNS)
        with self.db.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", samples.row())
            self.assertEqual(cursor.rowcount, 1)
        self.check_rows(table, [samples.row()])

    def test_ingest(self):
        """A table that ingest creates has the types of the Arrow data."""
        table = self.table()
        with self.db.cursor() as cursor:
            self.assertEqual(cursor.adbc_ingest(table, pa.Table.from_batches([samples.row(), samples.nulls(2)])), 2)
        self.check_rows(table, [samples.row(), samples.nulls(2)])

    def test_python_values(self):
        """What the DB-API hands out, and takes back as parameters."""
        table = self.table("id INT, truth BOOLEAN, number DOUBLE PRECISION, exact NUMERIC(12, 3), words TEXT, "
                           "bytes BYTEA, day DATE, clock TIME, moment TIMESTAMP(6), zoned TIMESTAMP(6) WITH TIME ZONE, "
                           "ints BIGINT[]")
        zone = datetime.timezone.utc
        row = (1, True, 2.5, Decimal("12.345"), "naïve", b"\x00\xff", datetime.date(1900, 3, 1),
               datetime.time(23, 59, 59, 999999), datetime.datetime(1969, 7, 20, 20, 17, 40, 1),
               datetime.datetime(2024, 2, 29, 12, 0, 0, 500000, zone), [1, 2, None])
        places = ", ".join("?" for _ in row)
        self.assertEqual(self.run_sql(f"INSERT INTO {table} VALUES ({places})", row), 1)
        self.assertEqual(self.query(f"SELECT * FROM {table}"), [row])

    def test_each_value_as_a_condition(self):
        """A bound value equals the value that is stored."""
        table = self.table(samples.sql_columns())
        self.run_sql(f"INSERT INTO {table} VALUES ({samples.sql_values()})")
        sample = samples.row()
        for name in ("truth", "tiny", "small", "int", "big", "unsigned", "single", "double", "exact", "words", "bytes",
                     "day", "clock", "moment", "moment3", "moment6", "zoned"):
            with self.subTest(column=name):
                batch = pa.RecordBatch.from_arrays([sample[name]], names=["0"])
                self.assertEqual(self.query(f"SELECT id FROM {table} WHERE {name} = ?", batch), [(1,)])

    def test_floats_at_the_edge(self):
        table = self.table("id INT, x DOUBLE PRECISION")
        rows = [(1, float("inf")), (2, float("-inf")), (3, 5e-324), (4, 1.7976931348623157e308), (5, -0.0)]
        with self.db.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
            self.assertEqual(cursor.rowcount, 5)
        self.assertEqual(self.query(f"SELECT id, x FROM {table} ORDER BY id"), rows)
        self.run_sql(f"INSERT INTO {table} VALUES (?, ?)", (6, float("nan")))
        [(number,)] = self.query(f"SELECT x FROM {table} WHERE id = 6")
        self.assertNotEqual(number, number)

    def test_texts_at_the_edge(self):
        table = self.table("id INT, x TEXT, y BYTEA")
        rows = [(1, "", b""), (2, "\U0001f600\u0301", bytes(range(256))), (3, "a\nb\t'\"\\?$1", b"?"),
                (4, "x" * 1_000_000, b"y" * 1_000_000)]
        with self.db.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        self.assertEqual(self.query(f"SELECT * FROM {table} ORDER BY id"), rows)

    def test_zones(self):
        """Casts to timestamptz and the current time have the zone of the session."""
        schema = self.arrow("SELECT '2024-02-29 12:00:00+02'::timestamptz AS a, now() AS b").schema
        self.assertEqual(schema.types, [pa.timestamp("ns", "UTC")] * 2)

    def test_type_names(self):
        """Vectors and other columns carry their SQL type for tools."""
        table = self.table(samples.sql_columns())
        for schema in (self.arrow(f"SELECT * FROM {table}").schema, self.db.adbc_get_table_schema(table)):
            self.assertEqual(schema.field("vector").metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"], b"VECTOR(3)")

    def test_schema_does_not_depend_on_the_way(self):
        table = self.table(samples.sql_columns())
        with self.db.cursor() as cursor:
            announced = cursor.adbc_execute_schema(f"SELECT * FROM {table}")
        streamed = self.arrow(f"SELECT * FROM {table}").schema
        self.assertEqual(self.fields(announced), self.fields(samples.SCHEMA))
        self.assertEqual(self.fields(streamed), self.fields(samples.SCHEMA))
        self.assertEqual(self.fields(self.db.adbc_get_table_schema(table)), self.fields(samples.SCHEMA))


if __name__ == "__main__":
    unittest.main()
