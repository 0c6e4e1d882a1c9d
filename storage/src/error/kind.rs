//! The one table of error kinds: what a client can do about an error, its SQLSTATE and its gRPC code.

/// gRPC status codes that Volley's errors map to (the numbers of the gRPC specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum GrpcCode {
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $sqlstate:literal, $grpc:ident, retry: $retry:literal;)*) => {
        /// What went wrong, in terms a caller can act on. Every error enum of every crate maps to exactly one kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The five-character SQLSTATE, as PostgreSQL assigns it.
            pub fn sqlstate(self) -> &'static str { match self { $(ErrorKind::$name => $sqlstate,)* } }

            /// The gRPC status code a Flight client sees.
            pub fn grpc_code(self) -> GrpcCode { match self { $(ErrorKind::$name => GrpcCode::$grpc,)* } }

            /// Whether running the same statement again can succeed without anybody changing anything.
            pub fn is_retryable(self) -> bool { match self { $(ErrorKind::$name => $retry,)* } }
        }
    };
}

error_kinds! {
    /// The text is not SQL that Volley understands.
    Syntax = "42601", InvalidArgument, retry: false;
    /// A named table or view does not exist.
    UndefinedTable = "42P01", NotFound, retry: false;
    /// A named schema does not exist.
    UndefinedSchema = "3F000", NotFound, retry: false;
    /// A named column does not exist.
    UndefinedColumn = "42703", InvalidArgument, retry: false;
    /// No function of that name and argument types exists.
    UndefinedFunction = "42883", InvalidArgument, retry: false;
    /// A named object of another sort (setting, type, prepared statement) does not exist.
    UndefinedObject = "42704", InvalidArgument, retry: false;
    /// A name could mean several things.
    Ambiguous = "42702", InvalidArgument, retry: false;
    /// A table or view of that name exists already.
    DuplicateTable = "42P07", AlreadyExists, retry: false;
    /// A schema of that name exists already.
    DuplicateSchema = "42P06", AlreadyExists, retry: false;
    /// A column is named twice.
    DuplicateColumn = "42701", InvalidArgument, retry: false;
    /// Something else of that name exists already.
    DuplicateObject = "42710", AlreadyExists, retry: false;
    /// An expression has a type that does not fit its place.
    DatatypeMismatch = "42804", InvalidArgument, retry: false;
    /// The statement is well-formed but cannot be meant: grouping errors, wrong counts of columns.
    InvalidStatement = "42000", InvalidArgument, retry: false;
    /// The object exists but is of the wrong sort (a view where a table is needed).
    WrongObjectType = "42809", InvalidArgument, retry: false;
    /// An object cannot be dropped because others depend on it.
    DependentObjects = "2BP01", FailedPrecondition, retry: false;
    /// Text that does not parse as the type it should have.
    InvalidText = "22P02", InvalidArgument, retry: false;
    /// A value that its place forbids: a setting out of range, a vector of the wrong dimension, NaN in a vector.
    InvalidValue = "22023", InvalidArgument, retry: false;
    /// A number too large or small for its type.
    OutOfRange = "22003", OutOfRange, retry: false;
    /// Division by zero.
    DivisionByZero = "22012", InvalidArgument, retry: false;
    /// A date or time that does not exist.
    InvalidDatetime = "22007", InvalidArgument, retry: false;
    /// A file to load does not have the shape it should have.
    BadCopyFile = "22P04", InvalidArgument, retry: false;
    /// A scalar subquery returned more than one row.
    Cardinality = "21000", InvalidArgument, retry: false;
    /// NULL in a NOT NULL column.
    NotNullViolation = "23502", FailedPrecondition, retry: false;
    /// A primary key that exists already.
    UniqueViolation = "23505", AlreadyExists, retry: false;
    /// Another writer committed first and the statement could not be applied on top of it.
    Conflict = "40001", Aborted, retry: true;
    /// The store did not say whether the commit landed; the transaction's id tells.
    CommitUnknown = "40003", Unavailable, retry: false;
    /// Not built.
    Unsupported = "0A000", Unimplemented, retry: false;
    /// The statement needs more memory than `volley.memory_limit` leaves.
    OutOfMemory = "53200", ResourceExhausted, retry: true;
    /// The disk is full.
    DiskFull = "53100", ResourceExhausted, retry: true;
    /// The statement is too deeply nested or chained.
    TooComplex = "54001", InvalidArgument, retry: false;
    /// A fixed limit of the program (dimensions, columns, sizes) is exceeded.
    LimitExceeded = "54000", InvalidArgument, retry: false;
    /// The answer is larger than the server sends.
    ResultTooLarge = "54000", ResourceExhausted, retry: false;
    /// More people log in at the same time than their passwords can be checked.
    TooManyLogins = "53300", ResourceExhausted, retry: true;
    /// The caller cancelled the query.
    Cancelled = "57014", Cancelled, retry: true;
    /// The query's deadline passed.
    DeadlineExceeded = "57014", DeadlineExceeded, retry: true;
    /// A file or directory that the statement names does not exist.
    UndefinedFile = "58P01", NotFound, retry: false;
    /// The operating system or the object store failed.
    Io = "58030", Unavailable, retry: true;
    /// Bytes at rest are not what was written: a checksum, a length or a structure is wrong.
    Corrupted = "XX001", DataLoss, retry: false;
    /// The data was written by a newer Volley.
    NewerFormat = "55000", FailedPrecondition, retry: false;
    /// The object is not in a state that allows the operation.
    InvalidState = "55000", FailedPrecondition, retry: false;
    /// The caller may not do this.
    PermissionDenied = "42501", PermissionDenied, retry: false;
    /// Name and password do not belong to a user who may log in.
    InvalidPassword = "28P01", Unauthenticated, retry: false;
    /// A fault of Volley itself.
    Internal = "XX000", Internal, retry: false;
}
