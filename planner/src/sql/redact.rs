//! Statements without their passwords, for everything that shows or keeps what users wrote.
//!
//! This works on the scanner's pieces and not on parsed statements, because the statements that fail are shown too: half a
//! statement, or one with a word spelled wrong. Where it is not clear what is a password, more is hidden than need be.

use std::borrow::Cow;
use std::ops::Range;

use strsim::damerau_levenshtein;
use volley_storage::ErrorKind;

use super::split::{PieceKind, Scanner};
use crate::error::Error;

/// What can stand behind CREATE or ALTER and has no password.
const OTHER_OBJECTS: [&str; 20] = [
    "TABLE",
    "VIEW",
    "SCHEMA",
    "INDEX",
    "UNIQUE",
    "EXTERNAL",
    "UNBOUNDED",
    "EXTENSION",
    "OR",
    "TEMP",
    "TEMPORARY",
    "LOCAL",
    "GLOBAL",
    "UNLOGGED",
    "MATERIALIZED",
    "DATABASE",
    "SEQUENCE",
    "FUNCTION",
    "TYPE",
    "IF",
];
const PASSWORD: &str = "PASSWORD";
/// Letters that CREATE and ALTER may differ from what they are taken for.
const TYPOS_MAX: usize = 2;

/// The text with every password of CREATE USER and ALTER USER (or ROLE) replaced by `'***'`, whether the text parses or
/// not. In doubt everything behind the word PASSWORD is hidden, and so are comments in such a statement.
pub fn redacted(sql: &str) -> Cow<'_, str> {
    let hidden = Reader::new(sql).read();
    if hidden.is_empty() {
        return Cow::Borrowed(sql);
    }
    let mut shown = String::with_capacity(sql.len());
    let mut at = 0;
    for Hidden { range, by } in hidden {
        shown.push_str(&sql[at..range.start]);
        shown.push_str(by);
        at = range.end;
    }
    shown.push_str(&sql[at..]);
    Cow::Owned(shown)
}

/// A syntax error that does not repeat any of the text, if the text holds a password.
pub(super) fn without_password(sql: &str, error: Error) -> Error {
    if matches!(redacted(sql), Cow::Borrowed(_)) {
        return error;
    }
    let shown = |message: String| match message.split_once(", found ") {
        Some((expected, _)) => expected.to_owned(),
        None if message.contains("nterminated") => "a quoted text does not end".to_owned(),
        None => "CREATE USER and ALTER USER are written with a name and PASSWORD '…'".to_owned(),
    };
    match error {
        Error::Syntax { message, line, column } => Error::Syntax { message: shown(message), line, column },
        Error::Invalid { kind: ErrorKind::Syntax, sentence } if sentence.contains(", found ") => {
            Error::invalid(ErrorKind::Syntax, shown(sentence))
        }
        other => other,
    }
}

/// A part of the text and what is shown in its place.
struct Hidden {
    range: Range<usize>,
    by: &'static str,
}

/// Whether what comes next may be a password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// The word PASSWORD.
    Password,
    /// A password, or a part of one that goes on in further quotes.
    Text,
    AnythingElse,
}

/// Reads a text piece by piece and notes what has to be hidden.
struct Reader<'a> {
    sql: &'a str,
    hidden: Vec<Hidden>,
    /// Comments of the statement so far.
    comments: Vec<Range<usize>>,
    /// Pieces of the statement so far, without white space.
    pieces: usize,
    first: &'a str,
    last: &'a str,
    /// Whether the statement is about a user.
    is_user: bool,
    behind: Behind,
}

impl<'a> Reader<'a> {
    fn new(sql: &'a str) -> Self {
        let (hidden, comments) = (Vec::new(), Vec::new());
        Self { sql, hidden, comments, pieces: 0, first: "", last: "", is_user: false, behind: Behind::AnythingElse }
    }

    fn read(mut self) -> Vec<Hidden> {
        for piece in Scanner::new(self.sql) {
            let text = &self.sql[piece.range.clone()];
            match piece.kind {
                PieceKind::Space if text.trim().is_empty() => {}
                PieceKind::Space => self.comments.push(piece.range),
                PieceKind::Semicolon => self.end_statement(),
                PieceKind::Unterminated => self.literal(piece.range),
                PieceKind::Text if is_literal(text) => self.literal(piece.range),
                // Where the password ends is not clear: nothing more is shown.
                PieceKind::Text if self.is_user && self.behind == Behind::Password && !is_one_of(text, &["NULL"]) => {
                    self.hidden.push(Hidden { range: piece.range.start..self.sql.len(), by: "***" });
                    break;
                }
                // Without a space behind it, as in PASSWORD$$text$$, which is one word.
                PieceKind::Text if self.is_user && begins_with_password(text) => {
                    self.hidden.push(Hidden { range: piece.range.start + PASSWORD.len()..self.sql.len(), by: "***" });
                    break;
                }
                PieceKind::Text => self.other(text),
            }
        }
        self.end_statement();
        self.hidden.sort_by_key(|hidden| hidden.range.start);
        self.hidden
    }

    fn literal(&mut self, range: Range<usize>) {
        self.pieces += 1;
        if self.behind != Behind::AnythingElse {
            self.behind = Behind::Text;
            self.hidden.push(Hidden { range, by: "'***'" });
        } else if self.is_user {
            self.hidden.push(Hidden { range, by: "'***'" });
        }
    }

    fn other(&mut self, text: &'a str) {
        self.pieces += 1;
        self.behind = match is_one_of(text, &[PASSWORD]) {
            true => Behind::Password,
            false => Behind::AnythingElse,
        };
        let is_user = is_one_of(text, &["USER", "ROLE"]) && is_one_of(self.last, &["CREATE", "ALTER", "REPLACE"]);
        let may_be =
            self.pieces == 2 && is_word(text) && begins_like_one(self.first) && !is_one_of(text, &OTHER_OBJECTS);
        self.is_user |= is_user || may_be;
        if self.pieces == 1 {
            self.first = text;
        }
        self.last = text;
    }

    fn end_statement(&mut self) {
        let comments = std::mem::take(&mut self.comments);
        if self.is_user {
            self.hidden.extend(comments.into_iter().map(|range| Hidden { range, by: " " }));
        }
        (self.pieces, self.first, self.last) = (0, "", "");
        (self.is_user, self.behind) = (false, Behind::AnythingElse);
    }
}

/// Whether a word goes on behind PASSWORD.
fn begins_with_password(word: &str) -> bool {
    word.len() > PASSWORD.len() && word.get(..PASSWORD.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PASSWORD))
}

fn is_literal(text: &str) -> bool {
    let text = text.strip_prefix(['e', 'E']).filter(|rest| rest.starts_with('\'')).unwrap_or(text);
    text.starts_with('\'') || (text.starts_with('$') && text.len() > 1)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether a statement's first word is CREATE or ALTER, or may be meant to be.
fn begins_like_one(word: &str) -> bool {
    let near = |known: &str| {
        word.len().abs_diff(known.len()) <= TYPOS_MAX
            && damerau_levenshtein(&word.to_ascii_uppercase(), known) <= TYPOS_MAX
    };
    near("CREATE") || near("ALTER")
}
