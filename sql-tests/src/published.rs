//! What DataFusion's published sqllogictest files need to run on Volley.
//!
//! - Errors are errors in both, but the words are ours: any error matches where the file wants one.
//! - `CREATE TABLE t AS query` tells how many rows there are, where DataFusion tells 0.
//! - `CREATE TABLE t (columns) AS query` is DataFusion's own; here it becomes CREATE TABLE and INSERT.

use std::fmt;

use sqllogictest::{ExpectedError, QueryExpect, Record, StatementExpect};

use crate::cells::ColumnType;
use crate::script::Failure;

/// How the list of what does not run begins.
pub const SKIPPED_HEAD: &str = "# DataFusion's files and records that do not run on Volley, and why\n\nMade by the test \
    `select_files`; see the README beside this file.\n";

/// Why a record does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It shows a plan, and the plans of Volley's tables are others.
    Plan,
    /// It reads or writes files that the published crate does not hold.
    Files,
    /// It stands on a record that does not run.
    Follows(String),
    /// Volley refuses it.
    Refused(String),
    /// Volley answers differently; a sample was looked at.
    Differs,
    /// Volley answers where DataFusion refuses.
    Accepted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Plan => write!(f, "shows a plan of DataFusion's own tables"),
            Reason::Files => write!(f, "needs files that are not in the published crate"),
            Reason::Follows(what) => write!(f, "needs {what}, which a skipped record makes"),
            Reason::Refused(sentence) => write!(f, "refused: {sentence}"),
            Reason::Differs => write!(f, "another result"),
            Reason::Accepted => write!(f, "accepted here"),
        }
    }
}

/// Why a record that failed does not run here, from what it did.
pub fn reason(failure: &Failure) -> Reason {
    let detail = &failure.detail;
    let sql = detail.split_once("[SQL] ").map_or("", |(_, sql)| sql).to_ascii_lowercase();
    let sql = sql.trim_start();
    let sentence = detail.lines().find_map(|line| {
        let (_, sentence) = line.split_once("failed: ")?;
        Some(sentence.trim().to_owned())
    });
    if sql.starts_with("explain") || sql.starts_with("set datafusion.explain") {
        return Reason::Plan;
    }
    if sql
        .lines()
        .take_while(|line| !line.starts_with("at "))
        .any(|line| line.contains("testing/data") || line.contains("/tests/data"))
    {
        return Reason::Files;
    }
    if detail.contains("expected to fail") {
        return Reason::Accepted;
    }
    match sentence {
        Some(sentence) if sentence.starts_with("table \"") && sentence.contains("does not exist") => {
            let name = sentence.split('"').nth(1).unwrap_or_default();
            Reason::Follows(format!("the table {name}"))
        }
        Some(sentence) => Reason::Refused(sentence),
        None => Reason::Differs,
    }
}

/// Why a file is not copied at all, if its name or text says so.
pub fn file_reason(name: &str, text: &str) -> Option<&'static str> {
    let by_name: &[(&str, &str)] = &[
        ("spark/", "tests the functions of datafusion-spark, which Volley does not have"),
        ("tpch/", "needs generated files; TPC-H is run by the acceptance tests"),
        ("avro", "Avro is not among Volley's formats"),
        ("arrow_files", "Arrow IPC is not among Volley's formats"),
        ("clickbench", "needs the ClickBench file"),
        ("explain", "shows plans of DataFusion's own tables"),
        ("update.slt", "there is no UPDATE in this version"),
        ("merge_into", "there is no MERGE in this version"),
        ("dml_delete", "shows plans of DataFusion's own tables"),
    ];
    let by_text: &[(&str, &str)] = &[
        ("test_files/scratch", "writes files beside the sources"),
        ("scratch_dir", "writes files beside the sources"),
    ];
    let named = by_name.iter().find(|(part, _)| name.contains(part));
    named.or_else(|| by_text.iter().find(|(part, _)| text.contains(part))).map(|(_, reason)| *reason)
}

/// The records as Volley runs them.
pub fn adapt(records: Vec<Record<ColumnType>>) -> Vec<Record<ColumnType>> {
    records.into_iter().flat_map(adapt_record).collect()
}

fn adapt_record(mut record: Record<ColumnType>) -> Vec<Record<ColumnType>> {
    match &mut record {
        Record::Statement { expected: expected @ StatementExpect::Error(_), .. } => {
            *expected = StatementExpect::Error(ExpectedError::Empty);
        }
        Record::Query { expected: expected @ QueryExpect::Error(_), .. } => {
            *expected = QueryExpect::Error(ExpectedError::Empty);
        }
        // CREATE TABLE … AS tells its rows here.
        Record::Statement { sql, expected: expected @ StatementExpect::Count(0), .. } if is_create(sql) => {
            *expected = StatementExpect::Ok;
        }
        // DataFusion answers INSERT with a row that holds the count.
        Record::Query { loc, conditions, connection, sql, expected: QueryExpect::Results { results, .. }, retry }
            if sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("INSERT")) =>
        {
            if let Some(count) = results.first().and_then(|count| count.parse().ok()) {
                return vec![Record::Statement {
                    loc: loc.clone(),
                    conditions: conditions.clone(),
                    connection: connection.clone(),
                    sql: sql.clone(),
                    expected: StatementExpect::Count(count),
                    retry: retry.clone(),
                }];
            }
        }
        Record::Statement { sql, expected: StatementExpect::Ok, .. } => {
            if let Some((create, insert)) = create_and_insert(sql) {
                let mut second = record.clone();
                for (record, text) in [(&mut record, create), (&mut second, insert)] {
                    if let Record::Statement { sql, .. } = record {
                        *sql = text;
                    }
                }
                return vec![record, second];
            }
        }
        _ => {}
    }
    vec![record]
}

fn is_create(sql: &str) -> bool {
    sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("CREATE"))
}

/// `CREATE TABLE t (columns) AS query` as two statements.
fn create_and_insert(sql: &str) -> Option<(String, String)> {
    let text = sql.trim().trim_end_matches(';');
    let upper = text.to_ascii_uppercase();
    let head = ["CREATE TABLE IF NOT EXISTS ", "CREATE TABLE "].into_iter().find(|head| upper.starts_with(head))?;
    let open = text.find('(')?;
    let name = text[head.len()..open].trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let mut depth = 0usize;
    let close = text[open..].char_indices().find_map(|(at, character)| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(open + at + 1)
    })?;
    let query = text[close..].trim_start();
    let keyword = query.get(..2)?;
    let query = query[2..].strip_prefix(char::is_whitespace).filter(|_| keyword.eq_ignore_ascii_case("AS"))?;
    Some((text[..close].to_owned(), format!("INSERT INTO {name} {query}")))
}

#[cfg(test)]
mod tests {
    use super::create_and_insert;

    #[test]
    fn a_table_with_columns_and_a_query_becomes_two_statements() {
        let (create, insert) =
            create_and_insert("CREATE TABLE t (a INT, b DECIMAL(5, 2)) AS VALUES (1, 2), (3, 4);").unwrap();
        assert_eq!(create, "CREATE TABLE t (a INT, b DECIMAL(5, 2))");
        assert_eq!(insert, "INSERT INTO t VALUES (1, 2), (3, 4)");
        assert!(create_and_insert("CREATE TABLE t AS VALUES (1)").is_none());
        assert!(create_and_insert("CREATE TABLE t (a INT)").is_none());
    }
}
