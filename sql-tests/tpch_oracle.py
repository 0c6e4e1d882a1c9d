#!/usr/bin/env python3
"""Checks Volley's TPC-H answers against DuckDB (pip install duckdb).

  VOLLEY_TPCH_SF=1 VOLLEY_TPCH_DIR=/tmp/tpch cargo test --release -p volley-sql-tests tpch -- --nocapture
  sql-tests/tpch_oracle.py /tmp/tpch 1

The test leaves the original Parquet files in DIR/parquet-SCALE, each query in DIR/qNN.sql and Volley's answer in
DIR/qNN.tsv. DuckDB runs the same query over the same files; rows are compared in any order, numbers with a tolerance of
1e-6, because averages and quotients of decimals have other types there.
"""

import sys
from pathlib import Path

import duckdb

TABLES = ["region", "nation", "supplier", "part", "customer", "partsupp", "orders", "lineitem"]


def parse(text):
    text = text.rstrip(" ")
    if text == "\\N":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def plain(value):
    if value is None:
        return None
    return parse(str(value))


def key(row):
    return [(value is not None, isinstance(value, str), value) for value in row]


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-6 + 1e-6 * abs(b)
    return a == b


def difference(ours, theirs):
    if len(ours) != len(theirs):
        return f"{len(ours)} rows against {len(theirs)}"
    for a, b in zip(sorted(ours, key=key), sorted(theirs, key=key)):
        if len(a) != len(b) or not all(map(same, a, b)):
            return f"{a} against {b}"
    return None


def main():
    directory, scale = Path(sys.argv[1]), sys.argv[2]
    connection = duckdb.connect()
    for table in TABLES:
        path = directory / f"parquet-{scale}" / f"{table}.parquet"
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
    right = 0
    for number in range(1, 23):
        sql = (directory / f"q{number:02}.sql").read_text()
        lines = (directory / f"q{number:02}.tsv").read_text().splitlines()
        ours = [[parse(value) for value in line.split("\t")] for line in lines]
        theirs = [[plain(value) for value in row] for row in connection.execute(sql).fetchall()]
        wrong = difference(ours, theirs)
        print(f"query {number:2}: {len(theirs):5} rows", "equal" if wrong is None else f"DIFFERENT: {wrong}")
        right += wrong is None
    print(f"{right} of 22 right against DuckDB {duckdb.__version__}")
    sys.exit(right != 22)


if __name__ == "__main__":
    main()
