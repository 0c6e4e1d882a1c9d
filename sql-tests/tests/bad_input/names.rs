//! Names that do not exist: the error tells the nearest that does.

use super::Volley;

fn with_tables() -> Volley {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE documents (id INT, title TEXT, embedding vector(2));\n\
         CREATE SCHEMA archive;\n\
         CREATE TABLE archive.letters (id INT);\n\
         INSERT INTO documents VALUES (1, 'one', '[1,0]')");
    volley
}

#[test]
fn of_tables() {
    let volley = with_tables();
    for sql in [
        "SELECT * FROM document",
        "SELECT * FROM documents d JOIN documants x ON x.id = d.id",
        "INSERT INTO documnets VALUES (1)",
        "DELETE FROM docments",
        "DROP TABLE documentz",
        "COPY document FROM '/nonexistent.csv'",
        "COPY document TO '/tmp/never-written.csv'",
        "CREATE VIEW v AS SELECT * FROM document",
        "SELECT id FROM documents WHERE id IN (SELECT id FROM document)",
        "TRUNCATE document",
        "SHOW COLUMNS FROM document",
    ] {
        volley.refuses_saying("42P01", "did you mean \"documents\"?", sql);
    }
    volley.refuses_saying("42P01", "archive.leters", "SELECT * FROM archive.leters");
    volley.refuses("42P01", "SELECT * FROM something_else_entirely");
    volley.refuses_saying("3F000", "archive", "SELECT * FROM archiv.letters");
    volley.refuses("3F000", "DROP SCHEMA nothing");
    volley.refuses("3F000", "SELECT * FROM other_database.public.documents");
}

#[test]
fn of_columns() {
    let volley = with_tables();
    for sql in [
        "SELECT titel FROM documents",
        "SELECT d.titel FROM documents d",
        "SELECT id FROM documents WHERE titel = 'x'",
        "SELECT id FROM documents ORDER BY titel",
        "SELECT count(*) FROM documents GROUP BY titel",
        "INSERT INTO documents (id, titel) VALUES (1, 'x')",
        "DELETE FROM documents WHERE titel = 'x'",
        "SELECT a.id FROM documents a JOIN documents b ON a.titel = b.title",
    ] {
        let sentence = volley.refuses("42703", sql);
        assert!(sentence.contains("title"), "{sentence}: {sql}");
    }
    volley.refuses("42702", "SELECT id FROM documents a, documents b");
    volley.refuses("42703", "SELECT embeding <-> '[1,0]' FROM documents");
    volley.refuses("42703", "SELECT id FROM documents ORDER BY embeding <-> '[1,0]' LIMIT 3");
}

#[test]
fn of_functions() {
    let volley = with_tables();
    volley.refuses_saying("42883", "l2_distance", "SELECT l2_distanc(embedding, '[1,0]') FROM documents");
    volley.refuses_saying("42883", "lower", "SELECT lowr(title) FROM documents");
    volley.refuses_saying("42883", "count", "SELECT coumt(*) FROM documents");
    volley.refuses("42883", "SELECT frobnicate(1)");
    volley.refuses("42883", "SELECT * FROM no_such_table_function(1)");
    volley.refuses("42883", "SELECT upper()");
    volley.refuses("42883", "SELECT abs('a', 'b')");
}

#[test]
fn of_settings_types_and_prepared_statements() {
    let volley = with_tables();
    volley.refuses_saying("42704", "volley.vector_topk", "SET volley.vector_topc = on");
    volley.refuses_saying("42704", "volley.batch_size", "SHOW volley.batchsize");
    volley.refuses("42704", "RESET volley.nothing");
    volley.refuses("42704", "SET something = 1");
    volley.refuses("22023", "SET volley.vector_topk = maybe");
    volley.refuses("22023", "SET volley.batch_size = -5");
    volley.refuses("42704", "CREATE TABLE x (a bigintt)");
    volley.refuses("42704", "EXECUTE nothing(1)");
    volley.refuses("42704", "DEALLOCATE nothing");
    let refusal = volley.run("SET datafusion.execution.no_such_option = 1").expect_err("an unknown option");
    super::assert_clear(&refusal, "SET datafusion.…");
}

#[test]
fn syntax_errors_say_where() {
    let volley = with_tables();
    volley.refuses_saying("42601", "line 1, column 1", "SELEC 1");
    volley.refuses_saying("42601", "line 2", "SELECT id\nFORM documents x y");
    volley.refuses("42601", "SELECT (1");
    volley.refuses("42601", "SELECT 'open");
    volley.refuses("42601", "SELECT \"open");
    volley.refuses("42601", "CREATE TABLE");
    volley.refuses("42601", "SELECT 1; SELECT 2");
    for nothing in ["", ";", " -- comment", "/* comment */"] {
        if let Err(refusal) = volley.run(nothing) {
            super::assert_clear(&refusal, nothing);
        }
    }
}
