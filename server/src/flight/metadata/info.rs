//! What the server says of itself: `CommandGetSqlInfo`.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedElementActions,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use tonic::Status;

/// SQL-92, entry level, among Flight SQL's levels.
const ANSI92_ENTRY: i32 = 0;
/// Words that cannot name a column without quotes, beside those of SQL-92.
const KEYWORDS: &[&str] = &["ILIKE", "LIMIT", "OFFSET", "QUALIFY", "RETURNING"];
const NUMERIC: &[&str] = &[
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "cbrt",
    "ceil",
    "cos",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "pi",
    "power",
    "radians",
    "random",
    "round",
    "signum",
    "sin",
    "sqrt",
    "tan",
    "trunc",
];
const STRINGS: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "initcap",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "position",
    "regexp_like",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "to_hex",
    "translate",
    "trim",
    "upper",
];
const SYSTEM: &[&str] = &["current_database", "current_schema", "current_user", "version"];
const DATETIME: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "date_part",
    "date_trunc",
    "extract",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_timestamp",
];

/// Everything, built once.
pub(super) fn sql_info() -> Result<&'static SqlInfoData, Status> {
    static INFO: LazyLock<Option<SqlInfoData>> = LazyLock::new(|| all().build().ok());
    INFO.as_ref().ok_or_else(|| Status::internal("internal error: the server's description cannot be built"))
}

/// A bit mask of enumerated values.
fn mask(values: &[i32]) -> i32 {
    values.iter().fold(0, |mask, value| mask | 1 << value)
}

fn all() -> SqlInfoDataBuilder {
    let mut info = SqlInfoDataBuilder::new();
    about_the_server(&mut info);
    about_the_language(&mut info);
    about_statements(&mut info);
    info
}

fn about_the_server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Volley");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    // The version of Arrow's format that is written.
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    // An int32, as the specification has it: drivers look into that child of the union.
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    info.append(SqlInfo::SqlMaxConnections, 0_i64);
}

fn about_the_language(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    // Names are folded to lower case unless quoted.
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i64);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i64,
    );
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i64);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC);
    info.append(SqlInfo::SqlStringFunctions, STRINGS);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    // There are neither procedures nor privileges that a schema's name could stand in.
    let in_indexes = mask(&[SqlSupportedElementActions::SqlElementInIndexDefinitions as i32]);
    info.append(SqlInfo::SqlSchemasSupportedActions, in_indexes);
    info.append(SqlInfo::SqlCatalogsSupportedActions, in_indexes);
    info.append(SqlInfo::SqlSupportsConvert, HashMap::<i32, Vec<i32>>::from([conversions()]));
    no_limits(info);
    info.append(SqlInfo::SqlMaxColumnsInTable, 1_600_i64);
    info.append(SqlInfo::SqlMaxColumnsInIndex, 1_i64);
}

/// Drivers want a number for each of these, and 0 means that there is no limit, or none that is known.
fn no_limits(info: &mut SqlInfoDataBuilder) {
    let limits = [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ];
    limits.into_iter().for_each(|limit| info.append(limit, 0_i64));
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

/// Text can be cast to every type.
fn conversions() -> (i32, Vec<i32>) {
    use SqlSupportsConvert::{
        SqlConvertBigint, SqlConvertBit, SqlConvertDate, SqlConvertDecimal, SqlConvertFloat, SqlConvertInteger,
        SqlConvertReal, SqlConvertSmallint, SqlConvertTime, SqlConvertTimestamp, SqlConvertVarchar,
    };
    let to = [
        SqlConvertBigint,
        SqlConvertBit,
        SqlConvertDate,
        SqlConvertDecimal,
        SqlConvertFloat,
        SqlConvertInteger,
        SqlConvertReal,
        SqlConvertSmallint,
        SqlConvertTime,
        SqlConvertTimestamp,
        SqlConvertVarchar,
    ];
    (SqlConvertVarchar as i32, to.into_iter().map(|to| to as i32).collect())
}

fn about_statements(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by = [SqlSupportedGroupBy::SqlGroupByUnrelated, SqlSupportedGroupBy::SqlGroupByBeyondSelect];
    info.append(SqlInfo::SqlSupportedGroupBy, mask(&group_by.map(|value| value as i32)));
    let grammar = [SupportedSqlGrammar::SqlMinimumGrammar, SupportedSqlGrammar::SqlCoreGrammar];
    info.append(SqlInfo::SqlSupportedGrammar, mask(&grammar.map(|value| value as i32)));
    info.append(SqlInfo::SqlAnsi92SupportedLevel, mask(&[ANSI92_ENTRY]));
    let joins = SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32;
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, mask(&[joins]));
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons,
        SqlSupportedSubqueries::SqlSubqueriesInExists,
        SqlSupportedSubqueries::SqlSubqueriesInIns,
    ];
    info.append(SqlInfo::SqlSupportedSubqueries, mask(&subqueries.map(|value| value as i32)));
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion, SqlSupportedUnions::SqlUnionAll];
    info.append(SqlInfo::SqlSupportedUnions, mask(&unions.map(|value| value as i32)));
    info.append(SqlInfo::SqlDefaultTransactionIsolation, SqlTransactionIsolationLevel::SqlTransactionNone as i64);
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        mask(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32]),
    );
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, true);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    info.append(SqlInfo::SqlSupportedResultSetTypes, mask(&[forward]));
    let read_only = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, mask(&[read_only]));
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0_i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0_i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0_i32);
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    info.append(SqlInfo::SqlSavepointsSupported, false);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_question_means_everything() {
        let info = sql_info().unwrap();
        assert!(info.record_batch([]).unwrap().num_rows() > 60);
        assert_eq!(info.record_batch([SqlInfo::FlightSqlServerTransaction as u32]).unwrap().num_rows(), 1);
        assert_eq!(info.record_batch([99_999]).unwrap().num_rows(), 0);
    }
}
