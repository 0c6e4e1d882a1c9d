"""Several connections at once, and what a connection promises about transactions."""

import threading
import unittest
import warnings

import adbc_driver_manager as adbc
import pyarrow as pa

from common import ClientTest, connect


class Connections(ClientTest):
    def test_two_connections(self):
        """What one connection did is there for the other at once."""
        table = self.table("id INT PRIMARY KEY")
        with connect() as other, other.cursor() as cursor:
            self.run_sql(f"INSERT INTO {table} VALUES (1)")
            cursor.execute(f"SELECT * FROM {table}")
            self.assertEqual(cursor.fetchall(), [(1,)])
            cursor.execute(f"DELETE FROM {table}")
            self.assertEqual(self.query(f"SELECT * FROM {table}"), [])

    def test_eight_threads(self):
        """Each writes and reads its own rows and all see all of them in the end."""
        table = self.table("thread INT, id INT, words TEXT, PRIMARY KEY (thread, id)")
        wrong = []

        def work(thread):
            try:
                with connect() as db, db.cursor() as cursor:
                    for id in range(20):
                        cursor.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", (thread, id, f"{thread}/{id}"))
                        cursor.execute(f"SELECT words FROM {table} WHERE thread = ? AND id = ?", (thread, id))
                        if cursor.fetchall() != [(f"{thread}/{id}",)]:
                            wrong.append((thread, id))
                        cursor.execute(f"SELECT count(*) FROM {table} WHERE thread = ?", (thread,))
                        if cursor.fetchall() != [(id + 1,)]:
                            wrong.append((thread, id, "count"))
            except Exception as error:
                wrong.append((thread, error))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(self.query(f"SELECT count(*), count(DISTINCT thread) FROM {table}"), [(160, 8)])

    def test_one_key_once(self):
        """Of eight clients that insert the same key, one succeeds and seven learn why not."""
        table = self.table("id INT PRIMARY KEY, thread INT")
        outcomes = []
        start = threading.Barrier(8)

        def work(thread):
            with connect() as db, db.cursor() as cursor:
                start.wait()
                try:
                    cursor.execute(f"INSERT INTO {table} VALUES (1, ?)", (thread,))
                    outcomes.append("inserted")
                except adbc.ProgrammingError as error:
                    outcomes.append(error.status_code.name)
                except Exception as error:
                    outcomes.append(str(error))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(outcomes), ["ALREADY_EXISTS"] * 7 + ["inserted"])
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 1)

    def test_readers_see_whole_commits(self):
        """While batches of 100 rows come in, every count is a multiple of 100."""
        table = self.table("id BIGINT")
        stop = threading.Event()
        seen = []

        def read():
            with connect() as db, db.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute(f"SELECT count(*) FROM {table}")
                    seen.append(cursor.fetchone()[0])

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for i in range(20):
                batch = pa.table({"id": pa.array(range(i * 100, i * 100 + 100), pa.int64())})
                self.cursor.adbc_ingest(table, batch, mode="append")
        finally:
            stop.set()
            reader.join()
        self.assertEqual([count for count in seen if count % 100], [])
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 2000)

    def test_many_connections(self):
        """Connections come and go without leaving anything behind that would stop the next."""
        for i in range(60):
            with connect() as db, db.cursor() as cursor:
                cursor.execute("SELECT ?::int", (i,))
                self.assertEqual(cursor.fetchall(), [(i,)])

    def test_many_cursors(self):
        cursors = [self.db.cursor() for _ in range(100)]
        for i, cursor in enumerate(cursors):
            cursor.execute("SELECT ?::int", (i,))
        for i, cursor in enumerate(cursors):
            self.assertEqual(cursor.fetchall(), [(i,)])
            cursor.close()


class Transactions(ClientTest):
    def test_autocommit_cannot_be_switched_off(self):
        """DB-API wants it off; the driver warns, because the server does not claim what it cannot do."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with connect(autocommit=False) as db:
                table = self.table("id INT")
                with db.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {table} VALUES (1)")
                db.rollback()
        self.assertIn("Cannot disable autocommit", " ".join(str(warning.message) for warning in caught))
        self.assertEqual(self.query(f"SELECT * FROM {table}"), [(1,)])

    def test_begin_by_sql(self):
        for sql in ("BEGIN", "START TRANSACTION", "SAVEPOINT a"):
            self.fails("NOT_IMPLEMENTED", "not supported", self.query, sql)


if __name__ == "__main__":
    unittest.main()
