//! Starts the program.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// What the program did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) code: Option<i32>,
}

impl Ran {
    /// The output of a run that must have succeeded.
    #[track_caller]
    pub(super) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The error of a run that must have been refused: exit code 1, one line, no panic.
    #[track_caller]
    pub(super) fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("ERROR "), "{self:?}");
        self.stderr.trim_end().to_owned()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Ran { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
    }
}

/// The program, with few threads: many tests run side by side.
pub(super) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(arguments).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    // What is set for tests is not meant for a server, which refuses what it does not know.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"VOLLEY_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub(super) fn volley(arguments: &[&str]) -> Ran {
    command(arguments).output().expect("the program starts").into()
}

/// The same with something on standard input.
pub(super) fn volley_with(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = spawn(arguments);
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // From a thread: the program may write more than a pipe holds before it has read everything.
    let writer = std::thread::spawn(move || {
        // The program may stop reading at an error.
        let _ = stdin.write_all(&input);
    });
    let ran = child.wait_with_output().expect("the program ends").into();
    writer.join().expect("the writer ends");
    ran
}

/// Starts the program with pipes on every side.
pub(super) fn spawn(arguments: &[&str]) -> Child {
    command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// A data directory of a test.
pub(super) struct Data(TempDir);

impl Data {
    /// An empty one.
    pub(super) fn new() -> Self {
        Data(TempDir::new().expect("a temporary directory"))
    }

    /// Its path (the directory itself is made by the program).
    pub(super) fn path(&self) -> String {
        self.0.path().join("data").display().to_string()
    }

    /// A place beside it.
    pub(super) fn beside(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// `volley sql -d … -c …`.
    pub(super) fn sql(&self, sql: &str) -> Ran {
        volley(&["sql", "-d", &self.path(), "-c", sql])
    }

    /// The same as CSV without the header: what a query returns, compactly.
    #[track_caller]
    pub(super) fn values(&self, sql: &str) -> String {
        let csv = volley(&["sql", "-d", &self.path(), "--format", "csv", "-c", sql]).ok();
        csv.split_once('\n').map(|(_, rows)| rows.trim_end().to_owned()).unwrap_or_default()
    }

    /// Every file below it.
    pub(super) fn files(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![Path::new(&self.path()).to_path_buf()];
        while let Some(directory) = todo.pop() {
            for entry in std::fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { todo.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}
