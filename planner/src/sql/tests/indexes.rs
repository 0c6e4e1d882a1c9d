//! CREATE INDEX, DROP INDEX, REINDEX, ANALYZE … USING, EXPLAIN (ANALYZE, VERIFY).

use datafusion::common::TableReference;
use volley_storage::ErrorKind;
use volley_storage::ids::FieldId;
use volley_storage::index_definition::IndexDefinition;

use super::parse;
use crate::sql::{CreateIndex, IndexOptions, Reindex, Show, Statement, index_text, parse_statement};

fn create_index(sql: &str) -> CreateIndex {
    match parse(sql) {
        Statement::CreateIndex(create) => create,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn an_index_with_everything() {
    let create = create_index(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"Emb\" ON app.Docs USING HNSW (\"Emb\" vector_cosine_ops) \
         WITH (M = 24, ef_construction = '200', quantizer = 'F16');",
    );
    assert_eq!(
        create,
        CreateIndex {
            name: Some("Emb".to_string()),
            if_not_exists: true,
            table: TableReference::partial("app", "docs"),
            column: "Emb".to_string(),
            options: IndexOptions { metric: "cosine", m: 24, ef_construction: 200, quantizer: "f16" },
        }
    );
    let pairs = create.options.parameters();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("ef_construction", "200"), ("m", "24"), ("metric", "cosine"), ("quantizer", "f16")]);
}

#[test]
fn an_index_with_nothing() {
    let create = create_index("create index on docs using hnsw (emb)");
    assert_eq!((create.name.as_deref(), create.if_not_exists), (None, false));
    assert_eq!(create.options, IndexOptions { metric: "l2", m: 16, ef_construction: 128, quantizer: "i8" });
    for (class, metric) in [
        ("vector_l2_ops", "l2"),
        ("vector_ip_ops", "ip"),
        ("public.vector_l1_ops", "l1"),
        ("VECTOR_COSINE_OPS", "cosine"),
    ] {
        let create = create_index(&format!("CREATE INDEX i ON ONLY docs USING hnsw (emb {class})"));
        assert_eq!((create.name.as_deref(), create.options.metric), (Some("i"), metric));
    }
    // A larger m takes a larger ef_construction with it.
    assert_eq!(create_index("CREATE INDEX ON t USING hnsw (v) WITH (m = 100)").options.ef_construction, 200);
    assert_eq!(create_index("CREATE INDEX ON t USING hnsw (v) WITH (m = 8)").options.ef_construction, 128);
    assert_eq!(create_index("CREATE INDEX \"on\" ON t USING hnsw (v)").name.as_deref(), Some("on"));
    assert_eq!(parse("CREATE INDEX ON t USING hnsw (v)").tag(), "CREATE INDEX");
}

#[test]
fn what_an_index_cannot_be() {
    let with = |options: &str| format!("CREATE INDEX i ON t USING hnsw (v) WITH ({options})");
    for (sql, kind, part) in [
        ("CREATE INDEX i ON t (v)".to_string(), ErrorKind::Unsupported, "USING hnsw"),
        ("CREATE INDEX i ON t USING ivfflat (v)".to_string(), ErrorKind::UndefinedObject, "the one there is is hnsw"),
        (
            "CREATE INDEX i ON t USING hnsw (v vector_ops)".to_string(),
            ErrorKind::UndefinedObject,
            "vector_cosine_ops, ",
        ),
        (
            "CREATE INDEX i ON t USING hnsw (v halfvec_l2_ops)".to_string(),
            ErrorKind::UndefinedObject,
            "vector_ip_ops, ",
        ),
        ("CREATE UNIQUE INDEX i ON t USING hnsw (v)".to_string(), ErrorKind::Unsupported, "PRIMARY KEY"),
        ("CREATE INDEX i ON t USING hnsw (v) WHERE a > 1".to_string(), ErrorKind::Unsupported, "partial"),
        ("CREATE INDEX i ON t USING hnsw (v) WITH (m = 8) WHERE a".to_string(), ErrorKind::Unsupported, "partial"),
        ("CREATE INDEX i ON t USING hnsw (v) INCLUDE (a)".to_string(), ErrorKind::Unsupported, "INCLUDE"),
        ("CREATE INDEX i ON t USING hnsw (v) TABLESPACE x".to_string(), ErrorKind::Unsupported, "tablespaces"),
        ("CREATE INDEX i ON t USING hnsw (a, b)".to_string(), ErrorKind::Unsupported, "one column"),
        ("CREATE INDEX i ON t USING hnsw (a vector_l2_ops, b)".to_string(), ErrorKind::Unsupported, "one column"),
        ("CREATE INDEX i ON t USING hnsw (v DESC)".to_string(), ErrorKind::Unsupported, "DESC"),
        ("CREATE INDEX i ON t USING hnsw (v vector_l2_ops ASC)".to_string(), ErrorKind::Unsupported, "DESC"),
        (
            "CREATE INDEX i ON t USING hnsw ((v::vector(3)) vector_l2_ops)".to_string(),
            ErrorKind::Unsupported,
            "expression",
        ),
        ("CREATE INDEX i ON t USING hnsw (v::vector(3))".to_string(), ErrorKind::Unsupported, "expression"),
        ("CREATE INDEX i ON t USING hnsw (l2_normalize(v))".to_string(), ErrorKind::Unsupported, "expression"),
        ("CREATE INDEX i ON t USING hnsw ()".to_string(), ErrorKind::Unsupported, "expression"),
        ("CREATE INDEX s.i ON t USING hnsw (v)".to_string(), ErrorKind::Syntax, "without a schema"),
        ("CREATE INDEX IF NOT EXISTS ON t USING hnsw (v)".to_string(), ErrorKind::Syntax, "IF NOT EXISTS"),
        ("CREATE INDEX i ON t USING hnsw v".to_string(), ErrorKind::Syntax, "expected"),
        ("CREATE INDEX i ON t USING hnsw (v) x".to_string(), ErrorKind::Syntax, "the end"),
        (with("m = 1"), ErrorKind::InvalidValue, "from 2 to 100"),
        (with("m = 101"), ErrorKind::InvalidValue, "from 2 to 100"),
        (with("m = 16.5"), ErrorKind::InvalidValue, "from 2 to 100"),
        (with("m = -4"), ErrorKind::InvalidValue, "from 2 to 100"),
        (with("ef_construction = 3"), ErrorKind::InvalidValue, "from 4 to 1000"),
        (with("ef_construction = 1001"), ErrorKind::InvalidValue, "from 4 to 1000"),
        (with("m = 20, ef_construction = 39"), ErrorKind::InvalidValue, "which is 40, not 39"),
        (with("ef_construction = 31"), ErrorKind::InvalidValue, "which is 32"),
        (with("quantizer = 'pq'"), ErrorKind::InvalidValue, "f32, f16, i8"),
        (with("lists = 100"), ErrorKind::InvalidValue, "m, ef_construction and quantizer"),
        (with("m = 8, m = 9"), ErrorKind::Syntax, "given twice"),
        (with(""), ErrorKind::Syntax, "expected"),
        (with("m"), ErrorKind::Syntax, "expected"),
    ] {
        let error = parse_statement(&sql).err().unwrap_or_else(|| panic!("{sql} parsed"));
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[test]
fn dropping_and_rebuilding() {
    let Statement::DropIndex(drop) = parse("DROP INDEX CONCURRENTLY IF EXISTS a, s.\"B\" CASCADE") else { panic!() };
    assert_eq!(drop.names, [TableReference::bare("a"), TableReference::partial("s", "B")]);
    assert!(drop.if_exists && drop.cascade);
    assert_eq!(parse("DROP INDEX a RESTRICT").tag(), "DROP INDEX");
    let table = Statement::Reindex(Reindex::Table(TableReference::partial("s", "t")));
    assert_eq!(parse("REINDEX TABLE s.T"), table);
    assert_eq!(parse("REINDEX (VERBOSE) TABLE CONCURRENTLY s.t"), table);
    assert_eq!(parse("reindex index i"), Statement::Reindex(Reindex::Index(TableReference::bare("i"))));
    for (sql, part) in [
        ("REINDEX", "expected INDEX or TABLE"),
        ("REINDEX t", "expected INDEX or TABLE"),
        ("REINDEX DATABASE volley", "REINDEX TABLE for each table"),
        ("DROP INDEX", "expected"),
        ("REINDX TABLE t", "did you mean REINDEX"),
    ] {
        let error = parse_statement(sql).err().unwrap_or_else(|| panic!("{sql} parsed"));
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}

#[test]
fn showing() {
    for sql in ["SHOW INDEXES FROM s.t", "show index in s.t", "SHOW INDICES FROM S.T"] {
        let table = Some(TableReference::partial("s", "t"));
        assert_eq!(parse(sql), Statement::Show(Show::Indexes { table }), "{sql}");
    }
    assert_eq!(parse("SHOW INDEXES"), Statement::Show(Show::Indexes { table: None }));
    let create = create_index("CREATE INDEX ON t USING hnsw (v vector_ip_ops) WITH (m = 8)");
    let parameters = create.options.parameters();
    let definition = IndexDefinition { method: "hnsw".into(), columns: vec![FieldId(1)], parameters };
    let text = index_text(&definition, "v");
    assert_eq!(text, "hnsw (v vector_ip_ops) WITH (m = 8, ef_construction = 128, quantizer = 'i8')");
    let again = create_index(&format!("CREATE INDEX ON t USING {text}"));
    assert_eq!(again.options, create.options);
}

#[test]
fn measuring() {
    assert_eq!(parse("ANALYZE"), Statement::Analyze { table: None, using: None });
    let t = Some(TableReference::bare("t"));
    assert_eq!(parse("ANALYZE VERBOSE t"), Statement::Analyze { table: t.clone(), using: None });
    for sql in ["ANALYZE t USING (SELECT v FROM queries LIMIT 10)", "ANALYZE t USING SELECT v FROM queries LIMIT 10"] {
        let Statement::Analyze { table, using } = parse(sql) else { panic!("{sql}") };
        assert_eq!(table, t);
        assert!(using.unwrap().to_string().contains("SELECT v FROM queries LIMIT 10"), "{sql}");
    }
    assert!(parse_statement("ANALYZE USING (SELECT v FROM q)").is_err());
    assert!(parse_statement("ANALYZE t USING").is_err());
    assert!(parse_statement("ANALYZE t (v)").is_err());
}

#[test]
fn explain_verify() {
    let verify = |sql: &str| match parse(sql) {
        Statement::Explain(explain) => (explain.analyze, explain.verify),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(verify("EXPLAIN (ANALYZE, VERIFY) SELECT 1"), (true, true));
    assert_eq!(verify("EXPLAIN (VERIFY, ANALYZE, VERBOSE, FORMAT indent) SELECT 1"), (true, true));
    assert_eq!(verify("EXPLAIN (ANALYZE, VERIFY off) SELECT 1"), (true, false));
    assert_eq!(verify("EXPLAIN (VERIFY false) SELECT 1"), (false, false));
    let error = parse_statement("EXPLAIN (VERIFY) SELECT 1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert!(error.to_string().contains("EXPLAIN (ANALYZE, VERIFY)"), "{error}");
}
