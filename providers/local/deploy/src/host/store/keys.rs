//! Keys of the tree. Names hold no NUL ([`super::super::api::is_name`]), so a NUL ends them; numbers are big endian: the
//! order of keys is that of names, then of times or sequence numbers, then of rows' keys.

/// What is kept under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// By name: settings and counters of the store itself.
    Own = b'o',
    /// By queue and sequence number: attempts made, when it was sent, when it is due, body.
    Message = b'm',
    /// By queue, time and sequence number: nothing.
    Due = b'd',
    /// By queue and sequence number: attempts made, when it was sent, why it was put aside, body.
    Dead = b'x',
    /// By table and key: version, value.
    Row = b'r',
}

/// What all keys of a kind and name begin with.
pub(super) fn prefix(kind: Kind, name: &str) -> Vec<u8> {
    let mut key = vec![kind as u8];
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key
}

/// A queue and a sequence number.
pub(super) fn numbered(kind: Kind, queue: &str, sequence: u64) -> Vec<u8> {
    let mut key = prefix(kind, queue);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// A queue, when it is due, and a sequence number.
pub(super) fn due(queue: &str, at: u64, sequence: u64) -> Vec<u8> {
    let mut key = numbered(Kind::Due, queue, at);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// A table and a row's key.
pub(super) fn row(table: &str, key: &str) -> Vec<u8> {
    let mut all = prefix(Kind::Row, table);
    all.extend_from_slice(key.as_bytes());
    all
}

/// Splits a key: kind, name, and what comes after.
pub(super) fn split(key: &[u8]) -> Option<(u8, &str, &[u8])> {
    let (kind, rest) = key.split_first()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some((*kind, std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]))
}

/// A number at the end of a key.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_name_then_by_number() {
        let mut keys = [
            due("a", 2, 1),
            due("a", 1, 9),
            due("ab", 0, 0),
            due("a", 1, 8),
            numbered(Kind::Dead, "a", 0),
            due("a", 256, 0),
        ];
        keys.sort();
        let expected = [
            due("a", 1, 8),
            due("a", 1, 9),
            due("a", 2, 1),
            due("a", 256, 0),
            due("ab", 0, 0),
            numbered(Kind::Dead, "a", 0),
        ];
        assert_eq!(keys, expected);
        assert_eq!(split(&numbered(Kind::Dead, "a-b", 5)), Some((b'x', "a-b", &5u64.to_be_bytes()[..])));
        assert_eq!(split(&row("t", "k\0")), Some((b'r', "t", &b"k\0"[..])));
    }
}
