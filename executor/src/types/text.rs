//! Vectors as text: `[1,2.5,-3e-05]`, read strictly and written as PostgreSQL's pgvector writes them.

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::types::{VECTOR_DIMENSIONS_MAX, check_dimension};

/// How much of a wrong element a message quotes, in characters.
const QUOTED_CHARS_MAX: usize = 24;

/// Reads `'[1, 2, 3]'`. White space is allowed around the brackets, elements and commas, nowhere else.
///
/// # Errors
/// [`Error::VectorText`] names what is wrong and at which character (counted from 1); NaN and infinities are
/// [`Error::NotFinite`]; numbers beyond a 32-bit float are [`Error::ElementOutOfRange`]; `[]` has no dimension; more
/// than [`VECTOR_DIMENSIONS_MAX`] elements are refused.
pub fn parse(text: &str) -> Result<Vec<f32>> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    reader.expect_char('[', "a vector starts with \"[\"")?;
    reader.skip_space();
    if reader.peek() == Some(b']') {
        return Err(Error::NoDimensions);
    }
    let mut elements = Vec::with_capacity(capacity_hint(text));
    let mut count = 0usize;
    loop {
        reader.skip_space();
        let element = reader.element(count + 1)?;
        count += 1;
        // Beyond the limit the rest is still read, so that the message can say how many there were.
        if count <= VECTOR_DIMENSIONS_MAX {
            elements.push(element);
        }
        reader.skip_space();
        match reader.peek() {
            Some(b',') => reader.at += 1,
            Some(b']') => break,
            _ => return Err(reader.wrong("expected \",\" or \"]\"")),
        }
    }
    reader.at += 1;
    reader.skip_space();
    if reader.peek().is_some() {
        return Err(reader.wrong("nothing may follow the closing \"]\""));
    }
    check_dimension(count)?;
    Ok(elements)
}

/// How many elements a text has if it is a vector at all; cheap enough to ask while a statement is planned.
pub fn count_elements(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b',').count() + 1
}

/// An upper bound for the elements of a text, so that parsing allocates once.
fn capacity_hint(text: &str) -> usize {
    // One element and its comma take at least two bytes.
    (text.len() / 2).min(VECTOR_DIMENSIONS_MAX)
}

/// A position in the text that is being read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace() || byte == 0x0b) {
            self.at += 1;
        }
    }

    fn expect_char(&mut self, wanted: char, why: &str) -> Result<()> {
        if self.peek() == Some(wanted as u8) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.wrong(why))
        }
    }

    /// The number that starts here; `position` is its place in the vector, counted from 1.
    fn element(&mut self, position: usize) -> Result<f32> {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|byte| matches!(byte, b',' | b']' | b'[') || byte.is_ascii_whitespace() || byte == 0x0b)
            .unwrap_or(rest.len());
        let token = &rest[..length];
        if token.is_empty() {
            return Err(self.wrong(&format!("element {position} is missing")));
        }
        let Some(value) = token.parse::<f32>().ok() else {
            let quoted: String = token.chars().take(QUOTED_CHARS_MAX).collect();
            return Err(self.wrong(&format!("element {position} is not a number: \"{quoted}\"")));
        };
        if value.is_finite() {
            self.at += length;
            return Ok(value);
        }
        // Rust reads the words "nan" and "inf" as numbers too; an infinity written in digits is an overflow.
        if token.bytes().any(|byte| byte.is_ascii_digit()) {
            let quoted = token.chars().take(QUOTED_CHARS_MAX).collect();
            Err(Error::ElementOutOfRange { value: quoted, position })
        } else {
            Err(Error::NotFinite { value: f64::from(value), position })
        }
    }

    /// An error at the current place.
    fn wrong(&self, what: &str) -> Error {
        // `at` only ever stands behind ASCII bytes, hence on a character boundary.
        let character = self.text[..self.at].chars().count() + 1;
        let found = match self.text[self.at..].chars().next() {
            Some(found) => format!("found \"{found}\" at character {character}"),
            None => format!("the text ends at character {character}"),
        };
        Error::VectorText { detail: format!("{what}; {found}") }
    }
}

/// Appends a vector as pgvector prints it: `[1,2.5,1e+06]`.
pub fn format_into(vector: &[f32], out: &mut String) {
    let mut scratch = String::new();
    out.push('[');
    for (index, element) in vector.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        format_element(*element, &mut scratch, out);
    }
    out.push(']');
}

/// A vector as pgvector prints it.
pub fn format(vector: &[f32]) -> String {
    let mut out = String::with_capacity(vector.len() * 10 + 2);
    format_into(vector, &mut out);
    out
}

/// The shortest digits that read back as the same float, laid out as PostgreSQL prints `real`: plain from 1e-4 to below
/// 1e6, otherwise `d.ddde±xx` with at least two digits of exponent.
fn format_element(value: f32, scratch: &mut String, out: &mut String) {
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{value}");
        return;
    }
    scratch.clear();
    let _ = write!(scratch, "{value:e}");
    let (digits, exponent) = scratch.split_once('e').unwrap_or((scratch, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}
