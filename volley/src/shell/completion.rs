//! What Tab offers: decided from the text before the cursor and the names there are.

use super::command;
use super::describe::quote_name;
use super::names::Known;

/// Words of statements that Volley knows.
const KEYWORDS: &[&str] = &[
    "ALL",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "CSV",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FALSE",
    "FILTER",
    "FORMAT",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "HNSW",
    "IF",
    "IN",
    "INDEX",
    "INDEXES",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "JSON",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARQUET",
    "PARTITION",
    "PREPARE",
    "PRIMARY",
    "QUANTIZER",
    "REINDEX",
    "RESET",
    "RIGHT",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHOW",
    "STORED",
    "TABLE",
    "THEN",
    "TO",
    "TRUE",
    "UNION",
    "UNNEST",
    "USING",
    "VACUUM",
    "VALUES",
    "VECTOR",
    "VECTOR_COSINE_OPS",
    "VECTOR_IP_OPS",
    "VECTOR_L1_OPS",
    "VECTOR_L2_OPS",
    "VERIFY",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// What the word under the cursor can become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Where the word begins.
    pub(super) start: usize,
    /// What can stand there, sorted.
    pub(super) words: Vec<String>,
}

/// Completes the word that ends at the end of `before`, the text before the cursor.
pub(super) fn complete(before: &str, known: impl FnOnce() -> std::sync::Arc<Known>) -> Offer {
    let start =
        before.rfind(|c: char| !is_word(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    let line = before.rsplit('\n').next().unwrap_or(before).trim_start();
    if line.starts_with('\\') {
        if line == word {
            return offer(start, word, command::NAMES.iter().map(|name| (*name).to_owned()));
        }
        if !line.starts_with("\\d") {
            return Offer { start, words: Vec::new() };
        }
        return offer(start, word, tables(&known(), word));
    }
    let previous = before[..start].split_whitespace().next_back().unwrap_or("").to_ascii_uppercase();
    let names_setting = matches!(previous.as_str(), "SET" | "SHOW" | "RESET");
    if let Some((table, column)) = word.rsplit_once('.').filter(|_| !names_setting) {
        let known = known();
        let of_schema = known.tables.iter().filter(|(schema, _)| schema == table).map(|(_, name)| name);
        let names: Vec<String> = columns_of(&known, table).chain(of_schema).map(|name| spelled(name)).collect();
        return offer(start + table.len() + 1, column, names.into_iter());
    }
    match previous.as_str() {
        "FROM" | "JOIN" | "INTO" | "TABLE" | "VIEW" | "COPY" | "DESCRIBE" | "ANALYZE" | "VACUUM" => {
            offer(start, word, tables(&known(), word))
        }
        "INDEX" => offer(start, word, indexes(&known(), word)),
        _ if names_setting => offer(start, word, known().settings.iter().cloned()),
        _ if word.is_empty() => Offer { start, words: Vec::new() },
        _ => {
            let known = known();
            let columns = known.columns.iter().map(|(_, column)| spelled(column));
            let words: Vec<String> = keywords(word).chain(columns).chain(tables(&known, word)).collect();
            offer(start, word, words.into_iter())
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '$' | '\\' | '?' | '"')
}

/// Those of `names` that begin with `word`, in any case, each once.
fn offer(start: usize, word: &str, names: impl Iterator<Item = String>) -> Offer {
    let begin = word.trim_start_matches('"').to_lowercase();
    let mut words: Vec<String> =
        names.filter(|name| name.trim_start_matches('"').to_lowercase().starts_with(&begin)).collect();
    words.sort();
    words.dedup();
    Offer { start, words }
}

/// Keywords in the case the user writes.
fn keywords(word: &str) -> impl Iterator<Item = String> {
    let lower = word.chars().next().is_some_and(char::is_lowercase);
    KEYWORDS.iter().map(move |keyword| if lower { keyword.to_lowercase() } else { (*keyword).to_owned() })
}

/// Tables by name, those of other schemas with it.
fn tables(known: &Known, word: &str) -> impl Iterator<Item = String> + use<> {
    with_schemas(&known.tables, word)
}

/// Indexes in the same way.
fn indexes(known: &Known, word: &str) -> impl Iterator<Item = String> + use<> {
    with_schemas(&known.indexes, word)
}

fn with_schemas(pairs: &[(String, String)], word: &str) -> impl Iterator<Item = String> + use<> {
    let qualified = word.contains('.');
    let mut names = Vec::new();
    for (schema, name) in pairs {
        match schema.as_str() {
            "public" if !qualified => names.push(spelled(name)),
            "public" => {}
            _ => names.push(format!("{}.{}", spelled(schema), spelled(name))),
        }
    }
    names.into_iter()
}

fn columns_of<'a>(known: &'a Known, table: &'a str) -> impl Iterator<Item = &'a String> {
    let is_table = known.columns.iter().any(|(name, _)| name == table);
    // An alias hides which table is meant: then every column may be.
    let is_schema = known.tables.iter().any(|(schema, _)| schema == table) || table == "volley";
    known
        .columns
        .iter()
        .filter(move |(name, _)| if is_table { name == table } else { !is_schema })
        .map(|(_, column)| column)
}

/// A name as SQL must write it.
fn spelled(name: &str) -> String {
    let plain = |c: char| c.is_lowercase() || c.is_ascii_digit() || c == '_';
    let starts_plain = name.chars().next().is_some_and(|c| plain(c) && !c.is_ascii_digit());
    match starts_plain && name.chars().all(plain) {
        true => name.to_owned(),
        false => quote_name(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[track_caller]
    fn check(before: &str, start: usize, words: &[&str]) {
        let known = Known {
            tables: vec![pair("public", "docs"), pair("public", "My Docs"), pair("app", "logs")],
            columns: vec![pair("docs", "id"), pair("docs", "body"), pair("logs", "level")],
            indexes: vec![pair("public", "docs_emb_idx"), pair("app", "logs_v_idx")],
            settings: vec!["volley.memory_limit".to_owned(), "volley.statement_timeout".to_owned()],
        };
        let found = complete(before, || Arc::new(known));
        assert_eq!((found.start, found.words), (start, words.iter().map(|w| (*w).to_owned()).collect()), "{before}");
    }

    #[test]
    fn keywords_follow_the_users_case() {
        check("sel", 0, &["select"]);
        check("SEL", 0, &["SELECT"]);
        check("select 1 gro", 9, &["group"]);
    }

    #[test]
    fn tables_stand_after_from() {
        check("select * from d", 14, &["docs"]);
        check("select * from ", 14, &["\"My Docs\"", "app.logs", "docs"]);
        check("select * from \"m", 14, &["\"My Docs\""]);
        check("select * from app.l", 18, &["logs"]);
        check("\\d d", 3, &["docs"]);
    }

    #[test]
    fn indexes_stand_after_index() {
        check("drop index d", 11, &["docs_emb_idx"]);
        check("REINDEX INDEX ", 14, &["app.logs_v_idx", "docs_emb_idx"]);
        check("analyze d", 8, &["docs"]);
        check("create ind", 7, &["index", "indexes"]);
    }

    #[test]
    fn columns_follow_their_table() {
        check("select b", 7, &["between", "body", "by"]);
        check("select docs.", 12, &["body", "id"]);
        check("select x.l", 9, &["level"]);
    }

    #[test]
    fn settings_stand_after_set() {
        check("set vol", 4, &["volley.memory_limit", "volley.statement_timeout"]);
        check("set volley.m", 4, &["volley.memory_limit"]);
        check("select volley.m", 14, &[]);
    }

    #[test]
    fn commands_complete_themselves() {
        check("\\t", 0, &["\\timing"]);
        check("\\q x", 3, &[]);
        check("select größ", 7, &[]);
    }
}
