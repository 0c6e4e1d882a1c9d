//! Names as the catalog knows them.

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use volley_storage::ErrorKind;

use crate::error::{Error, Result};

/// A name as the catalog keeps it: lower case unless it was quoted.
pub fn normalize(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

fn parts(name: &ObjectName) -> Result<Vec<String>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) if !ident.value.is_empty() => Ok(normalize(ident)),
            _ => Err(Error::invalid(ErrorKind::Syntax, format!("{name} is not a name"))),
        })
        .collect()
}

/// A table's name of one to three parts: `table`, `schema.table` or `catalog.schema.table`.
pub fn table_reference(name: &ObjectName) -> Result<TableReference> {
    let mut parts = parts(name)?.into_iter();
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(table), None, None, None) => Ok(TableReference::bare(table)),
        (Some(schema), Some(table), None, None) => Ok(TableReference::partial(schema, table)),
        (Some(catalog), Some(schema), Some(table), None) => Ok(TableReference::full(catalog, schema, table)),
        _ => Err(too_many_parts(name, "table, schema.table or volley.schema.table")),
    }
}

/// A schema's name: `schema` or `volley.schema`.
pub(crate) fn schema_name(name: &ObjectName) -> Result<String> {
    let parts = parts(name)?;
    match parts.as_slice() {
        [schema] => Ok(schema.clone()),
        [catalog, schema] if catalog == "volley" => Ok(schema.clone()),
        [catalog, _] => Err(Error::unsupported(format!("there is one catalog, volley, and no \"{catalog}\""))),
        _ => Err(too_many_parts(name, "schema or volley.schema")),
    }
}

fn too_many_parts(name: &ObjectName, expected: &str) -> Error {
    Error::invalid(ErrorKind::Syntax, format!("the name {name} has too many parts; write {expected}"))
}
