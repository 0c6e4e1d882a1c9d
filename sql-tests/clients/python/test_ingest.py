"""Bulk loading: four modes, many sources, and nothing to be seen of a load that failed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import unittest

import adbc_driver_manager as adbc
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from common import ClientTest, connect, vector_type, vectors


def rows(*ids):
    return pa.table({"id": pa.array(ids, pa.int64()), "words": pa.array([f"row {id}" for id in ids], pa.string())})


class Ingest(ClientTest):
    def ingest(self, table, data, mode="create", **more):
        with self.db.cursor() as cursor:
            return cursor.adbc_ingest(table, data, mode=mode, **more)

    def ids(self, table):
        return [row[0] for row in self.query(f'SELECT id FROM "{table}" ORDER BY id')]

    def test_create(self):
        table = self.table()
        self.assertEqual(self.ingest(table, rows(1, 2, 3)), 3)
        self.assertEqual(self.query(f"SELECT * FROM {table} ORDER BY id"), [(1, "row 1"), (2, "row 2"), (3, "row 3")])
        self.fails("ALREADY_EXISTS", f'table "{table}" exists already', self.ingest, table, rows(4))
        self.assertEqual(self.ids(table), [1, 2, 3])

    def test_append(self):
        table = self.table()
        self.fails("NOT_FOUND", f'table "{table}" does not exist', self.ingest, table, rows(1), "append")
        self.run_sql(f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, words TEXT)")
        self.assertEqual(self.ingest(table, rows(1, 2), "append"), 2)
        self.assertEqual(self.ingest(table, rows(3), "append"), 1)
        self.assertEqual(self.ids(table), [1, 2, 3])

    def test_replace(self):
        table = self.table()
        self.assertEqual(self.ingest(table, rows(1, 2), "replace"), 2)
        self.assertEqual(self.ingest(table, pa.table({"id": [7], "other": [0.5]}), "replace"), 1)
        self.assertEqual(self.query(f"SELECT * FROM {table}"), [(7, 0.5)])

    def test_create_append(self):
        table = self.table()
        self.assertEqual(self.ingest(table, rows(1, 2), "create_append"), 2)
        self.assertEqual(self.ingest(table, rows(3), "create_append"), 1)
        self.assertEqual(self.ids(table), [1, 2, 3])

    def test_no_rows(self):
        empty = pa.RecordBatch.from_pylist([], schema=rows().schema)
        for mode in ("create", "replace", "create_append"):
            table = self.table()
            self.assertEqual(self.ingest(table, empty, mode), 0)
            self.assertEqual(self.arrow(f"SELECT * FROM {table}").schema.names, ["id", "words"])
        self.assertEqual(self.ingest(table, empty, "append"), 0)

    def test_no_batches(self):
        """Without a batch the driver sends nothing, not even the name of the table."""
        table = self.table()
        self.fails("INVALID_ARGUMENT", "the stream is empty", self.ingest, table, rows())
        self.assertFalse(self.exists(table))

    def test_reader(self):
        """A stream of many batches."""
        table = self.table()
        batches = (rows(*range(i * 1000, i * 1000 + 1000)).to_batches()[0] for i in range(200))
        reader = pa.RecordBatchReader.from_batches(rows().schema, batches)
        self.assertEqual(self.ingest(table, reader), 200_000)
        self.assertEqual(self.query(f"SELECT count(*), sum(id) FROM {table}"), [(200_000, 200_000 * 199_999 // 2)])

    def test_columns_by_name(self):
        """Columns of an existing table are found by name; those that the data lacks get their default."""
        table = self.table("id BIGINT, words TEXT DEFAULT 'none', number INT")
        self.assertEqual(self.ingest(table, pa.table({"number": pa.array([5], pa.int32()), "id": [1]}), "append"), 1)
        self.assertEqual(self.query(f"SELECT id, words, number FROM {table}"), [(1, "none", 5)])
        self.fails("INVALID_ARGUMENT", "nosuch", self.ingest, table, pa.table({"id": [1], "nosuch": [2]}), "append")

    def test_types_that_fit(self):
        """Data of another width, text views and dictionaries go into the columns that are there."""
        table = self.table("id INT, words TEXT, x DOUBLE PRECISION, v vector(2)")
        data = pa.table({
            "id": pa.array([1, 2], pa.int64()),
            "words": pa.array(["a", "b"]).dictionary_encode(),
            "x": pa.array([0.5, None], pa.float32()),
            "v": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64())),
        })
        self.assertEqual(self.ingest(table, data, "append"), 2)
        self.assertEqual(self.query(f"SELECT * FROM {table} ORDER BY id"),
                         [(1, "a", 0.5, [1.0, 2.0]), (2, "b", None, [3.0, 4.0])])

    def test_dictionary_and_large_types(self):
        table = self.table()
        data = pa.table({
            "a": pa.array(["x", None, "x"]).dictionary_encode(),
            "b": pa.array(["p", "q", None], pa.large_string()),
            "c": pa.array([b"p", b"", None], pa.large_binary()),
            "d": pa.array(["p", "a longer text than fits", None], pa.string_view()),
        })
        self.assertEqual(self.ingest(table, data), 3)
        self.assertEqual(self.query(f"SELECT * FROM {table} ORDER BY b"),
                         [("x", "p", b"p", "p"), (None, "q", b"", "a longer text than fits"), ("x", None, None, None)])

    def test_vectors(self):
        """A fixed-size list of floats becomes a vector column that searches."""
        table = self.table()
        flat = pa.array(np.arange(12, dtype=np.float32))
        data = pa.table({"id": [1, 2, 3], "v": pa.FixedSizeListArray.from_arrays(flat, 4)})
        self.assertEqual(self.ingest(table, data), 3)
        self.assertEqual(self.arrow(f"SELECT v FROM {table}").schema.field("v").type, vector_type(4))
        nearest = self.query(f"SELECT id FROM {table} ORDER BY v <-> ? LIMIT 1", ([4.0, 5.0, 6.0, 8.0],))
        self.assertEqual(nearest, [(2,)])

    def test_wrong_vectors(self):
        table = self.table("id INT, v vector(3)")
        cases = [([[1.0, 2.0]], "dimensions"), ([[1.0, 2.0, float("nan")]], "NaN"), ([[1.0, 2.0, None]], "NULL")]
        for bad, sentence in cases:
            data = pa.table({"id": [1], "v": pa.array(bad, pa.list_(pa.float32()))})
            self.fails("INVALID_ARGUMENT", sentence, self.ingest, table, data, "append")
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 0)

    def test_names_and_schemas(self):
        schema = self.name("app")
        self.run_sql(f"CREATE SCHEMA {schema}")
        self.addCleanup(self.run_sql, f"DROP SCHEMA {schema} CASCADE")
        self.assertEqual(self.ingest("My Table; DROP", rows(1), db_schema_name=schema, catalog_name="volley"), 1)
        self.assertEqual(self.query(f'SELECT id FROM {schema}."My Table; DROP"'), [(1,)])
        self.fails("NOT_FOUND", "nosuch", lambda: self.ingest("t", rows(1), db_schema_name="nosuch"))
        self.fails("NOT_FOUND", "nosuch", lambda: self.ingest("t", rows(1), catalog_name="nosuch"))
        self.db.adbc_current_db_schema = schema
        self.assertEqual(self.ingest("here", rows(1)), 1)
        self.assertEqual(self.query(f"SELECT id FROM {schema}.here"), [(1,)])

    def test_temporary(self):
        with self.assertRaises(adbc.NotSupportedError):
            self.ingest(self.table(), rows(1), temporary=True)
        self.assertEqual(self.value("SELECT 1"), 1)

    def test_pandas(self):
        times = pd.to_datetime(["2024-02-29", None])
        frame = pd.DataFrame({"id": [1, 2], "words": ["a", None], "x": [0.5, 1.5], "t": times})
        table = self.table()
        self.assertEqual(frame.to_sql(table, self.db, index=False), 2)
        read = pd.read_sql(f"SELECT * FROM {table} ORDER BY id", self.db)
        self.assertEqual(list(read.columns), ["id", "words", "x", "t"])
        self.assertEqual(read["words"][0], "a")
        self.assertTrue(pd.isna(read["words"][1]) and pd.isna(read["t"][1]))
        self.assertEqual((read["x"][1], read["t"][0]), (1.5, pd.Timestamp("2024-02-29")))
        self.assertEqual(frame.to_sql(table, self.db, index=False, if_exists="append"), 2)
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 4)
        self.assertEqual(frame.to_sql(table, self.db, index=False, if_exists="replace"), 2)
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 2)

    def test_polars(self):
        frame = pl.DataFrame({"id": [1, 2], "words": ["a", None], "v": [[1.0, 2.0], [3.0, 4.0]]},
                             schema={"id": pl.Int64, "words": pl.String, "v": pl.Array(pl.Float32, 2)})
        table = self.table()
        self.assertEqual(frame.write_database(table, self.db, engine="adbc"), 2)
        read = pl.read_database(f"SELECT * FROM {table} ORDER BY id", self.db)
        self.assertEqual(read.rows(), [(1, "a", [1.0, 2.0]), (2, None, [3.0, 4.0])])
        self.assertEqual(read.schema["v"], pl.Array(pl.Float32, 2))
        self.assertEqual(frame.write_database(table, self.db, engine="adbc", if_table_exists="append"), 2)
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 4)


class FailedIngest(ClientTest):
    """Whatever ends a load half way, nothing of it is to be seen."""

    def broken(self, good):
        """Batches, and then an error of the client itself."""
        def batches():
            for i in range(good):
                yield rows(*range(i * 100, i * 100 + 100)).to_batches()[0]
            raise RuntimeError("the source broke")
        return pa.RecordBatchReader.from_batches(rows().schema, batches())

    def fails_to_ingest(self, table, data, mode, sentence):
        with connect() as db, db.cursor() as cursor:
            with self.assertRaises(Exception) as caught:
                cursor.adbc_ingest(table, data, mode=mode)
        self.assertIn(sentence, str(caught.exception))
        return caught.exception

    def test_a_reader_that_raises(self):
        for good in (0, 1, 50):
            for mode in ("create", "create_append"):
                table = self.table()
                self.fails_to_ingest(table, self.broken(good), mode, "the source broke")
                self.stays(lambda: self.exists(table), False)
        table = self.table("id BIGINT, words TEXT")
        self.run_sql(f"INSERT INTO {table} VALUES (-1, 'before')")
        for mode in ("append", "replace", "create_append"):
            self.fails_to_ingest(table, self.broken(20), mode, "the source broke")
            self.stays(lambda: self.query(f"SELECT * FROM {table}"), [(-1, "before")])

    def stays(self, look, wanted):
        """What is to be seen now and a moment later, when the server has noticed that the client gave up."""
        for _ in range(4):
            self.assertEqual(look(), wanted)
            time.sleep(0.15)

    def test_constraints(self):
        table = self.table("id BIGINT PRIMARY KEY, words TEXT NOT NULL")
        self.run_sql(f"INSERT INTO {table} VALUES (150, 'before')")
        good = [rows(*range(i * 100, i * 100 + 100)).to_batches()[0] for i in range(10)]
        null = pa.RecordBatch.from_pydict({"id": pa.array([5000], pa.int64()), "words": pa.array([None], pa.string())})
        stream = pa.RecordBatchReader.from_batches(null.schema, good[:1] + [null])
        missing = 'null value in column "words" violates its NOT NULL constraint'
        error = self.fails_to_ingest(table, stream, "append", missing)
        self.assertEqual(error.status_code.name, "UNKNOWN")
        stream = pa.RecordBatchReader.from_batches(null.schema, good)
        error = self.fails_to_ingest(table, stream, "append", "duplicate key value violates primary key: (id)=(150)")
        self.assertEqual(error.status_code.name, "ALREADY_EXISTS")
        stream = pa.RecordBatchReader.from_batches(null.schema, [good[5], good[6], good[5]])
        self.fails_to_ingest(table, stream, "append", "duplicate key value violates primary key: (id)=(500)")
        self.stays(lambda: self.query(f"SELECT * FROM {table}"), [(150, "before")])

    def test_a_value_that_does_not_fit(self):
        table = self.table("id SMALLINT, words TEXT")
        stream = pa.table({"id": [1, 70_000], "words": ["a", "b"]})
        self.fails_to_ingest(table, stream, "append", "70000")
        self.stays(lambda: self.value(f"SELECT count(*) FROM {table}"), 0)

    def test_a_client_that_is_killed(self):
        """kill -9 in the middle of the stream."""
        for mode in ("create", "append", "replace"):
            table = self.table()
            if mode != "create":
                self.run_sql(f"CREATE TABLE {table} (id BIGINT, words TEXT)")
                self.run_sql(f"INSERT INTO {table} VALUES (-1, 'before')")
            client = subprocess.Popen([sys.executable, "-c", ENDLESS, table, mode], stdout=subprocess.PIPE,
                                      cwd=os.path.dirname(os.path.abspath(__file__)))
            try:
                self.assertEqual(client.stdout.readline(), b"sending\n")
                time.sleep(0.3)
            finally:
                client.send_signal(signal.SIGKILL)
                client.wait()
                client.stdout.close()
            if mode == "create":
                self.stays(lambda: self.exists(table), False)
            else:
                self.stays(lambda: self.query(f"SELECT * FROM {table}"), [(-1, "before")])
            # The name is free: nothing of the dead client is in the way.
            with self.db.cursor() as cursor:
                self.assertEqual(cursor.adbc_ingest(table, rows(1), mode="create" if mode == "create" else "append"), 1)


# Sends batches for ever and says so once a good number of them went out.
ENDLESS = textwrap.dedent("""
    import sys
    import pyarrow as pa
    from common import connect

    batch = pa.RecordBatch.from_pydict({"id": pa.array(range(1000), pa.int64()), "words": ["x" * 100] * 1000})

    def batches():
        sent = 0
        while True:
            yield batch
            sent += 1
            if sent == 100:
                print("sending", flush=True)

    with connect() as db, db.cursor() as cursor:
        cursor.adbc_ingest(sys.argv[1], pa.RecordBatchReader.from_batches(batch.schema, batches()), mode=sys.argv[2])
""")


if __name__ == "__main__":
    unittest.main()
