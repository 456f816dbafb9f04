//! Small text codecs shared by the rooms: percent-decoding, base64, RFC 3339, JSON of any shape.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Any JSON. Every crate that reads a [`serde_json::Value`] by itself has a parser of its own in the binary, of 20 kB
/// to 30 kB; this is one for all.
///
/// # Errors
/// It is not JSON.
pub fn parse_json(bytes: &[u8]) -> serde_json::Result<serde_json::Value> {
    serde_json::from_slice(bytes)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Decodes `%XX` once; an incomplete escape is kept as it is.
pub fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    decode(text, false)
}

/// Decodes a query key or value: `+` is a space, then `%XX`; bytes that are not UTF-8 become U+FFFD.
pub fn form_decode(text: &str) -> Cow<'_, str> {
    match decode(text, true) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn decode(text: &str, plus: bool) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|&b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(*first),
        }
    }
    Cow::Owned(out)
}

/// Encodes everything but RFC 3986 unreserved characters as `%XX`.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, &b| w << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = usize::try_from(word >> (18 - 6 * i) & 63).unwrap_or(0);
            out.push(if i <= chunk.len() { char::from(BASE64[six]) } else { '=' });
        }
    }
    out
}

/// Standard or URL-safe base64, padding optional; `None` if it is neither.
pub fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|&b| b != b'=').map_or(0, |i| i + 1);
    if text.len() - end > 2 || end % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(end / 4 * 3 + 2);
    for chunk in text[..end].chunks(4) {
        let mut word = 0u32;
        for &byte in chunk {
            word = word << 6 | u32::from(sextet(byte)?);
        }
        word <<= 6 * (4 - chunk.len());
        let [_, a, b, c] = word.to_be_bytes();
        out.extend_from_slice(&[a, b, c][..chunk.len() - 1]);
    }
    Some(out)
}

const fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// `2026-11-23T20:00:00.000Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (secs, millis) = (since.as_secs(), since.subsec_millis());
    let (days, day) = (secs / 86_400, secs % 86_400);
    let (year, month, date) = civil(days);
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        day / 3600,
        day / 60 % 60,
        day % 60
    )
}

/// Reads an RFC 3339 time (`Z` or an offset, any fraction).
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, c)| text.as_bytes().get(at) != Some(&c)) {
        return None;
    }
    let (year, month, date) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&date)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let rest = text.get(19..)?;
    let digits = rest.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count());
    let mut nanos = 0u32;
    for (i, byte) in rest.bytes().skip(1).take(digits.min(9)).enumerate() {
        nanos += u32::from(byte - b'0') * 10u32.pow(8 - u32::try_from(i).unwrap_or(8));
    }
    let zone = rest.get(if digits > 0 { digits + 1 } else { 0 }..)?;
    let secs = days(year, month, date) * 86_400 + hour * 3600 + minute * 60 + second;
    let time = UNIX_EPOCH + Duration::new(secs, nanos);
    let offset = |z: &str| -> Option<Duration> {
        let (h, m) = z.split_once(':')?;
        let (h, m) = (h.parse::<u64>().ok().filter(|h| *h < 24)?, m.parse::<u64>().ok().filter(|m| *m < 60)?);
        Some(Duration::from_secs(h * 3600 + m * 60))
    };
    match zone.as_bytes().first()? {
        b'Z' | b'z' if zone.len() == 1 => Some(time),
        b'+' => time.checked_sub(offset(&zone[1..])?),
        b'-' => time.checked_add(offset(&zone[1..])?),
        _ => None,
    }
}

/// Days since 1970 to year, month, day (Howard Hinnant's `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + (month <= 2) as u64, month, doy - (153 * mp + 2) / 5 + 1)
}

/// The inverse: days since 1970, for years from 1970.
const fn days(year: u64, month: u64, date: u64) -> u64 {
    let y = year - (month <= 2) as u64;
    let (era, yoe) = (y / 400, y % 400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + date - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_round_trips_and_takes_both_alphabets() {
        for len in 0..40u8 {
            let bytes: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37) ^ 0xa5).collect();
            assert_eq!(base64_decode(base64_encode(&bytes).as_bytes()).as_deref(), Some(&bytes[..]));
        }
        assert_eq!(base64_encode(b"test"), "dGVzdA==");
        assert_eq!(base64_decode(b"_-8"), Some(vec![0xff, 0xef]));
        assert_eq!(base64_decode(b"a"), None);
        assert_eq!(base64_decode(b"ab!d"), None);
    }

    #[test]
    fn percent_decoding_keeps_what_is_not_an_escape() {
        assert_eq!(form_decode("a%20b+c%zz%4"), "a b c%zz%4");
        assert_eq!(percent_decode("caf%C3%A9+"), "café+".as_bytes());
        assert_eq!(percent_encode("a b/é"), "a%20b%2F%C3%A9");
    }

    #[test]
    fn times_round_trip() {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_464_000_123);
        assert_eq!(parse_rfc3339(&rfc3339(time)), Some(time));
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00.000Z");
        assert_eq!(parse_rfc3339("1970-01-01T02:00:00+02:00"), Some(UNIX_EPOCH));
        for bad in [
            "",
            "2026-13-01T00:00:00Z",
            "2026-01-01 00:00:00",
            "1970-01-01T00:00:00+99:99",
            "20é6-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
