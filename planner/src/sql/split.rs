//! Where statements end in a text, complete or not.
//!
//! This is a scanner of its own because it must work on what the parser refuses: half a statement in a shell, or a script
//! whose third statement is wrong. It knows exactly the lexical rules under which a `;` does not end a statement.

use std::ops::Range;

/// The statements of a text: byte ranges without the `;`, without the white space and comments around them. Statements
/// that hold nothing but white space and comments are left out.
///
/// A `;` inside quotes, dollar quotes or comments ends nothing. A text that breaks off inside one of them gives one last
/// statement that reaches to the end, so that running it reports what is missing.
pub fn split_statements(sql: &str) -> Vec<Range<usize>> {
    let mut statements = Vec::new();
    let mut current: Option<Range<usize>> = None;
    for piece in Scanner::new(sql) {
        match piece.kind {
            PieceKind::Space => {}
            PieceKind::Semicolon => statements.extend(current.take()),
            PieceKind::Text | PieceKind::Unterminated => {
                current.get_or_insert(piece.range.clone()).end = piece.range.end;
            }
        }
    }
    statements.extend(current);
    statements
}

/// Whether a text can be run as it stands: it is empty, or its last statement ends with `;` outside quotes and comments.
pub fn is_complete(sql: &str) -> bool {
    let mut complete = true;
    for piece in Scanner::new(sql) {
        match piece.kind {
            PieceKind::Space => {}
            PieceKind::Semicolon => complete = true,
            PieceKind::Text => complete = false,
            PieceKind::Unterminated => return false,
        }
    }
    complete
}

/// What a [`Piece`] is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// White space and comments.
    Space,
    Semicolon,
    Text,
    /// A quote or comment that the end of the text cuts off.
    Unterminated,
}

/// A part of a text that is one thing.
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    pub(super) range: Range<usize>,
}

/// Cuts a text into words, quotes, comments and single characters.
pub(super) struct Scanner<'a> {
    sql: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Scanner { sql, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or("")
    }

    /// The length of a quoted text that begins at `from` with its opening quote and ends with `quote`, doubled quotes
    /// inside; `None` if it does not end.
    fn quoted(&self, from: usize, quote: u8, backslashes: bool) -> Option<usize> {
        let bytes = self.rest().as_bytes();
        let mut at = from + 1;
        while let Some(&byte) = bytes.get(at) {
            if byte == b'\\' && backslashes {
                at += 2;
            } else if byte != quote {
                at += 1;
            } else if bytes.get(at + 1) == Some(&quote) {
                at += 2;
            } else {
                return Some(at + 1);
            }
        }
        None
    }

    fn block_comment(&self) -> Option<usize> {
        let bytes = self.rest().as_bytes();
        let (mut at, mut depth) = (2, 1);
        while at + 1 < bytes.len() {
            match (bytes[at], bytes[at + 1]) {
                (b'/', b'*') => (at, depth) = (at + 2, depth + 1),
                (b'*', b'/') => (at, depth) = (at + 2, depth - 1),
                _ => at += 1,
            }
            if depth == 0 {
                return Some(at);
            }
        }
        None
    }

    /// `$tag$ … $tag$`. The outer `None`: this `$` opens no quote.
    fn dollar_quote(&self) -> Option<Option<usize>> {
        let rest = self.rest();
        let tag_length = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        let open = rest.get(..tag_length + 2).filter(|open| open.ends_with('$'))?;
        Some(rest[open.len()..].find(open).map(|at| open.len() + at + open.len()))
    }

    fn word(&self) -> usize {
        let rest = self.rest();
        rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii())).unwrap_or(rest.len())
    }
}

impl Iterator for Scanner<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        let closed = |length: Option<usize>, kind| match length {
            Some(length) => (kind, length),
            None => (PieceKind::Unterminated, rest.len()),
        };
        let (kind, length) = match first {
            ';' => (PieceKind::Semicolon, 1),
            '\'' => closed(self.quoted(0, b'\'', false), PieceKind::Text),
            '"' => closed(self.quoted(0, b'"', false), PieceKind::Text),
            'e' | 'E' if rest[1..].starts_with('\'') => closed(self.quoted(1, b'\'', true), PieceKind::Text),
            '-' if rest.starts_with("--") => (PieceKind::Space, rest.find(['\n', '\r']).unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => closed(self.block_comment(), PieceKind::Space),
            '$' => match self.dollar_quote() {
                Some(length) => closed(length, PieceKind::Text),
                None => (PieceKind::Text, 1),
            },
            c if c.is_whitespace() => (PieceKind::Space, c.len_utf8()),
            c if c.is_alphabetic() || c == '_' || !c.is_ascii() => (PieceKind::Text, self.word()),
            c => (PieceKind::Text, c.len_utf8()),
        };
        let range = self.at..self.at + length.max(1);
        self.at = range.end;
        Some(Piece { kind, range })
    }
}
