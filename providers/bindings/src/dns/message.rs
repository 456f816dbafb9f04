//! Queries and answers of DNS (RFC 1035, 4.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

const INTERNET: u16 = 1;
const HEADER: usize = 12;

/// A question, as it is sent.
#[derive(Debug)]
pub(super) struct Query {
    bytes: Vec<u8>,
    kind: Kind,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses, possibly none of this kind.
    Found(Vec<IpAddr>),
    NoSuchName,
    /// The answer did not fit.
    Truncated,
    /// The server could not say: its code.
    Failed(u8),
}

impl Query {
    /// Nothing, when it is not a name.
    pub(super) fn new(id: u16, name: &str, kind: Kind) -> Option<Self> {
        // One question, and please ask others for us.
        let mut bytes = [id.to_be_bytes(), [1, 0], [0, 1], [0; 2], [0; 2], [0; 2]].concat();
        let name = name.strip_suffix('.').unwrap_or(name);
        for label in name.split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
            bytes.push(length);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend([(kind as u16).to_be_bytes(), INTERNET.to_be_bytes()].concat());
        (name.len() <= 253).then_some(Self { bytes, kind })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what came back; nothing, when it is not an answer to this question.
    pub(super) fn answer(&self, message: &[u8]) -> Option<Answer> {
        let header = message.get(..HEADER)?;
        let asked = &self.bytes[HEADER..];
        let repeated = message.get(HEADER..self.bytes.len())?;
        let is_answer = header[2] & 0x80 != 0 && header[4..6] == [0, 1];
        if header[..2] != self.bytes[..2] || !is_answer || !repeated.eq_ignore_ascii_case(asked) {
            return None;
        }
        if header[2] & 0x02 != 0 {
            return Some(Answer::Truncated);
        }
        match header[3] & 0x0f {
            0 => {}
            3 => return Some(Answer::NoSuchName),
            code => return Some(Answer::Failed(code)),
        }
        let count = u16::from_be_bytes([header[6], header[7]]);
        let mut rest = &message[self.bytes.len()..];
        let mut found = Vec::new();
        for _ in 0..count {
            let (record, after) = self.record(rest)?;
            found.extend(record);
            rest = after;
        }
        Some(Answer::Found(found))
    }

    /// The address in a record, if it has one of the kind (others are steps on the way to it), and what follows.
    fn record<'a>(&self, bytes: &'a [u8]) -> Option<(Option<IpAddr>, &'a [u8])> {
        let rest = after_name(bytes)?;
        let (head, rest) = rest.split_at_checked(10)?;
        let length = u16::from_be_bytes([head[8], head[9]]);
        let (data, rest) = rest.split_at_checked(length.into())?;
        let wanted = head[..4] == [(self.kind as u16).to_be_bytes(), INTERNET.to_be_bytes()].concat();
        let address = match self.kind {
            Kind::A => <[u8; 4]>::try_from(data).ok().map(|four| Ipv4Addr::from(four).into()),
            Kind::Aaaa => <[u8; 16]>::try_from(data).ok().map(|six| Ipv6Addr::from(six).into()),
        };
        Some((address.filter(|_| wanted), rest))
    }
}

/// Labels up to an empty one or up to a pointer, which is the last.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            _ => bytes = rest.get(usize::from(length)..)?,
        }
    }
}
