//! Packages on disk: checked against their digest, unpacked once, started from there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use xcloud_core::{Error, Result};
use xcloud_deploy::package;
use xcloud_local::binding::ENTRY;

use crate::config::hex;
use crate::error::io;

/// What a package may unpack to.
const MAX_UNPACKED: u64 = 2 * 1024 * 1024 * 1024;

/// The directory of a release.
pub(crate) fn directory(app: &Path, digest: &str) -> PathBuf {
    app.join("releases").join(digest)
}

/// Unpacks a package into its release's directory, which appears whole or not at all.
///
/// # Errors
/// [`xcloud_core::ErrorKind::BadRequest`] when the bytes are not the package that `digest` names, or hold what a package
/// may not.
pub(crate) fn store(app: &Path, digest: &str, package: &[u8]) -> Result<()> {
    let actual = hex(&Sha256::digest(package));
    if actual != digest {
        return Err(Error::bad_request(format!("the package's sha256 is {actual}, not {digest}")));
    }
    let target = directory(app, digest);
    let staging = app.join("releases").join(format!("{digest}.new-{}", xcloud_serve::parts::request_id()));
    std::fs::create_dir_all(&staging).map_err(io(format!("cannot make {}", staging.display())))?;
    let result = unpack(&staging, package).and_then(|()| {
        match std::fs::rename(&staging, &target) {
            // Someone else has unpacked the same bytes meanwhile.
            Err(_) if target.join(ENTRY).exists() => Ok(()),
            renamed => renamed.map_err(io(format!("cannot make {}", target.display()))),
        }
    });
    // Gone already when the rename succeeded.
    drop(std::fs::remove_dir_all(&staging));
    result
}

/// Makes a release whose program `write` puts at a path: whole or not at all.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn place(
    app: &Path,
    digest: &str,
    write: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<()> {
    let target = directory(app, digest);
    if target.join(ENTRY).exists() {
        return Ok(());
    }
    let staging = target.with_extension("new");
    let made = || -> std::io::Result<()> {
        std::fs::create_dir_all(&staging)?;
        let entry = staging.join(ENTRY);
        write(&entry)?;
        std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(0o700))?;
        std::fs::rename(&staging, &target)
    };
    made().map_err(io(format!("cannot make {}", target.display())))
}

/// Puts a file beside a release's program.
pub(crate) fn write_beside(entry: &Path, file: &package::File) -> std::io::Result<()> {
    let path = entry.with_file_name(&file.path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, &file.bytes)?;
    let mode = if file.executable { 0o755 } else { 0o644 };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
}

fn unpack(target: &Path, package: &[u8]) -> Result<()> {
    let bad = |e: std::io::Error| Error::bad_request(format!("the package is not a tar.gz: {e}"));
    let mut archive = tar::Archive::new(GzDecoder::new(package).take(MAX_UNPACKED));
    for entry in archive.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        let path = entry.path().map_err(bad)?.into_owned();
        if !entry.header().entry_type().is_file() || path.components().count() == 0 || !is_inside(&path) {
            let message =
                format!("the package holds {}, which is not a plain file inside it", path.display());
            return Err(Error::bad_request(message));
        }
        let mode = entry.header().mode().map_err(bad)? & 0o755;
        write(&target.join(&path), mode, &mut entry)?;
    }
    let entry = target.join(ENTRY);
    match std::fs::metadata(&entry) {
        Ok(file) if file.is_file() && file.permissions().mode() & 0o100 != 0 => Ok(()),
        _ => Err(Error::bad_request(format!("the package holds no executable `{ENTRY}`"))),
    }
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

fn write(path: &Path, mode: u32, content: &mut impl Read) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io(failed()))?;
    }
    let mut options = File::options();
    let mut file =
        options.write(true).create_new(true).mode(mode | 0o600).open(path).map_err(io(failed()))?;
    std::io::copy(content, &mut file).map_err(io(failed()))?;
    file.flush().map_err(io(failed()))?;
    // The umask may have taken bits away.
    file.set_permissions(std::fs::Permissions::from_mode(mode | 0o600)).map_err(io(failed()))
}

/// Removes every release but those named.
pub(crate) fn prune(app: &Path, keep: &BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(app.join("releases")) else { return };
    let unwanted = |name: &OsStr| !name.to_str().is_some_and(|name| keep.contains(name));
    for entry in entries.flatten().filter(|entry| unwanted(&entry.file_name())) {
        // What cannot be removed costs space alone, and is tried again after the next deployment.
        drop(std::fs::remove_dir_all(entry.path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn package(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(gz);
        for (name, mode, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            // As a hostile archive would: `set_path` refuses `..`.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn app(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xcloud-release-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn digest(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn a_package_is_unpacked_with_its_modes_and_twice_is_once() {
        let app = app("good");
        let package = package(&[("bootstrap", 0o755, b"#!/bin/sh\n"), ("data/x.txt", 0o644, b"x")]);
        for _ in 0..2 {
            store(&app, &digest(&package), &package).unwrap();
        }
        let release = directory(&app, &digest(&package));
        let mode = |name: &str| std::fs::metadata(release.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bootstrap"), mode("data/x.txt")), (0o755, 0o644));
        assert_eq!(std::fs::read_dir(app.join("releases")).unwrap().count(), 1);
        std::fs::remove_dir_all(app).unwrap();
    }

    #[test]
    fn a_bad_package_leaves_nothing_behind() {
        let app = app("bad");
        let refused = |bytes: &[u8], digest: &str| store(&app, digest, bytes).unwrap_err().to_string();
        let good = package(&[("bootstrap", 0o755, b"x")]);
        assert!(refused(&good, &digest(b"other")).contains("sha256"));
        let climbing = package(&[("../bootstrap", 0o755, b"x")]);
        assert!(refused(&climbing, &digest(&climbing)).contains("not a plain file"));
        let dull = package(&[("bootstrap", 0o644, b"x")]);
        assert!(refused(&dull, &digest(&dull)).contains("no executable"));
        assert_eq!(std::fs::read_dir(app.join("releases")).unwrap().count(), 0);
        std::fs::remove_dir_all(app).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_package_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let app = app("any");
            assert!(store(&app, &digest(&bytes), &bytes).is_err());
        }
    }
}
