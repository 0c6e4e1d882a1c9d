//! The `volley` program as users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// Where the program is: a build puts it beside the directory of the test binaries.
static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = match std::env::var_os("VOLLEY_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let test = std::env::current_exe().expect("a path");
            let directory = test.parent().and_then(Path::parent).expect("a build directory");
            directory.join(format!("volley{}", std::env::consts::EXE_SUFFIX))
        }
    };
    assert!(path.exists(), "{} is not there; build it first: cargo build --release -p volley", path.display());
    path
});

/// The program with these arguments and nothing on standard input.
pub(super) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(&*BINARY);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

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
