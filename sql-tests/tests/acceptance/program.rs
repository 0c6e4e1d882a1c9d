//! The `volley` program as users run it.

use std::process::Output;

pub(super) use volley_sql_tests::program::command;

/// Runs the program; it must succeed. What it wrote.
#[track_caller]
pub(super) fn succeeds(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(arguments).output().expect("starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// The rows of a query as CSV, without the header.
#[track_caller]
pub(super) fn rows(data: &str, sql: &str) -> Vec<String> {
    let csv = succeeds(&["sql", "-d", data, "--format", "csv", "-c", sql]);
    csv.lines().skip(1).map(str::to_owned).collect()
}
