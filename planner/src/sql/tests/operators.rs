//! Distance operators, parameters and casts inside expressions.

use super::{error_of, lowered, parse};
use crate::sql::{Statement, parse_expression};

#[test]
fn operators_become_functions() {
    for (operator, function) in
        [("<->", "l2_distance"), ("<=>", "cosine_distance"), ("<#>", "negative_inner_product"), ("<+>", "l1_distance")]
    {
        assert_eq!(lowered(&format!("a {operator} b")), format!("{function}(a, b)"));
        assert_eq!(lowered(&format!("a{operator}b")), format!("{function}(a, b)"));
        assert_eq!(lowered(&format!("a/* x */{operator}--y\nb")), format!("{function}(a, b)"));
        assert_eq!(lowered(&format!("t.\"A\"{operator}$1")), format!("{function}(t.\"A\", $1)"));
        assert_eq!(lowered(&format!("a{operator}-b")), format!("{function}(a, -b)"));
        assert_eq!(lowered(&format!("a {operator} '[1,2]'")), format!("{function}(a, '[1,2]')"));
    }
}

/// As PostgreSQL's other operators: looser than + and -, tighter than comparisons, BETWEEN, IN, LIKE and IS.
#[test]
fn precedence_is_postgres() {
    for (text, expected) in [
        ("0.3 > emb <=> q", "0.3 > cosine_distance(emb, q)"),
        ("emb <=> q < 0.3", "cosine_distance(emb, q) < 0.3"),
        ("emb <=> q = 0", "cosine_distance(emb, q) = 0"),
        ("emb <=> q BETWEEN a AND b", "cosine_distance(emb, q) BETWEEN a AND b"),
        ("emb <=> q NOT BETWEEN a AND b", "cosine_distance(emb, q) NOT BETWEEN a AND b"),
        ("x BETWEEN emb <-> q AND emb <=> q", "x BETWEEN l2_distance(emb, q) AND cosine_distance(emb, q)"),
        ("emb <=> q IN (1, 2)", "cosine_distance(emb, q) IN (1, 2)"),
        ("emb <=> q IS NULL", "cosine_distance(emb, q) IS NULL"),
        ("emb <=> q IS NOT DISTINCT FROM 1", "cosine_distance(emb, q) IS NOT DISTINCT FROM 1"),
        ("a IS NOT DISTINCT FROM b", "a IS NOT DISTINCT FROM b"),
        ("a + b <-> c - d", "l2_distance(a + b, c - d)"),
        ("a <+> b + c", "l1_distance(a, b + c)"),
        ("1 - (a <=> b)", "1 - (cosine_distance(a, b))"),
        ("a <-> b <-> c", "l2_distance(l2_distance(a, b), c)"),
        ("a <-> (b <-> c)", "l2_distance(a, (l2_distance(b, c)))"),
        ("NOT a <=> b < 1 AND c", "NOT cosine_distance(a, b) < 1 AND c"),
        ("a <-> b < c <-> d OR e", "l2_distance(a, b) < l2_distance(c, d) OR e"),
        ("-a <#> b", "negative_inner_product(-a, b)"),
        ("a <#> b * -1", "negative_inner_product(a, b * -1)"),
        ("(a <#> b) * -1", "(negative_inner_product(a, b)) * -1"),
        ("f(a) <=> g(b, c)", "cosine_distance(f(a), g(b, c))"),
        ("f(a <=> b)", "f(cosine_distance(a, b))"),
        ("a[1] <-> b[2:3]", "l2_distance(a[1], b[2:3])"),
        ("emb <-> ARRAY[1.5, -2]", "l2_distance(emb, ARRAY[1.5, -2])"),
        ("ARRAY[1.5, -2] <-> emb", "l2_distance(ARRAY[1.5, -2], emb)"),
        ("emb <=> (SELECT e FROM q)", "cosine_distance(emb, (SELECT e FROM q))"),
        ("emb <=> $1 || 'x'", "cosine_distance(emb, $1) || 'x'"),
        ("CASE WHEN a <=> b < 1 THEN 'x' END", "CASE WHEN cosine_distance(a, b) < 1 THEN 'x' END"),
    ] {
        assert_eq!(lowered(text), expected, "{text}");
    }
}

/// What an expression prints parses again to the same expression: nothing was lost in lowering.
#[test]
fn lowered_text_means_the_same() {
    for text in [
        "0.3 > emb <=> q AND a <-> b + c < 1",
        "CAST('[1]' AS vector(1)) <=> x::vector",
        "a -> 'b' ->> 'c' = 'd'",
        "(a <+> b)::text LIKE '%?%'",
        "CASE a <-> b WHEN 1 THEN 2 ELSE 3 END",
    ] {
        let once = parse_expression(text).unwrap();
        let printed = once.to_string();
        assert_eq!(parse_expression(&printed).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn operators_work_in_every_clause() {
    let sql = "WITH n AS (SELECT id, emb <=> $1 AS d FROM docs WHERE emb <-> $2 < 1) \
               SELECT n.id, (SELECT min(e <+> f) FROM q) FROM n JOIN m ON n.e <#> m.e < 0 \
               GROUP BY a <=> b HAVING min(a <-> b) < 2 ORDER BY d, n.e <=> $1 DESC NULLS LAST LIMIT 5";
    let Statement::Query(query) = parse(sql) else { panic!("not a query") };
    let text = query.to_string();
    for operator in ["<=>", "<->", "<#>", "<+>"] {
        assert!(!text.contains(operator), "{text}");
    }
    assert_eq!(text.matches("_distance(").count() + text.matches("negative_inner_product(").count(), 7, "{text}");
}

#[test]
fn other_operators_stay() {
    for text in [
        "a -> 'b'",
        "a ->> 'b'",
        "a -> 'b' -> 0 ->> 'c' = 'd'",
        "a < -1",
        "a > -1",
        "a <= -1",
        "a <> b",
        "a < b",
        "a @> b",
        "a <@ b",
        "a || b",
        "a # b",
        "a ~ 'x'",
        "a !~* 'x'",
        "a % 2",
        "a << 2",
        "a ^ 2",
    ] {
        assert_eq!(lowered(text), text);
    }
    assert_eq!(lowered("a>-1"), "a > -1");
    assert_eq!(lowered("a=-1"), "a = -1");
    assert_eq!(lowered("a<-1"), "a < -1");
    assert_eq!(lowered("a<=-1"), "a <= -1");
    assert_eq!(lowered("a*-1"), "a * -1");
}

#[test]
fn pieces_that_do_not_touch_are_no_operator() {
    for text in ["a < -> b", "a <- > b", "a < + > b", "a <+ > b", "a < # > b", "a <= > b"] {
        assert!(parse_expression(text).is_err(), "{text}");
    }
}

#[test]
fn parameters_are_numbered() {
    assert_eq!(lowered("f(?, ?) + ?"), "f($1, $2) + $3");
    assert_eq!(lowered("x IN (?,?,?)"), "x IN ($1, $2, $3)");
    assert_eq!(lowered("x BETWEEN ? AND ?"), "x BETWEEN $1 AND $2");
    assert_eq!(lowered("emb <=> ? < ?"), "cosine_distance(emb, $1) < $2");
    assert_eq!(lowered("?::vector <=> emb"), "cosine_distance(to_vector($1, 0), emb)");
    assert_eq!(lowered("a=?-1"), "a = $1 - 1");
    assert_eq!(lowered("a LIKE ? ESCAPE '!'"), "a LIKE $1 ESCAPE '!'");
    assert_eq!(lowered("CASE ? WHEN ? THEN ? ELSE ? END"), "CASE $1 WHEN $2 THEN $3 ELSE $4 END");
    assert_eq!(lowered("$2 + $1"), "$2 + $1");
    assert_eq!(lowered("?2 + ?1"), "$2 + $1");
    let Statement::Query(query) = parse("SELECT a FROM t WHERE b = ? ORDER BY c LIMIT ? OFFSET ?") else { panic!() };
    assert_eq!(query.to_string(), "SELECT a FROM t WHERE b = $1 ORDER BY c LIMIT $2 OFFSET $3");
    let Statement::Insert(insert) = parse("INSERT INTO t VALUES (?, ?), (?, ?)") else { panic!() };
    assert_eq!(insert.source.unwrap().to_string(), "VALUES ($1, $2), ($3, $4)");
}

#[test]
fn question_mark_between_operands_is_the_json_operator() {
    assert_eq!(lowered("data ? 'key'"), "data ? 'key'");
    assert_eq!(lowered("(data -> 'a') ? ?"), "(data -> 'a') ? $1");
    assert_eq!(lowered("a.data ? b.key"), "a.data ? b.key");
    assert_eq!(lowered("\"data\" ? $1"), "\"data\" ? $1");
}

#[test]
fn both_kinds_of_parameters_at_once_are_refused() {
    assert!(error_of("SELECT ? + $1").contains("not both"));
    assert!(error_of("SELECT $1 + ?").contains("not both"));
    assert!(error_of("SELECT '$1' || ?2 || ?").contains("not both"));
    assert_eq!(lowered("'$1' || ?"), "'$1' || $1");
}

#[test]
fn quotes_and_comments_are_never_rewritten() {
    for (text, expected) in [
        ("'a <=> b ? c <+> d'", "'a <=> b ? c <+> d'"),
        ("'it''s <-> ?'", "'it''s <-> ?'"),
        ("\"a <=> ?\"", "\"a <=> ?\""),
        ("$$ ? <=> $$", "$$ ? <=> $$"),
        ("$q$ ? <+> $x$ $q$", "$q$ ? <+> $x$ $q$"),
        ("E'\\'? <=> '", "E'\\'? <=> '"),
        ("a /* ? <=> */ + ?", "a + $1"),
        ("a -- ? <=>\n + ?", "a + $1"),
        ("a /* /* ? */ ' */ + ?", "a + $1"),
    ] {
        assert_eq!(lowered(text), expected, "{text}");
    }
    // Strings on several lines are one, as in PostgreSQL.
    assert_eq!(lowered("'a'\n  'b'"), "'ab'");
    assert_eq!(lowered("'a' -- comment\n 'b'\n'c'"), "'abc'");
}
