//! What an ELF file says of itself (System V ABI, chapter 4).

use xcloud_core::{Error, ErrorKind, Result};

const PT_INTERP: u32 = 3;

/// Checks that the binary is a static 64-bit ELF and names its architecture as packages do.
///
/// # Errors
/// What it is instead, and what to do.
pub(crate) fn arch(bytes: &[u8]) -> Result<&'static str> {
    let wrong = |what: &str| {
        let message =
            format!("the binary {what}: packages need a static ELF file for Linux; see `[build] target`");
        Error::new(ErrorKind::Config, message)
    };
    if bytes.get(..4) != Some(b"\x7fELF") || bytes.get(4) != Some(&2) || bytes.get(5) != Some(&1) {
        return Err(wrong("is not a 64-bit little-endian ELF file"));
    }
    let arch = match half(bytes, 18) {
        Some(62) => "x86_64",
        Some(183) => "arm64",
        other => return Err(wrong(&format!("is for machine {other:?}"))),
    };
    let cut = || wrong("is cut off");
    let table = usize::try_from(word(bytes, 32).ok_or_else(cut)?).map_err(|_| cut())?;
    let size = usize::from(half(bytes, 54).ok_or_else(cut)?);
    let count = usize::from(half(bytes, 56).ok_or_else(cut)?);
    for index in 0..count {
        let at = index.checked_mul(size).and_then(|o| o.checked_add(table)).ok_or_else(cut)?;
        let kind = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
        if u32::from_le_bytes(*kind) == PT_INTERP {
            return Err(wrong("is linked dynamically"));
        }
    }
    Ok(arch)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_static_elf_is_refused() {
        let mut elf = vec![0; 120];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        assert_eq!(arch(&elf).unwrap(), "x86_64");
        elf[64] = 3;
        assert!(arch(&elf).unwrap_err().message().contains("dynamically"));
        assert!(arch(&elf[..60]).unwrap_err().message().contains("cut off"));
        assert!(arch(b"#!/bin/sh").is_err());
        elf[18] = 40;
        assert!(arch(&elf).is_err());
    }
}
