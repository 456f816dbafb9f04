//! CBOR (RFC 8949) as JSON values: what a Tablestore trigger sends.

use serde_json::{Map, Number, Value};
use xcloud_core::text::base64_encode;

/// Arrays, maps and tags within each other; what reads the row later stops at 128.
const DEPTH: u32 = 100;
/// Values in one item: an array's element may take a byte here and thirty in memory.
const VALUES: u32 = 1 << 20;
const BREAK: u8 = 0xff;

/// Whether the bytes begin as a CBOR map does, perhaps with the tag that says "CBOR" (§3.4.6). No text begins so:
/// neither `a0`…`bf` nor `d9 d9` can be the first bytes of UTF-8, which all JSON is.
pub fn is_map(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(&[0xd9, 0xd9, 0xf7]).unwrap_or(bytes);
    bytes.first().is_some_and(|first| matches!(first, 0xa0..=0xbb | 0xbf))
}

/// Reads one item that takes all the bytes. Byte strings become base64, tags are taken off, and numbers that JSON cannot
/// hold (`NaN`, -2^64) become texts.
///
/// # Errors
/// What is wrong, and at which byte.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { bytes, at: 0, values: 0 };
    let value = reader.value(0)?;
    if reader.at < bytes.len() {
        return Err(format!("{} bytes follow the CBOR item", bytes.len() - reader.at));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: u32,
}

/// An item's first byte and the number that follows it.
struct Head {
    major: u8,
    info: u8,
    /// The value, length or count; `None` for an indefinite length.
    argument: Option<u64>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = self.bytes.len() - self.at;
        if count > rest {
            return Err(format!("CBOR ends at byte {}: {count} more were expected", self.bytes.len()));
        }
        self.at += count;
        Ok(&self.bytes[self.at - count..self.at])
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("CBOR at byte {}: {what}", self.at))
    }

    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn head(&mut self) -> Result<Head, String> {
        let first = self.take(1)?.first().copied().unwrap_or(BREAK);
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => Some(self.number(1 << (info - 24))?),
            31 if matches!(major, 2..=5) => None,
            _ => return self.wrong(&format!("{first:#04x} begins no item")),
        };
        Ok(Head { major, info, argument })
    }

    /// Whether the next byte ends an indefinite length; takes it.
    fn ended(&mut self) -> bool {
        let ended = self.bytes.get(self.at) == Some(&BREAK);
        self.at += usize::from(ended);
        ended
    }

    fn value(&mut self, depth: u32) -> Result<Value, String> {
        self.values += 1;
        if self.values > VALUES {
            return self.wrong(&format!("more than {VALUES} values"));
        }
        if depth >= DEPTH {
            return self.wrong(&format!("more than {DEPTH} levels"));
        }
        let Head { major, info, argument } = self.head()?;
        match (major, argument) {
            (0, Some(n)) => Ok(n.into()),
            (1, Some(n)) => Ok(negative(n)),
            (2, length) => Ok(base64_encode(&self.string(2, length)?).into()),
            (3, length) => self.text(length).map(Value::String),
            (4, count) => self.array(count, depth),
            (5, count) => self.map(count, depth),
            (6, Some(_)) => self.value(depth + 1),
            (7, Some(n)) => self.simple(info, n),
            _ => self.wrong("an indefinite length that nothing has"),
        }
    }

    /// A string's bytes, the chunks of an indefinite one joined.
    fn string(&mut self, major: u8, length: Option<u64>) -> Result<Vec<u8>, String> {
        if let Some(length) = length {
            return self.take(usize::try_from(length).unwrap_or(usize::MAX)).map(<[u8]>::to_vec);
        }
        let mut whole = Vec::new();
        while !self.ended() {
            match self.head()? {
                Head { major: of, argument: Some(length), .. } if of == major => {
                    whole.extend_from_slice(self.take(usize::try_from(length).unwrap_or(usize::MAX))?);
                }
                _ => return self.wrong("a chunk of a string is no string of its kind"),
            }
        }
        Ok(whole)
    }

    fn text(&mut self, length: Option<u64>) -> Result<String, String> {
        let bytes = self.string(3, length)?;
        String::from_utf8(bytes).or_else(|_| self.wrong("a text is not UTF-8"))
    }

    /// Whether another element follows. A count is not trusted with memory: what is not there ends the reading.
    fn another(&mut self, count: Option<u64>, seen: u64) -> bool {
        count.map_or_else(|| !self.ended(), |count| seen < count)
    }

    fn array(&mut self, count: Option<u64>, depth: u32) -> Result<Value, String> {
        let mut list = Vec::new();
        while self.another(count, list.len() as u64) {
            list.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self, count: Option<u64>, depth: u32) -> Result<Value, String> {
        let mut map = Map::new();
        while self.another(count, map.len() as u64) {
            let key = match self.value(depth + 1)? {
                Value::String(text) => text,
                // JSON's names are texts.
                Value::Number(number) => number.to_string(),
                _ => return self.wrong("a map's key is neither text nor number"),
            };
            let value = self.value(depth + 1)?;
            if map.contains_key(&key) {
                return self.wrong(&format!("`{}` twice in one map", cut(&key)));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn simple(&self, info: u8, n: u64) -> Result<Value, String> {
        match (info, n) {
            (20 | 21, _) => Ok((info == 21).into()),
            // null and undefined
            (22 | 23, _) => Ok(Value::Null),
            (25, n) => Ok(float(half(u16::try_from(n).unwrap_or_default()))),
            (26, n) => Ok(float(f64::from(f32::from_bits(u32::try_from(n).unwrap_or_default())))),
            (27, n) => Ok(float(f64::from_bits(n))),
            (_, n) => self.wrong(&format!("the simple value {n} has no meaning")),
        }
    }
}

/// -1 - n.
fn negative(n: u64) -> Value {
    i64::try_from(n).map_or_else(|_| (-1 - i128::from(n)).to_string().into(), |n| (-1 - n).into())
}

fn float(n: f64) -> Value {
    let text = || match n {
        n if n.is_nan() => "NaN",
        n if n > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    Number::from_f64(n).map_or_else(|| text().into(), Value::Number)
}

/// RFC 8949, appendix D.
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
