//! An S3 server for tests: MinIO, started by the first test that wants one.
//!
//! `VOLLEY_MINIO` names the program; without it, `minio` is looked for on the PATH. Where there is none, tests that need it say
//! that they were skipped.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use volley_scheduler::{DataLocation, EngineConfig, StoreOptions};

/// A server that does not answer within this does not start.
const START_MAX: Duration = Duration::from_secs(30);
const BUCKET: &str = "volley";
const USER: &str = "volley-tests";
const PASSWORD: &str = "only-for-tests";

/// Ends the server and deletes its files when the tests are gone, however they ended: their end of the pipe closes.
const KEEPER: &str =
    "\"$1\" server \"$2\" --address \"$3\" --quiet >/dev/null 2>&1 & cat >/dev/null; kill $!; wait; rm -rf \"$2\"";

/// An S3 server with a bucket.
#[derive(Debug)]
pub struct ObjectStore {
    address: String,
    // Its standard input is what keeps the server alive.
    _keeper: Child,
}

/// An empty place in an object store, and how to reach it.
#[derive(Debug, Clone)]
pub struct StorePlace {
    /// `s3://bucket/prefix`.
    pub url: String,
    /// `host:port` of the server.
    pub address: String,
}

impl ObjectStore {
    /// The server of this process; `None` where there is no MinIO, which is said on standard error.
    ///
    /// # Panics
    /// Where there is one that does not start.
    pub fn shared() -> Option<&'static ObjectStore> {
        static SHARED: OnceLock<Option<ObjectStore>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let program = program()?;
            let started = ObjectStore::start(&program);
            Some(started.unwrap_or_else(|error| panic!("{} does not start: {error}", program.display())))
        });
        if shared.is_none() {
            eprintln!("SKIPPED: there is no S3 server; set VOLLEY_MINIO=/path/to/minio or put minio on the PATH");
        }
        shared.as_ref()
    }

    fn start(program: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("volley-minio-").tempdir()?.keep();
        // A directory in its directory is a bucket.
        std::fs::create_dir(directory.join(BUCKET))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([program, &directory, Path::new(&address)])
            .env("MINIO_ROOT_USER", USER)
            .env("MINIO_ROOT_PASSWORD", PASSWORD)
            .stdin(Stdio::piped())
            .spawn()?;
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            if begun.elapsed() > START_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { address, _keeper: keeper })
    }

    /// A new, empty place in it.
    pub fn place(&self) -> StorePlace {
        let url = format!("s3://{BUCKET}/{:032x}", rand::random::<u128>());
        StorePlace { url, address: self.address.clone() }
    }
}

impl StorePlace {
    /// The same place through another door of the server.
    pub fn through(&self, address: &str) -> Self {
        Self { url: self.url.clone(), address: address.to_owned() }
    }

    /// What a process needs in its environment to reach it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", USER),
            ("AWS_SECRET_ACCESS_KEY", PASSWORD),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// An engine's configuration over it, with copies in a directory of its own.
    pub fn config(&self, copies: &Path) -> EngineConfig {
        EngineConfig {
            threads: Some(2),
            cache_dir: Some(copies.to_owned()),
            store_options: StoreOptions(self.environment().into_iter().collect()),
            ..EngineConfig::new(DataLocation::Url(self.url.clone()))
        }
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("VOLLEY_MINIO") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("minio")).find(|program| program.is_file())
}
