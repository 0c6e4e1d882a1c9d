//! What the demo says and runs.

/// One stop of the walk.
pub(super) struct Step {
    /// Its heading.
    pub(super) title: &'static str,
    /// What is about to happen.
    pub(super) text: &'static str,
    /// The query whose embedding is `$1`.
    pub(super) sentence: Option<i64>,
    /// The statements; `{files}` is where the sample was unpacked.
    pub(super) statements: &'static [&'static str],
}

pub(super) const WELCOME: &str = "\
Volley answers vector searches as part of ordinary SQL. This walk loads a part of WordNet, an English dictionary whose
4,799 entries have been turned into vectors of 384 numbers: texts with similar meanings have vectors that lie close
together. Everything below is computed now, on this machine.";

pub(super) const VERIFY: &str = "\
Every file has a checksum that a commit recorded. Verify reads all of them.";

pub(super) const FAREWELL: &str = "
That was a temporary directory and is gone. Keep one with:   volley demo -d ./volley-data
and then look around with:                                   volley";

/// "The ducks and geese puddled in the backyard".
const DUCKS: Option<i64> = Some(423);
/// "The hikers got into a storm and had to turn back".
const HIKERS: Option<i64> = Some(65);

const NEAREST: &str = "\
SELECT lemma, lexname, embedding <=> $1 AS distance
FROM synsets
ORDER BY distance LIMIT 5;";

const NEAREST_FOOD: &str = "\
SELECT lemma, substr(gloss, 1, 60) AS gloss, embedding <=> $1 AS distance
FROM synsets
WHERE lexname = 'noun.food'
ORDER BY distance LIMIT 5;";

/// The walk.
pub(super) const STEPS: &[Step] = &[
    Step {
        title: "Load",
        text: "Tables are declared as in PostgreSQL with pgvector. COPY reads Parquet, CSV and JSON; each COPY is one commit.",
        sentence: None,
        statements: &[
            "CREATE TABLE synsets (
  synset_id BIGINT PRIMARY KEY, pos TEXT NOT NULL, lexname TEXT NOT NULL, lemma TEXT NOT NULL, lemmas TEXT[],
  gloss TEXT NOT NULL, examples TEXT[], sense_count INT, depth INT, n_hypernyms INT, n_hyponyms INT,
  embedding vector(384) NOT NULL);",
            "CREATE TABLE relations (src BIGINT NOT NULL, rel TEXT NOT NULL, dst BIGINT NOT NULL, src_lemma TEXT, dst_lemma TEXT);",
            "CREATE TABLE queries (
  query_id BIGINT PRIMARY KEY, text TEXT NOT NULL, source_synset_id BIGINT, embedding vector(384),
  gt_ids BIGINT[], gt_dists REAL[], gt_verb_ids BIGINT[], gt_verb_dists REAL[], gt_food_ids BIGINT[], gt_food_dists REAL[]);",
            "COPY synsets FROM '{files}/wordnet_synsets.parquet';",
            "COPY relations FROM '{files}/wordnet_relations.parquet';",
            "COPY queries FROM '{files}/wordnet_queries.parquet';",
        ],
    },
    Step {
        title: "Ordinary SQL",
        text: "Filters, grouping, joins: everything DataFusion can do.",
        sentence: None,
        statements: &[
            "SELECT count(*) AS synsets, count(DISTINCT lexname) AS subjects, max(depth) AS deepest FROM synsets;",
            "SELECT lexname, count(*) AS synsets, sum(sense_count) AS uses
FROM synsets GROUP BY lexname ORDER BY synsets DESC LIMIT 5;",
            "SELECT lemma, sense_count AS uses, substr(gloss, 1, 60) AS gloss
FROM synsets WHERE lexname = 'noun.animal' AND depth > 7 ORDER BY uses DESC, lemma LIMIT 5;",
            "SELECT p.lemma AS animal, count(*) AS kinds
FROM relations r JOIN synsets p ON p.synset_id = r.src JOIN synsets c ON c.synset_id = r.dst
WHERE r.rel = 'hyponym' AND p.lexname = 'noun.animal'
GROUP BY p.lemma ORDER BY kinds DESC, animal LIMIT 5;",
        ],
    },
    Step {
        title: "The nearest five",
        text: "<=> is the cosine distance. ORDER BY a distance with a LIMIT is a vector search.",
        sentence: DUCKS,
        statements: &[NEAREST],
    },
    Step {
        title: "The nearest five that pass a filter",
        text: "The search looks at the rows that pass and at no others, so five come back if five pass.",
        sentence: DUCKS,
        statements: &[NEAREST_FOOD],
    },
    Step {
        title: "The plan",
        text: "EXPLAIN shows what the planner made of it: one VectorTopK node that holds the filter.",
        sentence: DUCKS,
        statements: &["EXPLAIN SELECT lemma, embedding <=> $1 AS distance
FROM synsets
WHERE lexname = 'noun.food'
ORDER BY distance LIMIT 5;"],
    },
    Step {
        title: "Neighbours joined with their relations",
        text: "A search is a relation like any other: here each neighbour meets what it is a kind of.",
        sentence: DUCKS,
        statements: &["SELECT n.lemma, p.lemma AS is_a_kind_of, n.distance
FROM (SELECT synset_id, lemma, embedding <=> $1 AS distance FROM synsets ORDER BY distance LIMIT 5) AS n
JOIN relations AS r ON r.src = n.synset_id AND r.rel = 'hypernym'
JOIN synsets AS p ON p.synset_id = r.dst
ORDER BY n.distance, p.lemma;"],
    },
    Step {
        title: "Neighbours counted",
        text: "What are the hundred entries nearest to this sentence about?",
        sentence: HIKERS,
        statements: &["SELECT lexname, count(*) AS neighbours, min(distance) AS nearest
FROM (SELECT lexname, embedding <=> $1 AS distance FROM synsets ORDER BY distance LIMIT 100) AS n
GROUP BY lexname ORDER BY neighbours DESC, lexname LIMIT 5;"],
    },
    Step {
        title: "Checked against answers computed elsewhere",
        text: "The sample brings the ten nearest entries of 20 sentences, computed by another program. All 20 at once, in SQL:",
        sentence: None,
        statements: &["WITH ranked AS (
  SELECT q.query_id, s.synset_id,
         row_number() OVER (PARTITION BY q.query_id ORDER BY q.embedding <=> s.embedding, s.synset_id) AS place
  FROM queries AS q CROSS JOIN synsets AS s),
expected AS (SELECT query_id, unnest(gt_ids) AS synset_id FROM queries)
SELECT count(*) AS expected_neighbours, count(ranked.place) AS found_in_the_top_ten
FROM expected LEFT JOIN ranked
  ON ranked.query_id = expected.query_id AND ranked.synset_id = expected.synset_id AND ranked.place <= 10;"],
    },
    Step {
        title: "Delete, and ask again",
        text: "A DELETE marks rows; the next search does not see them.",
        sentence: None,
        statements: &["DELETE FROM synsets WHERE lexname = 'noun.animal';"],
    },
    Step { title: "The same search without animals", text: "", sentence: DUCKS, statements: &[NEAREST] },
    Step {
        title: "What happened to the table",
        text: "Every change is one commit in the table's log.",
        sentence: None,
        statements: &["SELECT version, operation, rows_added, rows_deleted
FROM volley.snapshots WHERE table_name = 'synsets' ORDER BY version;"],
    },
];
