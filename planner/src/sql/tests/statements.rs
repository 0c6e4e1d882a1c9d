//! Each statement, in the spellings that people use, and each refusal.

use datafusion::common::TableReference;
use volley_storage::ErrorKind;

use super::{error_of, parse};
use crate::sql::{CopyFrom, CreateTable, FileFormat, Show, Statement, TableOptions, is_default, parse_statement};

fn create_table(sql: &str) -> CreateTable {
    match parse(sql) {
        Statement::CreateTable(create) => create,
        other => panic!("{sql}: {other:?}"),
    }
}

fn copy_from(sql: &str) -> CopyFrom {
    match parse(sql) {
        Statement::CopyFrom(copy) => copy,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn queries() {
    for sql in [
        "SELECT 1",
        "select 1;",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1), (2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "TABLE t",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT * EXCEPT (a) FROM t",
        "SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY c ORDER BY d ROWS 2 PRECEDING) FROM t",
        "SELECT first_value(a IGNORE NULLS) OVER () FROM t",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "SELECT a FROM t TABLESAMPLE SYSTEM (10)",
        "SELECT {'a': 1}, MAP {'k': 2}, struct(1, 2), [1, 2][1], a['b'], (a).b",
        "SELECT * FROM generate_series(1, 3) AS g(n)",
        "SELECT * FROM a CROSS JOIN LATERAL (SELECT b.x FROM b WHERE b.y = a.y) c",
        "SELECT EXTRACT(YEAR FROM d), d AT TIME ZONE 'UTC', INTERVAL '1' DAY, date '2020-01-01', position('a' in b) FROM t",
        "SELECT \"Ünïcödé\", привет, 表 FROM \"my schema\".\"my table\"",
        "SELECT a::text::int, 'x' LIKE ANY (ARRAY['y']) FROM t ORDER BY 1 NULLS FIRST LIMIT 10 OFFSET 5",
        "SELECT DISTINCT ON (a) a, b FROM t",
        "SELECT a, count(*) FROM t GROUP BY GROUPING SETS ((a), ())",
        "SELECT 1_000, 0x1F, 1e10, .5, 'a' 'b'",
        "SELECT trim(both 'x' from a), substring(a from 1 for 2), overlay(a placing b from 1) FROM t",
        "SELECT f(a => 1)",
        "SELECT * FROM t FETCH FIRST 5 ROWS ONLY",
    ] {
        if sql.contains("'a' 'b'") {
            assert!(parse_statement(sql).is_ok(), "{sql}");
            continue;
        }
        assert!(matches!(parse(sql), Statement::Query(_)), "{sql}");
    }
}

#[test]
fn explain() {
    for (sql, analyze, verbose, format) in [
        ("EXPLAIN SELECT 1", false, false, None),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", true, true, None),
        ("EXPLAIN FORMAT TREE SELECT 1", false, false, Some("tree")),
        ("EXPLAIN (ANALYZE, VERBOSE, FORMAT tree) SELECT 1", true, true, Some("tree")),
        ("EXPLAIN (ANALYZE false, COSTS off) SELECT 1", false, false, None),
        ("EXPLAIN (SELECT 1)", false, false, None),
        ("EXPLAIN ((SELECT 1) UNION (SELECT 2))", false, false, None),
    ] {
        let Statement::Explain(explain) = parse(sql) else { panic!("{sql}") };
        assert_eq!((explain.analyze, explain.verbose, explain.format.as_deref()), (analyze, verbose, format), "{sql}");
        assert!(matches!(*explain.statement, Statement::Query(_)), "{sql}");
    }
    let Statement::Explain(explain) = parse("EXPLAIN DELETE FROM t WHERE a <-> b < 1") else { panic!() };
    assert!(matches!(*explain.statement, Statement::Delete(_)));
    assert!(error_of("EXPLAIN EXPLAIN SELECT 1").contains("EXPLAIN of EXPLAIN"));
    assert!(error_of("EXPLAIN (ANALYSE) SELECT 1").contains("did you mean \"analyze\""));
}

#[test]
fn create_table_with_everything() {
    let create = create_table(
        "CREATE TABLE IF NOT EXISTS s.\"Docs\" (Id BIGINT, \"Body\" TEXT DEFAULT 'it''s' || lower('X'), \
         emb vector(3) NOT NULL, tags text[] NULL, CONSTRAINT pk PRIMARY KEY (id, \"Body\")) WITH (shards = 8, replicas = '2')",
    );
    assert_eq!(create.name, TableReference::partial("s", "Docs"));
    assert!(create.if_not_exists);
    let names: Vec<_> = create.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "Body", "emb", "tags"]);
    let not_null: Vec<_> = create.columns.iter().map(|column| column.not_null).collect();
    assert_eq!(not_null, [true, true, true, false]);
    assert_eq!(create.columns[1].default.as_deref(), Some("'it''s' || lower('X')"));
    assert_eq!(create.primary_key, ["id", "Body"]);
    assert_eq!(create.options, TableOptions { shards: Some(8), replicas: Some(2) });
    assert_eq!(create.as_query, None);

    let create = create_table("CREATE TABLE t (id int PRIMARY KEY, v vector(2) DEFAULT '[1,2]'::vector(2))");
    assert_eq!(create.primary_key, ["id"]);
    assert_eq!(create.columns[1].default.as_deref(), Some("to_vector('[1,2]', 2)"));

    let create = create_table("CREATE TABLE t AS SELECT a <=> b AS d FROM u");
    assert_eq!(create.as_query.unwrap().to_string(), "SELECT cosine_distance(a, b) AS d FROM u");
    let create = create_table("CREATE TABLE t WITH (shards = 2) AS SELECT 1 AS a");
    assert_eq!(create.options.shards, Some(2));
}

#[test]
fn create_table_refusals() {
    for (sql, kind, part) in [
        ("CREATE TABLE t (a int, A int)", ErrorKind::DuplicateColumn, "\"a\" is named twice"),
        ("CREATE TABLE t (a int, PRIMARY KEY (b))", ErrorKind::UndefinedColumn, "\"b\" does not exist"),
        ("CREATE TABLE t (ident int, PRIMARY KEY (idnet))", ErrorKind::UndefinedColumn, "did you mean \"ident\""),
        ("CREATE TABLE t (a int, PRIMARY KEY (a, a))", ErrorKind::DuplicateColumn, "named twice"),
        ("CREATE TABLE t (a int PRIMARY KEY, b int PRIMARY KEY)", ErrorKind::InvalidStatement, "one primary key"),
        ("CREATE TABLE t (v vector(3) PRIMARY KEY)", ErrorKind::DatatypeMismatch, "primary key cannot have"),
        ("CREATE TABLE t (a int UNIQUE)", ErrorKind::Unsupported, "UNIQUE"),
        ("CREATE TABLE t (a int CHECK (a > 0))", ErrorKind::Unsupported, "CHECK"),
        ("CREATE TABLE t (a int REFERENCES u (a))", ErrorKind::Unsupported, "REFERENCES"),
        ("CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES u (a))", ErrorKind::Unsupported, "FOREIGN KEY"),
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", ErrorKind::Unsupported, "generated"),
        ("CREATE TABLE t (a int) PARTITION BY HASH(a)", ErrorKind::Unsupported, "partitions"),
        ("CREATE TABLE t (a int) WITH (shard = 2)", ErrorKind::UndefinedObject, "did you mean \"shards\""),
        ("CREATE TABLE t (a int) WITH (shards = 0)", ErrorKind::InvalidValue, "from 1 to"),
        ("CREATE TABLE t (a int) WITH (shards = 'x')", ErrorKind::InvalidValue, "from 1 to"),
        ("CREATE TABLE t (LIKE u)", ErrorKind::Unsupported, "LIKE"),
        ("CREATE TABLE t (a int) INHERITS (u)", ErrorKind::Unsupported, "leave the other clauses out"),
        ("CREATE TEMP TABLE t (a int)", ErrorKind::Unsupported, "temporary"),
        ("CREATE OR REPLACE TABLE t (a int)", ErrorKind::Unsupported, "DROP TABLE IF EXISTS"),
        ("CREATE UNLOGGED TABLE t (a int)", ErrorKind::Unsupported, "durable"),
        ("CREATE TABLE t ()", ErrorKind::InvalidStatement, "at least one column"),
        ("CREATE TABLE a.b.c.d (x int)", ErrorKind::Syntax, "too many parts"),
        ("CREATE FUNCTION f() RETURNS int AS $$ $$", ErrorKind::Unsupported, "CREATE FUNCTION is not supported"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", ErrorKind::Unsupported, "CREATE TABLE … AS"),
        ("CREATE DATABASE d", ErrorKind::Unsupported, "CREATE SCHEMA"),
        ("CREATE 5", ErrorKind::Syntax, "expected TABLE"),
    ] {
        let error = parse_statement(sql).err().unwrap_or_else(|| panic!("{sql} parsed"));
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[test]
fn schemas_views_and_drops() {
    assert_eq!(
        parse("CREATE SCHEMA IF NOT EXISTS volley.\"My\""),
        Statement::CreateSchema { name: "My".to_string(), if_not_exists: true }
    );
    assert!(error_of("CREATE SCHEMA other.s").contains("one catalog"));
    assert_eq!(
        parse("DROP SCHEMA IF EXISTS a, B CASCADE"),
        Statement::DropSchema { names: vec!["a".to_string(), "b".to_string()], if_exists: true, cascade: true }
    );
    let Statement::DropTable(drop) = parse("DROP TABLE IF EXISTS a, s.b, volley.s.\"C\" RESTRICT") else { panic!() };
    assert_eq!(
        drop.names,
        [TableReference::bare("a"), TableReference::partial("s", "b"), TableReference::full("volley", "s", "C")]
    );
    assert!(drop.if_exists && !drop.cascade);
    assert!(matches!(parse("DROP EXTERNAL TABLE a"), Statement::DropTable(_)));
    assert!(matches!(parse("DROP VIEW a"), Statement::DropView(_)));
    assert!(error_of("DROP FUNCTION a").contains("DROP FUNCTION is not supported"));

    let sql = "CREATE OR REPLACE VIEW v (A, \"B\") AS\n  SELECT x <=> y, -- both\n 'ä;' FROM t WHERE z = 1  ; ";
    let Statement::CreateView(view) = parse(sql) else { panic!() };
    assert!(view.or_replace && !view.if_not_exists);
    assert_eq!(view.columns, ["a", "B"]);
    assert_eq!(view.text, "SELECT x <=> y, -- both\n 'ä;' FROM t WHERE z = 1");
    assert_eq!(view.query.to_string(), "SELECT cosine_distance(x, y), 'ä;' FROM t WHERE z = 1");
    assert!(matches!(parse(&view.text), Statement::Query(_)));
}

#[test]
fn inserts() {
    let Statement::Insert(insert) = parse("INSERT INTO s.t (A, \"B\") VALUES (1, DEFAULT), (2, 'default')") else {
        panic!()
    };
    assert_eq!(insert.table, TableReference::partial("s", "t"));
    assert_eq!(insert.columns, ["a", "B"]);
    let query = insert.source.unwrap();
    let datafusion::sql::sqlparser::ast::SetExpr::Values(values) = query.body.as_ref() else { panic!() };
    assert!(is_default(&values.rows[0].content[1]));
    assert!(!is_default(&values.rows[1].content[1]));
    let Statement::Insert(insert) = parse("INSERT INTO t DEFAULT VALUES") else { panic!() };
    assert!(insert.source.is_none());
    let Statement::Insert(insert) = parse("INSERT INTO t WITH a AS (SELECT 1) SELECT x::vector(2) FROM a") else {
        panic!()
    };
    assert!(insert.source.unwrap().to_string().contains("to_vector(x, 2)"));
    for (sql, part) in [
        ("INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = excluded.a", "ON CONFLICT"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "ON CONFLICT"),
        ("INSERT INTO t VALUES (1) RETURNING id", "RETURNING"),
        ("INSERT OVERWRITE t VALUES (1)", "OVERWRITE"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "INSERT INTO … WITH"),
    ] {
        let error = parse_statement(sql).err().unwrap_or_else(|| panic!("{sql} parsed"));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[test]
fn deletes() {
    let Statement::Delete(delete) = parse("DELETE FROM s.T AS x WHERE x.emb <-> $1 < 2") else { panic!() };
    assert_eq!(delete.table, TableReference::partial("s", "t"));
    assert_eq!(delete.alias.as_deref(), Some("x"));
    assert_eq!(delete.predicate.unwrap().to_string(), "l2_distance(x.emb, $1) < 2");
    let Statement::Delete(delete) = parse("DELETE FROM t") else { panic!() };
    assert!(delete.predicate.is_none() && !delete.truncate);
    let Statement::Delete(delete) = parse("TRUNCATE TABLE t") else { panic!() };
    assert!(delete.predicate.is_none() && delete.truncate);
    for (sql, part) in [
        ("DELETE FROM t USING u WHERE t.a = u.a", "USING"),
        ("DELETE FROM t WHERE a RETURNING b", "RETURNING"),
        ("DELETE FROM t, u", "one table"),
        ("DELETE FROM t JOIN u ON true", "join"),
        ("TRUNCATE a, b", "several tables"),
    ] {
        assert!(error_of(sql).contains(part), "{sql}: {}", error_of(sql));
    }
}

#[test]
fn copies() {
    let copy = copy_from("COPY s.docs (Id, \"Body\") FROM 'a.csv' (FORMAT csv, HEADER true, DELIMITER ';', NULL '')");
    assert_eq!(
        (copy.table, copy.columns),
        (TableReference::partial("s", "docs"), vec!["id".to_string(), "Body".to_string()])
    );
    let options = copy.options;
    assert_eq!((options.format, options.header), (FileFormat::Csv, Some(true)));
    assert_eq!((options.delimiter, options.null.as_deref()), (Some(b';'), Some("")));

    assert_eq!(copy_from("COPY t FROM 'dir/*.parquet'").options.format, FileFormat::Parquet);
    assert_eq!(copy_from("COPY t FROM 's3://b/x.csv.gz'").options.format, FileFormat::Csv);
    assert_eq!(copy_from("COPY t FROM 'x.JSONL'").options.format, FileFormat::Json);
    assert_eq!(copy_from("COPY t FROM 'dir/' WITH (FORMAT parquet)").options.format, FileFormat::Parquet);
    assert_eq!(copy_from("COPY t FROM 'dir/' STORED AS PARQUET").options.format, FileFormat::Parquet);
    let options = copy_from("COPY t FROM 'x' WITH CSV HEADER DELIMITER '|' QUOTE '''' ESCAPE '\\'").options;
    assert_eq!((options.header, options.delimiter), (Some(true), Some(b'|')));
    assert_eq!((options.quote, options.escape), (Some(b'\''), Some(b'\\')));
    let options =
        copy_from("COPY t FROM 'x.csv' OPTIONS ('format.has_header' 'false', 'format.delimiter' E'\\t')").options;
    assert_eq!((options.header, options.delimiter), (Some(false), Some(b'\t')));

    let Statement::CopyTo(copy) = parse("COPY t (\"A\", b) TO 'out.parquet' (COMPRESSION zstd)") else { panic!() };
    assert_eq!(copy.query.to_string(), "SELECT \"A\", b FROM t");
    assert_eq!(copy.options.compression.as_deref(), Some("zstd"));
    let Statement::CopyTo(copy) = parse("COPY (SELECT a <-> b FROM t) TO 'out.json'") else { panic!() };
    assert_eq!(copy.query.to_string(), "SELECT l2_distance(a, b) FROM t");
    assert_eq!((copy.path.as_str(), copy.options.format), ("out.json", FileFormat::Json));

    for (sql, kind, part) in [
        ("COPY t FROM STDIN", ErrorKind::Unsupported, "standard input"),
        ("COPY t TO STDOUT (FORMAT csv)", ErrorKind::Unsupported, "standard input or output"),
        ("COPY t FROM PROGRAM 'cat'", ErrorKind::Unsupported, "program"),
        ("COPY t FROM 'x'", ErrorKind::InvalidStatement, "FORMAT parquet"),
        ("COPY t FROM 'x.txt'", ErrorKind::InvalidStatement, "FORMAT parquet"),
        ("COPY t FROM 'x.parquet' (HEADER)", ErrorKind::InvalidStatement, "CSV files only"),
        ("COPY t FROM 'x' (FORMAT avro)", ErrorKind::InvalidValue, "parquet, csv and json"),
        ("COPY t FROM 'x' (FORMAT binary)", ErrorKind::Unsupported, "use parquet"),
        ("COPY t FROM 'x.csv' (DELIMTER ';')", ErrorKind::UndefinedObject, "did you mean \"delimiter\""),
        ("COPY t FROM 'x.csv' (DELIMITER 'ab')", ErrorKind::InvalidValue, "one ASCII character"),
        ("COPY t FROM 'x.csv' (HEADER maybe)", ErrorKind::InvalidValue, "true or false"),
        ("COPY t FROM 'x.csv' WHERE a", ErrorKind::Unsupported, "external table"),
        ("COPY t FROM x.csv", ErrorKind::Syntax, "a path in single quotes"),
        ("COPY t 'x.csv'", ErrorKind::Syntax, "expected FROM or TO"),
    ] {
        let error = parse_statement(sql).err().unwrap_or_else(|| panic!("{sql} parsed"));
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[test]
fn settings() {
    let set = |name: &str, value: &str| Statement::Set { name: name.to_string(), value: value.to_string() };
    for (sql, expected) in [
        ("SET volley.memory_limit = '4GB'", set("volley.memory_limit", "4GB")),
        ("SET VOLLEY.Batch_Size TO 100", set("volley.batch_size", "100")),
        ("SET SESSION extra_float_digits = -3", set("extra_float_digits", "-3")),
        ("SET LOCAL a = on", set("a", "on")),
        ("SET datestyle TO ISO, MDY", set("datestyle", "ISO, MDY")),
        ("SET TIME ZONE 'Europe/Berlin'", set("timezone", "Europe/Berlin")),
        ("SET NAMES 'UTF8'", set("client_encoding", "UTF8")),
        ("SET search_path = \"My\", public", set("search_path", "My, public")),
        ("SET datafusion.execution.batch_size = 10", set("datafusion.execution.batch_size", "10")),
        ("SET a TO DEFAULT", Statement::Reset { name: Some("a".to_string()) }),
        ("RESET volley.batch_size", Statement::Reset { name: Some("volley.batch_size".to_string()) }),
        ("RESET ALL", Statement::Reset { name: None }),
        ("RESET TIME ZONE", Statement::Reset { name: Some("timezone".to_string()) }),
    ] {
        assert_eq!(parse(sql), expected, "{sql}");
    }
    assert!(matches!(parse("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), Statement::Nothing { tag: "SET", .. }));
    assert!(matches!(
        parse("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"),
        Statement::Nothing { tag: "SET", .. }
    ));
    assert!(error_of("SET a 5").contains("expected = or TO"));
}

#[test]
fn shows() {
    let show = |sql: &str| match parse(sql) {
        Statement::Show(show) => show,
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(show("SHOW ALL"), Show::All);
    assert_eq!(show("SHOW TABLES"), Show::Tables { schema: None });
    assert_eq!(show("SHOW TABLES FROM \"S\""), Show::Tables { schema: Some("S".to_string()) });
    assert_eq!(show("SHOW COLUMNS FROM s.t"), Show::Columns { table: TableReference::partial("s", "t") });
    assert_eq!(show("SHOW FULL COLUMNS IN t"), Show::Columns { table: TableReference::bare("t") });
    assert_eq!(show("DESCRIBE t"), Show::Columns { table: TableReference::bare("t") });
    assert_eq!(show("DESC TABLE t"), Show::Columns { table: TableReference::bare("t") });
    assert_eq!(show("SHOW SCHEMAS"), Show::Schemas);
    assert_eq!(show("SHOW volley.Memory_Limit"), Show::Setting("volley.memory_limit".to_string()));
    assert_eq!(show("SHOW TIME ZONE"), Show::Setting("timezone".to_string()));
    assert_eq!(show("SHOW transaction isolation level"), Show::Setting("transaction_isolation".to_string()));
    assert!(matches!(parse("SHOW FUNCTIONS"), Statement::DataFusion(_)));
    assert!(matches!(parse("SHOW CREATE TABLE t"), Statement::DataFusion(_)));
    assert!(matches!(parse("DESCRIBE SELECT 1"), Statement::DataFusion(_)));
}

#[test]
fn prepared_statements() {
    let Statement::Prepare(prepare) = parse("PREPARE P (int, vector(2)) AS SELECT a <=> $2 FROM t WHERE b = $1;")
    else {
        panic!()
    };
    assert_eq!(prepare.name, "p");
    assert_eq!(prepare.types.len(), 2);
    assert_eq!(prepare.text, "SELECT a <=> $2 FROM t WHERE b = $1");
    assert!(matches!(*prepare.statement, Statement::Query(_)));
    let Statement::Execute { name, parameters } = parse("EXECUTE p (1, '[1,2]'::vector)") else { panic!() };
    assert_eq!((name.as_str(), parameters.len()), ("p", 2));
    assert_eq!(parameters[1].to_string(), "to_vector('[1,2]', 0)");
    assert!(matches!(parse("EXECUTE p"), Statement::Execute { .. }));
    assert_eq!(parse("DEALLOCATE PREPARE p"), Statement::Deallocate { name: Some("p".to_string()) });
    assert_eq!(parse("DEALLOCATE ALL"), Statement::Deallocate { name: None });
    assert!(error_of("PREPARE p AS DROP TABLE t").contains("DROP TABLE cannot be prepared"));
}

#[test]
fn maintenance_and_compatibility() {
    assert_eq!(parse("VACUUM"), Statement::Vacuum { table: None });
    assert_eq!(parse("VACUUM FULL s.t"), Statement::Vacuum { table: Some(TableReference::partial("s", "t")) });
    assert!(matches!(
        parse("CREATE EXTENSION IF NOT EXISTS vector"),
        Statement::Nothing { tag: "CREATE EXTENSION", notice: Some(_) }
    ));
    assert!(error_of("CREATE EXTENSION postgis").contains("no extension postgis"));
    assert!(matches!(parse("COMMIT"), Statement::Nothing { tag: "COMMIT", .. }));
    assert!(matches!(parse("ROLLBACK"), Statement::Nothing { tag: "ROLLBACK", .. }));
}

#[test]
fn what_is_not_built_says_so() {
    for sql in [
        "BEGIN",
        "START TRANSACTION",
        "SAVEPOINT a",
        "UPDATE t SET a = 1",
        "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
        "ALTER TABLE t ADD COLUMN a int",
        "GRANT SELECT ON t TO u",
        "COMMENT ON TABLE t IS 'x'",
        "LOCK TABLE t",
        "SELECT a INTO b FROM t",
        "SELECT a FROM t FOR UPDATE",
        "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
    ] {
        let error = parse_statement(sql).err().unwrap_or_else(|| panic!("{sql} parsed"));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
    }
}
