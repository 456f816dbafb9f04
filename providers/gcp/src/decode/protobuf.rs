//! A reader of protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>): fields in order, no schema.
//! A field that is there twice counts by its last value; no encoder splits a message in two.

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire<'a> {
    /// Integers, booleans, enums.
    Varint(u64),
    /// Doubles and fixed 64-bit integers.
    Fixed64(u64),
    /// Texts, bytes, messages.
    Bytes(&'a [u8]),
    /// Floats and fixed 32-bit integers.
    Fixed32(u32),
}

/// The fields of one message: number and value. It ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take::<1>()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint of more than 64 bits".to_owned())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or("it ends within a value")?;
        self.0 = rest;
        Ok(*first)
    }

    fn field(&mut self) -> Result<(u32, Wire<'a>), String> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or_else(|| format!("{} is no field's number", tag >> 3))?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let length = self.varint()?;
                let within = usize::try_from(length).ok().and_then(|n| self.0.split_at_checked(n));
                let (bytes, rest) = within.ok_or_else(|| {
                    format!("field {number} says it has {length} bytes, {} are left", self.0.len())
                })?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take()?)),
            other => {
                return Err(format!("field {number} has wire type {other}, which proto3 does not write"));
            }
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Wire<'a> {
    /// An integer, boolean or enum.
    ///
    /// # Errors
    /// What it is instead.
    pub fn int(self) -> Result<i64, String> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            other => Err(other.not("a varint")),
        }
    }

    /// A double.
    ///
    /// # Errors
    /// What it is instead.
    pub fn double(self) -> Result<f64, String> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(other.not("64 bits")),
        }
    }

    /// Bytes or a message.
    ///
    /// # Errors
    /// What it is instead.
    pub fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(other.not("length-delimited")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// What it is instead, or that it is not UTF-8.
    pub fn text(self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "is not UTF-8".to_owned())
    }

    fn not(self, expected: &str) -> String {
        let is = match self {
            Self::Varint(_) => "a varint",
            Self::Fixed64(_) => "64 bits",
            Self::Bytes(_) => "length-delimited",
            Self::Fixed32(_) => "32 bits",
        };
        format!("is {is}, not {expected}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, String> {
        Fields::new(bytes).collect()
    }

    /// The examples of the page on encoding.
    #[test]
    fn the_documented_examples() {
        assert_eq!(all(&[0x08, 0x96, 0x01]).unwrap(), [(1, Wire::Varint(150))]);
        assert_eq!(all(b"\x12\x07testing").unwrap(), [(2, Wire::Bytes(b"testing"))]);
        assert_eq!(all(&[0x1a, 0x03, 0x08, 0x96, 0x01]).unwrap(), [(3, Wire::Bytes(&[8, 0x96, 1]))]);
        let minus_two = [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(all(&minus_two).unwrap()[0].1.int(), Ok(-2));
        let mut fixed = vec![0x09];
        fixed.extend(5.5f64.to_le_bytes());
        fixed.extend([0x15, 1, 0, 0, 0]);
        assert_eq!(all(&fixed).unwrap(), [(1, Wire::Fixed64(5.5f64.to_bits())), (2, Wire::Fixed32(1))]);
        assert_eq!(all(&[]).unwrap(), []);
    }

    #[test]
    fn broken_bytes_say_what_is_wrong() {
        for (bytes, what) in [
            (&[0x08][..], "ends within"),
            (&[0x08, 0xff], "ends within"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "64 bits"),
            (&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], "64 bits"),
            (&[0x12, 0x05, b'a'], "says it has 5 bytes, 1 are left"),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "18446744073709551615"),
            (&[0x09, 0, 0], "ends within"),
            (&[0x15, 0], "ends within"),
            (&[0x0b], "wire type 3"),
            (&[0x00, 0x00], "0 is no field's number"),
            (b"{}", "wire type 3"),
        ] {
            let error = all(bytes).unwrap_err();
            assert!(error.contains(what), "{bytes:x?}: {error}");
        }
        assert_eq!(Wire::Bytes(b"\xff").text().unwrap_err(), "is not UTF-8");
        assert_eq!(Wire::Varint(1).text().unwrap_err(), "is a varint, not length-delimited");
    }
}
