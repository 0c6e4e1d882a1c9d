"""Queries, changes, their counts and their parameters."""

import unittest
from decimal import Decimal

import adbc_driver_manager as adbc
import pyarrow as pa

from common import ClientTest


class Statements(ClientTest):
    def test_select(self):
        self.cursor.execute("SELECT 1 AS one, 'two' AS two, NULL AS three")
        self.assertEqual([column[0] for column in self.cursor.description], ["one", "two", "three"])
        self.assertEqual(self.cursor.rowcount, 1)
        self.assertEqual(self.cursor.fetchall(), [(1, "two", None)])

    def test_fetching(self):
        self.cursor.execute("SELECT value FROM generate_series(1, 10) ORDER BY value")
        self.assertEqual(self.cursor.fetchone(), (1,))
        self.assertEqual(self.cursor.fetchmany(3), [(2,), (3,), (4,)])
        self.assertEqual(self.cursor.rownumber, 4)
        self.assertEqual(next(self.cursor), (5,))
        self.assertEqual(self.cursor.fetchall(), [(6,), (7,), (8,), (9,), (10,)])
        self.assertIsNone(self.cursor.fetchone())

    def test_comments_and_semicolons(self):
        self.assertEqual(self.value("-- what?\nSELECT /* $1 ? */ 1 ; "), 1)
        self.assertEqual(self.value("SELECT '?$1' AS \"a?\""), "?$1")

    def test_empty_result_keeps_its_schema(self):
        table = self.table("id BIGINT PRIMARY KEY, words TEXT, v vector(4)")
        for sql in (f"SELECT * FROM {table}", f"SELECT * FROM {table} WHERE id < 0", f"SELECT * FROM {table} LIMIT 0"):
            answer = self.arrow(sql)
            self.assertEqual(answer.num_rows, 0)
            self.assertEqual(answer.schema.names, ["id", "words", "v"])
            self.assertEqual([str(kind) for kind in answer.schema.types],
                             ["int64", "string", "fixed_size_list<item: float not null>[4]"])

    def test_statements_without_a_result(self):
        name = self.name()
        for sql in (f"CREATE TABLE {name} (id INT)", f"INSERT INTO {name} VALUES (1)", f"DELETE FROM {name}",
                    f"DROP TABLE {name}", "SET volley.recall_target = 0.9"):
            self.cursor.execute(sql)
            self.assertEqual(self.cursor.description, [], sql)
            self.assertEqual(self.cursor.fetchall(), [], sql)

    def test_statements_run_once(self):
        """The driver prepares, executes and fetches; only one of these may change anything."""
        table = self.table("id INT")
        self.cursor.execute(f"INSERT INTO {table} VALUES (1), (2)")
        self.cursor.fetchall()
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 2)
        self.cursor.execute(f"INSERT INTO {table} SELECT id + 10 FROM {table}")
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 4)
        self.cursor.adbc_prepare(f"DELETE FROM {table}")
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 4)

    def test_row_counts(self):
        table = self.table("id INT PRIMARY KEY, part INT")
        self.assertEqual(self.run_sql(f"INSERT INTO {table} VALUES (1, 1), (2, 1), (3, 2)"), 3)
        self.assertEqual(self.run_sql(f"INSERT INTO {table} SELECT id + 10, part FROM {table}"), 3)
        self.assertEqual(self.run_sql(f"DELETE FROM {table} WHERE part = 1"), 4)
        self.assertEqual(self.run_sql(f"DELETE FROM {table} WHERE part = 1"), 0)
        self.assertEqual(self.run_sql(f"DELETE FROM {table}"), 2)

    def test_executescript(self):
        name = self.table()
        self.cursor.executescript(f"CREATE TABLE {name} (id INT)")
        self.cursor.executescript(f"INSERT INTO {name} VALUES (5)")
        self.assertEqual(self.query(f"SELECT * FROM {name}"), [(5,)])

    def test_statements_of_tools(self):
        self.assertTrue(self.value("SELECT version()").startswith("Volley "))
        self.assertEqual(self.query("SELECT current_database(), current_schema()"), [("volley", "public")])
        self.assertEqual(self.query('SELECT "x"."a" FROM (SELECT 1 AS "a") AS "x" LIMIT 0'), [])
        table = self.table("id INT")
        self.assertEqual(self.query(f'SELECT * FROM "volley"."public"."{table}"'), [])
        tables = [row[1] for row in self.query("SHOW TABLES")]
        self.assertIn(table, tables)

    def test_explain(self):
        table = self.table("id INT, v vector(2)")
        plan = "\n".join(row[-1] for row in
                         self.query(f"EXPLAIN SELECT id FROM {table} ORDER BY v <-> '[1,2]' LIMIT 3"))
        self.assertIn("VectorTopK", plan)


class Parameters(ClientTest):
    def test_dollars(self):
        self.assertEqual(self.query("SELECT $2::int - $1::int, $1::int", (1, 10)), [(9, 1)])

    def test_question_marks(self):
        self.assertEqual(self.query("SELECT ?::int - ?::int", (10, 1)), [(9,)])

    def test_without_a_cast(self):
        for value in (5, 2.5, "words", True):
            self.assertEqual(self.value("SELECT ?", (value,)), value)

    def test_null(self):
        self.assertEqual(self.query("SELECT ?::text, ? IS NULL", (None, None)), [(None, True)])

    def test_places_of_parameters(self):
        table = self.table("id INT, words TEXT")
        self.run_sql(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, NULL)")
        self.assertEqual(self.query(f"SELECT id FROM {table} WHERE words = ?", ("b",)), [(2,)])
        self.assertEqual(self.query(f"SELECT id FROM {table} WHERE id IN (?, ?) ORDER BY id", (3, 1)), [(1,), (3,)])
        self.assertEqual(self.query(f"SELECT id FROM {table} WHERE id BETWEEN $1 AND $2 ORDER BY id", (2, 3)),
                         [(2,), (3,)])
        self.assertEqual(self.query(f"SELECT id FROM {table} ORDER BY id LIMIT ? OFFSET ?", (2, 1)), [(2,), (3,)])
        self.assertEqual(self.query(f"SELECT id FROM {table} WHERE words LIKE ?", ("%c",)), [(3,)])
        self.assertEqual(self.query(f"SELECT id FROM {table} WHERE id = (SELECT max(id) FROM {table} WHERE id < ?)",
                                    (3,)), [(2,)])

    def test_values_of_another_width(self):
        """A Python number is a 64-bit one, whatever the column is."""
        table = self.table("a SMALLINT, b INT, c REAL, d NUMERIC(8, 2), e TEXT, f DATE")
        self.assertEqual(self.run_sql(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)",
                                      (1, 2, 0.5, 3, "four", "2024-02-29")), 1)
        [row] = self.query(f"SELECT a, b, c, d, e, f::text FROM {table} WHERE a = ? AND d = ?", (1, 3))
        self.assertEqual(row, (1, 2, 0.5, Decimal("3.00"), "four", "2024-02-29"))

    def test_a_value_that_does_not_fit(self):
        table = self.table("a SMALLINT")
        with self.assertRaises(Exception) as caught:
            self.run_sql(f"INSERT INTO {table} VALUES (?)", (70000,))
        self.assertIn("70000", str(caught.exception))
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 0)

    def test_wrong_number(self):
        one, two = "the statement takes 1 parameter", "the statement takes 2 parameters"
        self.fails("INVALID_ARGUMENT", one, self.query, "SELECT ?::int", (1, 2))
        self.fails("INVALID_ARGUMENT", two, self.query, "SELECT ?::int + ?::int", (1,))
        self.fails("INVALID_ARGUMENT", one, self.query, "SELECT ?::int")

    def test_prepared_once(self):
        """One statement, executed with one row of values after the other."""
        table = self.table("id INT PRIMARY KEY, words TEXT")
        for i in range(20):
            self.cursor.execute(f"INSERT INTO {table} VALUES (?, ?)", (i, f"number {i}"))
            self.assertEqual(self.cursor.rowcount, 1)
        for i in range(20):
            self.cursor.execute(f"SELECT words FROM {table} WHERE id = ?", (i,))
            self.assertEqual(self.cursor.fetchall(), [(f"number {i}",)])

    def test_prepared_before_a_change(self):
        """A statement that is prepared sees the table as it is when it runs."""
        table = self.table("id INT")
        sql = f"SELECT * FROM {table}"
        self.cursor.execute(sql)
        self.assertEqual(self.cursor.fetchall(), [])
        self.run_sql(f"INSERT INTO {table} VALUES (1)")
        self.cursor.execute(sql)
        self.assertEqual(self.cursor.fetchall(), [(1,)])

    def test_parameter_schema(self):
        table = self.table("id BIGINT, words TEXT, v vector(3)")
        schema = self.cursor.adbc_prepare(f"INSERT INTO {table} VALUES (?, ?, ?)")
        self.assertEqual([str(kind) for kind in schema.types],
                         ["int64", "string", "fixed_size_list<item: float not null>[3]"])
        schema = self.cursor.adbc_prepare(f"SELECT id FROM {table} WHERE words = $2 ORDER BY v <=> $1 LIMIT 3")
        self.assertEqual([str(kind) for kind in schema.types],
                         ["fixed_size_list<item: float not null>[3]", "string"])

    def test_a_query_for_each_row_of_parameters(self):
        batch = pa.RecordBatch.from_pydict({"0": [1, 2, 3]})
        self.assertEqual(self.query("SELECT ?::bigint * 10 AS x", batch), [(10,), (20,), (30,)])

    def test_executemany_counts(self):
        table = self.table("id INT PRIMARY KEY, words TEXT")
        self.cursor.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(i, str(i)) for i in range(1000)])
        self.assertEqual(self.cursor.rowcount, 1000)
        self.cursor.executemany(f"DELETE FROM {table} WHERE id = ?", [(1,), (2,), (5000,), (3,)])
        self.assertEqual(self.cursor.rowcount, 3)
        self.assertEqual(self.query(f"SELECT count(*), min(id), max(id) FROM {table}"), [(997, 0, 999)])
        self.cursor.executemany(f"INSERT INTO {table} VALUES (?, ?)", [])
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 997)

    def test_executemany_is_all_or_nothing(self):
        table = self.table("id INT PRIMARY KEY, words TEXT NOT NULL")
        sql = f"INSERT INTO {table} VALUES (?, ?)"
        self.fails("ALREADY_EXISTS", "duplicate key value violates primary key: (id)=(2)", self.cursor.executemany, sql,
                   [(1, "a"), (2, "b"), (2, "c"), (3, "d")])
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 0)
        self.fails("UNKNOWN", 'null value in column "words"', self.cursor.executemany, sql, [(1, "a"), (2, None)])
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 0)
        self.cursor.executemany(sql, [(1, "a"), (2, "b")])
        self.assertEqual(self.value(f"SELECT count(*) FROM {table}"), 2)

    def test_no_names(self):
        """Parameters have no names: the driver refuses a dictionary."""
        with self.assertRaises(adbc.NotSupportedError):
            self.query("SELECT $1::int", {"1": 5})
        self.assertEqual(self.value("SELECT 1"), 1)


if __name__ == "__main__":
    unittest.main()
