//! Functions that tools ask on connecting: `version()`, `current_schema()`, `current_database()`.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::functions::docs;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Version,
    Schema,
    Database,
}

/// The functions about the session.
pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    [
        ("version", Question::Version, vec![]),
        ("current_schema", Question::Schema, vec![]),
        ("current_database", Question::Database, vec!["current_catalog".to_owned()]),
    ]
    .into_iter()
    .map(|(name, question, aliases)| {
        // Stable and not immutable: the answers depend on the session.
        let signature = Signature::nullary(Volatility::Stable);
        ScalarUDF::from(InfoFunction { name, question, aliases, signature })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InfoFunction {
    name: &'static str,
    question: Question,
    aliases: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for InfoFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let catalog = &args.config_options.catalog;
        let answer = match self.question {
            Question::Version => version(),
            Question::Schema => catalog.default_schema.clone(),
            Question::Database => catalog.default_catalog.clone(),
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(answer))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name)
    }
}

/// The program and the machine it was built for, as `version()` prints them.
pub fn version() -> String {
    format!("Volley {}, {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS)
}
