//! Tests of searching, and the small tables that other tests of this crate search too.

mod approximate;
pub(crate) mod fixture;
mod local;
mod properties;
