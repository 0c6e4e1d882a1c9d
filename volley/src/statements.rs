//! Cuts a stream of SQL text into statements as they become complete.
//!
//! Text arrives in pieces (lines of the shell, blocks of a pipe); a statement is handed out the moment its `;` is seen, so
//! that a script can be executed while it is still being written. Each byte is looked at once, whatever the pieces: a
//! 10 MB `INSERT` costs one pass. The lexical rules are PostgreSQL's: `'…'` with `''`, `E'…'` with backslashes, `"…"`,
//! `$tag$…$tag$`, `--` to the end of the line and `/* … */`, which nests.

/// What some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One complete statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text from the first token on, without the `;`.
    pub(crate) sql: String,
    /// The line of the input on which it begins, counted from 1.
    pub(crate) line: u64,
}

/// The input is not UTF-8.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the statement on line {line} is not valid UTF-8 text")]
pub(crate) struct NotText {
    /// The line on which the statement begins, counted from 1.
    pub(crate) line: u64,
}

/// What the scanner stands in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Inside {
    /// Between tokens or in a plain one.
    #[default]
    Plain,
    /// `'…'`, with backslash escapes if `escapes`.
    Text { escapes: bool },
    /// `"…"`.
    Name,
    /// `$tag$…$tag$`; `delimiter` is `$tag$`.
    Dollar { delimiter: Vec<u8> },
    /// `-- …`.
    LineComment,
    /// `/* … */` at this depth.
    BlockComment { depth: usize },
}

/// Text that is waiting for its `;`.
#[derive(Debug, Default)]
pub(crate) struct StatementBuffer {
    bytes: Vec<u8>,
    /// Bytes before this one have been scanned.
    scanned: usize,
    /// Where the statement in progress has its first token.
    start: Option<usize>,
    start_line: u64,
    /// Line breaks scanned so far.
    lines: u64,
    inside: Inside,
    /// Whether the first bytes have been looked at: a byte order mark is skipped there and nowhere else.
    begun: bool,
}

impl StatementBuffer {
    /// Adds text to the end.
    pub(crate) fn push(&mut self, text: &[u8]) {
        // What was handed out is dropped here and not per statement: one move per piece of input.
        let keep_from = self.start.unwrap_or(self.scanned);
        self.bytes.drain(..keep_from);
        self.scanned -= keep_from;
        self.start = self.start.map(|start| start - keep_from);
        self.bytes.extend_from_slice(text);
    }

    /// The next statement that its `;` has completed.
    pub(crate) fn next_complete(&mut self) -> Option<Result<Statement, NotText>> {
        self.scan(false)
    }

    /// At the end of the input: the next statement, where the last one needs no `;`.
    pub(crate) fn next_at_end(&mut self) -> Option<Result<Statement, NotText>> {
        self.scan(true).or_else(|| {
            let start = self.start.take()?;
            Some(self.cut(start, self.bytes.len()))
        })
    }

    /// Whether no statement has been begun: only white space and finished comments wait.
    pub(crate) fn is_blank(&self) -> bool {
        self.start.is_none() && matches!(self.inside, Inside::Plain | Inside::LineComment)
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        *self = StatementBuffer::default();
    }

    /// Scans to the next `;` outside quotes and comments. Stops early where the next byte decides what this one means,
    /// unless the input has ended.
    fn scan(&mut self, ended: bool) -> Option<Result<Statement, NotText>> {
        if !self.begun {
            if self.bytes.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&self.bytes) && !ended {
                return None;
            }
            self.begun = true;
            self.scanned = if self.bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        }
        while self.scanned < self.bytes.len() {
            let at = self.scanned;
            if self.inside == Inside::Plain && self.bytes[at] == b';' {
                self.scanned += 1;
                if let Some(start) = self.start.take() {
                    return Some(self.cut(start, at));
                }
                continue;
            }
            let step = self.step(at, ended)?;
            self.lines += self.bytes[at..at + step].iter().filter(|&&b| b == b'\n').count() as u64;
            self.scanned += step;
        }
        None
    }

    /// Takes the token piece at `at`: how many bytes it has. `None`: more input is needed to say.
    fn step(&mut self, at: usize, ended: bool) -> Option<usize> {
        let byte = self.bytes[at];
        let next = self.bytes.get(at + 1).copied();
        let undecided = next.is_none() && !ended;
        match &mut self.inside {
            Inside::Plain => return self.step_plain(at, ended),
            Inside::Text { escapes: true } if byte == b'\\' => {
                return if undecided { None } else { Some(2.min(self.bytes.len() - at)) };
            }
            Inside::Text { .. } if byte == b'\'' => {
                if undecided {
                    return None;
                }
                if next == Some(b'\'') {
                    return Some(2);
                }
                self.inside = Inside::Plain;
            }
            // `""` inside a name closes and opens it again, which comes to the same.
            Inside::Name if byte == b'"' => self.inside = Inside::Plain,
            Inside::Dollar { delimiter } if byte == b'$' => {
                let rest = &self.bytes[at..];
                if rest.starts_with(delimiter) {
                    let length = delimiter.len();
                    self.inside = Inside::Plain;
                    return Some(length);
                }
                if delimiter.starts_with(rest) && !ended {
                    return None;
                }
            }
            Inside::LineComment if matches!(byte, b'\n' | b'\r') => self.inside = Inside::Plain,
            Inside::BlockComment { .. } if (byte == b'*' || byte == b'/') && undecided => return None,
            Inside::BlockComment { depth } => match (byte, next) {
                (b'*', Some(b'/')) if *depth == 1 => {
                    self.inside = Inside::Plain;
                    return Some(2);
                }
                (b'*', Some(b'/')) => {
                    *depth -= 1;
                    return Some(2);
                }
                (b'/', Some(b'*')) => {
                    *depth += 1;
                    return Some(2);
                }
                _ => {}
            },
            _ => {}
        }
        Some(1)
    }

    /// The same outside quotes and comments, where statements begin.
    fn step_plain(&mut self, at: usize, ended: bool) -> Option<usize> {
        let byte = self.bytes[at];
        let next = self.bytes.get(at + 1).copied();
        if matches!(byte, b'-' | b'/') {
            if next.is_none() && !ended {
                return None;
            }
            if byte == b'-' && next == Some(b'-') {
                self.inside = Inside::LineComment;
                return Some(2);
            }
            if byte == b'/' && next == Some(b'*') {
                self.inside = Inside::BlockComment { depth: 1 };
                return Some(2);
            }
        }
        if byte.is_ascii_whitespace() {
            return Some(1);
        }
        let mut step = 1;
        let inside = match byte {
            b'\'' => Inside::Text { escapes: self.follows_escape_mark(at) },
            b'"' => Inside::Name,
            b'$' if !self.follows_word(at) => match self.dollar_delimiter(at, ended)? {
                Some(delimiter) => {
                    step = delimiter.len();
                    Inside::Dollar { delimiter }
                }
                None => Inside::Plain,
            },
            _ => Inside::Plain,
        };
        self.begin_statement(at);
        self.inside = inside;
        Some(step)
    }

    /// Remembers where the statement's first token is.
    fn begin_statement(&mut self, at: usize) {
        if self.start.is_none() {
            self.start = Some(at);
            self.start_line = self.lines + 1;
        }
    }

    /// Whether the byte before continues a word.
    fn follows_word(&self, at: usize) -> bool {
        at > 0 && self.start.is_some_and(|start| start < at) && is_word(self.bytes[at - 1])
    }

    /// Whether the quote at `at` belongs to `E'…'`, the E standing alone.
    fn follows_escape_mark(&self, at: usize) -> bool {
        self.follows_word(at) && matches!(self.bytes[at - 1], b'e' | b'E') && !self.follows_word(at - 1)
    }

    /// `$tag$` at `at`: `Some(None)` where the dollar begins something else, such as `$1`; `None` if more input is needed.
    fn dollar_delimiter(&self, at: usize, ended: bool) -> Option<Option<Vec<u8>>> {
        let rest = &self.bytes[at + 1..];
        let length = rest.iter().take_while(|&&b| is_word(b) && b != b'$').count();
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return Some(None);
        }
        match rest.get(length) {
            Some(b'$') => Some(Some(self.bytes[at..at + length + 2].to_vec())),
            None if !ended => None,
            _ => Some(None),
        }
    }

    /// The statement between two offsets.
    fn cut(&mut self, start: usize, end: usize) -> Result<Statement, NotText> {
        self.scanned = self.scanned.max(end);
        let line = self.start_line;
        let text = std::str::from_utf8(&self.bytes[start..end]).map_err(|_| NotText { line })?;
        Ok(Statement { sql: text.trim_end().to_owned(), line })
    }
}

/// Whether a byte can continue an unquoted word (every byte of a non-ASCII letter can).
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests;
