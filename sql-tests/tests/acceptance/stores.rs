//! Data in an object store, and what several processes over one store see of each other.
//!
//! The tests over S3 start MinIO; see [`volley_sql_tests::object_store`].

mod commits;
mod consistency;
mod copies;
mod kills;
mod outages;

use volley_sql_tests::faulty_proxy::{Faults, FaultyProxy};
use volley_sql_tests::object_store::{ObjectStore, StorePlace};

use super::engine::Db;
use super::setting;

/// An empty place behind a proxy.
fn behind_a_proxy() -> Option<(StorePlace, FaultyProxy)> {
    let place = ObjectStore::shared()?.place();
    let proxy = FaultyProxy::start(&place.address).expect("a port");
    Some((place.through(&proxy.address), proxy))
}
