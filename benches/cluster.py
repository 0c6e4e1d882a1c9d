#!/usr/bin/env python3
"""What a cluster costs: the nearest ten rows of WordNet, asked of one process and of a coordinator with three executors.

    python3 benches/cluster.py target/release/volley ../shared/data [--segments 12] [--queries 1000] [--executors 3]

Loads WordNet in that many segments, indexes it, and starts both over the same directory. Then it asks through ADBC, one
query at a time, the two in turn, so that both see the same machine. Needs adbc-driver-flightsql, adbc-driver-manager and
pyarrow. The cluster's bytes are those that its coordinator counts of messages to and from executors.
"""

import argparse
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import time

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow.parquet as parquet

K = 10
TABLE = """CREATE TABLE items (synset_id BIGINT, pos TEXT, lexname TEXT, lemma TEXT, lemmas TEXT[], gloss TEXT,
    examples TEXT[], sense_count INTEGER, depth INTEGER, n_hypernyms INTEGER, n_hyponyms INTEGER, embedding vector(384))"""
QUERY = f"SELECT synset_id, lemma FROM items ORDER BY embedding <=> ? LIMIT {K}"
WARM_UP = 200


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program", type=pathlib.Path)
    arguments.add_argument("directory", type=pathlib.Path, help="where the Parquet files lie")
    arguments.add_argument("--segments", type=int, default=12)
    arguments.add_argument("--queries", type=int, default=1000)
    arguments.add_argument("--executors", type=int, default=3)
    given = arguments.parse_args()
    processes = []
    with tempfile.TemporaryDirectory() as work:
        try:
            measure(given, pathlib.Path(work), processes)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def measure(given, work, processes):
    data = work / "data"
    load(given, data)
    queries = parquet.read_table(given.directory / "wordnet_queries.parquet", columns=["embedding", "gt_ids"])
    queries = queries.slice(0, given.queries).to_pylist()
    asked = ["[" + ",".join(map(str, query["embedding"])) + "]" for query in queries]
    nearest = [set(query["gt_ids"][:K]) for query in queries]
    servers = {
        "one process": serve(processes, [given.program, "serve", "-d", data]),
        "cluster": start_cluster(given, work, data, processes),
    }
    cursors = {name: flightsql.connect(address, autocommit=True).cursor() for name, address in servers.items()}
    wait_for_executors(cursors["cluster"], given.executors)
    for vector in asked[:WARM_UP]:
        for cursor in cursors.values():
            ask(cursor, vector)
    before = wire(cursors["cluster"])
    times = {name: [] for name in cursors}
    found = dict.fromkeys(cursors, 0)
    for vector, truth in zip(asked, nearest):
        for name, cursor in cursors.items():
            began = time.perf_counter()
            rows = ask(cursor, vector)
            times[name].append((time.perf_counter() - began) * 1000)
            found[name] += sum(row[0] in truth for row in rows)
    calls, sent, received = (now - then for now, then in zip(wire(cursors["cluster"]), before))
    print("| | p50 ms | p95 ms | p99 ms | recall |\n|---|---|---|---|---|")
    for name, taken in times.items():
        cuts = statistics.quantiles(taken, n=100)
        recall = found[name] / (K * len(asked))
        print(f"| {name} | {statistics.median(taken):.2f} | {cuts[94]:.2f} | {cuts[98]:.2f} | {recall:.4f} |")
    more = statistics.median(times["cluster"]) - statistics.median(times["one process"])
    print(f"\nthe cluster's median is {more:+.2f} ms")
    print(f"{calls / len(asked):.2f} calls of executors a query, {(sent + received) / max(calls, 1):.0f} bytes a call")


def load(given, data):
    source = given.directory / "wordnet_synsets.parquet"
    statements = [TABLE, f"CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION '{source}'"]
    for part in range(given.segments):
        statements.append(f"INSERT INTO items SELECT * FROM source WHERE synset_id % {given.segments} = {part}")
    statements += ["CREATE INDEX ON items USING hnsw (embedding vector_cosine_ops)", "DROP TABLE source"]
    script = data.parent / "load.sql"
    script.write_text(";\n".join(statements) + ";\n")
    subprocess.run([given.program, "sql", "-d", data, "-f", script], check=True, stdout=subprocess.DEVNULL)


def start_cluster(given, work, data, processes):
    secret = work / "secret"
    secret.write_text("known to this benchmark only, and long enough")
    internal = f"127.0.0.1:{free_port()}"
    common = ["-d", data, "--cluster-secret-file", secret]
    coordinator = [given.program, "coordinator", *common, "--cluster-listen", internal]
    address = serve(processes, coordinator)
    for number in range(given.executors):
        listen = f"127.0.0.1:{free_port()}"
        executor = [given.program, "executor", *common, "--cluster-listen", listen, "--coordinators", internal]
        executor += ["--name", f"e{number + 1}", "--http", "127.0.0.1:0"]
        processes.append(subprocess.Popen(executor, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    return address


def serve(processes, command):
    command = [*command, "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    processes.append(process)
    for line in process.stdout:
        if found := re.search(r"grpc://[\d.:]+", line):
            return found.group(0)
    raise SystemExit(f"{command} did not start")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_executors(cursor, count):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        cursor.execute("SELECT count(*) FROM volley.executors WHERE state = 'live' AND ready_shards = shards")
        if cursor.fetchone()[0] == count:
            return
        time.sleep(0.1)
    raise SystemExit("the executors did not come")


def wire(cursor):
    sums = "sum(calls), sum(bytes_sent), sum(bytes_received)"
    cursor.execute(f"SELECT {sums} FROM volley.executor_calls WHERE task IN ('search', 'scan')")
    return [value or 0 for value in cursor.fetchone()]


def ask(cursor, vector):
    cursor.execute(QUERY, (vector,))
    rows = cursor.fetchall()
    assert len(rows) == K, f"{len(rows)} rows"
    return rows


if __name__ == "__main__":
    main()
