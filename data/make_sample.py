#!/usr/bin/env python3
"""Makes the sample of WordNet that Volley ships, and checks it.

    make_sample.py SOURCE      SOURCE holds wordnet_synsets.parquet, wordnet_relations.parquet, wordnet_queries.parquet
    make_sample.py --check     checks the three files beside this script

The full files hold every synset of WordNet 3.0 with a 384-dimensional embedding; README.md says how they were made. The
sample keeps whole subjects, so that joins over relations find both ends and a question finds real neighbours.
Needs Python 3.9 or newer, numpy and pyarrow.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
SYNSETS, RELATIONS, QUERIES = "wordnet_synsets.parquet", "wordnet_relations.parquet", "wordnet_queries.parquet"

# Kept whole: small subjects with much to ask about.
WHOLE = ["verb.motion", "verb.consumption", "verb.weather", "verb.emotion", "noun.feeling"]
# Kept where somebody uses the word or where the tree branches; their ancestors follow, so every path reaches the root.
PRUNED = ["noun.animal", "noun.food"]
# Sentences that a reader can judge; each is an example of a synset in the sample.
QUERY_IDS = [4, 65, 77, 113, 165, 194, 209, 211, 231, 250, 274, 423, 440, 450, 465, 673, 778, 785, 882, 967]
# Predicates of the stored answers, as SQL says them and as pyarrow does.
FILTERS = {
    "gt": ("", lambda t: np.ones(t.num_rows, dtype=bool)),
    "gt_verb": ("pos = 'verb'", lambda t: pc.equal(t["pos"], "verb").to_numpy()),
    "gt_food": ("lexname = 'noun.food'", lambda t: pc.equal(t["lexname"], "noun.food").to_numpy()),
}
K = 10


def choose(synsets, relations, sources):
    """The ids of the sample's synsets."""
    lexname, used = synsets["lexname"], pc.greater(synsets["sense_count"], 0)
    branching = pc.greater(synsets["n_hyponyms"], 0)
    whole = pc.is_in(lexname, value_set=pa.array(WHOLE))
    pruned = pc.and_(pc.is_in(lexname, value_set=pa.array(PRUNED)), pc.or_(used, branching))
    chosen = set(pc.filter(synsets["synset_id"], pc.or_(whole, pruned)).to_pylist()) | set(sources)
    up = pc.is_in(relations["rel"], value_set=pa.array(["hypernym", "instance_hypernym"]))
    parents = {}
    for src, dst in zip(pc.filter(relations["src"], up).to_pylist(), pc.filter(relations["dst"], up).to_pylist()):
        parents.setdefault(src, []).append(dst)
    todo = list(chosen)
    while todo:
        for parent in parents.get(todo.pop(), []):
            if parent not in chosen:
                chosen.add(parent)
                todo.append(parent)
    return pa.array(sorted(chosen), pa.int64())


def matrix(table):
    """The embeddings as rows of float64."""
    column = table["embedding"].combine_chunks()
    return np.asarray(column.values, dtype=np.float64).reshape(len(column), -1)


def neighbours(ids, distances, allowed):
    """The K nearest of the allowed rows: ascending by distance, then by id."""
    rows = np.flatnonzero(allowed)
    order = np.lexsort((ids[rows], distances[rows]))[:K]
    return ids[rows][order], distances[rows][order].astype(np.float32)


def answers(queries, synsets):
    """The stored answers: exact brute force in float64."""
    ids, base = synsets["synset_id"].to_numpy(), matrix(synsets)
    norms = np.linalg.norm(base, axis=1)
    columns = {f"{name}_{part}": [] for name in FILTERS for part in ("ids", "dists")}
    for query in matrix(queries):
        distances = 1.0 - (base @ query) / (norms * np.linalg.norm(query))
        for name, (_, predicate) in FILTERS.items():
            near, far = neighbours(ids, distances, predicate(synsets))
            columns[f"{name}_ids"].append(near.tolist())
            columns[f"{name}_dists"].append(far.tolist())
    return columns


def write(table, path):
    """Parquet with statistics; floats are split by byte, because they are float16 values and compress that way."""
    floats = ["embedding.list.element"] if "embedding" in table.column_names else []
    pq.write_table(
        table, path, compression="zstd", compression_level=19, use_byte_stream_split=floats or False,
        use_dictionary=[c for c in ("pos", "lexname", "rel") if c in table.column_names],
    )


def make(source):
    """Writes the three files."""
    synsets, relations = pq.read_table(source / SYNSETS), pq.read_table(source / RELATIONS)
    queries = pq.read_table(source / QUERIES, columns=["query_id", "text", "source_synset_id", "embedding"])
    queries = queries.filter(pc.is_in(queries["query_id"], value_set=pa.array(QUERY_IDS)))
    chosen = choose(synsets, relations, queries["source_synset_id"].to_pylist())
    synsets = synsets.filter(pc.is_in(synsets["synset_id"], value_set=chosen))
    both = pc.and_(pc.is_in(relations["src"], value_set=chosen), pc.is_in(relations["dst"], value_set=chosen))
    relations = relations.filter(both)
    for name, values in answers(queries, synsets).items():
        kind = pa.list_(pa.int64() if name.endswith("_ids") else pa.float32())
        queries = queries.append_column(name, pa.array(values, kind))
    for table, name in ((synsets, SYNSETS), (relations, RELATIONS), (queries, QUERIES)):
        write(table, HERE / name)
        print(f"{name}: {table.num_rows} rows, {(HERE / name).stat().st_size} bytes")


def check():
    """Checks the files against each other, and the answers by a second way of computing them."""
    synsets, relations, queries = (pq.read_table(HERE / n) for n in (SYNSETS, RELATIONS, QUERIES))
    ids = synsets["synset_id"].to_pylist()
    known = set(ids)
    assert ids == sorted(known), "synset ids are not unique and ascending"
    assert known.issuperset(relations["src"].to_pylist()) and known.issuperset(relations["dst"].to_pylist())
    assert known.issuperset(queries["source_synset_id"].to_pylist())
    vectors = synsets["embedding"].to_pylist()
    norms = [math.sqrt(math.fsum(x * x for x in v)) for v in vectors]
    worst = 0.0
    for row in queries.to_pylist():
        q = row["embedding"]
        length = math.sqrt(math.fsum(x * x for x in q))
        # fsum rounds once: an arithmetic that shares nothing with the one that made the answers.
        distances = [1.0 - math.fsum(map(float.__mul__, v, q)) / (n * length) for v, n in zip(vectors, norms)]
        for name, (_, predicate) in FILTERS.items():
            allowed = predicate(synsets)
            best = sorted((d, i) for d, i, a in zip(distances, ids, allowed) if a)[:K]
            worst = max([worst] + [abs(d - g) for (d, _), g in zip(best, row[f"{name}_dists"])])
            by_id = dict(zip(ids, distances))
            again = [by_id[i] for i in row[f"{name}_ids"]]
            assert max(abs(a - d) for a, (d, _) in zip(again, best)) < 1e-12, (row["query_id"], name)
    assert worst < 1e-7, worst
    total = sum((HERE / n).stat().st_size for n in (SYNSETS, RELATIONS, QUERIES))
    print(f"{len(ids)} synsets, {relations.num_rows} relations, {queries.num_rows} queries in {total} bytes:")
    print(f"every relation and query has its ends; answers agree, worst error {worst:.1e}")
    for name, (predicate, rows) in FILTERS.items():
        print(f"{name}: {int(np.sum(rows(synsets)))} rows pass {predicate or '(no filter)'}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check() if sys.argv[1] == "--check" else make(Path(sys.argv[1]))
