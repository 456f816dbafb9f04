//! The package: a zip whose `bootstrap` the `provided.al2023` runtime starts
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html>).

use xcloud_aws::binding::ENTRY;
use xcloud_core::Result;
use xcloud_core::spec::Spec;
use xcloud_deploy::package::{Entry, zip};
use xcloud_deploy::{Artifact, Binary, Stage};

/// Packs the binary. Pure and reproducible.
///
/// # Errors
/// When the binary is too large for the format.
pub fn package(stage: &Stage, binary: &Binary, _spec: &Spec) -> Result<Artifact> {
    let entries = [Entry { path: ENTRY, bytes: &binary.bytes, executable: true }];
    let bytes = zip(&entries)?;
    let file_name = format!("{}-aws.zip", stage.project);
    Ok(Artifact { provider: "aws", file_name, bytes, entry: ENTRY, binary: binary.clone() })
}
