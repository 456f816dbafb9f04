//! `xcloud schema`

use xcloud_core::Result;

use crate::config;
use crate::printer::Done;

/// The JSON Schema of xcloud.toml, as this version reads it.
pub(super) fn run() -> Result<Done> {
    let schema = config::schema()?;
    let text = serde_json::to_string_pretty(&schema)? + "\n";
    Ok(Done::new("the schema of xcloud.toml", schema, text))
}
