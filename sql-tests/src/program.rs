//! The `volley` program as users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
///
/// # Panics
/// Where the program was not built.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(&*BINARY);
    // What is set for tests is not meant for a server, which refuses what it does not know.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"VOLLEY_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
