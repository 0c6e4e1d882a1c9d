//! Tests of searching, and the small tables that other tests of this crate search too.

pub(crate) mod fixture;
mod local;
mod properties;
