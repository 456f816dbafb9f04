//! xcloud.toml, read and merged into a Spec.

mod extras;
mod manifest;
mod resolve;
mod schema;
mod secrets;
mod toml;

pub(crate) use self::extras::Extras;
#[cfg(feature = "aws")]
pub(crate) use self::manifest::AwsTable;
pub(crate) use self::manifest::{Budget, Build, Manifest, PROJECT_NAME, is_project_name};
pub(crate) use self::resolve::resolve;
pub(crate) use self::schema::schema;
pub(crate) use self::toml::Source;
