//! The package: a zip whose `bootstrap` the `provided.al2023` runtime starts
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html>).

use xcloud_aws::binding::ENTRY;
use xcloud_core::Result;
use xcloud_core::spec::Spec;
use xcloud_deploy::package::{Entry, with_files, zip};
use xcloud_deploy::{Artifact, Binary, Stage};

/// Packs the binary and what lies beside it. Pure and reproducible.
///
/// # Errors
/// When the binary is too large for the format, or a file has its place.
pub fn package(stage: &Stage, binary: &Binary, _spec: &Spec) -> Result<Artifact> {
    let own = vec![Entry { path: ENTRY, bytes: &binary.bytes, executable: true }];
    let entries = with_files(own, binary)?;
    let bytes = zip(&entries)?;
    let file_name = format!("{}-aws.zip", stage.project);
    Ok(Artifact::new("aws", file_name, bytes, ENTRY, binary.clone()))
}
