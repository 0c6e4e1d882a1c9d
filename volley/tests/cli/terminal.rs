//! The shell on a terminal, which util-linux's `script` provides. Where that is missing, the test says so and does nothing.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A shell behind a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts the shell; `None` without `script`.
    fn open(home: &TempDir) -> Option<Self> {
        // Without `exec` a shell of `script` may stay between, take the same Ctrl-C, and report that as the exit status.
        let shell = format!("exec {} -d memory://", env!("CARGO_BIN_EXE_volley"));
        let mut child = Command::new("script")
            .args(["-qfec", &shell, "/dev/null"])
            .env("HOME", home.path())
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let keys = child.stdin.take()?;
        let mut output = child.stdout.take()?;
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut block) {
                if sender.send(block[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Terminal { child, keys, screen, seen: String::new() })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Waits until `text` has appeared since the last wait, and forgets everything before its end.
    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < deadline, "{text:?} does not appear in {:?}", self.seen);
            if let Ok(block) = self.screen.recv_timeout(Duration::from_millis(100)) {
                self.seen.push_str(&String::from_utf8_lossy(&block));
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // After a failed assertion the shell may still be running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_c_cancels_the_query_and_not_the_shell() {
    let home = TempDir::new().expect("a temporary directory");
    let Some(mut terminal) = Terminal::open(&home) else {
        eprintln!("skipped: there is no program `script` to provide a terminal");
        return;
    };
    terminal.wait_for("volley=> ");
    // A statement over two lines, then one that is given up at the prompt.
    terminal.press("SELECT 40 +\r");
    terminal.press("2 AS answer;\r");
    terminal.wait_for("answer");
    terminal.wait_for("42");
    terminal.wait_for("volley=> ");
    terminal.press("SELECT given_up\x03");
    terminal.wait_for("volley=> ");
    // One that would take hours.
    terminal.press(
        "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b WHERE a.value <> b.value;\r",
    );
    std::thread::sleep(Duration::from_secs(1));
    let pressed = Instant::now();
    terminal.press("\x03");
    terminal.wait_for("ERROR 57014: ");
    assert!(pressed.elapsed() < Duration::from_secs(2), "cancelled after {:?}", pressed.elapsed());
    terminal.wait_for("volley=> ");
    // Completion: a table's name, known since the statement before.
    terminal.press("CREATE TABLE zebras (stripes INT);\r");
    terminal.wait_for("CREATE TABLE");
    terminal.wait_for("volley=> ");
    terminal.press("SELECT count(*) + 70 AS n FROM zeb\t;\r");
    terminal.wait_for("zebras");
    terminal.wait_for("70");
    terminal.wait_for("volley=> ");
    terminal.press("\x04");
    let ended = terminal.child.wait().expect("the shell ends");
    assert!(ended.success(), "{ended}: {:?}", terminal.seen);
    let history = home.path().join(".volley_history");
    let mode = std::fs::metadata(&history).expect("the history is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(history).expect("reads").contains("zebras"));
}

#[test]
fn building_an_index_shows_its_progress_and_can_be_given_up() {
    let home = TempDir::new().expect("a temporary directory");
    let Some(mut terminal) = Terminal::open(&home) else {
        eprintln!("skipped: there is no program `script` to provide a terminal");
        return;
    };
    terminal.wait_for("volley=> ");
    terminal.press("CREATE TABLE t (id INT, v vector(64));\r");
    terminal.wait_for("CREATE TABLE");
    let elements: Vec<String> = (1..=64).map(|i| format!("sin(value*{i}.7)")).collect();
    let vector = format!("ARRAY[{}]::vector(64)", elements.join(","));
    terminal.press(&format!("INSERT INTO t SELECT value, {vector} FROM generate_series(1, 50000);\r"));
    terminal.wait_for("INSERT 0 50000");
    terminal.wait_for("volley=> ");
    terminal.press("CREATE INDEX ON t USING hnsw (v) WITH (ef_construction = 400);\r");
    terminal.wait_for("indexing segment 1 of 1: ");
    terminal.wait_for(" of 50,000 rows");
    let pressed = Instant::now();
    terminal.press("\x03");
    terminal.wait_for("ERROR 57014: ");
    assert!(pressed.elapsed() < Duration::from_secs(2), "cancelled after {:?}", pressed.elapsed());
    terminal.wait_for("volley=> ");
    terminal.press("SELECT count(*) + 70 AS indexes FROM volley.vector_indexes;\r");
    terminal.wait_for("     70");
    terminal.wait_for("volley=> ");
    terminal.press("\x04");
    let ended = terminal.child.wait().expect("the shell ends");
    assert!(ended.success(), "{ended}: {:?}", terminal.seen);
}
