"""A thousand questions about WordNet: through the client and by `volley sql` on the same directory."""

import json
import os
import statistics
import subprocess
import tempfile
import time
import unittest

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import DATA, connect

BINARY = os.environ.get("VOLLEY_BINARY")
DIRECTORY = os.environ.get("VOLLEY_DIRECTORY")
COLUMNS = ["synset_id", "pos", "lexname", "lemma", "gloss", "sense_count", "embedding"]
SEARCH = "SELECT synset_id, embedding <=> {0} AS d FROM wordnet_synsets {1} ORDER BY embedding <=> {0} LIMIT 10"
# (what, WHERE, column of the true answer)
FILTERS = [("no filter", "", "gt"), ("verbs", "WHERE pos = 'verb'", "gt_verb"),
           ("tagged", "WHERE sense_count > 0", "gt_tagged")]


@unittest.skipIf(DATA is None, "VOLLEY_DATA is unset: no folder with wordnet_synsets.parquet")
@unittest.skipIf(None in (BINARY, DIRECTORY), "VOLLEY_BINARY, VOLLEY_DIRECTORY are unset: nothing to compare with")
class WordNet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.db = connect()
        cls.addClassCleanup(cls.db.close)
        cls.queries = pq.read_table(os.path.join(DATA, "wordnet_queries.parquet"))
        flat = cls.queries["embedding"].combine_chunks().flatten().to_numpy()
        cls.vectors = flat.reshape(len(cls.queries), -1)
        source = pq.ParquetFile(os.path.join(DATA, "wordnet_synsets.parquet"))
        schema = pa.schema([source.schema_arrow.field(name) for name in COLUMNS])
        reader = pa.RecordBatchReader.from_batches(schema, source.iter_batches(8192, columns=COLUMNS))
        with cls.db.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS wordnet_synsets")
            cursor.execute("CREATE TABLE wordnet_synsets (synset_id BIGINT PRIMARY KEY, pos TEXT NOT NULL, "
                           "lexname TEXT NOT NULL, lemma TEXT NOT NULL, gloss TEXT NOT NULL, sense_count INT, "
                           "embedding vector(384) NOT NULL)")
            cursor.execute("SET volley.auto_index = off")
            started = time.monotonic()
            count = cursor.adbc_ingest("wordnet_synsets", reader, mode="append")
            print(f"\n{count} synsets ingested in {time.monotonic() - started:.1f} s", flush=True)
        assert count == 117_659, count

    def by_client(self, where, count):
        """The answers, and how long each took."""
        answers, seconds = [], []
        with self.db.cursor() as cursor:
            for vector in self.vectors[:count]:
                started = time.perf_counter()
                cursor.execute(SEARCH.format("$1", where), (vector,))
                answers.append(cursor.fetchall())
                seconds.append(time.perf_counter() - started)
        return answers, seconds

    def by_program(self, where, count):
        """The answers of `volley sql`, with the vectors as text."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            for vector in self.vectors[:count]:
                text = "'[" + ",".join(repr(float(x)) for x in vector) + "]'"
                file.write(SEARCH.format(text, where) + ";\n")
            file.flush()
            environment = {name: value for name, value in os.environ.items() if not name.startswith("VOLLEY_")}
            done = subprocess.run([BINARY, "sql", "-d", DIRECTORY, "--format", "json", "-f", file.name],
                                  env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [[(row["synset_id"], row["d"]) for row in json.loads(line)] for line in done.stdout.splitlines()]

    def compare(self, what, where, truth, count, least_recall):
        answers, seconds = self.by_client(where, count)
        wanted = self.by_program(where, count)
        self.assertEqual(len(wanted), count)
        for i in range(count):
            self.assertEqual(answers[i], wanted[i], f"{what}, query {i}")
        distances = self.queries[f"{truth}_dists"]
        # As good as the true tenth row counts: some distances are equal, and the true ones are rounded.
        found = sum(d <= distances[i][9].as_py() + 1e-6 for i in range(count) for _, d in answers[i])
        recall = found / (10 * count)
        print(f"{what}: {count} queries, p50 {statistics.median(seconds) * 1000:.2f} ms, "
              f"p99 {float(np.percentile(seconds, 99)) * 1000:.2f} ms, recall {recall:.4f}", flush=True)
        self.assertEqual({len(answer) for answer in answers}, {10})
        self.assertGreaterEqual(recall, least_recall)

    def test_questions(self):
        for what, where, truth in FILTERS:
            self.compare(f"without an index, {what}", where, truth, 50, 1.0)
        with self.db.cursor() as cursor:
            started = time.monotonic()
            cursor.execute("CREATE INDEX ON wordnet_synsets USING hnsw (embedding vector_cosine_ops)")
            print(f"indexed in {time.monotonic() - started:.1f} s", flush=True)
            cursor.execute("EXPLAIN " + SEARCH.format("$1", ""), (self.vectors[0],))
            self.assertIn("index=wordnet_synsets_embedding_idx", "\n".join(row[-1] for row in cursor.fetchall()))
        for what, where, truth in FILTERS:
            self.compare(f"with an index, {what}", where, truth, 1000 if not where else 200, 0.93)


if __name__ == "__main__":
    unittest.main()
