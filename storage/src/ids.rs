//! Newtypes of every identifier, so that no number stands for two things.

use std::fmt;
use ulid::Ulid;

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Ulid);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl std::str::FromStr for $name {
            type Err = ulid::DecodeError;
            fn from_str(s: &str) -> Result<Self, Self::Err> { Ulid::from_string(s).map($name) }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    };
}

ulid_id! {
    /// A table for its whole life; its directory is named by it and never used again.
    TableId
}
ulid_id! {
    /// A segment; its directory is named by it.
    SegmentId
}
ulid_id! {
    /// One attempt to change a table, the same across retries.
    TxnId
}
number_id! {
    /// The number of a commit in a log: 0 creates the table.
    Version(u64)
}
number_id! {
    /// The stable 64-bit number of a row, unique within its table.
    RowId(u64)
}
number_id! {
    /// The stable bucket of a table's segments that placement works with.
    ShardId(u32)
}
number_id! {
    /// A column for its whole life, whatever its name or position; also Parquet's `field_id`.
    FieldId(i32)
}
number_id! {
    /// The number of a table's schema: 0 at creation, one more with every change.
    SchemaId(u32)
}

impl Version {
    /// The version that the next commit makes.
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}
