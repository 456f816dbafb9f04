//! What a build leaves behind: the binary, and what it says of itself.

use std::path::Path;

use serde::{Deserialize, Serialize};
use xcloud_core::spec::{self, Spec};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Binary, package};

const BINARY: &str = "binary";
const FACTS: &str = "binary.json";

/// Beside the binary: enough to deploy it without running or building it.
#[derive(Serialize, Deserialize)]
struct Facts {
    sha256: String,
    arch: String,
    /// As the binary says, without what xcloud.toml adds.
    spec: Spec,
}

/// Keeps a built binary.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn keep(directory: &Path, binary: &Binary, said: &Spec) -> Result<()> {
    let facts = Facts { sha256: binary.sha256.clone(), arch: binary.arch.clone(), spec: said.clone() };
    let facts = serde_json::to_vec_pretty(&facts)?;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| super::write(&directory.join(BINARY), &binary.bytes))
        .and_then(|()| super::write(&directory.join(FACTS), &facts));
    written
        .map_err(|e| Error::unavailable(format!("cannot write in {}: {e}", directory.display())).caused_by(e))
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
    Ok((Binary { bytes: bytes.into(), sha256, arch: facts.arch }, facts.spec))
}
