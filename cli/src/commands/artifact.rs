//! What a build leaves behind: the binary, and what it says of itself.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use xcloud_core::spec::{self, Spec};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Binary;
use xcloud_deploy::package::{self, File};

const BINARY: &str = "binary";
const FACTS: &str = "binary.json";
/// The directory of the files that lie beside the binary in packages.
const FILES: &str = "files";

/// Beside the binary: enough to deploy it without running or building it.
#[derive(Serialize, Deserialize)]
struct Facts {
    sha256: String,
    arch: String,
    /// As the binary says, without what xcloud.toml adds.
    spec: Spec,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<Kept>,
}

/// A file that lies beside the binary in packages.
#[derive(Serialize, Deserialize)]
struct Kept {
    path: String,
    sha256: String,
    executable: bool,
}

/// Keeps a built binary.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn keep(directory: &Path, binary: &Binary, said: &Spec) -> Result<()> {
    let kept = |file: &File| Kept {
        path: file.path.clone(),
        sha256: package::sha256(&file.bytes),
        executable: file.executable,
    };
    let facts = Facts {
        sha256: binary.sha256.clone(),
        arch: binary.arch.clone(),
        spec: said.clone(),
        files: binary.files.iter().map(kept).collect(),
    };
    let facts = serde_json::to_vec_pretty(&facts)?;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| super::write(&directory.join(BINARY), &binary.bytes))
        .and_then(|()| keep_files(&directory.join(FILES), &binary.files))
        .and_then(|()| super::write(&directory.join(FACTS), &facts));
    written
        .map_err(|e| Error::unavailable(format!("cannot write in {}: {e}", directory.display())).caused_by(e))
}

/// Those of the build before are gone.
fn keep_files(directory: &Path, files: &[File]) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for file in files {
        let path = directory.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
        std::fs::write(path, &file.bytes)?;
    }
    Ok(())
}

/// A file that was kept, unless it is another by now or lies elsewhere.
fn take_file(directory: &Path, kept: Kept) -> Result<File, String> {
    let Kept { path, sha256, executable } = kept;
    let inside = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || path.is_empty() {
        return Err(format!("`{path}` is not a path beside the binary"));
    }
    let bytes =
        std::fs::read(directory.join(&path)).map_err(|e| format!("the file {path} beside it: {e}"))?;
    if package::sha256(&bytes) != sha256 {
        return Err(format!("the file {path} beside it is not the one that was built"));
    }
    Ok(File { path, bytes, executable })
}

/// Takes a binary that was kept.
///
/// # Errors
/// [`ErrorKind::Config`]: there is none, or not the one that its facts describe.
pub(super) fn take(directory: &Path) -> Result<(Binary, Spec)> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|e| {
            let message = format!(
                "{}: {e}; `xcloud build` makes it, and --artifact takes a copy of .xcloud/build",
                path.display()
            );
            Error::new(ErrorKind::Config, message).caused_by(e)
        })
    };
    let bad = |why: String| {
        let path = directory.join(FACTS);
        Error::new(ErrorKind::Config, format!("{}: {why}; build again", path.display()))
    };
    let (facts, bytes) = (read(FACTS)?, read(BINARY)?);
    let facts: Facts =
        serde_json::from_slice(&facts).map_err(|e| bad(format!("this is not what a build wrote: {e}")))?;
    let sha256 = package::sha256(&bytes);
    if sha256 != facts.sha256 {
        return Err(bad(format!("the binary beside it has sha256 {sha256}, not {}", facts.sha256)));
    }
    if facts.spec.version != spec::VERSION {
        let (found, wanted) = (facts.spec.version, spec::VERSION);
        return Err(bad(format!("its spec has version {found}, this xcloud reads {wanted}")));
    }
    let files = directory.join(FILES);
    let files = facts.files.into_iter().map(|kept| take_file(&files, kept));
    let files = files.collect::<Result<_, _>>().map_err(bad)?;
    Ok((Binary { bytes: bytes.into(), sha256, arch: facts.arch, files }, facts.spec))
}
