#!/usr/bin/env python3
"""Approximate search side by side: raw usearch and hnswlib for the bare index; DuckDB-vss, LanceDB and ClickHouse for SQL
and filters; Volley.

    python3 benches/peers.py ../shared/data [--data wordnet|fashion] [--queries 1000] [--only NAME,NAME]

Makes a virtual environment in .peers/, installs what it compares with from the Python package index, runs one system after
the other on the same rows and queries, each query alone and through the system's own Python interface, and prints a table in
Markdown. Volley runs through its Rust interface (benches/examples/ann, and bare_index.rs for the index alone). M = 16,
ef_construction = 128, k = 10 everywhere; recall is compared by distance against the exact answers that come with the data.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / ".peers"
# DuckDB's vector extension is built for one version of DuckDB, so it has an environment of its own.
PACKAGES = {
    "base": ["numpy", "pyarrow", "usearch==2.26.6", "hnswlib==0.8.0", "lancedb==0.40.0", "chdb==4.4.0"],
    "duckdb": ["numpy", "pyarrow", "duckdb==1.5.5", "duckdb-extension-vss==1.5.5"],
}
SYSTEMS = {"usearch": "base", "hnswlib": "base", "lancedb": "base", "clickhouse": "base", "duckdb": "duckdb"}

# Which answers, and the condition they are under.
FILTERS = {
    "wordnet": [
        ("gt", ""),
        ("gt_tagged", "sense_count > 0"),
        ("gt_verb", "pos = 'verb'"),
        ("gt_animal", "lexname = 'noun.animal'"),
        ("gt_1pct", "n_hyponyms >= 14"),
        ("gt_01pct", "sense_count >= 170"),
    ],
    "fashion": [("gt", "")],
}
FILES = {
    "wordnet": ("wordnet_synsets.parquet", "wordnet_queries.parquet", "synset_id", "cosine"),
    "fashion": ("fashion_mnist_train.parquet", "fashion_mnist_test.parquet", "id", "l2"),
}
COLUMNS = {"wordnet": ["pos", "lexname", "sense_count", "n_hyponyms"], "fashion": ["label"]}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", type=pathlib.Path, help="where the Parquet files lie")
    arguments.add_argument("--data", choices=list(FILES), default="wordnet")
    arguments.add_argument("--queries", type=int, default=1000)
    arguments.add_argument("--only", default="volley,volley-index,usearch,hnswlib,duckdb,lancedb,clickhouse")
    arguments.add_argument("--system", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.system:
        return measure(given)
    results = []
    for system in given.only.split(","):
        begun = time.time()
        print(f"{system} …", file=sys.stderr, flush=True)
        ran = subprocess.run(command(system, given), capture_output=True, text=True)
        if ran.returncode != 0:
            print(f"{system} failed:\n{ran.stderr[-2000:]}", file=sys.stderr)
            continue
        results += [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        print(f"{system}: {time.time() - begun:.0f} s", file=sys.stderr, flush=True)
    table(given.data, results)


def command(system, given):
    """How to run one system in a process of its own."""
    directory = str(given.directory.resolve())
    run = ["cargo", "run", "--release", "-q", "-p", "volley-benches", "--example"]
    if system == "volley":
        return run + ["ann", "--", directory, given.data, str(given.queries)]
    if system == "volley-index":
        return run + ["bare_index", "--", directory, given.data]
    kind = SYSTEMS[system]
    python = ENVIRONMENT / kind / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT / kind)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[kind]], check=True)
    queries = ["--data", given.data, "--queries", str(given.queries)]
    return [str(python), __file__, directory, *queries, "--system", system]


def measure(given):
    """Runs one system; prints a JSON object a line."""
    import numpy as np
    import pyarrow.parquet as pq

    rows_file, queries_file, key, metric = FILES[given.data]
    rows = pq.read_table(given.directory / rows_file, columns=[key, "embedding", *COLUMNS[given.data]])
    queries = pq.read_table(given.directory / queries_file)
    vectors = matrix(rows["embedding"])
    system = globals()["System_" + given.system](rows, vectors, key, metric)
    begun = time.perf_counter()
    system.build()
    build_s = time.perf_counter() - begun
    print(json.dumps({"system": given.system, "data": given.data, "build_s": round(build_s, 1)}), flush=True)
    for columns, condition in FILTERS[given.data]:
        if condition and not system.filters:
            continue
        answers = queries[f"{columns}_dists"].to_pylist()
        asked = [i for i, answer in enumerate(answers) if answer is not None][: given.queries]
        wanted = matrix(queries["embedding"])[asked]
        truths = [answers[i][:10] for i in asked]
        for query in wanted[:50]:
            system.search(query, condition)
        begun = time.perf_counter()
        found = [system.search(query, condition) for query in wanted]
        seconds = time.perf_counter() - begun
        right = total = 0
        positions = {k: i for i, k in enumerate(rows[key].to_pylist())}
        for query, keys, truth in zip(wanted, found, truths):
            total += len(truth)
            near = vectors[[positions[int(k)] for k in keys]] if len(keys) else np.zeros((0, vectors.shape[1]))
            if metric == "cosine":
                norms = np.linalg.norm(near, axis=1) * np.linalg.norm(query)
                distances = 1 - near.astype("f8") @ query / norms
            else:
                distances = np.linalg.norm(near.astype("f8") - query, axis=1)
            right += int((distances <= truth[-1] + 1e-5 * max(abs(truth[-1]), 0.1)).sum())
        result = {"system": given.system, "data": given.data, "filter": condition}
        result |= {"recall": round(right / total, 4), "qps": round(len(wanted) / seconds)}
        print(json.dumps(result), flush=True)


def matrix(column):
    """A column of vectors as rows × dimension f32."""
    import numpy as np

    column = column.combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values.reshape(len(column), -1), dtype="f4")


class System_usearch:
    """The library itself, f32, expansion 64: what a search without SQL costs."""

    filters = False

    def __init__(self, rows, vectors, key, metric):
        self.rows, self.vectors, self.key, self.metric = rows, vectors, key, metric

    def build(self):
        from usearch.index import Index

        metric = "cos" if self.metric == "cosine" else "l2sq"
        self.index = Index(
            ndim=self.vectors.shape[1], metric=metric, dtype="f32", connectivity=16, expansion_add=128, expansion_search=64
        )
        self.index.add(self.rows[self.key].to_numpy(), self.vectors, threads=os.cpu_count())

    def search(self, query, _):
        return self.index.search(query, 10, threads=1).keys


class System_hnswlib(System_usearch):
    """The library itself, f32, ef = 64."""

    def build(self):
        import hnswlib

        self.index = hnswlib.Index(space=self.metric, dim=self.vectors.shape[1])
        self.index.init_index(max_elements=len(self.vectors), M=16, ef_construction=128)
        self.index.add_items(self.vectors, self.rows[self.key].to_numpy(), num_threads=os.cpu_count())
        self.index.set_ef(64)
        self.index.set_num_threads(1)

    def search(self, query, _):
        return self.index.knn_query(query, k=10)[0][0]


class System_duckdb(System_usearch):
    """SQL with the extension vss, ef_search = 64."""

    filters = True

    def build(self):
        import duckdb
        import duckdb_extension_vss  # noqa: F401 - brings the extension's file

        self.db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        file = next(pathlib.Path(duckdb_extension_vss.__file__).parent.rglob("vss.duckdb_extension*"))
        self.db.execute(f"LOAD '{file}'")
        rows, dim = self.rows, self.vectors.shape[1]
        self.db.register("rows", rows)
        names = ", ".join(name for name in rows.column_names if name != "embedding")
        self.db.execute(f"CREATE TABLE items AS SELECT {names}, embedding::FLOAT[{dim}] AS embedding FROM rows")
        self.db.execute(
            "CREATE INDEX nearby ON items USING HNSW (embedding) "
            f"WITH (metric = '{'cosine' if self.metric == 'cosine' else 'l2sq'}', M = 16, ef_construction = 128)"
        )
        self.db.execute("SET hnsw_ef_search = 64")
        self.distance = "array_cosine_distance" if self.metric == "cosine" else "array_distance"
        self.dim = dim

    def search(self, query, condition):
        where = f"WHERE {condition}" if condition else ""
        sql = (
            f"SELECT {self.key} FROM items {where} "
            f"ORDER BY {self.distance}(embedding, ?::FLOAT[{self.dim}]) LIMIT 10"
        )
        return [row[0] for row in self.db.execute(sql, [query.tolist()]).fetchall()]


class System_lancedb(System_usearch):
    """IVF_HNSW_SQ, filters before the search, refined."""

    filters = True

    def build(self):
        import lancedb
        import pyarrow as pa

        self.home = tempfile.TemporaryDirectory()
        dim = self.vectors.shape[1]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors.reshape(-1)), dim)
        rows = self.rows.set_column(self.rows.column_names.index("embedding"), "vector", vectors)
        self.table = lancedb.connect(self.home.name).create_table("items", rows)
        self.table.create_index(
            metric=self.metric, index_type="IVF_HNSW_SQ", num_partitions=1, m=16, ef_construction=128
        )

    def search(self, query, condition):
        search = self.table.search(query).distance_type(self.metric).ef(64).refine_factor(4).limit(10)
        if condition:
            search = search.where(condition, prefilter=True)
        return search.select([self.key]).to_arrow()[self.key].to_pylist()


class System_clickhouse(System_usearch):
    """SQL with a vector_similarity index, in this process (chdb), hnsw_candidate_list_size_for_search = 64."""

    filters = True

    def build(self):
        import pyarrow as pa
        import pyarrow.parquet as pq
        from chdb import session

        self.home = tempfile.TemporaryDirectory()
        rows = pathlib.Path(self.home.name) / "rows.parquet"
        dim = self.vectors.shape[1]
        lists = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors.reshape(-1)), dim).cast(pa.list_(pa.float32()))
        pq.write_table(self.rows.set_column(self.rows.column_names.index("embedding"), "embedding", lists), rows)
        self.db = session.Session(self.home.name + "/data")
        distance = "cosineDistance" if self.metric == "cosine" else "L2Distance"
        types = {"pos": "String", "lexname": "String", "sense_count": "Int32", "n_hyponyms": "Int32", "label": "Int32"}
        columns = ", ".join(f"{name} {types[name]}" for name in self.rows.column_names if name in types)
        self.db.query("CREATE DATABASE bench")
        self.db.query(
            f"CREATE TABLE bench.items ({self.key} Int64, {columns}, embedding Array(Float32), INDEX nearby embedding "
            f"TYPE vector_similarity('hnsw', '{distance}', {dim}, 'f32', 16, 128) GRANULARITY 100000000) "
            f"ENGINE = MergeTree ORDER BY {self.key}"
        )
        self.db.query(f"INSERT INTO bench.items SELECT {self.key}, {', '.join(n for n in self.rows.column_names if n in types)}, embedding FROM file('{rows}')")
        self.db.query("OPTIMIZE TABLE bench.items FINAL")
        self.distance = distance

    def search(self, query, condition):
        where = f"WHERE {condition}" if condition else ""
        vector = "[" + ",".join(map(repr, query.tolist())) + "]"
        sql = (
            f"SELECT {self.key} FROM bench.items {where} ORDER BY {self.distance}(embedding, {vector}) LIMIT 10 "
            "SETTINGS hnsw_candidate_list_size_for_search = 64"
        )
        return [int(line) for line in str(self.db.query(sql, "TSV")).split()]


def table(data, results):
    """The results as Markdown."""
    # The bare index is measured at many efforts, of which the peers have one.
    results = [{"filter": ""} | result if "ef" in result else result for result in results]
    results = [result for result in results if result.get("ef", 64) == 64]
    builds = {result["system"]: result["build_s"] for result in results if "build_s" in result}
    filters = [condition for _, condition in FILTERS[data]]
    seen = {(result["system"], result["filter"]): result for result in results if "filter" in result}
    print(f"| {data} | build s | " + " | ".join(condition or "no filter" for condition in filters) + " |")
    print("|---|---|" + "---|" * len(filters))
    for system, build_s in builds.items():
        cells = []
        for condition in filters:
            result = seen.get((system, condition))
            cells.append(f"{result['recall']:.3f} / {result['qps']:,}" if result else "–")
        print(f"| {system} | {build_s} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
