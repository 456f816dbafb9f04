//! Reproducible archives: the same entries give the same bytes, on every machine and on every day.

use std::io::{Cursor, Write};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use xcloud_core::{Error, ErrorKind, Result};
use zip::write::SimpleFileOptions;

use crate::provider::Binary;

/// A file that lies beside the binary in every package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, `/` between folders, below where the binary is.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether it may be executed.
    pub executable: bool,
}

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
    hex(&digest(bytes))
}

pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entries of a package: its own, then the files that lie beside the binary.
///
/// # Errors
/// [`ErrorKind::Config`]: a file has the place of one of the package's own.
pub fn with_files<'a>(mut own: Vec<Entry<'a>>, binary: &'a Binary) -> Result<Vec<Entry<'a>>> {
    let above =
        |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    for file in &*binary.files {
        let path = file.path.as_str();
        if let Some(taken) = own.iter().find(|o| above(o.path, path) || above(path, o.path)) {
            let message =
                format!("`build.include` has `{path}`, where the package's own `{}` is", taken.path);
            return Err(Error::new(ErrorKind::Config, message));
        }
    }
    let entry = |file: &'a File| Entry { path: &file.path, bytes: &file.bytes, executable: file.executable };
    own.extend(binary.files.iter().map(entry));
    Ok(own)
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
    fn files_come_after_the_packages_own_and_never_in_their_place() {
        let file = |path: &str| File { path: path.to_owned(), bytes: b"x".to_vec(), executable: false };
        let binary = |files: &[File]| Binary {
            bytes: b"\x7fELF"[..].into(),
            sha256: String::new(),
            arch: String::new(),
            files: files.into(),
        };
        let good = binary(&[file("a/c.json"), file("bootstraps")]);
        let paths: Vec<_> = with_files(ENTRIES.to_vec(), &good).unwrap().iter().map(|e| e.path).collect();
        assert_eq!(paths, ["bootstrap", "a/b.json", "a/c.json", "bootstraps"]);
        for taken in ["bootstrap", "a/b.json", "bootstrap/x", "a"] {
            let binary = binary(&[file(taken)]);
            let error = with_files(ENTRIES.to_vec(), &binary).unwrap_err();
            assert!(error.kind() == ErrorKind::Config && error.message().contains(taken), "{error}");
        }
        assert_eq!(binary(&[]).files_sha256(), None);
        assert_ne!(good.files_sha256(), binary(&[file("a/c.json")]).files_sha256());
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
