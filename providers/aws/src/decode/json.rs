//! A strict JSON reader that leaves texts where they are and looks at each byte once.
//!
//! A payload is mostly what nobody asks for, and a body that is JSON in JSON. Derived decoders visit every value and
//! allocate; this one hands out slices of the payload, and the caller skips what it does not want. What it takes is what
//! `serde_json` takes (a randomised test holds that).

use std::borrow::Cow;
use std::fmt;

/// Deeper than any event; more is refused before the stack is.
const MAX_DEPTH: usize = 120;

/// Why a payload is not what it should be, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    what: &'static str,
    at: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// A text as it stands in the payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// Between the quotes.
    pub(super) raw: &'a str,
    /// Whether something in it is escaped.
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) const EMPTY: Self = Text { raw: "", escaped: false };

    /// What it says.
    pub(super) fn read(self) -> Result<Cow<'a, str>> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut out = vec![0; self.room()];
        let length = self.write(&mut out)?;
        out.truncate(length);
        String::from_utf8(out).map(Cow::Owned).map_err(|_| Fault { what: "no text", at: 0 })
    }

    /// The bytes that [`Text::write`] needs.
    pub(super) const fn room(self) -> usize {
        self.raw.len() + WORD
    }

    /// Writes what it says to `out`, which has [`Text::room`], and gives the length.
    pub(super) fn write(self, out: &mut [u8]) -> Result<usize> {
        let raw = self.raw.as_bytes();
        let (mut from, mut to) = (0, 0);
        loop {
            // Eight bytes at a time: the ones after an escape are written over.
            while let (Some(word), Some(room)) =
                (raw.get(from..).and_then(<[u8]>::first_chunk::<WORD>), out.get_mut(to..to + WORD))
            {
                room.copy_from_slice(word);
                let plain = before(backslashes(u64::from_le_bytes(*word)));
                (from, to) = (from + plain, to + plain);
                if plain < WORD {
                    break;
                }
            }
            match raw.get(from) {
                None => return Ok(to),
                Some(b'\\') => {
                    let (length, code) = escape(raw, from)?;
                    to += code.encode_utf8(&mut out[to..]).len();
                    from += length;
                }
                Some(byte) => {
                    out[to] = *byte;
                    (from, to) = (from + 1, to + 1);
                }
            }
        }
    }
}

/// Reads one document from its start to its end.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    pub(super) const fn fault<T>(&self, what: &'static str) -> Result<T> {
        Err(Fault { what, at: self.at })
    }

    /// The next byte that is not space, left where it is; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) -> Result<()> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { self.fault("something after the end") }
    }

    /// Takes a `null`, if there is one.
    pub(super) fn null(&mut self) -> Result<bool> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => self.fault("expected true or false"),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        match self.text.as_bytes().get(self.at..) {
            Some(rest) if rest.starts_with(word.as_bytes()) => {
                self.at += word.len();
                Ok(())
            }
            _ => self.fault("not a value"),
        }
    }

    pub(super) fn text(&mut self) -> Result<Text<'a>> {
        if self.peek() != b'"' {
            return self.fault("expected a text");
        }
        self.at += 1;
        let (start, bytes) = (self.at, self.text.as_bytes());
        let mut escaped = false;
        loop {
            self.at += plain(bytes.get(self.at..).unwrap_or_default());
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += skip_escape(bytes, self.at)?;
                }
                Some(_) => return self.fault("a control character in a text"),
                None => return self.fault("a text does not end"),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    fn open(&mut self, bracket: u8, what: &'static str) -> Result<()> {
        if self.peek() != bracket {
            return self.fault(what);
        }
        if self.depth == MAX_DEPTH {
            return self.fault("nested too deep");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// After a bracket opened or a value ended: takes the closing bracket, or the comma before the next value.
    fn closes(&mut self, bracket: u8, first: bool) -> Result<bool> {
        let byte = self.peek();
        if byte == bracket {
            self.depth -= 1;
            self.at += 1;
            return Ok(true);
        }
        match (first, byte) {
            (true, _) => {}
            (false, b',') => self.at += 1,
            (false, _) => return self.fault("expected a comma or the end"),
        }
        Ok(false)
    }

    /// Reads an object; `field` takes the value of each name.
    pub(super) fn object(&mut self, mut field: impl FnMut(&mut Self, Text<'a>) -> Result<()>) -> Result<()> {
        self.open(b'{', "expected an object")?;
        let mut first = true;
        while !self.closes(b'}', first)? {
            first = false;
            let name = self.text()?;
            if self.peek() != b':' {
                return self.fault("expected a colon");
            }
            self.at += 1;
            field(self, name)?;
        }
        Ok(())
    }

    /// Reads a list; `item` takes each value.
    pub(super) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.open(b'[', "expected a list")?;
        let mut first = true;
        while !self.closes(b']', first)? {
            first = false;
            item(self)?;
        }
        Ok(())
    }

    /// Reads a value of any kind and lets it go.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.peek() {
            b'"' => self.text().map(drop),
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.list(Self::skip),
            b't' | b'f' => self.boolean().map(drop),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    /// Reads a value of any kind and gives it as it stands.
    pub(super) fn slice(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + usize::from(bytes.get(self.at) == Some(&b'-'));
        let digits = |at: usize| bytes.iter().skip(at).take_while(|b| b.is_ascii_digit()).count();
        let whole = digits(at);
        if whole == 0 || (whole > 1 && bytes.get(at) == Some(&b'0')) {
            return self.fault("not a value");
        }
        at += whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return self.fault("not a number");
            }
            at += 1 + fraction;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at);
            if exponent == 0 {
                return self.fault("not a number");
            }
            at += exponent;
        }
        self.at = at;
        Ok(())
    }
}

const WORD: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// High bits of the bytes that are zero. Bytes after the first may be marked wrongly, so only the first counts.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

const fn backslashes(word: u64) -> u64 {
    zeros(word ^ (ONES * b'\\' as u64))
}

/// What ends a run of plain bytes in a text: a quote, a backslash, a control character.
const fn specials(word: u64) -> u64 {
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    zeros(word ^ (ONES * b'"' as u64)) | backslashes(word) | controls
}

/// How many bytes come before the first marked one.
const fn before(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// How many bytes at the start are plain.
fn plain(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<WORD>();
    let mut at = 0;
    for word in words {
        let marks = specials(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + before(marks);
        }
        at += WORD;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count()
}

/// The length of the escape at a backslash.
fn skip_escape(bytes: &[u8], at: usize) -> Result<usize> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => hex(bytes, at + 2).map(|_| 6),
        _ => Err(Fault { what: "not an escape", at }),
    }
}

/// The escape at a backslash: its length and the character.
fn escape(bytes: &[u8], at: usize) -> Result<(usize, char)> {
    let fault = Err(Fault { what: "not an escape", at });
    Ok(match bytes.get(at + 1) {
        Some(&byte @ (b'"' | b'\\' | b'/')) => (2, char::from(byte)),
        Some(b'b') => (2, '\u{8}'),
        Some(b'f') => (2, '\u{c}'),
        Some(b'n') => (2, '\n'),
        Some(b'r') => (2, '\r'),
        Some(b't') => (2, '\t'),
        Some(b'u') => {
            let first = hex(bytes, at + 2)?;
            if !(0xd800..0xdc00).contains(&first) {
                return char::from_u32(first).map_or(fault, |code| Ok((6, code)));
            }
            let second = match bytes.get(at + 6..at + 8) {
                Some(b"\\u") => hex(bytes, at + 8)?,
                _ => return fault,
            };
            if !(0xdc00..0xe000).contains(&second) {
                return fault;
            }
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return char::from_u32(code).map_or(fault, |code| Ok((12, code)));
        }
        _ => return fault,
    })
}

fn hex(bytes: &[u8], at: usize) -> Result<u32> {
    let digits = bytes.get(at..at + 4).unwrap_or_default();
    let value = digits.iter().try_fold(0, |value, &b| Some(value << 4 | char::from(b).to_digit(16)?));
    value.filter(|_| digits.len() == 4).ok_or(Fault { what: "not an escape", at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    fn takes(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.skip().and_then(|()| reader.end()).is_ok()
    }

    fn theirs(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        for text in [
            "",
            " ",
            "null",
            " true ",
            "nul",
            "truefalse",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e+",
            "1e-7",
            "1.e5",
            "-1.25E+10x",
            "\"",
            "\"a\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12aF\"",
            "\"\t\"",
            "\"é\u{7f}\"",
            "[",
            "[]",
            "[1,]",
            "[,]",
            "[1 2]",
            "[1,[2,{}]]",
            "{",
            "{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":[{\"b\":null}]}",
            "{} {}",
            "[}",
            "\"12345678\\",
            "\"1234567\\\\\"",
            "\"\\ud800\"",
        ] {
            assert_eq!(takes(text), theirs(text), "{text}");
        }
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(takes(&deep(MAX_DEPTH)) && !takes(&deep(MAX_DEPTH + 1)) && !takes(&deep(1_000_000)));
    }

    #[test]
    fn a_fault_says_what_and_where() {
        let fault = Reader::new(r#"{"a" 1}"#).skip().unwrap_err();
        assert_eq!(fault.to_string(), "expected a colon at byte 5");
    }

    proptest! {
        #[test]
        fn it_takes_what_serde_json_takes(text in r#"[\[\]{},: "\\a1eE.+\-0ntu\u{0}-\u{1f}é]{0,24}"#) {
            prop_assert_eq!(takes(&text), theirs(&text), "{}", text);
        }

        #[test]
        fn documents_cut_or_bent_anywhere(texts: Vec<(String, f64)>, at: prop::sample::Index, with: char) {
            let text = serde_json::to_string(&texts).unwrap();
            prop_assert!(takes(&text));
            let at = text.floor_char_boundary(at.index(text.len()));
            let (before, after) = text.split_at(at);
            let after = after.chars().skip(1);
            let bent: String = before.chars().chain([with]).chain(after).collect();
            prop_assert_eq!(takes(before), theirs(before));
            prop_assert_eq!(takes(&bent), theirs(&bent), "{}", bent);
        }

        #[test]
        fn texts_read_as_serde_json_reads_them(
            text in r#"([ -!#-\[\]-~é€😀]{0,9}(\\["\\/bfnrt]|\\u[0-9a-f]{4}|\\ud83d\\ude0[0-9]){0,3}){0,6}"#
        ) {
            let document = format!("\"{text}\"");
            let ours = Reader::new(&document).text().and_then(Text::read);
            let theirs = serde_json::from_str::<String>(&document);
            prop_assert_eq!(ours.ok(), theirs.ok().map(Cow::Owned));
        }
    }
}
