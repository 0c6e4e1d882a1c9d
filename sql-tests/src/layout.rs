//! The same rows in different segments.
//!
//! A file of records says `INSERT INTO t VALUES …` once; a layout turns that into several commits, so that the same
//! answers are wanted from one segment, from several Parquet files and from many small commits.

use std::ops::Range;

/// How the rows of one INSERT come into the table. Row ids are the same in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One commit, as written.
    Whole,
    /// Up to 5 Parquet files: pairs of commits folded by VACUUM.
    Files,
    /// Up to 32 commits, some of them folded into files.
    Many,
}

impl Layout {
    /// The label by which records say `onlyif` and `skipif`.
    pub fn label(self) -> &'static str {
        match self {
            Layout::Whole => "whole",
            Layout::Files => "files",
            Layout::Many => "many",
        }
    }

    /// Commits an INSERT becomes at most, and after how many of them the table is folded.
    fn parts(self) -> (usize, usize) {
        match self {
            Layout::Whole => (1, usize::MAX),
            Layout::Files => (10, 2),
            Layout::Many => (32, 9),
        }
    }

    /// The statements that stand for `sql`: itself, unless it is an INSERT of several rows that can be split.
    pub fn split(self, sql: &str) -> Vec<String> {
        let (parts, fold_after) = self.parts();
        let Some(insert) = Insert::read(sql).filter(|_| parts > 1) else { return vec![sql.to_owned()] };
        let rows = insert.rows.len();
        let parts = parts.min(rows);
        let mut statements = Vec::new();
        for part in 0..parts {
            let rows = &insert.rows[rows * part / parts..rows * (part + 1) / parts];
            let rows: Vec<_> = rows.iter().map(|row| &sql[row.clone()]).collect();
            statements.push(format!("{} {}", insert.head, rows.join(", ")));
            if (part + 1) % fold_after == 0 {
                statements.push(format!("VACUUM {}", insert.table));
            }
        }
        statements
    }
}

/// An `INSERT INTO table … VALUES (…), (…)` with nothing behind it.
struct Insert<'a> {
    table: &'a str,
    /// Everything up to and with VALUES.
    head: &'a str,
    rows: Vec<Range<usize>>,
}

impl<'a> Insert<'a> {
    fn read(sql: &'a str) -> Option<Self> {
        let upper = sql.to_ascii_uppercase();
        let start = upper.trim_start();
        let lead = upper.len() - start.len();
        // Comments and dollar quotes could hide brackets.
        if !start.starts_with("INSERT INTO ") || sql.contains("--") || sql.contains("/*") || sql.contains("$$") {
            return None;
        }
        let name_start = lead + "INSERT INTO ".len();
        let values = find_outside(sql, name_start, |rest| {
            rest.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("VALUES"))
        })?;
        let name_end = find_outside(sql, name_start, |rest| rest.starts_with([' ', '\n', '(']))?;
        let mut rows = Vec::new();
        let mut at = values + "VALUES".len();
        loop {
            at += sql[at..].len() - sql[at..].trim_start().len();
            if !sql[at..].starts_with('(') {
                return None;
            }
            let end = closing(sql, at)?;
            rows.push(at..end);
            at = end + sql[end..].len() - sql[end..].trim_start().len();
            match sql[at..].chars().next() {
                Some(',') => at += 1,
                None => break,
                Some(';') if sql[at + 1..].trim().is_empty() => break,
                Some(_) => return None,
            }
        }
        Some(Self { table: sql[name_start..name_end].trim(), head: &sql[..values + "VALUES".len()], rows })
    }
}

/// The first place at or behind `from`, outside quotes and brackets, where `is_here` holds of the rest.
fn find_outside(sql: &str, from: usize, is_here: impl Fn(&str) -> bool) -> Option<usize> {
    let mut depth = Depth::default();
    for (offset, character) in sql[from..].char_indices() {
        let at = from + offset;
        if depth.is_outside() && is_here(&sql[at..]) {
            return Some(at);
        }
        depth.read(character);
    }
    None
}

/// The place behind the bracket that closes the one at `open`.
fn closing(sql: &str, open: usize) -> Option<usize> {
    let mut depth = Depth::default();
    for (offset, character) in sql[open..].char_indices() {
        depth.read(character);
        if depth.is_outside() {
            return Some(open + offset + character.len_utf8());
        }
    }
    None
}

/// Where a scan stands. A doubled quote closes and opens again, which comes out right.
#[derive(Default)]
struct Depth {
    quote: Option<char>,
    brackets: usize,
}

impl Depth {
    fn read(&mut self, character: char) {
        match (self.quote, character) {
            (Some(quote), character) if quote == character => self.quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => self.quote = Some(character),
            (None, '(' | '[') => self.brackets += 1,
            (None, ')' | ']') => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
    }

    fn is_outside(&self) -> bool {
        self.quote.is_none() && self.brackets == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn inserts_are_split_and_nothing_else() {
        let sql = "INSERT INTO \"my t\" (a, b) VALUES (1, ')('), (2, ARRAY[1, 2]),\n (3, 'it''s');";
        assert_eq!(
            Layout::Files.split(sql),
            [
                "INSERT INTO \"my t\" (a, b) VALUES (1, ')(')",
                "INSERT INTO \"my t\" (a, b) VALUES (2, ARRAY[1, 2])",
                "VACUUM \"my t\"",
                "INSERT INTO \"my t\" (a, b) VALUES (3, 'it''s')",
            ]
        );
        for whole in
            ["SELECT 1", "INSERT INTO t SELECT 1", "INSERT INTO t VALUES (1) RETURNING a", "INSERT INTO t VALUES"]
        {
            assert_eq!(Layout::Many.split(whole), [whole]);
        }
        assert_eq!(Layout::Whole.split(sql), [sql]);
    }

    #[test]
    fn many_rows_become_as_many_commits_as_the_layout_has() {
        let rows: Vec<_> = (0..100).map(|row| format!("({row})")).collect();
        let statements = Layout::Many.split(&format!("INSERT INTO t VALUES {}", rows.join(",")));
        let inserts: Vec<_> = statements.iter().filter(|statement| statement.starts_with("INSERT")).collect();
        assert_eq!(inserts.len(), 32);
        assert_eq!(inserts.iter().map(|insert| insert.matches('(').count()).sum::<usize>(), 100);
        assert_eq!(statements.len(), 32 + 3);
    }
}
