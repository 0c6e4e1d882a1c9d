//! Functions that tools ask on connecting: `version()`, `current_schema()`, `current_database()`, `current_user`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::functions::docs;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Version,
    Schema,
    Database,
    /// The answer stands in the question: a session's functions are its own.
    User(Arc<str>),
}

/// What `current_user` says where no user's session is.
pub const EMBEDDED_USER: &str = "volley";

/// The functions about the session.
pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    [
        ("version", Question::Version, vec![]),
        ("current_schema", Question::Schema, vec![]),
        ("current_database", Question::Database, vec!["current_catalog".to_owned()]),
    ]
    .into_iter()
    .map(|(name, question, aliases)| function(name, question, aliases))
    .chain(of_user(EMBEDDED_USER))
}

/// `current_user`, `session_user` and `user` in the sessions of this user. Three functions and no aliases, so that a query may
/// ask all three: columns are named after functions.
pub fn of_user(user: &str) -> [ScalarUDF; 3] {
    let question = Question::User(user.into());
    ["current_user", "session_user", "user"].map(|name| function(name, question.clone(), vec![]))
}

fn function(name: &'static str, question: Question, aliases: Vec<String>) -> ScalarUDF {
    // Stable and not immutable: the answers depend on the session.
    let signature = Signature::nullary(Volatility::Stable);
    ScalarUDF::from(InfoFunction { name, question, aliases, signature })
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
        let answer = match &self.question {
            Question::Version => version(),
            Question::Schema => catalog.default_schema.clone(),
            Question::Database => catalog.default_catalog.clone(),
            Question::User(user) => user.to_string(),
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
