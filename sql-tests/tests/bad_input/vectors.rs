//! Vectors that are none.

use super::Volley;

fn with_table() -> Volley {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT PRIMARY KEY, e vector(3));\nINSERT INTO t VALUES (1, '[1,2,3]'), (2, NULL)");
    volley
}

#[test]
fn of_the_wrong_dimension() {
    let volley = with_table();
    for sql in [
        "INSERT INTO t VALUES (3, '[1,2]')",
        "INSERT INTO t VALUES (3, '[1,2,3]'), (4, '[1,2,3,4]')",
        "INSERT INTO t VALUES (3, ARRAY[1, 2])",
        "INSERT INTO t SELECT 3, ARRAY[1.0, 2.0]",
        "SELECT '[1,2]'::vector(3)",
        "SELECT ARRAY[1,2]::vector(3)",
        "SELECT id FROM t ORDER BY e <-> '[1,2]' LIMIT 1",
        "SELECT id FROM t ORDER BY e <=> ARRAY[1,2,3,4] LIMIT 1",
        "SELECT id FROM t WHERE e <-> '[1]' < 1",
        "DELETE FROM t WHERE e <-> '[1,2]' < 1",
        "SELECT e + '[1,2]'::vector FROM t",
        "SELECT '[1,2]'::vector(2) <-> '[1,2,3]'::vector(3)",
    ] {
        volley.refuses_saying("22023", "dimension", sql);
    }
}

#[test]
fn with_nan_or_infinity() {
    let volley = with_table();
    for sql in [
        "INSERT INTO t VALUES (3, '[1,2,NaN]')",
        "INSERT INTO t VALUES (3, '[1,Infinity,2]')",
        "INSERT INTO t VALUES (3, '[1,-inf,2]')",
        "INSERT INTO t VALUES (3, '[1,1e40,2]')",
        "INSERT INTO t VALUES (3, ARRAY['NaN'::real, 0, 0])",
        "INSERT INTO t SELECT 3, ARRAY['inf'::double, 0.0, 0.0]",
        "SELECT '[NaN]'::vector(1)",
        "SELECT ARRAY['NaN'::double]::vector(1)",
        "SELECT id FROM t ORDER BY e <-> '[NaN,0,0]' LIMIT 1",
    ] {
        volley.refuses("22023|22003", sql);
    }
}

#[test]
fn with_too_many_dimensions_or_none() {
    let volley = with_table();
    for sql in [
        "CREATE TABLE x (e vector(0))",
        "CREATE TABLE x (e vector(32769))",
        "CREATE TABLE x (e vector(99999999999999999999))",
        "CREATE TABLE x (e vector(-1))",
        "CREATE TABLE x (e vector(1.5))",
        "CREATE TABLE x (e vector(three))",
        "CREATE TABLE x (e vector(1, 2))",
        "CREATE TABLE x (e vector)",
        "CREATE TABLE x (e vector())",
        "SELECT '[1]'::vector(0)",
    ] {
        let sentence = match volley.run(sql) {
            Err(refusal) => {
                super::assert_clear(&refusal, sql);
                assert!(["22023", "42601"].contains(&refusal.sqlstate), "{}: {sql}", refusal.sqlstate);
                refusal.sentence
            }
            Ok(_) => panic!("not refused: {sql}"),
        };
        assert!(sentence.contains("dimension") || sentence.contains("syntax"), "{sentence}: {sql}");
    }
    let numbers = vec!["0.5"; 32_769].join(",");
    volley.refuses("54000", &format!("SELECT '[{numbers}]'::vector"));
    volley.refuses("54000", &format!("CREATE TABLE x AS SELECT '[{numbers}]'::vector AS e"));
    // As many as there may be.
    let numbers = vec!["0.5"; 32_768].join(",");
    volley.ok("CREATE TABLE wide (e vector(32768))");
    volley.ok(&format!("INSERT INTO wide VALUES ('[{numbers}]'), (ARRAY[{numbers}])"));
    assert_eq!(volley.value("SELECT sum(vector_dims(e)) FROM wide"), "65536");
}

#[test]
fn with_malformed_text() {
    let volley = with_table();
    for text in [
        "",
        "[",
        "[]",
        "]",
        "1,2,3",
        "[1,2,3",
        "1,2,3]",
        "[1,,3]",
        "[1,2,x]",
        "[1 2 3]",
        "[1,2,3]]",
        "[[1,2,3]]",
        "{1,2,3}",
        "[1,2,3,]",
        "[0x1,2,3]",
        "null",
    ] {
        volley.refuses("22P02|54000", &format!("INSERT INTO t VALUES (3, '{text}')"));
        volley.refuses("22P02|54000", &format!("SELECT '{text}'::vector(3)"));
        volley.refuses("22P02|54000", &format!("SELECT id FROM t ORDER BY e <-> '{text}' LIMIT 1"));
    }
    // White space is fine, as in pgvector.
    assert_eq!(volley.value("SELECT ' [ 1 , 2 ,\t3 ] '::vector(3)"), "[1,2,3]");
}

#[test]
fn with_null_elements_or_of_other_types() {
    let volley = with_table();
    for sql in [
        "INSERT INTO t VALUES (3, ARRAY[1, NULL, 3])",
        "INSERT INTO t VALUES (3, ARRAY['a', 'b', 'c'])",
        "INSERT INTO t VALUES (3, 5)",
        "INSERT INTO t VALUES (3, true)",
        "SELECT e <-> 5 FROM t",
        "SELECT e <-> true FROM t",
        "SELECT l2_distance(e) FROM t",
        "SELECT l2_distance(e, e, e) FROM t",
        "SELECT l2_norm(id) FROM t",
    ] {
        let refusal = volley.run(sql).expect_err(sql);
        super::assert_clear(&refusal, sql);
    }
    assert_eq!(volley.value("SELECT count(*) FROM t"), "2");
}
