//! The package: a `.tar.gz` that holds the binary as `bootstrap`.

use xcloud_core::Result;
use xcloud_core::spec::Spec;
use xcloud_deploy::package::{Entry, Level, tar_gz, with_files};
use xcloud_deploy::{Artifact, Binary, Stage};
use xcloud_local::binding::ENTRY;

/// Packs the binary and what lies beside it. Pure and reproducible.
///
/// # Errors
/// When the binary is too large for the format, or a file has its place.
pub fn package(stage: &Stage, binary: &Binary, _spec: &Spec) -> Result<Artifact> {
    let own = vec![Entry { path: ENTRY, bytes: &binary.bytes, executable: true }];
    let entries = with_files(own, binary)?;
    // It stays on this machine: fast matters more than small.
    let bytes = tar_gz(&entries, Level::fast())?;
    let file_name = format!("{}-local.tar.gz", stage.project);
    Ok(Artifact::new("local", file_name, bytes, ENTRY, binary.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_package_holds_the_binary_alone_and_is_reproducible() {
        let binary = Binary {
            bytes: b"\x7fELF"[..].into(),
            sha256: "s".to_owned(),
            arch: "x86_64".to_owned(),
            files: Default::default(),
        };
        let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
        let pack = || package(&stage, &binary, &Spec::default()).unwrap().bytes;
        let bytes = pack();
        assert_eq!(bytes, pack());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("bootstrap"));
        assert_eq!((entry.header().mode().unwrap(), entry.header().mtime().unwrap()), (0o755, 0));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"\x7fELF");
        drop(entry);
        assert!(entries.next().is_none());
    }
}
