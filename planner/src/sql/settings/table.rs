//! The settings there are.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Its value without SET.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// What values it takes.
    pub kind: SettingType,
    /// The option of DataFusion's configuration that it sets.
    pub(super) datafusion: Option<&'static str>,
}

/// What values a setting takes.
#[derive(Debug)]
pub enum SettingType {
    /// A size; 0 means no limit of its own.
    Bytes {
        /// The least size that is not 0.
        least: usize,
    },
    /// A whole number.
    Integer {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A whole number, or nothing where Volley chooses it.
    IntegerOrNothing {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A share of the whole: more than 0, at most 1.
    Share,
    /// A time; 0 means no limit.
    Duration,
    /// on or off.
    Boolean,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any text.
    Text,
    /// A schema; of a list the first that is not `"$user"`.
    Schema,
    /// Only SHOW knows it.
    ReadOnly,
}

const fn setting(name: &'static str, default: &'static str, kind: SettingType, description: &'static str) -> Setting {
    Setting { name, aliases: &[], default, description, kind, datafusion: None }
}

const fn passed_on(setting: Setting, datafusion: &'static str) -> Setting {
    Setting { datafusion: Some(datafusion), ..setting }
}

const fn also(setting: Setting, aliases: &'static [&'static str]) -> Setting {
    Setting { aliases, ..setting }
}

/// Every setting that is not `datafusion.*`, by name.
pub static SETTINGS: &[Setting] = &[
    setting("application_name", "", SettingType::Text, "The name a client gives itself."),
    setting(
        "bytea_output",
        "hex",
        SettingType::OneOf(&["hex"]),
        "How binary values are shown; accepted for PostgreSQL's clients.",
    ),
    setting(
        "client_encoding",
        "UTF8",
        SettingType::OneOf(&["UTF8", "UTF-8", "unicode"]),
        "The encoding of text, which is always UTF-8.",
    ),
    setting("client_min_messages", "notice", SettingType::Text, "Accepted for PostgreSQL's clients; changes nothing."),
    setting(
        "datestyle",
        "ISO, MDY",
        SettingType::Text,
        "Accepted for PostgreSQL's clients; dates are always shown as ISO 8601.",
    ),
    setting(
        "default_transaction_isolation",
        "read committed",
        SettingType::Text,
        "Accepted for PostgreSQL's clients; every statement sees one version of each table.",
    ),
    setting(
        "default_transaction_read_only",
        "off",
        SettingType::OneOf(&["off"]),
        "Accepted for PostgreSQL's clients; statements may always write.",
    ),
    setting(
        "enable_seqscan",
        "on",
        SettingType::Boolean,
        "Accepted for PostgreSQL's clients; the planner chooses by cost and by volley.recall_target.",
    ),
    setting(
        "extra_float_digits",
        "1",
        SettingType::Integer { least: 0, most: 3 },
        "Accepted for PostgreSQL's clients; floats are always shown exactly.",
    ),
    setting(
        "hnsw.ef_search",
        "",
        SettingType::IntegerOrNothing { least: 1, most: 1_000 },
        "How many candidates a search of an hnsw index keeps; nothing means as many as volley.recall_target takes.",
    ),
    setting(
        "hnsw.iterative_scan",
        "strict_order",
        SettingType::OneOf(&["off", "strict_order", "relaxed_order"]),
        "Accepted for pgvector's clients; a search always goes on until it has enough rows, in order.",
    ),
    setting("integer_datetimes", "on", SettingType::ReadOnly, "Times are kept as whole numbers."),
    setting("intervalstyle", "iso_8601", SettingType::Text, "Accepted for PostgreSQL's clients; changes nothing."),
    setting(
        "lock_timeout",
        "0",
        SettingType::Duration,
        "Accepted for PostgreSQL's clients; there are no locks to wait for.",
    ),
    setting(
        "maintenance_work_mem",
        "64MB",
        SettingType::Text,
        "Accepted for PostgreSQL's clients; building an index counts against volley.memory_limit.",
    ),
    setting(
        "max_parallel_maintenance_workers",
        "2",
        SettingType::Integer { least: 0, most: 1_024 },
        "Accepted for PostgreSQL's clients; CREATE INDEX uses every processor.",
    ),
    setting("search_path", "public", SettingType::Schema, "The schema that names without one belong to."),
    setting("server_encoding", "UTF8", SettingType::ReadOnly, "The encoding of text at rest."),
    setting(
        "server_version",
        "16.0",
        SettingType::ReadOnly,
        "The version of PostgreSQL that Volley's SQL is closest to.",
    ),
    setting(
        "standard_conforming_strings",
        "on",
        SettingType::OneOf(&["on"]),
        "A backslash in '…' is a backslash; E'…' has escapes.",
    ),
    passed_on(
        setting(
            "timezone",
            "UTC",
            SettingType::Text,
            "The time zone in which timestamps with time zone are read and shown.",
        ),
        "datafusion.execution.time_zone",
    ),
    setting(
        "transaction_isolation",
        "read committed",
        SettingType::ReadOnly,
        "Every statement sees one version of each table.",
    ),
    setting("transaction_read_only", "off", SettingType::ReadOnly, "Statements may write."),
    setting(
        "volley.auto_index",
        "on",
        SettingType::Boolean,
        "Whether what this session writes is added to the table's indexes in the background.",
    ),
    passed_on(
        setting(
            "volley.batch_size",
            "8192",
            SettingType::Integer { least: 1, most: 1 << 20 },
            "The most rows that operators hand on at once.",
        ),
        "datafusion.execution.batch_size",
    ),
    setting(
        "volley.consistency",
        "auto",
        SettingType::OneOf(&["auto", "strong", "session", "bounded", "eventual"]),
        "How fresh the tables are that a query sees: strong looks for changes of others each time, session after a second, \
         bounded after volley.max_staleness, eventual after a minute; auto is strong on a local directory and session on an \
         object store. What this process wrote or has seen is always there.",
    ),
    setting(
        "volley.filter_strategy",
        "auto",
        SettingType::OneOf(&["auto", "exact", "in", "post"]),
        "How a search treats its filter: exact compares every row, in walks the index among the rows that match, post \
         walks it first; auto chooses by cost, segment by segment.",
    ),
    setting(
        "volley.max_staleness",
        "1s",
        SettingType::Duration,
        "How old the newest version that a query sees may be where volley.consistency is bounded.",
    ),
    setting(
        "volley.memory_limit",
        "0",
        SettingType::Bytes { least: 16 << 20 },
        "The most memory that queries may use together, such as 4GB; 0 means the process's own limit.",
    ),
    setting(
        "volley.parallel_endpoints",
        "off",
        SettingType::Boolean,
        "Whether Flight SQL offers a large answer without an order in parts that are fetched side by side; some clients read \
         only the first part.",
    ),
    setting(
        "volley.plan_cache",
        "on",
        SettingType::Boolean,
        "Whether a search that is asked again is run without planning it again; see volley.plan_cache, the table.",
    ),
    setting(
        "volley.recall_target",
        "0.95",
        SettingType::Share,
        "The share of the true nearest rows that a search has to find, such as 0.99; 1 makes every search exact.",
    ),
    also(
        setting(
            "volley.statement_timeout",
            "0",
            SettingType::Duration,
            "How long a statement may take, such as 30s; 0 means any time.",
        ),
        &["statement_timeout"],
    ),
    passed_on(
        setting(
            "volley.target_partitions",
            "0",
            SettingType::Integer { least: 0, most: 1_024 },
            "How many parts of a query run at the same time; 0 means one for each processor.",
        ),
        "datafusion.execution.target_partitions",
    ),
    setting(
        "volley.vector_topk",
        "on",
        SettingType::Boolean,
        "Whether the planner may use the vector top-k node; off plans every search as a plain sort, for comparison.",
    ),
];
