//! The object store URL of the data directory.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use volley_storage::Env;

/// The URL that every segment scan reads below: the data directory of the process that runs it, whatever it is.
pub fn object_store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("volley://data")
}

/// Makes a data directory readable for segment scans that run in `runtime`.
pub fn register(runtime: &RuntimeEnv, env: &Env) -> Result<()> {
    runtime.register_object_store(object_store_url()?.as_ref(), Arc::clone(&env.store));
    Ok(())
}
