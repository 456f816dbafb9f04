//! The package: a `.tar.gz` whose `bootstrap` a Cloud Run source deployment without a build starts
//! (<https://cloud.google.com/run/docs/deploying-source-code>).

use xcloud_core::Result;
use xcloud_core::spec::Spec;
use xcloud_deploy::package::{Entry, Level, tar_gz, with_files};
use xcloud_deploy::{Artifact, Binary, Stage};
use xcloud_gcp::binding::ENTRY;

/// Packs the binary and what lies beside it. Pure and reproducible.
///
/// # Errors
/// When the binary is too large for the format, or a file has its place.
pub fn package(stage: &Stage, binary: &Binary, _spec: &Spec) -> Result<Artifact> {
    let own = vec![Entry { path: ENTRY, bytes: &binary.bytes, executable: true }];
    let entries = with_files(own, binary)?;
    let bytes = tar_gz(&entries, Level::default())?;
    let file_name = format!("{}-gcp.tar.gz", stage.project);
    Ok(Artifact::new("gcp", file_name, bytes, ENTRY, binary.clone()))
}
