//! A strict JSON reader that leaves texts where they are and looks at each byte once.
//!
//! A payload is mostly what nobody asks for, and a body that is JSON in JSON. Derived decoders visit every value and
//! allocate; this one hands out slices of the payload, and the caller skips what it does not want. What it takes is what
//! `serde_json` takes (a randomised test holds that).

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

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

type Result<T, E = Fault> = std::result::Result<T, E>;

/// JSON allows it, and no text can say it.
const HALF: Fault = Fault { what: "half of a character is escaped", at: 0 };

/// A text as it stands in the payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// Between the quotes; UTF-8, as the payload is.
    pub(super) raw: &'a [u8],
    /// Whether something in it is escaped.
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) const EMPTY: Self = Text { raw: b"", escaped: false };

    /// What it says.
    pub(super) fn read(self) -> Result<Cow<'a, [u8]>> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut out = vec![0; self.raw.len() + WORD];
        let (from, to) = unescape(self.raw, &mut out);
        if from < self.raw.len() {
            return Err(HALF);
        }
        out.truncate(to);
        Ok(Cow::Owned(out))
    }

    /// The room that [`Text::write`] needs.
    pub(super) const fn room(self) -> usize {
        self.raw.len() + WORD
    }

    /// Writes what it says to a buffer and takes it off there.
    pub(super) fn write(self, out: &mut BytesMut) -> Result<Bytes> {
        out.clear();
        out.resize(self.room(), 0);
        let (from, to) = unescape(self.raw, out);
        out.truncate(to);
        if from == self.raw.len() { Ok(out.split().freeze()) } else { Err(HALF) }
    }

    /// What it says, as text.
    pub(super) fn string(self) -> Result<Cow<'a, str>> {
        let fault = |_| Fault { what: "no UTF-8", at: 0 };
        Ok(match self.read()? {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).map_err(fault)?),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).map_err(|e| fault(e.utf8_error()))?),
        })
    }
}

/// A long text.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// It stands in the payload as it is meant.
    Plain(&'a [u8]),
    /// It stood there escaped.
    Written(Bytes),
}

/// Writes what a text says to `out`, up to its closing quote, its end, or the first escape that says nothing. `out` has
/// room for all of `raw` and a [`WORD`] more. Gives how much was read and how much written.
fn unescape(raw: &[u8], out: &mut [u8]) -> (usize, usize) {
    let (mut from, mut to) = (0, 0);
    loop {
        // Eight bytes at a time: those after the first special one are written over.
        while let Some(word) = raw.get(from..).and_then(<[u8]>::first_chunk::<WORD>)
            && let Some(room) = out.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<WORD>)
        {
            *room = *word;
            let marks = specials(u64::from_le_bytes(*word));
            let plain = before(marks);
            (from, to) = (from + plain, to + plain);
            if marks != 0 {
                break;
            }
        }
        match raw.get(from..).unwrap_or_default() {
            // Nearly every escape of a body that is JSON.
            [b'\\', b'"', ..] => {
                put(out, to, b'"');
                (from, to) = (from + 2, to + 1);
            }
            [b'\\', ..] => {
                let Ok((length, code)) = escape(raw, from) else { return (from, to) };
                let mut bytes = [0; 4];
                for &byte in code.encode_utf8(&mut bytes).as_bytes() {
                    put(out, to, byte);
                    to += 1;
                }
                from += length;
            }
            [byte, ..] if *byte >= 0x20 && *byte != b'"' => {
                put(out, to, *byte);
                (from, to) = (from + 1, to + 1);
            }
            _ => return (from, to),
        }
    }
}

/// There is room: what a text says is never longer than what stands there.
#[inline(always)]
fn put(out: &mut [u8], at: usize, byte: u8) {
    if let Some(room) = out.get_mut(at) {
        *room = byte;
    }
}

/// Reads one document from its start to its end. It is UTF-8, or what is read is not.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    #[cold]
    pub(super) const fn fault<T>(&self, what: &'static str) -> Result<T> {
        Err(Fault { what, at: self.at })
    }

    /// The next byte that is not space, left where it is; 0 at the end.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) -> Result<()> {
        self.peek();
        if self.at == self.bytes.len() { Ok(()) } else { self.fault("something after the end") }
    }

    /// Takes a `null`, if there is one.
    #[inline(always)]
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
        match self.bytes.get(self.at..) {
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
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += plain(rest);
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += skip_escape(self.bytes, self.at)?;
                }
                Some(_) => return self.fault("a control character in a text"),
                None => return self.fault("a text does not end"),
            }
        }
        let raw = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    /// Reads a text that is long and likely full of escapes: what it says is written to `out` in the same pass, unless
    /// it stands there as it is meant.
    ///
    /// # Errors
    /// In the inner result: half a character is escaped, which is JSON and says nothing.
    pub(super) fn body(&mut self, out: &mut BytesMut) -> Result<Result<Body<'a>>> {
        if self.peek() != b'"' {
            return self.fault("expected a text");
        }
        let start = self.at + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let plain = plain(rest);
        match rest.get(plain) {
            Some(b'"') => {
                self.at = start + plain + 1;
                return Ok(Ok(Body::Plain(&rest[..plain])));
            }
            Some(b'\\') => {
                out.clear();
                out.resize(rest.len() + WORD, 0);
                let (from, to) = unescape(rest, out);
                if rest.get(from) == Some(&b'"') {
                    self.at = start + from + 1;
                    out.truncate(to);
                    return Ok(Ok(Body::Written(out.split().freeze())));
                }
                out.clear();
            }
            _ => {}
        }
        // It is no text, or one of which only a half can be written.
        self.text()?;
        Ok(Err(HALF))
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

    /// A reader that stands at the first value of the list that comes next.
    pub(super) fn first(&self) -> Option<Self> {
        let mut reader = self.clone();
        reader.open(b'[', "expected a list").ok()?;
        Some(reader)
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
    pub(super) fn slice(&mut self) -> Result<&'a [u8]> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.bytes;
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

/// Marks the bytes that end a run of plain ones in a text: quotes, backslashes, control characters. Bytes after the
/// first may be marked wrongly, so only the first counts.
const fn specials(word: u64) -> u64 {
    let quotes = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslashes = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let controls = word.wrapping_sub(ONES * 0x20);
    (quotes | backslashes | controls) & !word & HIGH
}

/// How many bytes come before the first marked one.
const fn before(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// How many bytes at the start are plain.
#[inline(always)]
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
        let mut reader = Reader::new(text.as_bytes());
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
        let fault = Reader::new(br#"{"a" 1}"#).skip().unwrap_err();
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
            let theirs = serde_json::from_str::<String>(&document).ok();
            let ours = Reader::new(document.as_bytes()).text().and_then(Text::string).ok();
            prop_assert_eq!(ours.as_deref(), theirs.as_deref());
            let mut out = BytesMut::new();
            let body = Reader::new(document.as_bytes()).body(&mut out).and_then(|body| body).ok();
            let body = body.map(|body| match body {
                Body::Plain(bytes) => bytes.to_vec(),
                Body::Written(bytes) => bytes.to_vec(),
            });
            prop_assert_eq!(body, theirs.map(String::into_bytes));
        }
    }
}
