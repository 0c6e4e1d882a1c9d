//! `volley serve` as administrators and users meet it: started, asked with `volley sql` and the shell, stopped by signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::program::{Data, Ran, command, volley, volley_with};

/// A statement that nobody waits for.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 4000000) AS a(x), generate_series(1, 4000000) AS b(y)";

/// A running server.
struct Server {
    child: Child,
    /// Where Flight SQL is served, as a URL.
    url: String,
    http: String,
}

impl Server {
    fn start(data: &Data, options: &[&str]) -> Self {
        let path = data.path();
        let always = ["serve", "-d", &path, "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--threads", "2"];
        let mut child = command(&[&always, options].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        let said = line.trim_end().strip_prefix("Volley is listening: Flight SQL on ");
        let addresses = said.and_then(|said| said.split_once(", HTTP on http://"));
        let (url, http) = addresses.unwrap_or_else(|| panic!("{line:?}"));
        Self { url: url.to_owned(), http: http.to_owned(), child }
    }

    fn sql(&self, sql: &str) -> Ran {
        volley(&["sql", "-d", &self.url, "--format", "csv", "-c", sql])
    }

    /// The answer to an HTTP request, its head included.
    fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("connects");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        answer
    }

    /// Waits until the metrics have a line.
    #[track_caller]
    fn counts(&self, line: &str) {
        let begun = Instant::now();
        while !self.http("/metrics").lines().any(|found| found == line) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{line} is missing in {}", self.http("/metrics"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it by a signal: its exit code and what it logged.
    fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        send(&self.child, signal);
        let mut log = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("a log");
        (self.child.wait().expect("ends").code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where a test failed; a server that has ended does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a process");
}

#[test]
fn statements_run_on_the_server() {
    let data = Data::new();
    let server = Server::start(&data, &[]);
    let script = "CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(2)); INSERT INTO t VALUES (1, '[1,2]'), (2, '[3,4]')";
    let ran = volley(&["sql", "-d", &server.url, "-c", script]);
    assert_eq!(ran.ok(), "CREATE TABLE\nINSERT 0 2\n");
    assert_eq!(server.sql("SELECT id, v FROM t ORDER BY v <-> '[3,3]'").ok(), "id,v\n2,\"[3,4]\"\n1,\"[1,2]\"\n");
    assert_eq!(server.sql("SELECT id FROM t WHERE id > 9").ok(), "id\n");
    let many = server.sql("SELECT x FROM generate_series(1, 100000) AS s(x)").ok();
    assert_eq!(many.lines().count(), 100_001);
    // Settings hold as long as the connection.
    let set = "SET volley.recall_target = 0.8; SHOW volley.recall_target";
    assert!(server.sql(set).ok().contains("0.8"));
    let error = server.sql("SELECT nope FROM t").refused();
    assert!(error.starts_with("ERROR 42703: ") && error.contains("nope"), "{error}");
    let error = server.sql("INSERT INTO t VALUES (2, '[5,6]')").refused();
    assert!(error.starts_with("ERROR 23505: "), "{error}");
    server.counts("volley_queries_running 0");
    let (code, log) = server.stop(Signal::TERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("ready") && log.contains("stopped"), "{log}");
    // What was written is there for who opens the directory.
    assert_eq!(data.values("SELECT count(*) FROM t"), "2");
}

#[test]
fn the_shell_works_on_a_server() {
    let data = Data::new();
    let server = Server::start(&data, &[]);
    let script = "\
CREATE TABLE docs (id BIGINT PRIMARY KEY, \"Title\" TEXT NOT NULL, v vector(2));
CREATE INDEX ON docs USING hnsw (v);
\\dt
\\d docs
\\di
\\format csv
SELECT 7 AS seven;
SELECT nope;
SELECT 8 AS eight;
";
    let ran = volley_with(&["-d", &server.url], script.as_bytes());
    assert_eq!(ran.code, Some(1));
    for expected in [
        " public | docs | table",
        " id     | bigint    | not null",
        " v      | vector(2) |",
        " public       | docs       | docs_v_idx | hnsw (v vector_l2_ops)",
        "\nseven\n7\n",
        "\neight\n8\n",
    ] {
        assert!(ran.stdout.contains(expected), "{expected:?} is missing in\n{}", ran.stdout);
    }
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn a_client_that_goes_away_cancels_its_statement() {
    let data = Data::new();
    let server = Server::start(&data, &[]);
    let mut client = command(&["sql", "-d", &server.url, "-c", ENDLESS]).spawn().expect("starts");
    server.counts("volley_queries_running 1");
    assert!(server.http("/readyz").starts_with("HTTP/1.1 200 "));
    send(&client, Signal::INT);
    client.wait().expect("ends");
    server.counts("volley_queries_running 0");
    let cancelled = server.http("/metrics");
    assert!(cancelled.contains(r#"outcome="cancelled""#), "{cancelled}");
}

#[test]
fn a_server_that_stops_waits_only_so_long() {
    for (options, second, expected) in
        [(["--shutdown-timeout", "1s"], false, 0), (["--shutdown-timeout", "1h"], true, 130)]
    {
        let data = Data::new();
        let server = Server::start(&data, &options);
        let mut client =
            command(&["sql", "-d", &server.url, "-c", ENDLESS]).stderr(Stdio::null()).spawn().expect("starts");
        server.counts("volley_queries_running 1");
        send(&server.child, Signal::TERM);
        if second {
            // It is draining, and says so.
            let begun = Instant::now();
            while !server.http("/readyz").starts_with("HTTP/1.1 503 ") {
                assert!(begun.elapsed() < Duration::from_secs(30), "it stays ready");
            }
        }
        let signal = if second { Signal::INT } else { Signal::CONT };
        let (code, log) = server.stop(signal);
        assert_eq!(code, Some(expected), "{log}");
        assert!(!client.wait().expect("ends").success());
    }
}

#[test]
fn what_would_be_exposed_is_refused() {
    let data = Data::new();
    let path = data.path();
    let error = volley(&["serve", "-d", &path, "--flight", "0.0.0.0:0", "--http", "127.0.0.1:0"]).refused();
    assert!(error.starts_with("ERROR 42501: ") && error.contains("allow_insecure"), "{error}");
}

#[test]
fn configurations_are_checked() {
    let data = Data::new();
    let file = data.beside("volley.toml");
    std::fs::write(&file, "queue_timeout = \"3s\"\nmax_connections = 7\n").expect("written");
    let check = |variable: &str, options: &[&str]| -> Ran {
        let always = ["config", "check", "--config", &file];
        let mut program = command(&[&always, options].concat());
        let (name, value) = variable.split_once('=').expect("a pair");
        program.env(name, value).output().expect("the program starts").into()
    };
    let said = check("VOLLEY_MAX_CONNECTIONS=8", &["--slow-query", "5s", "-d", "/x"]).ok();
    for (option, origin) in [
        ("queue_timeout = \"3s\"", file.as_str()),
        ("max_connections = 8", "VOLLEY_MAX_CONNECTIONS"),
        ("slow_query = \"5s\"", "--slow-query"),
        ("data = \"/x\"", "--data"),
        ("log_level = \"info\"", "default"),
    ] {
        let line = said.lines().find(|line| line.starts_with(option)).unwrap_or_else(|| panic!("{option}: {said}"));
        assert!(line.ends_with(&format!("# {origin}")), "{line}");
    }
    let error = check("VOLLEY_MAX_CONECTIONS=8", &[]).refused();
    assert!(error.contains("did you mean VOLLEY_MAX_CONNECTIONS?"), "{error}");
    std::fs::write(&file, "\nmax_conections = 7\n").expect("written");
    let error = check("VOLLEY_PASSWORD=secret", &[]).refused();
    assert!(error.contains("line 2") && error.contains("did you mean max_connections?"), "{error}");
    std::fs::write(&file, "tls_certificate = \"/nowhere/c\"\ntls_key = \"/nowhere/k\"\n").expect("written");
    let error = check("VOLLEY_PASSWORD=secret", &[]).refused();
    assert!(error.starts_with("ERROR 58P01: ") && error.contains("/nowhere/c"), "{error}");
}
