//! The statements in README.md and docs/ run, and print what stands under them.
//!
//! A block marked `sql` must succeed; one marked `sql fails` must be refused. A block marked `text` that follows directly is
//! its output, or its error, to the letter. The blocks of a file share one data directory.

use std::path::Path;

use super::program::{Ran, command};

/// A block of SQL in a document.
#[derive(Debug, Default)]
struct Block {
    line: usize,
    sql: String,
    fails: bool,
    output: Option<String>,
}

/// The blocks of a document.
fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut follows_sql = false;
    while let Some((index, line)) = lines.next() {
        let Some(mark) = line.strip_prefix("```") else {
            follows_sql &= line.is_empty();
            continue;
        };
        let mut body = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            body.push_str(line);
            body.push('\n');
        }
        match mark {
            "sql" | "sql fails" => {
                found.push(Block { line: index + 1, sql: body, fails: mark.ends_with("fails"), output: None });
                follows_sql = true;
                continue;
            }
            "text" if follows_sql => found.last_mut().expect("a block of SQL").output = Some(body),
            _ => {}
        }
        follows_sql = false;
    }
    found
}

fn check(document: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(document)).expect("the document is there");
    // Statements write files too: not into the repository.
    let place = tempfile::TempDir::new().expect("a temporary directory");
    std::os::unix::fs::symlink(root.join("data").canonicalize().expect("the sample"), place.path().join("data"))
        .expect("a link");
    let blocks = blocks(&text);
    assert!(!blocks.is_empty(), "{document} has no SQL");
    for block in blocks {
        let mut program = command(&["sql", "-d", "db", "-c", &block.sql]);
        let ran: Ran = program.current_dir(place.path()).output().expect("the program starts").into();
        let said = if block.fails { ran.refused() + "\n" } else { ran.ok() };
        if let Some(output) = block.output {
            assert_eq!(said, output, "{document}, line {}", block.line);
        }
    }
}

#[test]
fn the_readme_tells_the_truth() {
    check("README.md");
}

#[test]
fn getting_started_tells_the_truth() {
    check("docs/getting-started.md");
}

#[test]
fn the_sql_reference_tells_the_truth() {
    check("docs/sql-reference.md");
}

#[test]
fn the_chapter_on_vector_search_tells_the_truth() {
    check("docs/vector-search.md");
}
