//! CREATE USER, ALTER USER and DROP USER, as PostgreSQL writes them.
//!
//! ```sql
//! CREATE USER IF NOT EXISTS anna WITH PASSWORD 'text' SUPERUSER;
//! ALTER USER anna PASSWORD NULL;
//! DROP USER IF EXISTS anna, ben;
//! ```

use std::fmt;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;
use volley_storage::ErrorKind;

use super::names::normalize;
use super::parser::StatementParser;
use super::statement::Statement;
use crate::error::{Error, Result};

/// Bytes of a user's name, at most.
const NAME_BYTES_MAX: usize = 128;

/// A password as a statement gives it. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// What a statement says about a user's password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewPassword {
    /// PASSWORD 'text'.
    Text(Password),
    /// PASSWORD NULL: the user can no longer log in.
    Null,
}

/// What a statement says about a user; what it does not mention stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserOptions {
    /// The password.
    pub password: Option<NewPassword>,
    /// Whether the user is a superuser.
    pub is_superuser: Option<bool>,
}

/// CREATE USER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateUser {
    /// The user's name.
    pub name: String,
    /// Whether an existing user is fine.
    pub if_not_exists: bool,
    /// The user's password and attributes; without them the user cannot log in and is no superuser.
    pub options: UserOptions,
}

/// ALTER USER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterUser {
    /// The user's name.
    pub name: String,
    /// What changes.
    pub options: UserOptions,
}

/// DROP USER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropUser {
    /// The users' names.
    pub names: Vec<String>,
    /// Whether a missing one is fine.
    pub if_exists: bool,
}

impl StatementParser<'_> {
    /// `CREATE { USER | ROLE } [IF NOT EXISTS] name [WITH] [PASSWORD 'text'] [SUPERUSER | NOSUPERUSER]`.
    pub(super) fn create_user(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::CREATE)?;
        self.parser.next_token();
        let if_not_exists = self.if_not_exists();
        let name = self.user_name()?;
        let options = self.user_options()?;
        Ok(Statement::CreateUser(CreateUser { name, if_not_exists, options }))
    }

    /// `ALTER { USER | ROLE } name [WITH] { PASSWORD 'text' | PASSWORD NULL | SUPERUSER | NOSUPERUSER } …`.
    pub(super) fn alter_user(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::ALTER)?;
        self.parser.next_token();
        let name = self.user_name()?;
        let options = self.user_options()?;
        if options == UserOptions::default() {
            return self.unexpected("PASSWORD, SUPERUSER or NOSUPERUSER");
        }
        Ok(Statement::AlterUser(AlterUser { name, options }))
    }

    /// `DROP { USER | ROLE } [IF EXISTS] name, …`, from behind USER on.
    pub(super) fn drop_user(&mut self) -> Result<Statement> {
        let if_exists = self.parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let mut names = vec![self.user_name()?];
        while self.parser.consume_token(&Token::Comma) {
            names.push(self.user_name()?);
        }
        Ok(Statement::DropUser(DropUser { names, if_exists }))
    }

    fn user_name(&mut self) -> Result<String> {
        // sqlparser would take a string for a name.
        if !matches!(self.parser.peek_token_ref().token, Token::Word(_)) {
            return self.unexpected("the user's name");
        }
        let name = normalize(&self.parser.parse_identifier()?);
        // A client that logs in sends `name:password`, so a name with a colon could never log in.
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(|c: char| c == ':' || c.is_control()) {
            let sentence =
                format!("a user's name has 1 to {NAME_BYTES_MAX} bytes, and neither colons nor control characters");
            return Err(Error::invalid(ErrorKind::InvalidValue, sentence));
        }
        Ok(name)
    }

    fn user_options(&mut self) -> Result<UserOptions> {
        let mut options = UserOptions::default();
        let _ = self.parser.parse_keyword(Keyword::WITH);
        loop {
            let taken = match self.keyword(0) {
                Keyword::PASSWORD => {
                    self.parser.next_token();
                    options.password.replace(self.new_password()?).is_some()
                }
                superuser @ (Keyword::SUPERUSER | Keyword::NOSUPERUSER) => {
                    self.parser.next_token();
                    options.is_superuser.replace(superuser == Keyword::SUPERUSER).is_some()
                }
                _ if self.at_end() => return Ok(options),
                _ => return self.unexpected("PASSWORD, SUPERUSER, NOSUPERUSER or the end of the statement"),
            };
            if taken {
                let sentence = "PASSWORD and SUPERUSER or NOSUPERUSER are given once each";
                return Err(Error::invalid(ErrorKind::Syntax, sentence));
            }
        }
    }

    fn new_password(&mut self) -> Result<NewPassword> {
        if self.parser.parse_keyword(Keyword::NULL) {
            return Ok(NewPassword::Null);
        }
        let text = match self.parser.peek_token_ref().token.clone() {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
            Token::DollarQuotedString(quoted) => quoted.value,
            _ => return self.unexpected("the password in single quotes, or NULL"),
        };
        self.parser.next_token();
        match text.is_empty() {
            true => Err(Error::invalid(
                ErrorKind::InvalidValue,
                "a password is not empty; write PASSWORD NULL for a user who cannot log in",
            )),
            false => Ok(NewPassword::Text(Password(text))),
        }
    }
}
