//! The client of each kind of store.
//!
//! None of them tries anything again by itself: a create that is sent twice meets its own first try, and nobody can tell
//! that from another's. What may be tried again is tried again by [`super::store`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use super::url::{RemoteUrl, Scheme};
use crate::error::{Error, ErrorKind, Result};

/// How long a connection may take to be made, and a request to be answered completely, unless the environment says otherwise.
const TIMEOUTS: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::ConnectTimeout, "5s"), (ClientConfigKey::Timeout, "30s")];

/// Options of an object store's client by their names in the environment, such as `AWS_ENDPOINT_URL`. They come before the
/// environment. Their values may be secrets and are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreOptions(pub BTreeMap<String, String>);

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One store with the two faces it has: whole objects, and uploads in parts.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
}

/// The client for a place, rooted at its prefix.
pub(super) fn connect(url: &RemoteUrl, options: &StoreOptions) -> Result<Client> {
    let refused = |error: object_store::Error| Error::Location {
        kind: ErrorKind::InvalidValue,
        detail: format!("{url} cannot be used: {}", super::fault::one_line(&error.to_string())),
    };
    // The three builders have the same methods and no trait for them.
    macro_rules! built {
        ($builder:ty, $key:ident, $named:ident, $prefixes:expr) => {{
            let mut builder = <$builder>::new().with_retry(no_retries());
            for (key, value) in TIMEOUTS {
                builder = builder.with_config($key::Client(key), value);
            }
            for (key, value) in given::<$key>($prefixes, options) {
                builder = builder.with_config(key, value);
            }
            // Last, because the bucket is the URL's business.
            rooted(builder.$named(&url.bucket).build().map_err(refused)?, url)
        }};
    }
    Ok(match url.scheme {
        Scheme::S3 => built!(AmazonS3Builder, AmazonS3ConfigKey, with_bucket_name, &["AWS_"]),
        Scheme::Gcs => {
            built!(GoogleCloudStorageBuilder, GoogleConfigKey, with_bucket_name, &["GOOGLE_", "SERVICE_ACCOUNT"])
        }
        Scheme::Azure => {
            built!(MicrosoftAzureBuilder, AzureConfigKey, with_container_name, &["AZURE_", "IDENTITY_ENDPOINT"])
        }
    })
}

/// What environment and options say under names with one of these beginnings, the options last. Names that the client does not
/// know are somebody else's.
fn given<K: FromStr>(prefixes: &[&str], options: &StoreOptions) -> Vec<(K, String)> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let options = options.0.iter().map(|(name, value)| (name.clone(), value.clone()));
    environment
        .chain(options)
        .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
        .collect()
}

fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, ..RetryConfig::default() }
}

fn rooted<S: ObjectStore + MultipartStore>(store: S, url: &RemoteUrl) -> Client {
    let store = Arc::new(PrefixStore::new(store, url.prefix.clone()));
    Client { objects: Arc::clone(&store) as Arc<dyn ObjectStore>, parts: store }
}
