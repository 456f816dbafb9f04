//! Reproducible archives: the same entries give the same bytes, on every machine and on every day.

use std::io::{Cursor, Write};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use xcloud_core::{Error, Result};
use zip::write::SimpleFileOptions;

/// One file of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its path, `/` between folders.
    pub path: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
    /// Whether it may be executed: mode 0755, else 0644.
    pub executable: bool,
}

impl Entry<'_> {
    const fn mode(&self) -> u32 {
        if self.executable { 0o755 } else { 0o644 }
    }
}

/// Lower-case hex SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A zip with unix modes; times are the format's first, 1980-01-01.
///
/// # Errors
/// An entry too large for the format (4 GiB), or two of one name.
pub fn zip(entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let failed = |path: &str, e: &dyn std::fmt::Display| {
        Error::bad_request(format!("cannot pack `{path}` into the zip: {e}"))
    };
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for entry in entries {
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .system(zip::System::Unix)
            .unix_permissions(entry.mode());
        archive.start_file(entry.path, options).map_err(|e| failed(entry.path, &e))?;
        archive.write_all(entry.bytes).map_err(|e| failed(entry.path, &e))?;
    }
    Ok(archive.finish().map_err(|e| failed("", &e))?.into_inner())
}

/// A gzipped tar without times, owners or the name of a system.
///
/// # Errors
/// An entry too large for the format (8 GiB), or with a name that is too long.
pub fn tar_gz(entries: &[Entry<'_>], level: Compression) -> Result<Vec<u8>> {
    let gz = GzBuilder::new().operating_system(255).write(Vec::new(), level);
    let mut archive = tar::Builder::new(gz);
    let failed = |e: std::io::Error| Error::bad_request(format!("cannot pack the archive: {e}"));
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(entry.mode());
        header.set_mtime(0);
        archive.append_data(&mut header, entry.path, entry.bytes).map_err(failed)?;
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(failed)
}

pub use flate2::Compression as Level;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const ENTRIES: [Entry<'_>; 2] = [
        Entry { path: "bootstrap", bytes: b"\x7fELF", executable: true },
        Entry { path: "a/b.json", bytes: b"{}", executable: false },
    ];

    #[test]
    fn zips_hold_modes_and_no_time() {
        let bytes = zip(&ENTRIES).unwrap();
        assert_eq!(bytes, zip(&ENTRIES).unwrap());
        let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        for entry in &ENTRIES {
            let mut file = archive.by_name(entry.path).unwrap();
            assert_eq!(file.unix_mode().unwrap() & 0o777, entry.mode());
            assert_eq!(file.last_modified().map(|t| t.year()), Some(1980));
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            assert_eq!(content, entry.bytes);
        }
    }

    #[test]
    fn tars_hold_modes_and_no_time() {
        let bytes = tar_gz(&ENTRIES, Compression::default()).unwrap();
        assert_eq!(bytes, tar_gz(&ENTRIES, Compression::default()).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        for (entry, wanted) in archive.entries().unwrap().zip(&ENTRIES) {
            let mut entry = entry.unwrap();
            assert_eq!(entry.path().unwrap().to_str(), Some(wanted.path));
            assert_eq!((entry.header().mode().unwrap(), entry.header().mtime().unwrap()), (wanted.mode(), 0));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content, wanted.bytes);
        }
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
