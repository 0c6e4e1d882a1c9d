use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

fn flags(arguments: &[&str]) -> Options {
    Program::try_parse_from([&["program"], arguments].concat()).expect("flags").options
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn read(arguments: &[&str], pairs: &[(&str, &str)], text: &str) -> Result<ServerConfig, ConfigError> {
    let file = file(text);
    Layers::read(flags(arguments), variables(pairs), Some(file.path()))?.resolve()
}

#[test]
fn nothing_said_is_a_whole_configuration() {
    let config = Options { threads: Some(crate::options::values::Threads(3)), ..Options::default() };
    let config = config.resolve().expect("defaults");
    assert_eq!(config.flight.to_string(), "127.0.0.1:32010");
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!((config.max_concurrent_queries, config.max_queued_queries), (12, 48));
    assert_eq!((config.statement_timeout, config.max_result_rows), (None, None));
    assert_eq!(config.slow_query, Some(Duration::from_secs(1)));
    assert!(config.tls.is_none() && config.allowed_paths.is_empty() && !config.allow_insecure);
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let text = "max_queued_queries = 1\nqueue_timeout = \"1s\"\nmax_connections = 5\nallowed_paths = [\"/a\", \"/b\"]";
    let pairs = [("VOLLEY_MAX_QUEUED_QUERIES", "2"), ("VOLLEY_QUEUE_TIMEOUT", "2s"), ("PATH", "/bin")];
    let config = read(&["--max-queued-queries", "3", "--allow-insecure"], &pairs, text).expect("valid");
    assert_eq!(config.max_queued_queries, 3);
    assert_eq!(config.queue_timeout, Duration::from_secs(2));
    assert_eq!(config.max_connections, 5);
    assert_eq!(config.allowed_paths, [Path::new("/a"), Path::new("/b")]);
    assert!(config.allow_insecure);
}

#[test]
fn what_is_explained_says_where_it_comes_from_and_can_be_read_again() {
    let text = "log_format = \"json\"\nmax_message_size = \"8MB\"\n";
    let file = file(text);
    let layers = Layers::read(flags(&["--slow-query", "0"]), variables(&[("VOLLEY_THREADS", "2")]), Some(file.path()));
    let layers = layers.expect("valid");
    let said = layers.explain();
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("slow_query").ends_with("# --slow-query"), "{said}");
    assert!(line("threads").ends_with("# VOLLEY_THREADS"), "{said}");
    assert!(line("log_format").contains(&file.path().display().to_string()), "{said}");
    assert!(line("queue_timeout").ends_with("# default"), "{said}");
    assert!(line("# tls_key").ends_with("# not set"), "{said}");
    let again = read(&[], &[], &said).expect("the same file");
    assert_eq!(again, layers.resolve().expect("valid"));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let error = read(&[], &[], "http = \"127.0.0.1:1\"\n\nmax_conections = 3\n").expect_err("unknown").to_string();
    assert!(error.contains("line 3") && error.contains("\"max_conections\""), "{error}");
    assert!(error.ends_with("did you mean max_connections?"), "{error}");
    let error = read(&[], &[("VOLLEY_LOG_LEVL", "info")], "").expect_err("unknown").to_string();
    assert_eq!(error, "the environment sets VOLLEY_LOG_LEVL, which is no option; did you mean VOLLEY_LOG_LEVEL?");
    let error = read(&[], &[("VOLLEY_log_level", "info")], "").expect_err("unknown").to_string();
    assert!(error.starts_with("the environment sets VOLLEY_log_level"), "{error}");
    read(&[], &[("VOLLEY_PASSWORD", "x"), ("VOLLEY", "y")], "").expect("known");
    let error = read(&[], &[], "[flight]\naddress = 1\n").expect_err("a table").to_string();
    assert!(error.contains("line 1") && error.contains("table"), "{error}");
    let error = read(&[], &[], "[server]\nflight = \"x\"\n").expect_err("a table").to_string();
    assert!(error.contains("there is no option \"server\""), "{error}");
}

#[test]
fn wrong_values_are_refused_by_name_and_place() {
    for (text, part) in [
        ("\nqueue_timeout = 10\n", "line 2: queue_timeout: \"10\" is not a time with its unit"),
        ("max_connections = \"many\"", "line 1: max_connections: \"many\" is not a whole number"),
        ("max_connections = 0", "max_connections cannot be 0"),
        ("max_message_size = \"1kB\"", "max_message_size cannot be"),
        ("token_lifetime = 0", "token_lifetime cannot be 0"),
        ("allowed_paths = [\"a\"]", "absolute"),
        ("allowed_paths = [1]", "array"),
        ("http = \"nowhere\"", "http is \"nowhere\""),
        ("tls_key = \"k\"", "tls_certificate is not set"),
        ("tls_certificate = \"c\"", "tls_key is not set"),
        ("tls_client_ca = \"c\"", "tls_certificate is not set"),
        ("flight = ", "is not TOML at line 1"),
        ("http = \"a:1\"\nhttp = \"a:2\"", "is not TOML at line 2"),
    ] {
        let error = read(&[], &[], text).expect_err(text).to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
    }
    let error = read(&[], &[("VOLLEY_THREADS", "0")], "").expect_err("none").to_string();
    assert_eq!(error, "VOLLEY_THREADS: \"0\" is not a number of threads from 1 to 1024");
    let missing = Layers::read(Options::default(), [], Some(Path::new("/nowhere/volley.toml"))).expect_err("missing");
    assert!(missing.to_string().contains("/nowhere/volley.toml"));
    assert!(Program::try_parse_from(["program", "--queue-timeout", "soon"]).is_err());
}

#[test]
fn other_machines_need_users_and_tls() {
    let config = |address: &str, tls: bool, insecure: bool| {
        let some = |text: &str| tls.then(|| text.into());
        Options {
            flight: Some(address.to_owned()),
            allow_insecure: Some(insecure),
            tls_certificate: some("c"),
            tls_key: some("k"),
            ..Options::default()
        }
        .resolve()
        .expect("valid")
    };
    for address in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "127.9.9.9:1"] {
        config(address, false, false).check_exposure(false).expect(address);
    }
    for address in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1"] {
        for (tls, users, part) in
            [(false, false, "CREATE USER, set tls"), (true, false, "no users"), (false, true, "no TLS")]
        {
            let error = config(address, tls, false).check_exposure(users).expect_err(address);
            assert!(error.to_string().contains(part), "{error}");
            config(address, tls, true).check_exposure(users).expect("in so many words");
        }
        config(address, true, false).check_exposure(true).expect("guarded");
    }
}

#[test]
fn key_material_is_long_enough() {
    let config = |path: &Path| Options { secret_file: Some(path.to_owned()), ..Options::default() };
    let good = file(&format!("{}\n", "k".repeat(32)));
    let secret = config(good.path()).resolve().expect("valid").secret().expect("read").expect("some");
    assert_eq!(secret, [b'k'; 32]);
    let short = file("short");
    assert!(config(short.path()).resolve().expect("valid").secret().is_err());
    assert!(config(Path::new("/nowhere")).resolve().expect("valid").secret().is_err());
    assert_eq!(Options::default().resolve().expect("valid").secret().expect("none"), None);
}

#[test]
fn a_node_needs_the_secret_and_an_address_that_others_find() {
    let secret = file(&"k".repeat(32));
    let config = |listen: Option<&str>, advertise: Option<&str>, secret: Option<&Path>| {
        let options = Options {
            cluster_listen: listen.map(str::to_owned),
            cluster_advertise: advertise.map(str::to_owned),
            cluster_secret_file: secret.map(Path::to_owned),
            ..Options::default()
        };
        options.resolve().expect("valid").cluster
    };
    let here = config(None, None, Some(secret.path()));
    let (coordinator, executor) = (here.coordinator().expect("complete"), here.executor().expect("complete"));
    assert_eq!(coordinator.listen.to_string(), "127.0.0.1:32012");
    assert_eq!(executor.listen.to_string(), "127.0.0.1:32011");
    assert_eq!(executor.coordinators, [coordinator.listen.to_string()]);
    let error = config(None, None, None).coordinator().expect_err("no secret").to_string();
    assert!(error.starts_with("cluster_secret_file is not set"), "{error}");
    let anywhere = config(Some("0.0.0.0:1"), None, Some(secret.path()));
    let error = anywhere.executor().expect_err("nobody finds it").to_string();
    assert!(error.starts_with("cluster_advertise is not set"), "{error}");
    config(Some("0.0.0.0:1"), Some("db1"), Some(secret.path())).executor().expect("complete");
    let short = file("short");
    assert!(config(None, None, Some(short.path())).executor().is_err());
    for (text, part) in [
        ("cluster_tls_key = \"k\"", "cluster_tls_certificate is not set"),
        ("cluster_tls_key = \"k\"\ncluster_tls_certificate = \"c\"", "cluster_tls_ca is not set"),
        ("coordinators = \"db1\"", "a list of addresses"),
        ("replicas = 0", "replicas cannot be 0"),
        ("weight = 0", "weight cannot be 0"),
        ("cluster_listen = \"nowhere\"", "cluster_listen is"),
    ] {
        let error = read(&[], &[], text).expect_err(text).to_string();
        assert!(error.contains(part), "{error}");
    }
    let config =
        read(&[], &[("VOLLEY_CLUSTER_SECRET_FILE", "s"), ("VOLLEY_COORDINATORS", "a:1,b:2")], "").expect("valid");
    assert_eq!(config.cluster.secret_file.as_deref(), Some(Path::new("s")));
    assert_eq!(config.cluster.coordinators, ["a:1", "b:2"]);
}

#[test]
fn every_option_is_documented() {
    let page = include_str!("../../../docs/server.md");
    let shown = Options::default().with_defaults().entries();
    for name in Options::NAMES {
        let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in docs/server.md"));
        // Defaults that are plain values stand there to the letter.
        let default = shown.iter().find(|(shown, _)| shown == name).and_then(|(_, value)| value.clone());
        if let Some(default) =
            default.filter(|_| !matches!(*name, "allowed_paths" | "max_concurrent_queries" | "max_queued_queries"))
        {
            assert!(line.contains(&format!("`{}`", default.trim_matches('"'))), "{line}: {default}");
        }
    }
}
