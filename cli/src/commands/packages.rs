//! Packages under `.xcloud/build/`: made once of what they are made of. Packing is most of what a deployment that changes
//! nothing would take.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xcloud_core::spec::Spec;
use xcloud_core::{Error, Result};
use xcloud_deploy::{Artifact, Binary, Stage, package};

use crate::registry;

/// Beside a package: what it was made of, and what it is.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Facts {
    /// A digest of the binary, the files beside it, the Spec, the stage, and of this program.
    made_of: String,
    file_name: String,
    entry: String,
    sha256: String,
}

/// A provider's package, and where it lies.
///
/// # Errors
/// The binary does not fit the platform; the directory cannot be written.
pub(super) fn package_of(
    provider: &'static str,
    directory: &Path,
    stage: &Stage,
    (binary, spec): (&Binary, &Spec),
) -> Result<(Artifact, PathBuf)> {
    let made_of = digest(provider, stage, binary, spec)?;
    let facts = directory.join(format!("package-{provider}.json"));
    if let Some((known, bytes)) = found(&facts, &made_of, directory) {
        let artifact = Artifact::new(provider, known.file_name, bytes, known.entry, binary.clone());
        if artifact.sha256() == known.sha256 {
            let path = directory.join(&artifact.file_name);
            return Ok((artifact, path));
        }
    }
    let artifact = registry::package(provider)?(stage, binary, spec)?;
    let path = directory.join(&artifact.file_name);
    let known = Facts {
        made_of,
        file_name: artifact.file_name.clone(),
        entry: artifact.entry.to_string(),
        sha256: artifact.sha256(),
    };
    let known = serde_json::to_vec_pretty(&known)?;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| super::write(&path, &artifact.bytes))
        .and_then(|()| super::write(&facts, &known));
    written.map_err(|e| Error::unavailable(format!("cannot write {}: {e}", path.display())).caused_by(e))?;
    Ok((artifact, path))
}

/// The package that is there, if it is of this. Anything else is packed again.
fn found(facts: &Path, made_of: &str, directory: &Path) -> Option<(Facts, Vec<u8>)> {
    let known: Facts = serde_json::from_slice(&std::fs::read(facts).ok()?).ok()?;
    if known.made_of != made_of || known.file_name.contains(['/', '\\']) {
        return None;
    }
    let bytes = std::fs::read(directory.join(&known.file_name)).ok()?;
    Some((known, bytes))
}

fn digest(provider: &str, stage: &Stage, binary: &Binary, spec: &Spec) -> Result<String> {
    let binary = (&binary.sha256, &binary.arch, binary.files_sha256());
    let all = serde_json::to_vec(&(provider, stage, binary, spec, this_program()))?;
    Ok(package::sha256(&all))
}

/// Another build of this program may pack otherwise: its version, length and time.
fn this_program() -> (&'static str, Option<(u64, u128)>) {
    let file = std::env::current_exe().and_then(std::fs::metadata).ok();
    let of = file.and_then(|file| {
        let changed = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some((file.len(), changed.as_nanos()))
    });
    (env!("CARGO_PKG_VERSION"), of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_made_once_and_again_when_it_is_of_something_else_or_hurt() {
        let directory = std::env::temp_dir().join(format!("xcloud-packages-{}", std::process::id()));
        let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
        let binary = |bytes: &[u8]| Binary {
            bytes: bytes.into(),
            sha256: package::sha256(bytes),
            arch: "x86_64".to_owned(),
            files: std::sync::Arc::default(),
        };
        let spec = Spec::default();
        let make = |bytes: &[u8]| package_of("gcp", &directory, &stage, (&binary(bytes), &spec)).unwrap();
        let changed = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let (first, path) = make(b"one");
        let when = changed(&path);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (same, _) = make(b"one");
        assert_eq!((&same.bytes, &same.entry, same.provider), (&first.bytes, &first.entry, "gcp"));
        assert_eq!(changed(&path), when, "it is not written again");
        std::fs::write(&path, b"hurt").unwrap();
        assert_eq!(make(b"one").0.bytes, first.bytes);
        assert_eq!(std::fs::read(&path).unwrap(), first.bytes);
        assert_ne!(make(b"two").0.bytes, first.bytes);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
