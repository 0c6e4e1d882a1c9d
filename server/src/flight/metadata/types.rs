//! The types there are, for tools that create tables: `CommandGetXdbcTypeInfo`.

use std::sync::LazyLock;

use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use tonic::Status;

/// The types.
pub(super) fn type_info() -> Result<&'static XdbcTypeInfoData, Status> {
    static TYPES: LazyLock<Option<XdbcTypeInfoData>> = LazyLock::new(|| {
        let mut builder = XdbcTypeInfoDataBuilder::new();
        all().into_iter().for_each(|info| builder.append(info));
        builder.build().ok()
    });
    TYPES.as_ref().ok_or_else(|| Status::internal("internal error: the list of types cannot be built"))
}

fn all() -> Vec<XdbcTypeInfo> {
    use XdbcDataType as Xdbc;
    vec![
        XdbcTypeInfo { searchable: Searchable::Basic, ..named("boolean", Xdbc::XdbcBit, 1) },
        number("smallint", Xdbc::XdbcSmallint, 5),
        number("integer", Xdbc::XdbcInteger, 10),
        number("bigint", Xdbc::XdbcBigint, 19),
        number("real", Xdbc::XdbcReal, 7),
        number("double precision", Xdbc::XdbcDouble, 15),
        XdbcTypeInfo {
            create_params: Some(vec!["precision".into(), "scale".into()]),
            minimum_scale: Some(0),
            maximum_scale: Some(38),
            ..number("numeric", Xdbc::XdbcNumeric, 38)
        },
        XdbcTypeInfo { case_sensitive: true, ..quoted(named("text", Xdbc::XdbcVarchar, i32::MAX)) },
        XdbcTypeInfo {
            literal_prefix: Some("X'".into()),
            literal_suffix: Some("'".into()),
            searchable: Searchable::Basic,
            ..named("bytea", Xdbc::XdbcVarbinary, i32::MAX)
        },
        XdbcTypeInfo {
            sql_data_type: Xdbc::XdbcDatetime,
            // Number 1, which is also the code of a date.
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
            ..quoted(named("date", Xdbc::XdbcDate, 10))
        },
        XdbcTypeInfo {
            sql_data_type: Xdbc::XdbcDatetime,
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTime),
            ..quoted(named("time", Xdbc::XdbcTime, 18))
        },
        XdbcTypeInfo {
            sql_data_type: Xdbc::XdbcDatetime,
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
            ..quoted(named("timestamp", Xdbc::XdbcTimestamp, 29))
        },
        XdbcTypeInfo {
            create_params: Some(vec!["dimensions".into()]),
            ..quoted(named("vector", Xdbc::XdbcUnknownType, 32_768))
        },
    ]
}

fn named(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.into(),
        local_type_name: Some(name.into()),
        data_type,
        sql_data_type: data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        auto_increment: Some(false),
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, data_type: XdbcDataType, digits: i32) -> XdbcTypeInfo {
    let info = named(name, data_type, digits);
    XdbcTypeInfo { unsigned_attribute: Some(false), num_prec_radix: Some(10), searchable: Searchable::Basic, ..info }
}

fn quoted(info: XdbcTypeInfo) -> XdbcTypeInfo {
    XdbcTypeInfo { literal_prefix: Some("'".into()), literal_suffix: Some("'".into()), ..info }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        let batch = type_info().unwrap().record_batch(None).unwrap();
        assert_eq!(batch.num_rows(), all().len());
    }
}
