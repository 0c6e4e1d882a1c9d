//! What DataFusion's, Arrow's and sqlparser's messages mean.
//!
//! These libraries report most errors as text. The tables here give each known text its kind; the texts are matched by the
//! parts that their sources have not changed for years, and an unknown text still becomes one clean sentence.

use volley_storage::ErrorKind;

use super::{Error, ObjectKind, suggest};

/// Longer texts are cut: a message may quote a literal of megabytes.
const MESSAGE_LENGTH_MAX: usize = 400;

/// Prefixes that say which library spoke, which helps nobody.
const PREFIXES: [&str; 31] = [
    "Error writing to object store: ",
    "Error during planning: ",
    "Execution error: ",
    "Optimizer rule '",
    "External error: ",
    "Arrow error: ",
    "Parquet error: ",
    "Object Store error: ",
    "IO error: ",
    "SQL error: ",
    "sql parser error: ",
    "This feature is not implemented: ",
    "Internal error: ",
    "Invalid or Unsupported Configuration: ",
    "Schema error: ",
    "Resources exhausted: ",
    "Substrait error: ",
    "FFI error: ",
    "Not yet implemented: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "Arithmetic overflow: ",
    "Csv error: ",
    "Json error: ",
    "Io error: ",
    "Invalid argument error: ",
    "Parquet argument error: ",
    "Memory error: ",
    "ParserError: ",
    "type_coercion caused by ",
];

/// Endings that ask users to report bugs to another project, and backtraces.
const ENDINGS: [&str; 4] = [
    "\n\nbacktrace: ",
    "\nbacktrace: ",
    "This issue was likely caused by a bug in DataFusion",
    "Please help us to resolve this",
];

/// Texts of planning errors, first match wins.
const PLAN_RULES: [(&str, ErrorKind); 25] = [
    ("No function matches", ErrorKind::UndefinedFunction),
    ("Failed to coerce arguments", ErrorKind::UndefinedFunction),
    ("coercion failed", ErrorKind::UndefinedFunction),
    ("user-defined coercion", ErrorKind::UndefinedFunction),
    ("expects", ErrorKind::UndefinedFunction),
    ("Unsupported CAST", ErrorKind::DatatypeMismatch),
    ("Cannot automatically convert", ErrorKind::DatatypeMismatch),
    ("Cannot coerce", ErrorKind::DatatypeMismatch),
    ("Cannot infer common", ErrorKind::DatatypeMismatch),
    ("Cannot get result type", ErrorKind::DatatypeMismatch),
    ("Incompatible inputs", ErrorKind::DatatypeMismatch),
    ("incompatible type", ErrorKind::DatatypeMismatch),
    ("must be boolean", ErrorKind::DatatypeMismatch),
    ("Cannot create filter with non-boolean", ErrorKind::DatatypeMismatch),
    ("mbiguous", ErrorKind::Ambiguous),
    ("specified more than once", ErrorKind::InvalidStatement),
    ("require unique expression names", ErrorKind::DuplicateColumn),
    ("duplicate", ErrorKind::DuplicateColumn),
    ("already exists", ErrorKind::DuplicateObject),
    ("laceholder", ErrorKind::InvalidStatement),
    ("Not a valid", ErrorKind::InvalidText),
    ("Unsupported", ErrorKind::Unsupported),
    ("not supported", ErrorKind::Unsupported),
    ("not implemented", ErrorKind::Unsupported),
    ("only supported", ErrorKind::Unsupported),
];

/// Texts of errors while a plan runs, first match wins.
const RUN_RULES: [(&str, ErrorKind); 27] = [
    ("while finalizing writes", ErrorKind::Io),
    ("No space left on device", ErrorKind::DiskFull),
    ("Disk quota exceeded", ErrorKind::DiskFull),
    ("ivide by zero", ErrorKind::DivisionByZero),
    ("ivision by zero", ErrorKind::DivisionByZero),
    ("verflow", ErrorKind::OutOfRange),
    ("out of range", ErrorKind::OutOfRange),
    ("too large to store", ErrorKind::OutOfRange),
    ("too small to store", ErrorKind::OutOfRange),
    ("an't cast value", ErrorKind::OutOfRange),
    ("ailed to convert", ErrorKind::OutOfRange),
    ("rror parsing timestamp", ErrorKind::InvalidDatetime),
    ("rror parsing date", ErrorKind::InvalidDatetime),
    ("rror parsing time", ErrorKind::InvalidDatetime),
    ("nvalid timezone", ErrorKind::InvalidDatetime),
    ("Invalid interval", ErrorKind::InvalidDatetime),
    ("more than one row", ErrorKind::Cardinality),
    ("more than one element", ErrorKind::Cardinality),
    ("regular expression", ErrorKind::InvalidValue),
    ("Regular expression", ErrorKind::InvalidValue),
    ("regex parse error", ErrorKind::InvalidValue),
    ("annot cast", ErrorKind::InvalidText),
    ("annot parse", ErrorKind::InvalidText),
    ("rror parsing", ErrorKind::InvalidText),
    ("rror while parsing", ErrorKind::InvalidText),
    ("non-nullable but contains null", ErrorKind::NotNullViolation),
    ("not supported", ErrorKind::Unsupported),
];

fn kind_by(rules: &[(&str, ErrorKind)], text: &str, otherwise: ErrorKind) -> ErrorKind {
    rules.iter().find(|(needle, _)| text.contains(needle)).map_or(otherwise, |(_, kind)| *kind)
}

/// One sentence of a library's text: without prefixes, backtraces, bug-report requests and further lines, not too long.
pub(super) fn sentence(text: &str) -> String {
    let mut text = text;
    for ending in ENDINGS {
        text = text.split(ending).next().unwrap_or(text);
    }
    text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    let first_line = text.lines().next().unwrap_or("").trim().trim_end_matches(['.', ';', ',']);
    shorten(if first_line.is_empty() { "unknown error" } else { first_line })
}

/// Cuts a text in its middle, so that both what it says and where it ends stay.
pub(super) fn shorten(text: &str) -> String {
    let length = text.chars().count();
    if length <= MESSAGE_LENGTH_MAX {
        return text.to_string();
    }
    let head: String = text.chars().take(MESSAGE_LENGTH_MAX * 3 / 4).collect();
    let tail: String = text.chars().skip(length - MESSAGE_LENGTH_MAX / 4).collect();
    format!("{head}…{tail}")
}

/// sqlparser's "Expected: X, found: Y at Line: L, Column: C".
pub(super) fn syntax_error(text: &str) -> Error {
    let (message, place) = text.rsplit_once(" at Line: ").unwrap_or((text, ""));
    let mut numbers = place.split(", Column: ").map(|number| number.trim().parse::<u64>().ok());
    let (line, column) = (numbers.next().flatten().unwrap_or(1), numbers.next().flatten().unwrap_or(1));
    let expectation = message.strip_prefix("Expected").map(|rest| rest.trim_start_matches(':').trim_start());
    let message = match expectation.and_then(|rest| rest.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("expected {expected}, found the end of the statement"),
        Some((expected, found)) => format!("expected {expected}, found {}", shorten(found)),
        None => sentence(message),
    };
    if place.is_empty() {
        // sqlparser gives no place for the end of the text, nor for a few errors that it makes by hand.
        return Error::Invalid { kind: ErrorKind::Syntax, sentence: format!("syntax error: {message}") };
    }
    Error::Syntax { message, line, column }
}

/// An error of planning.
pub(super) fn plan_error(text: &str) -> Error {
    if let Some(name) = between(text, "table '", "' not found") {
        let name = name.strip_prefix("volley.public.").unwrap_or(name);
        return Error::Undefined { what: ObjectKind::Table, name: name.to_string(), nearest: None };
    }
    if let Some(name) = between(text, "table function '", "' not found") {
        return Error::Undefined { what: ObjectKind::Function, name: name.to_string(), nearest: None };
    }
    if let Some(name) = between(text, "Invalid function '", "'") {
        // DataFusion always suggests something, however far.
        let nearest = between(text, "Did you mean '", "'").and_then(|nearest| suggest(name, [nearest]));
        return Error::Undefined { what: ObjectKind::Function, name: name.to_string(), nearest };
    }
    if let Some(name) = between(text, "column '", "' not found") {
        return Error::Undefined { what: ObjectKind::Column, name: name.to_string(), nearest: None };
    }
    if let Some(call) = between(text, "No function matches the given name and argument types '", "'") {
        return Error::invalid(
            ErrorKind::UndefinedFunction,
            format!("no function {call} exists; check the arguments and cast them if needed"),
        );
    }
    Error::invalid(kind_by(&PLAN_RULES, text, ErrorKind::InvalidStatement), sentence(text))
}

/// An error of running a plan. `otherwise` is the kind of a text that no rule knows.
pub(super) fn run_error(text: &str, otherwise: ErrorKind) -> Error {
    if let Some(error) = cast_error(text) {
        return error;
    }
    let kind = kind_by(&RUN_RULES, text, otherwise);
    let sentence = match kind {
        ErrorKind::DivisionByZero => "division by zero".to_string(),
        ErrorKind::Io if text.contains("while finalizing writes") => {
            "the file could not be written; check that its directory exists and can be written to".to_string()
        }
        ErrorKind::DiskFull => "no space left on the device; free some and run the statement again".to_string(),
        ErrorKind::Cardinality => "a subquery used as a value returned more than one row".to_string(),
        _ => sentence(text),
    };
    Error::invalid(kind, sentence)
}

/// Arrow's "Cannot cast string 'x' to value of Int32 type" and "Can't cast value 70000 to type Int16".
fn cast_error(text: &str) -> Option<Error> {
    if let Some((_, rest)) = text.split_once("Can't cast value ") {
        let (value, arrow_type) = rest.split_once(" to type ")?;
        let name = sql_type(arrow_type)?.0;
        let sentence = format!("the value {} is out of range for type {name}", shorten(value));
        return Some(Error::invalid(ErrorKind::OutOfRange, sentence));
    }
    // The value may hold quotes itself, so its end is looked for from behind.
    let (_, rest) = text.split_once("Cannot cast string '")?;
    let (value, rest) = rest.rsplit_once("' to value of ")?;
    let arrow_type = rest.split(" type").next().unwrap_or(rest);
    let (name, kind) = sql_type(arrow_type).unwrap_or((arrow_type, ErrorKind::InvalidText));
    Some(Error::invalid(kind, format!("invalid input for type {name}: '{}'", shorten(value))))
}

/// The SQL name of the type whose Arrow name a text begins with, and the kind of an error about text that is not one.
fn sql_type(arrow: &str) -> Option<(&'static str, ErrorKind)> {
    let name = arrow.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or(arrow);
    Some(match name {
        "Int8" => ("tinyint", ErrorKind::InvalidText),
        "Int16" => ("smallint", ErrorKind::InvalidText),
        "Int32" => ("integer", ErrorKind::InvalidText),
        "Int64" => ("bigint", ErrorKind::InvalidText),
        "Float32" => ("real", ErrorKind::InvalidText),
        "Float64" => ("double precision", ErrorKind::InvalidText),
        "Boolean" => ("boolean", ErrorKind::InvalidText),
        "Date32" | "Date64" => ("date", ErrorKind::InvalidDatetime),
        "Time32" | "Time64" => ("time", ErrorKind::InvalidDatetime),
        "Timestamp" => ("timestamp", ErrorKind::InvalidDatetime),
        "Interval" => ("interval", ErrorKind::InvalidDatetime),
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => ("numeric", ErrorKind::InvalidText),
        _ => return None,
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
