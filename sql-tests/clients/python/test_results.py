"""How results reach a client: streams, partitions, frames, and clients that stop half way."""

import threading
import time
import unittest

import adbc_driver_manager as adbc
import duckdb
import polars as pl
import pyarrow as pa

from common import ClientTest, connect

SLOW = "SELECT count(*) FROM generate_series(1, 300000) a, generate_series(1, 300000) b"
# 200 MB, far more than fits into the buffers between the two sides.
LARGE = "SELECT value, repeat('x', 200) AS words FROM generate_series(1, 1000000)"


class Results(ClientTest):
    def test_stream(self):
        self.cursor.execute("SELECT value FROM generate_series(1, 100000) ORDER BY value")
        reader = self.cursor.fetch_record_batch()
        self.assertEqual(reader.schema, pa.schema([pa.field("value", pa.int64())]))
        batches = list(reader)
        self.assertGreater(len(batches), 1)
        values = pa.Table.from_batches(batches)["value"].to_pylist()
        self.assertEqual(values, list(range(1, 100001)))

    def test_large_result(self):
        self.cursor.execute(LARGE)
        rows = total = 0
        for batch in self.cursor.fetch_record_batch():
            rows += batch.num_rows
            total += pa.compute.sum(batch["value"]).as_py()
        self.assertEqual((rows, total), (1_000_000, 500_000_500_000))

    def test_wide_rows(self):
        """One value larger than gRPC's usual limit of 4 MB for a message."""
        self.assertEqual(len(self.value("SELECT repeat('x', 10000000)")), 10_000_000)
        batch = self.arrow("SELECT value, repeat('y', 1000000) AS words FROM generate_series(1, 40)")
        self.assertEqual(batch.num_rows, 40)

    def test_order(self):
        table = self.table("id INT, part INT")
        for part in range(4):
            self.run_sql(f"INSERT INTO {table} SELECT value * 4 + {part}, {part} FROM generate_series(0, 9999)")
        rows = self.query(f"SELECT id FROM {table} ORDER BY id")
        self.assertEqual(rows, [(i,) for i in range(40_000)])

    def test_pandas(self):
        table = self.table("id INT, words TEXT, x REAL")
        self.run_sql(f"INSERT INTO {table} VALUES (1, 'a', 0.5), (2, NULL, NULL)")
        self.cursor.execute(f"SELECT * FROM {table} ORDER BY id")
        frame = self.cursor.fetch_df()
        self.assertEqual(frame.shape, (2, 3))
        self.assertEqual(frame["id"].tolist(), [1, 2])
        self.assertEqual(frame["x"].isna().tolist(), [False, True])

    def test_polars(self):
        frame = pl.read_database("SELECT value, value * 2 AS twice FROM generate_series(1, 3) ORDER BY value", self.db)
        self.assertEqual(frame.rows(), [(1, 2), (2, 4), (3, 6)])
        frame = pl.read_database("SELECT value FROM generate_series(1, 9) WHERE value > ?", self.db,
                                 execute_options={"parameters": [7]})
        self.assertEqual(sorted(frame.rows()), [(8,), (9,)])

    def test_duckdb(self):
        """A stream from the server, joined with a table of DuckDB."""
        table = self.table("id INT, words TEXT")
        self.run_sql(f"INSERT INTO {table} VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        self.cursor.execute(f"SELECT * FROM {table}")
        with duckdb.connect() as duck:
            stream = duckdb.from_arrow(self.cursor.fetch_record_batch(), connection=duck)
            duck.sql("CREATE TABLE prices AS SELECT * FROM (VALUES (1, 10.5), (3, 30.5)) AS p(id, price)")
            rows = duck.sql("SELECT words, price::DOUBLE FROM stream JOIN prices USING (id) ORDER BY id").fetchall()
        self.assertEqual(rows, [("one", 10.5), ("three", 30.5)])

    def test_closed_in_the_middle(self):
        for _ in range(3):
            with self.db.cursor() as cursor:
                cursor.execute(LARGE)
                cursor.fetchone()
            self.assertEqual(self.value("SELECT 1"), 1)
        self.nothing_runs()

    def test_new_query_in_the_middle(self):
        self.cursor.execute(LARGE)
        self.cursor.fetchone()
        self.cursor.execute("SELECT 5")
        self.assertEqual(self.cursor.fetchall(), [(5,)])

    def test_connection_closed_in_the_middle(self):
        with connect() as db:
            cursor = db.cursor()
            cursor.execute(LARGE)
            cursor.fetchone()
            cursor.close()
        self.assertEqual(self.value("SELECT 1"), 1)
        self.nothing_runs()

    def test_two_results_at_once(self):
        """Two cursors of one connection, read in turn."""
        sql = "SELECT value FROM generate_series(1, 50000) ORDER BY value"
        with self.db.cursor() as one, self.db.cursor() as two:
            one.execute(sql)
            two.execute(sql)
            for i in range(1, 50001, 500):
                rows = [(j,) for j in range(i, i + 500)]
                self.assertEqual(one.fetchmany(500), rows)
                self.assertEqual(two.fetchmany(500), rows)

    def test_cancel(self):
        """A cancel from another thread ends the query within a moment, for the client and on the server."""
        timer = threading.Timer(0.7, self.cursor.adbc_cancel)
        started = time.monotonic()
        timer.start()
        with self.assertRaises(adbc.OperationalError) as caught:
            self.cursor.execute(SLOW)
            self.cursor.fetchall()
        timer.join()
        self.assertEqual(caught.exception.status_code.name, "CANCELLED", str(caught.exception))
        self.assertLess(time.monotonic() - started, 5)
        self.assertEqual(self.value("SELECT 1"), 1)
        self.nothing_runs()

    def test_cancel_while_fetching(self):
        self.cursor.execute(LARGE)
        reader = self.cursor.fetch_record_batch()
        reader.read_next_batch()
        self.cursor.adbc_cancel()
        with self.assertRaises(Exception):
            for _ in reader:
                pass
        self.assertEqual(self.value("SELECT 1"), 1)
        self.nothing_runs()

    def nothing_runs(self):
        """No statement of these tests is still at work on the server, after a moment to notice."""
        deadline = time.monotonic() + 5
        while True:
            running = self.query("SELECT statement FROM volley.queries")
            busy = [row[0] for row in running if row[0] in (SLOW, LARGE)]
            if not busy:
                return
            self.assertLess(time.monotonic(), deadline, f"still running: {busy}")
            time.sleep(0.1)


class Partitions(ClientTest):
    def read(self, partitions):
        """The rows of the partitions, each read over a connection of its own."""
        rows = []
        for partition in partitions:
            with connect() as db, db.cursor() as cursor:
                cursor.adbc_read_partition(partition)
                rows += cursor.fetchall()
        return rows

    def test_partitions(self):
        partitions, schema = self.cursor.adbc_execute_partitions("SELECT value FROM generate_series(1, 50000)")
        self.assertEqual(schema, pa.schema([pa.field("value", pa.int64())]))
        self.assertGreaterEqual(len(partitions), 1)
        self.assertEqual(sorted(self.read(partitions)), [(i,) for i in range(1, 50001)])

    def test_side_by_side(self):
        """With `volley.parallel_endpoints` a table comes in parts, which together are the table."""
        table = self.table("id BIGINT")
        for i in range(8):
            self.run_sql(f"INSERT INTO {table} SELECT value + {i * 50_000} FROM generate_series(1, 50000)")
        self.run_sql("SET volley.parallel_endpoints = on")
        partitions, _ = self.cursor.adbc_execute_partitions(f"SELECT id FROM {table}")
        self.assertGreater(len(partitions), 1)
        self.assertEqual(sorted(self.read(partitions)), [(i,) for i in range(1, 400_001)])
        # One result of several parts is read as one, too, and an order stays one.
        self.assertEqual(self.query(f"SELECT count(*), sum(id) FROM {table}"), [(400_000, 400_000 * 400_001 // 2)])
        self.assertEqual(len(self.query(f"SELECT id FROM {table}")), 400_000)
        self.assertEqual(self.query(f"SELECT id FROM {table} ORDER BY id LIMIT 50000"), [(i,) for i in range(1, 50_001)])

    def test_read_again(self):
        """An endpoint can be read again, as a client does after a lost connection."""
        partitions, _ = self.cursor.adbc_execute_partitions("SELECT value FROM generate_series(1, 10)")
        first = self.read(partitions)
        self.assertEqual(len(first), 10)
        self.assertEqual(sorted(self.read(partitions)), sorted(first))

    def test_parameters(self):
        partitions, _ = self.cursor.adbc_execute_partitions("SELECT ?::int + 1", (41,))
        self.assertEqual(self.read(partitions), [(42,)])

    def test_changes_run_once(self):
        table = self.table("id INT")
        partitions, _ = self.cursor.adbc_execute_partitions(f"INSERT INTO {table} VALUES (1)")
        self.read(partitions)
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 1)

    def test_forged_ticket(self):
        partitions, _ = self.cursor.adbc_execute_partitions("SELECT 12345 AS secret")
        forged = bytearray(partitions[0])
        # The last third holds the ticket's end in every layout of the message.
        position = len(forged) * 2 // 3
        forged[position] ^= 0x55
        with self.assertRaises(adbc.Error):
            self.read([bytes(forged)])

    def test_schema_without_running(self):
        table = self.table("id BIGINT, words TEXT")
        schema = self.cursor.adbc_execute_schema(f"SELECT id, words || '!' AS loud FROM {table}")
        self.assertEqual([(f.name, str(f.type)) for f in schema], [("id", "int64"), ("loud", "string")])
        started = time.monotonic()
        schema = self.cursor.adbc_execute_schema(SLOW)
        self.assertEqual([str(f.type) for f in schema], ["int64"])
        self.assertLess(time.monotonic() - started, 2)

    def test_incremental(self):
        """PollFlightInfo: partitions as they become ready, until there are no more."""
        with self.db.cursor(adbc_stmt_kwargs={"adbc.statement.exec.incremental": "true"}) as cursor:
            rows = []
            for _ in range(100):
                partitions, _ = cursor.adbc_execute_partitions("SELECT value FROM generate_series(1, 1000)")
                if not partitions:
                    break
                rows += self.read(partitions)
            self.assertEqual(sorted(rows), [(i,) for i in range(1, 1001)])


if __name__ == "__main__":
    unittest.main()
