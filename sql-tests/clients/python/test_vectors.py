"""Vectors: stored, bound in every form a client has, searched, and refused where they are wrong."""

import unittest

import numpy as np
import pyarrow as pa

from common import ClientTest, vector_type, vectors

ROWS = [(1, [1.0, 0.0, 0.0]), (2, [0.0, 1.0, 0.0]), (3, [0.9, 0.1, 0.0]), (4, None), (5, [0.0, 0.0, 3.0])]
# Forms that cannot hold every 32-bit float.
INEXACT = ("list of int", "Arrow half floats")


class Vectors(ClientTest):
    def setUp(self):
        super().setUp()
        self.docs = self.table("id INT PRIMARY KEY, v vector(3)")
        columns = [pa.array([id for id, _ in ROWS]), vectors([v for _, v in ROWS], 3)]
        self.cursor.executemany(f"INSERT INTO {self.docs} VALUES (?, ?)", pa.RecordBatch.from_arrays(columns, ["0", "1"]))

    def forms(self, values):
        """A query vector in each form that a client binds."""
        return {
            "list": values,
            "list of int": [int(v) for v in values],
            "float32": np.array(values, np.float32),
            "float64": np.array(values, np.float64),
            "text": str(values),
            "Arrow fixed-size list": pa.scalar(values, vector_type(len(values))),
            "Arrow fixed-size list of nullable": pa.scalar(values, pa.list_(pa.float32(), len(values))),
            "Arrow list": pa.scalar(values, pa.list_(pa.float32())),
            "Arrow large list": pa.scalar(values, pa.large_list(pa.float64())),
            "Arrow large text": pa.scalar(str(values), pa.large_string()),
            "Arrow half floats": pa.scalar([np.float16(v) for v in values], pa.list_(pa.float16(), len(values))),
        }

    def test_stored(self):
        answer = self.arrow(f"SELECT v FROM {self.docs} ORDER BY id")
        self.assertEqual(answer.schema.field("v").type, vector_type(3))
        self.assertEqual(answer["v"].combine_chunks(), vectors([v for _, v in ROWS], 3))

    def test_bound(self):
        """Rounded to 32 bits, every form is the same vector."""
        for operator, distances in (("<->", [0.0, 0.1414, 1.2728]), ("<=>", [0.0, 0.0061, 0.8896])):
            for sql in (f"SELECT id, v {operator} $1 AS d FROM {self.docs} ORDER BY v {operator} $1 LIMIT 3",
                        f"SELECT id, d FROM (SELECT id, v {operator} ? AS d FROM {self.docs}) x ORDER BY d LIMIT 3"):
                for form, value in self.forms([0.9, 0.1, 0.0]).items():
                    if form in INEXACT:
                        continue
                    with self.subTest(form=form, sql=sql):
                        rows = self.query(sql, (value,))
                        self.assertEqual([row[0] for row in rows], [3, 1, 2])
                        for row, distance in zip(rows, distances):
                            self.assertAlmostEqual(row[1], distance, 4)

    def test_bound_whole_numbers(self):
        for form, value in self.forms([0.0, 1.0, 0.0]).items():
            for sql in (f"SELECT id FROM {self.docs} ORDER BY v <-> ? LIMIT 1",
                        f"SELECT id FROM {self.docs} ORDER BY v <=> $1::vector LIMIT 1",
                        f"SELECT id FROM {self.docs} ORDER BY v <#> CAST(? AS vector(3)) LIMIT 1",
                        f"SELECT id FROM {self.docs} ORDER BY cosine_distance(v, $1) LIMIT 1"):
                with self.subTest(form=form, sql=sql):
                    self.assertEqual(self.query(sql, (value,)), [(2,)])

    def test_distances_are_the_same_in_every_form(self):
        values = [float(np.float32(v)) for v in (0.1, 0.7, -0.3)]
        sql = f"SELECT id, v <=> ? FROM {self.docs} WHERE v IS NOT NULL ORDER BY 2, 1 LIMIT 4"
        wanted = self.query(sql, (str(values),))
        for form, value in self.forms(values).items():
            if form in INEXACT:
                continue
            self.assertEqual(self.query(sql, (value,)), wanted, form)

    def test_with_a_filter_and_other_parameters(self):
        sql = f"SELECT id FROM {self.docs} WHERE id > $2 ORDER BY v <-> $1 LIMIT $3"
        self.assertEqual(self.query(sql, ([1.0, 0.0, 0.0], 1, 2)), [(3,), (2,)])

    def test_null_distances_come_last(self):
        self.assertEqual(self.query(f"SELECT id FROM {self.docs} ORDER BY v <-> ?, id LIMIT 5", ([0.0, 1.0, 0.0],)),
                         [(2,), (3,), (1,), (5,), (4,)])

    def test_null(self):
        """A NULL vector has no distance to anything."""
        self.assertEqual(self.query(f"SELECT id, v <-> ?::vector FROM {self.docs} ORDER BY id LIMIT 2", (None,)),
                         [(1, None), (2, None)])

    def test_inserted(self):
        for form, value in self.forms([1.0, 2.0, 4.0]).items():
            with self.subTest(form=form):
                table = self.table("v vector(3)")
                self.assertEqual(self.run_sql(f"INSERT INTO {table} VALUES (?)", (value,)), 1)
                self.assertEqual(self.query(f"SELECT v FROM {table}"), [([1.0, 2.0, 4.0],)])

    def test_inserted_many(self):
        table = self.table("id INT, v vector(3)")
        rows = [(i, np.array([i, i + 0.5, -i], np.float32)) for i in range(100)]
        self.cursor.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
        self.assertEqual(self.cursor.rowcount, 100)
        self.assertEqual(self.query(f"SELECT v FROM {table} ORDER BY id"), [([i, i + 0.5, -i],) for i in range(100)])

    def refused(self, sentence, value, status="INVALID_ARGUMENT"):
        """Refused as a query vector and as a value to store."""
        search = f"SELECT id FROM {self.docs} ORDER BY v <-> ? LIMIT 3"
        insert = f"INSERT INTO {self.docs} VALUES (?, ?)"
        self.fails(status, sentence, self.query, search, (value,))
        self.fails(status, sentence, self.query, insert, (100, value))
        self.assertEqual(self.value(f"SELECT count(*) FROM {self.docs}"), len(ROWS))

    def test_dimension(self):
        search = f"SELECT id FROM {self.docs} ORDER BY v <-> ? LIMIT 3"
        for form, value in self.forms([1.0, 2.0]).items():
            with self.subTest(form=form):
                error = self.fails("INVALID_ARGUMENT", "dimensions", self.query, search, (value,))
                self.assertRegex(str(error), "3.*2")
                error = self.fails("INVALID_ARGUMENT", "dimensions", self.query,
                                   f"INSERT INTO {self.docs} VALUES (?, ?)", (100, value))
                self.assertRegex(str(error), "3.*2")

    def test_not_a_number(self):
        for bad in ("nan", "inf", "-inf"):
            values = [1.0, 2.0, float(bad)]
            word = "NaN" if bad == "nan" else "inf"
            for form in ("list", "float32", "float64", "Arrow fixed-size list", "Arrow list", "text"):
                with self.subTest(form=form, bad=bad):
                    self.refused(word, self.forms_of_bad(values)[form])

    def forms_of_bad(self, values):
        return {
            "list": values,
            "float32": np.array(values, np.float32),
            "float64": np.array(values, np.float64),
            "text": str(values),
            "Arrow fixed-size list": pa.scalar(values, vector_type(3)),
            "Arrow list": pa.scalar(values, pa.list_(pa.float32())),
        }

    def test_too_large_for_a_float(self):
        self.refused("is out of range for a vector element (element 1)", [1e39, 0.0, 0.0], "UNKNOWN")

    def test_null_element(self):
        for value in ([1.0, None, 2.0], pa.scalar([1.0, None, 2.0], pa.list_(pa.float32(), 3))):
            self.refused("NULL", value)

    def test_not_a_vector(self):
        search = f"SELECT id FROM {self.docs} ORDER BY v <-> ? LIMIT 3"
        self.fails("INVALID_ARGUMENT", "vector", self.query, search, ("one, two, three",))
        self.fails("INVALID_ARGUMENT", "vector", self.query, search, (5,))

    def test_index(self):
        """The same answers with an index, and the index in the plan of a prepared search."""
        table = self.table("id INT PRIMARY KEY, v vector(8) NOT NULL")
        random = np.random.default_rng(7)
        data = random.standard_normal((3000, 8)).astype(np.float32)
        flat = pa.array(data.reshape(-1), pa.float32())
        columns = [pa.array(range(3000), pa.int32()), pa.FixedSizeListArray.from_arrays(flat, type=vector_type(8))]
        batch = pa.RecordBatch.from_arrays(columns, ["id", "v"])
        self.assertEqual(self.cursor.adbc_ingest(table, batch, mode="append"), 3000)
        self.run_sql(f"CREATE INDEX ON {table} USING hnsw (v vector_l2_ops)")
        sql = f"SELECT id FROM {table} ORDER BY v <-> $1 LIMIT 10"
        plan = "\n".join(row[-1] for row in self.query("EXPLAIN " + sql, (data[0],)))
        self.assertIn(f"index={table}_v_idx", plan)
        found = 0
        for query in random.standard_normal((50, 8)).astype(np.float32):
            ids = {row[0] for row in self.query(sql, (query,))}
            exact = set(np.argsort(np.linalg.norm(data - query, axis=1))[:10].tolist())
            found += len(ids & exact)
        self.assertGreaterEqual(found, 0.95 * 500)


if __name__ == "__main__":
    unittest.main()
