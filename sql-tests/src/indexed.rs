//! The same rows with an index on every vector column: whatever a file of records asks, the answers stay what they are.

/// The statements that index the vector columns of the table that `sql` makes; none where it makes none with vectors.
pub fn create_indexes(sql: &str) -> Vec<String> {
    let Some((table, columns)) = created(sql) else { return Vec::new() };
    let vectors = columns.into_iter().filter(|column| {
        let mut words = column.split_whitespace().skip(1);
        words.next().is_some_and(|name| name.to_ascii_lowercase().starts_with("vector("))
    });
    let names = vectors.filter_map(|column| column.split_whitespace().next());
    let classes = ["vector_l2_ops", "vector_cosine_ops", "vector_ip_ops"];
    names.flat_map(|name| classes.map(|class| format!("CREATE INDEX ON {table} USING hnsw ({name} {class})"))).collect()
}

/// The statement that indexes what `sql` has written, if it is an INSERT.
pub fn reindex(sql: &str) -> Option<String> {
    let rest = strip_words(sql, &["INSERT", "INTO"])?;
    let mut is_quoted = false;
    let end = rest.find(|c: char| {
        is_quoted ^= c == '"';
        !is_quoted && (c.is_whitespace() || c == '(')
    })?;
    Some(format!("REINDEX TABLE {}", &rest[..end]))
}

/// The name and the columns of `CREATE TABLE name (column type …, …)`.
fn created(sql: &str) -> Option<(&str, Vec<&str>)> {
    let rest = strip_words(sql, &["CREATE", "TABLE"])?;
    let open = rest.find('(')?;
    let table = rest[..open].trim();
    // A statement that says more than a name is not of the plain form.
    if table.is_empty() || table.contains(char::is_whitespace) {
        return None;
    }
    let (mut depth, mut from, mut columns) = (0_usize, open + 1, Vec::new());
    for (at, character) in rest.char_indices().skip_while(|(at, _)| *at < open) {
        match character {
            '(' => depth += 1,
            ')' if depth == 1 => {
                columns.push(rest[from..at].trim());
                return Some((table, columns));
            }
            ')' => depth -= 1,
            ',' if depth == 1 => {
                columns.push(rest[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

fn strip_words<'a>(sql: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut rest = sql.trim_start();
    for word in words {
        let (first, others) = rest.split_at_checked(word.len())?;
        if !first.eq_ignore_ascii_case(word) || !others.starts_with(char::is_whitespace) {
            return None;
        }
        rest = others.trim_start();
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_columns_are_found() {
        let indexes = create_indexes("CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(3) NOT NULL, n DECIMAL(3, 1))");
        assert_eq!(indexes.len(), 3);
        assert_eq!(indexes[1], "CREATE INDEX ON t USING hnsw (v vector_cosine_ops)");
        for none in [
            "CREATE TABLE t (id BIGINT)",
            "CREATE TABLE t AS SELECT 1",
            "SELECT 1",
            "CREATE TABLE IF NOT EXISTS t (v vector(3))",
        ] {
            assert_eq!(create_indexes(none), Vec::<String>::new(), "{none}");
        }
        assert_eq!(reindex("insert into t(a) VALUES (1)").as_deref(), Some("REINDEX TABLE t"));
        assert_eq!(reindex("INSERT INTO \"my t\" VALUES (1)").as_deref(), Some("REINDEX TABLE \"my t\""));
        assert_eq!(reindex("INSERT"), None);
    }
}
