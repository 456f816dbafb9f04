//! Golden events, changed at random.

use crate::corpus::Input;

/// Values that readers of JSON may not expect.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-0",
    "-1",
    "1e999",
    "-1e-999",
    "1.5",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "\"\\u0000\"",
    "\"\u{1f4a1}\"",
    "\"%00%ff%zz\"",
    "\"AAE=\"",
    "\"A\"",
    "\"1\"",
    "\"-1\"",
    "\"1e400\"",
    "\"{}\"",
    "\"[[[]]]\"",
    "\"2026-11-25T00:00:00Z\"",
    "\"99999-13-41T25:61:61Z\"",
    "\"1970-01-01T00:00:00+99:99\"",
    "{\"a\":{\"a\":{}}}",
    "[[[[[[[[]]]]]]]]",
    "[null]",
    "{\"\":null}",
];
/// Parts of JSON, where they do not belong.
const PARTS: &[&str] = &[
    ",",
    ":",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "\"\\ud800\"",
    "\"specversion\":\"1.0\",",
    "\"id\":",
    "\"type\":",
    "\"data\":",
    "\"data_base64\":",
    "\"Records\":",
    "\"events\":",
];
/// What breaks readers of bytes.
const BYTES: &[u8] =
    &[0, 1, 0x1f, 0x20, b'"', b'%', b'+', b'/', b'\\', b'{', 0x7f, 0x80, 0x9f, 0xbf, 0xc0, 0xfb, 0xfe, 0xff];
/// Longer inputs only cost time.
const LONGEST: usize = 64 * 1024;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    /// A range within `len`, mostly a short one.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let longest = if self.below(4) == 0 { len } else { 16 };
        start..(start + self.below(longest + 1)).min(len)
    }
}

/// Makes inputs without end.
pub struct Mutator {
    random: Random,
    seeds: Vec<Input>,
    /// Every JSON text of the seeds, with its quotes: names and values that decoders look for.
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64, seeds: Vec<Input>) -> Self {
        let mut words: Vec<Vec<u8>> =
            seeds.iter().flat_map(|seed| texts(&seed.body)).map(<[u8]>::to_vec).collect();
        words.sort();
        words.dedup();
        Self { random: Random(seed), seeds, words }
    }

    pub fn next(&mut self) -> Input {
        let at = self.random.below(self.seeds.len());
        let mut input = self.seeds[at].clone();
        // Half of the inputs keep their form, so that what is behind it is reached.
        let formed = self.random.below(2) == 0;
        for _ in 0..=self.random.below(4) {
            match self.random.below(16) {
                0 => input.kind = self.random.below(256),
                1 | 2 if !input.headers.is_empty() => self.header(&mut input),
                _ if formed => self.value(&mut input.body),
                _ => self.bytes(&mut input.body),
            }
        }
        input.body.truncate(LONGEST);
        input
    }

    fn header(&mut self, input: &mut Input) {
        let at = self.random.below(input.headers.len());
        match self.random.below(6) {
            0 => drop(input.headers.remove(at)),
            1 => input.headers.push(input.headers[at].clone()),
            2 => {
                let other = self.random.below(self.seeds.len());
                input.headers.extend(self.seeds[other].headers.iter().cloned());
            }
            3 => self.bytes(&mut input.headers[at].0),
            _ => self.bytes(&mut input.headers[at].1),
        }
    }

    fn bytes(&mut self, bytes: &mut Vec<u8>) {
        let range = self.random.range(bytes.len());
        match self.random.below(12) {
            0 if !bytes.is_empty() => {
                let at = self.random.below(bytes.len());
                bytes[at] ^= 1 << self.random.below(8);
            }
            1 if !bytes.is_empty() => {
                let at = self.random.below(bytes.len());
                bytes[at] = BYTES[self.random.below(BYTES.len())];
            }
            2 => bytes.truncate(range.start),
            3 => drop(bytes.drain(range)),
            4 => {
                let part = bytes[range].to_vec();
                let at = self.random.below(bytes.len() + 1);
                drop(bytes.splice(at..at, part));
            }
            5 => {
                let with: Vec<u8> = (0..self.random.below(9)).map(|_| self.random.next() as u8).collect();
                drop(bytes.splice(range, with));
            }
            6 => {
                let other = self.random.below(self.seeds.len());
                let tail = self.random.below(self.seeds[other].body.len() + 1);
                bytes.truncate(range.start);
                bytes.extend_from_slice(&self.seeds[other].body[tail..]);
            }
            7 => {
                let nest = [&b"["[..], b"{\"a\":", b"\x81", b"\xc1"][self.random.below(4)];
                let times = self.random.below(300);
                drop(bytes.splice(range.start..range.start, nest.repeat(times)));
            }
            8 => {
                let part = PARTS[self.random.below(PARTS.len())];
                drop(bytes.splice(range, part.bytes()));
            }
            _ => self.value(bytes),
        }
    }

    /// Puts another value in the place of a JSON text or number, another word in the place of a word, another byte in the
    /// place of a byte.
    fn value(&mut self, bytes: &mut Vec<u8>) {
        let places = places(bytes);
        if places.is_empty() || std::str::from_utf8(bytes).is_err() {
            if !bytes.is_empty() {
                let at = self.random.below(bytes.len());
                bytes[at] = self.random.next() as u8;
            }
            return;
        }
        let place = places[self.random.below(places.len())].clone();
        // A name stays a text.
        let is_name = bytes[place.end..].trim_ascii_start().starts_with(b":");
        let is_json = bytes.contains(&b'"');
        let with = match self.random.below(if is_json { 2 } else { 1 }) {
            0 if !self.words.is_empty() => self.words[self.random.below(self.words.len())].clone(),
            _ if is_name => b"\"other\"".to_vec(),
            _ => VALUES[self.random.below(VALUES.len())].as_bytes().to_vec(),
        };
        drop(bytes.splice(place, with));
    }
}

fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_json = bytes.contains(&b'"');
    let places = places(bytes).into_iter().map(|place| &bytes[place]);
    places.filter(move |text| text.len() < 80 && (text.starts_with(b"\"") || !is_json))
}

/// Where JSON texts and numbers are; words, if there is no JSON text.
fn places(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    if !bytes.contains(&b'"') {
        let mut start = 0;
        let words = bytes.split_inclusive(|byte| *byte == b' ').map(|word| {
            let place = start..start + word.trim_ascii_end().len();
            start += word.len();
            place
        });
        return words.collect();
    }
    let mut places = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b'"' => {
                while at < bytes.len() && bytes[at] != b'"' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                at = (at + 1).min(bytes.len());
            }
            b'0'..=b'9' | b'-' => {
                while at < bytes.len() && matches!(bytes[at], b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
                {
                    at += 1;
                }
            }
            _ => continue,
        }
        places.push(start..at);
    }
    places
}
